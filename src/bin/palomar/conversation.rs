//! `listen ID --commands`: a program on the other side of stdin and stdout. It gets every event until it acknowledges
//! it, and sends by commands; both survive the end of either side.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use palomar::client::event::{Event, SendState};
use palomar::client::{Client, Delivery, SendOptions};
use serde_json::{Value, json};

use crate::commands::{self, Command, Text};
use crate::exit::Failure;
use crate::listen::{machine, stopped};
use crate::output::Output;
use crate::send;

/// Events that are printed and not acknowledged; more wait in the inbox.
const UNACKNOWLEDGED: usize = 1000;
/// Commands that are worked on at once.
const RUNNING: usize = 64;

/// What a command came to.
type Done = BoxFuture<'static, Result<Option<Value>, Failure>>;

/// Runs until stdin ends or the account stands still.
pub async fn run(client: &Client, output: Output) -> Result<(), Failure> {
    client.connect().await?;
    let (mut states, mut events, mut lines) = (client.state(), client.events(), commands::stdin());
    let mut open: HashMap<String, Delivery> = HashMap::new();
    let mut running: FuturesUnordered<Done> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = running.next() => {
                if let Some(answer) = done? {
                    output.line("", &answer);
                }
            }
            changed = states.changed() => {
                changed.map_err(|_| Failure::failed("the client ended"))?;
                stopped(&states.borrow_and_update())?;
            }
            delivery = events.next(), if open.len() < UNACKNOWLEDGED => {
                let delivery = delivery?;
                tell(&delivery, output)?;
                open.insert(delivery.id.clone(), delivery);
            }
            line = lines.recv(), if running.len() < RUNNING => match line {
                None => break,
                Some(Ok(Command::Send(text))) => running.push(Box::pin(accept(client.clone(), text))),
                Some(Ok(Command::Ack(id))) => match open.remove(&id) {
                    Some(delivery) => running.push(Box::pin(async move {
                        delivery.ack().await?;
                        Ok(None)
                    })),
                    None => output.line("", &json!({ "error": { "what": format!("no open event {id:?}") } })),
                },
                Some(Err(what)) => output.line("", &json!({ "error": { "what": what } })),
            },
        }
    }
    // What was said before the end of stdin is done.
    while let Some(done) = running.next().await {
        if let Some(answer) = done? {
            output.line("", &answer);
        }
    }
    Ok(())
}

/// Prints an event; the server's word on a send in short before it.
fn tell(delivery: &Delivery, output: Output) -> Result<(), Failure> {
    if let Event::Outgoing(progress) = &delivery.event {
        let word = match &progress.state {
            SendState::Sent { .. } => json!({ "sent": progress.key }),
            SendState::Failed { code, detail, .. } => {
                json!({ "failed": progress.key, "code": code, "detail": detail })
            }
            SendState::Unknown => json!({ "unknown": progress.key }),
            SendState::Waiting { why, until } => {
                json!({ "waiting": progress.key, "why": why, "until": until })
            }
        };
        output.line("", &word);
    }
    output.line("", &machine(&delivery.id, delivery.seq, &delivery.event)?);
    Ok(())
}

async fn accept(client: Client, text: Text) -> Result<Option<Value>, Failure> {
    let Text { to, text, key, campaign } = text;
    let options = SendOptions { campaign };
    Ok(Some(match client.send_with(&to.0, send::text(&text), &key, options).await {
        Ok(accepted) => json!({ "accepted": key, "id": accepted.message_id }),
        Err(error) => json!({ "failed": key, "detail": error.to_string() }),
    }))
}
