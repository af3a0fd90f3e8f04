//! `send ID TO TEXT`: sends one text and says what became of it.

use std::time::Duration;

use clap::Args;
use palomar::client::event::{Event, SendState};
use palomar::client::limits::{Why, time};
use palomar::client::{Client, Language, Refusal, SendOptions};
use palomar::proto::Message;
use palomar::signal::link_code;
use palomar::wire::Jid;
use serde_json::json;

use crate::account;
use crate::accounts::{self, close};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Options of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The account
    pub id: String,
    /// To whom: a number in international form (+15557654321), or an address (15557654321@s.whatsapp.net)
    pub to: String,
    /// The text
    pub text: String,
    /// Idempotency key: the same key never sends twice, whatever happens in between
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// One of many that nobody ordered one by one: where a limit refuses a single message, it waits
    #[arg(long)]
    pub campaign: bool,
    /// How long to wait for the server's answer, in seconds
    #[arg(long, value_name = "S", default_value_t = 120)]
    pub timeout: u64,
}

/// Runs the command.
pub async fn run(args: &SendArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let to = recipient(&args.to)?;
    if args.text.is_empty() {
        return Err(Failure::usage("the text is empty"));
    }
    let id = account::id(&args.id)?;
    let (_folder, store) = accounts::open(config, &id)?;
    let client = account::client(store.clone(), config, config.record(&id)).await?;
    let done = send(&client, &to, args, output).await;
    client.end().await;
    close(&store).await;
    done
}

/// A recipient as people write it.
pub fn recipient(text: &str) -> Result<Jid, Failure> {
    let next =
        "give a number with its country code (+15557654321), or an address (15557654321@s.whatsapp.net)";
    let jid = if text.contains('@') {
        text.parse::<Jid>().map_err(|e| e.to_string())
    } else {
        let digits =
            link_code::phone_number(text).ok_or_else(|| "not an international phone number".to_owned());
        digits.and_then(|digits| Jid::pn(&digits).map_err(|e| e.to_string()))
    };
    jid.map_err(|e| Failure::usage(format!("recipient {text:?}: {e}")).next(next))
}

/// A plain text message.
pub fn text(text: &str) -> Message {
    Message { conversation: Some(text.to_owned()), ..Message::default() }
}

async fn send(client: &Client, to: &Jid, args: &SendArgs, output: Output) -> Result<(), Failure> {
    client.connect().await?;
    let key = args.key.clone().unwrap_or_else(|| format!("cli-{}", hex::encode(random())));
    let options = SendOptions { campaign: args.campaign };
    let accepted = client.send_with(to, text(&args.text), &key, options).await?;
    let id = accepted.message_id;
    let limit = Duration::from_secs(args.timeout);
    let outcome = match tokio::time::timeout(limit, outcome(client, &key)).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            let what = format!("no answer within {} s; the message is in the outbox", args.timeout);
            let next = format!(
                "it goes out at the next connection: `palomar listen {}`, or send again with --key {key}",
                args.id
            );
            return Err(Failure::failed(what).next(next));
        }
    };
    let value = |state: &str| json!({ "event": state, "key": key, "id": id, "to": to.to_string() });
    match outcome {
        SendState::Sent { timestamp, .. } => {
            let mut value = value("sent");
            if let Some(object) = value.as_object_mut() {
                object.insert("timestamp".to_owned(), json!(timestamp));
            }
            output.line(format_args!("sent {id} to {to}"), &value);
            Ok(())
        }
        SendState::Waiting { why, until } => {
            let what = format!("not sent yet{}: {}", ending(until), Language::En.why(why));
            let next = format!(
                "it waits in the outbox and goes by itself while the account is connected (`palomar listen {id}`); \
                 `palomar accounts health {id}` says more",
                id = args.id
            );
            Err(Failure::new(Exit::Later, what).next(next))
        }
        SendState::Failed { why: Refusal::Limited(why), until, .. } => {
            let what = format!("not sent{}: {}", ending(until), Language::En.why(why));
            let next = format!("`palomar accounts health {}` says what to do", args.id);
            Err(Failure::new(Exit::Later, what).next(next))
        }
        SendState::Failed { code: Some(code @ (429 | 475)), detail, .. } => {
            Err(Failure::new(Exit::Later, format!("not sent ({code}): {detail}"))
                .next("the service limits this account: write to nobody new for some hours"))
        }
        SendState::Failed { code, detail, .. } => {
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            Err(Failure::new(Exit::Refused, format!("not sent{code}: {detail}"))
                .next("nothing is sent again by itself"))
        }
        SendState::Unknown => Err(Failure::failed("it is not known whether the server has the message")
            .next("ask the recipient before sending it again")),
    }
}

/// When a limit ends, where that is known.
fn ending(until: Option<i64>) -> String {
    until.map(|until| format!(", until {}", time(until))).unwrap_or_default()
}

fn random() -> [u8; 8] {
    palomar::crypto::random_bytes(&mut palomar::crypto::os_rng())
}

/// What became of the send with this key. The event that says so is acknowledged, since the caller hears it here; other
/// events are left for whoever listens.
async fn outcome(client: &Client, key: &str) -> Result<SendState, Failure> {
    let mut events = client.events();
    let name = key.to_owned();
    if let Some(row) = client.store().read(move |tx| tx.outgoing(&name)).await? {
        if let Some(state) = SendState::of(&row) {
            return Ok(state);
        }
        if let Some(why) = row.why.as_deref().and_then(Why::of).filter(|why| !why.is_short()) {
            return Ok(SendState::Waiting { why, until: row.until });
        }
    }
    let mut states = client.state();
    loop {
        tokio::select! {
            biased;
            delivery = events.next() => {
                let delivery = delivery?;
                if let Event::Outgoing(progress) = &delivery.event
                    && progress.key == key
                {
                    let state = progress.state.clone();
                    delivery.ack().await?;
                    if !matches!(&state, SendState::Waiting { why, .. } if why.is_short()) {
                        return Ok(state);
                    }
                }
            }
            changed = states.changed() => {
                if changed.is_err() {
                    return Err(Failure::failed("the client ended"));
                }
                if let palomar::client::State::Stopped(stop) = &*states.borrow_and_update() {
                    return Err(account::stopped(stop));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_numbers_or_addresses() {
        for text in ["+1 555 765-4321", "15557654321", "15557654321@s.whatsapp.net"] {
            assert_eq!(recipient(text).unwrap().to_string(), "15557654321@s.whatsapp.net", "{text}");
        }
        assert_eq!(recipient("1@lid").unwrap().to_string(), "1@lid");
        for text in ["", "bob", "12", "@", "1 2@x y"] {
            assert_eq!(recipient(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
