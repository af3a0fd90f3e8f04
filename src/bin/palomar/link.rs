//! `link ID`: links an account to a phone, by QR or by code.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use palomar::client::{Client, PairEvent, Pairing, Stop};
use palomar::clock::Clock;
use palomar::store::{Store, StoreError};
use serde_json::json;

use crate::account;
use crate::accounts::{self, Folder, close};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::output::Output;
use crate::qr::Picture;
use crate::version;

/// How long the first login after linking may take (its prekeys, its backlog).
const FIRST_LOGIN: Duration = Duration::from_secs(180);

/// Options of `link`.
#[derive(Debug, Args)]
pub struct LinkArgs {
    /// The account: an id of your choice; made if it does not exist
    pub id: String,
    /// Link by a code typed on the phone of this number (international form)
    #[arg(long, value_name = "+E164")]
    pub code: Option<String>,
    /// Write the QR to an SVG file as well
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    pub svg: Option<PathBuf>,
    /// Write the QR to a PNG file as well
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    pub png: Option<PathBuf>,
    /// How many rounds of codes are shown before giving up (a round takes up to 160 s)
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Write the shapes and times of all stanzas to a file: no value, no key, no content
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Link even if the web client's version that is presented is older than 12 weeks
    #[arg(long)]
    pub force_version: bool,
}

/// How a round ended that did not fail.
enum Round {
    Linked,
    Over(String),
}

/// Runs the command.
pub async fn run(args: &LinkArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let id = account::id(&args.id)?;
    if !config.other_server && !args.force_version {
        version::may_link(config.version, Clock::system().wall_s())?;
    }
    let folder = accounts::folder(config)?;
    let mut store = account::open_or_make(&folder, &id).await?;
    if let Some(pn) = linked(&store).await? {
        let client = account::client(store.clone(), config, None).await?;
        let stop = client.state().borrow().clone();
        client.end().await;
        match stop {
            palomar::client::State::Stopped(Stop::LoggedOut { .. }) => {
                store = renewed(&folder, &id, store, output).await?;
            }
            _ => {
                close(&store).await;
                return Err(Failure::usage(format!("account {id} is linked already, as {pn}"))
                    .next("use another id for another link; unlink it on the phone to link it anew"));
            }
        }
    }
    let client =
        account::client(store.clone(), config, args.record.as_deref().or(config.record(&id))).await?;
    let done = rounds(&client, args, output).await;
    client.end().await;
    close(&store).await;
    done
}

async fn linked(store: &Store) -> Result<Option<String>, StoreError> {
    store.read(|tx| Ok(tx.link()?.map(|link| link.pn))).await
}

async fn renewed(
    folder: &Folder,
    id: &palomar::store::AccountId,
    store: Store,
    output: Output,
) -> Result<Store, Failure> {
    let (store, archive) = account::renew(folder, id, store).await?;
    let text = format!("the old link of {id} is gone; its state was moved to archive/{archive}");
    output.line(text, &json!({ "event": "archived", "archive": archive }));
    Ok(store)
}

async fn rounds(client: &Client, args: &LinkArgs, output: Output) -> Result<(), Failure> {
    for round in 1..=args.rounds {
        let mut pairing = client.pair().await?;
        if let Some(number) = &args.code {
            // The code itself comes as an event.
            pairing.code(number, None).await.map_err(|e| Failure::failed(format!("pairing code: {e}")))?;
        }
        match follow(&mut pairing, args, output).await? {
            Round::Linked => return first_login(client, output).await,
            Round::Over(why) => {
                output.progress(format_args!("round {round} of {}: {why}", args.rounds));
            }
        }
    }
    let what = format!("nobody linked the account in {} rounds", args.rounds);
    Err(Failure::new(Exit::Person, what)
        .next("have the phone at hand and run the command again; if the phone said that it could not link the device, a newer client version is needed"))
}

async fn follow(pairing: &mut Pairing, args: &LinkArgs, output: Output) -> Result<Round, Failure> {
    while let Some(event) = pairing.next().await {
        match event {
            PairEvent::QrCode { text, valid_for } if args.code.is_none() => {
                show(&text, valid_for, args, output)?
            }
            PairEvent::QrCode { .. } => {}
            PairEvent::QrExhausted if args.code.is_none() => {
                return Ok(Round::Over("the codes ran out".to_owned()));
            }
            PairEvent::QrExhausted => {}
            PairEvent::PairingCode { code, valid_for } => {
                let text = format!(
                    "type this code on the phone: {code}\n(Linked devices > Link a device > Link with phone number; valid {} s)",
                    valid_for.as_secs()
                );
                output
                    .line(text, &json!({ "event": "code", "code": code, "valid_for_ms": millis(valid_for) }));
            }
            PairEvent::PairingCodeVoid { reason } => return Ok(Round::Over(reason)),
            PairEvent::PhoneWithoutMultiDevice => {
                output.text("the phone that scanned can't link devices; update its app and scan again");
            }
            PairEvent::PasskeyRequired { .. } => {
                // Says so to the server side as well, so that nothing waits for an answer.
                drop(pairing.passkey(None).await);
                return Err(Failure::new(
                    Exit::Person,
                    "the phone's account asks for a passkey, which this command can't give",
                )
                .next("link from an application that has an authenticator, or remove the passkey"));
            }
            PairEvent::PairError { code, text } => {
                return Err(Failure::new(Exit::Refused, format!("linking was refused: {code} {text}"))
                    .next("nothing was stored; run the command again"));
            }
            PairEvent::PairSuccess { jid, lid, platform, business } => {
                let lid = lid.map(|lid| lid.to_string());
                let text = format!("linked as {jid} ({platform} phone)");
                let value = json!({
                    "event": "linked", "pn": jid.to_string(), "lid": lid, "platform": platform, "business": business,
                });
                output.line(text, &value);
                return Ok(Round::Linked);
            }
            PairEvent::Closed { reason } => return Ok(Round::Over(reason)),
            other => tracing::info!(?other, "while linking"),
        }
    }
    Ok(Round::Over("the pairing ended".to_owned()))
}

fn show(text: &str, valid_for: Duration, args: &LinkArgs, output: Output) -> Result<(), Failure> {
    let picture = Picture::of(text)?;
    if let Some(path) = &args.svg {
        files::write(path, picture.svg().as_bytes())?;
    }
    if let Some(path) = &args.png {
        files::write(path, &picture.png()?)?;
    }
    let drawn = picture.terminal(output.has_colours());
    let human = format!(
        "{drawn}\nscan it with the phone: Settings > Linked devices > Link a device (valid {} s)",
        valid_for.as_secs()
    );
    output.line(human, &json!({ "event": "qr", "text": text, "valid_for_ms": millis(valid_for) }));
    Ok(())
}

async fn first_login(client: &Client, output: Output) -> Result<(), Failure> {
    match tokio::time::timeout(FIRST_LOGIN, client.ready()).await {
        Ok(ready) => ready?,
        Err(_) => {
            return Err(Failure::failed("linked, but the first login did not finish within 180 s")
                .next("the link is kept: run `palomar listen ID` to try again"));
        }
    }
    output.line("ready", &json!({ "event": "ready" }));
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
