//! `listen ID`: prints what arrives, and acknowledges what was printed.

use std::path::PathBuf;

use clap::Args;
use palomar::client::event::{self, Event, ReceiptKind, SendState};
use palomar::client::limits::{Change, time};
use palomar::client::{Client, Language, State, Why};
use serde_json::{Value, json};

use crate::account;
use crate::accounts::{self, close};
use crate::config::Config;
use crate::conversation;
use crate::exit::Failure;
use crate::output::Output;

/// Options of `listen`.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// The account
    pub id: String,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Print, but don't acknowledge: everything comes again next time
    #[arg(long)]
    pub keep: bool,
    /// Write the shapes and times of all stanzas to a file: no value, no key, no content
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Read commands from stdin, one JSON object a line, and leave acknowledging to them: {"send":{"to":"+15557654321",
    /// "text":"hello","key":"order-17"}} is answered by "accepted" once it is durable and by "sent" once the server has
    /// it; {"ack":EVENT_ID} says that an event is dealt with. Needs --json; ends with stdin
    #[arg(long, conflicts_with_all = ["keep", "count"])]
    pub commands: bool,
}

/// Runs the command.
pub async fn run(args: &ListenArgs, config: &Config, output: Output) -> Result<(), Failure> {
    if args.commands && !output.is_json() {
        return Err(Failure::usage("--commands is for programs").next("give --json too"));
    }
    let id = account::id(&args.id)?;
    let (_folder, store) = accounts::open(config, &id)?;
    let client =
        account::client(store.clone(), config, args.record.as_deref().or(config.record(&id))).await?;
    let done = if args.commands {
        conversation::run(&client, output).await
    } else {
        listen(&client, args, output).await
    };
    client.end().await;
    close(&store).await;
    done
}

fn now() -> i64 {
    palomar::clock::Clock::system().wall_ms()
}

async fn listen(client: &Client, args: &ListenArgs, output: Output) -> Result<(), Failure> {
    client.connect().await?;
    let mut states = client.state();
    let mut events = client.events();
    let mut printed = 0;
    loop {
        tokio::select! {
            biased;
            delivery = events.next() => {
                let delivery = delivery?;
                output.line(human(&delivery.event), &machine(&delivery.id, delivery.seq, &delivery.event)?);
                if !args.keep {
                    delivery.ack().await?;
                }
                printed += 1;
                if args.count.is_some_and(|count| printed >= count) {
                    return Ok(());
                }
            }
            changed = states.changed() => {
                if changed.is_err() {
                    return Err(Failure::failed("the client ended"));
                }
                let state = states.borrow_and_update().clone();
                stopped(&state)?;
                tell(&state, output);
            }
        }
    }
}

/// An account that stands still ends the command.
pub fn stopped(state: &State) -> Result<(), Failure> {
    match state {
        State::Stopped(stop) => Err(account::stopped(stop)),
        _ => Ok(()),
    }
}

fn tell(state: &State, output: Output) {
    match state {
        State::Ready => output.progress("ready"),
        State::Connecting { attempt } if *attempt > 0 => {
            output.progress(format_args!("connecting, try {}", attempt + 1))
        }
        State::Waiting { until } => {
            output.progress(format_args!("no connection; next try in {} s", (until - now()).max(0) / 1000));
        }
        _ => {}
    }
}

/// An event as a line for machines.
pub fn machine(id: &str, seq: u64, event: &Event) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(event).map_err(|e| Failure::failed(format!("an event: {e}")))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("event_id".to_owned(), json!(id));
        object.insert("seq".to_owned(), json!(seq));
    }
    Ok(value)
}

fn human(told: &Event) -> String {
    match told {
        Event::Message(message) => {
            let from = message.push_name.as_deref().unwrap_or(&message.sender);
            let what = match (&message.change, &message.text) {
                (Some(event::Change::Edit(target)), Some(text)) => format!("edits {}: {text}", target.id),
                (Some(event::Change::Reaction { target, text }), _) => {
                    format!("reacts {text} to {}", target.id)
                }
                (Some(event::Change::Revoke(target)), _) => format!("takes {} back", target.id),
                (_, Some(text)) => text.clone(),
                (_, None) => "(not a text)".to_owned(),
            };
            let me = if message.from_me { " (another device of mine)" } else { "" };
            format!("{}  {from}{me}: {}", message.chat, printable(&what))
        }
        Event::Undecryptable(message) => {
            format!("{}  {}: (can't be read yet: {})", message.chat, message.sender, message.reason)
        }
        Event::Receipt(receipt) => {
            let what = match receipt.kind {
                ReceiptKind::Delivered | ReceiptKind::Inactive => "delivered",
                ReceiptKind::Read => "read",
                ReceiptKind::Played => "played",
                ReceiptKind::ReadElsewhere => "read on another device of mine",
            };
            format!("{}  {what} by {}: {}", receipt.chat, receipt.device, receipt.ids.join(" "))
        }
        Event::Outgoing(progress) => {
            let what = match &progress.state {
                SendState::Sent { .. } => "sent".to_owned(),
                SendState::Failed { code: Some(code), detail, .. } => format!("failed ({code}): {detail}"),
                SendState::Failed { code: None, detail, .. } => format!("failed: {detail}"),
                SendState::Unknown => "outcome unknown".to_owned(),
                SendState::Waiting { why, until } => format!("waits{}: {}", until_text(*until), said(*why)),
            };
            format!("{}  {} {what}", progress.chat, progress.id)
        }
        Event::IdentityChanged { user, .. } => format!("{user}  has a new security code"),
        Event::Restriction(told) => {
            let title = Language::En.signal(told.signal).title;
            let about = told.subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
            let alarm = if told.alarm { "; a person has to act: `palomar accounts health ID`" } else { "" };
            let change = match told.change {
                Change::Began => "began",
                Change::Changed => "changed",
                Change::Ended => "ended",
                Change::Cleared => "cleared",
            };
            format!("restriction {change}: {title}{about}{}{alarm}", until_text(told.until))
        }
        Event::History { .. } => "a part of the history is offered".to_owned(),
        other => other.kind().to_owned(),
    }
}

fn said(why: Why) -> &'static str {
    Language::En.why(why)
}

/// The end of a limit, where it is known.
fn until_text(until: Option<i64>) -> String {
    until.map(|until| format!(" until {}", time(until))).unwrap_or_default()
}

/// Text of others, without what would steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_can_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
    }
}
