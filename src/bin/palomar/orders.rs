//! Orders on stdin: one JSON object a line, `{"to": "+15557654321", "text": "hello", "key": "order-1"}`. The key is the
//! caller's idempotency key: after a crash on either side the same lines can be given again.

use std::io::BufRead;

use palomar::client::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::exit::Failure;
use crate::output::Output;
use crate::send::{recipient, text};

/// Lines read ahead.
const AHEAD: usize = 64;
/// The longest line that is taken.
const LONGEST: usize = 256 * 1024;

/// One order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    to: String,
    text: String,
    key: String,
}

/// The lines of stdin; the channel ends with it. A reader of stdin can't be interrupted, so it has a thread of its own
/// that ends with the process.
pub fn stdin() -> Result<mpsc::Receiver<String>, Failure> {
    let (give, lines) = mpsc::channel(AHEAD);
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if give.blocking_send(line).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(read);
    started.map_err(|e| Failure::failed(format!("stdin can't be read: {e}")))?;
    Ok(lines)
}

/// Takes one order: the answer is a line, `accepted` with the message id, or `refused` with the reason. What becomes of
/// an accepted one is an event.
pub async fn take(client: &Client, line: &str, output: Output) {
    if line.trim().is_empty() {
        return;
    }
    let (human, value) = match parse(line) {
        Ok(order) => send(client, &order).await,
        Err(why) => refused(None, &why),
    };
    output.line(human, &value);
}

fn parse(line: &str) -> Result<Order, String> {
    if line.len() > LONGEST {
        return Err(format!("the line is longer than {LONGEST} bytes"));
    }
    let order: Order = serde_json::from_str(line).map_err(|e| e.to_string())?;
    if order.key.is_empty() || order.text.is_empty() {
        return Err("key and text must not be empty".to_owned());
    }
    Ok(order)
}

async fn send(client: &Client, order: &Order) -> (String, Value) {
    let to = match recipient(&order.to) {
        Ok(to) => to,
        Err(failure) => return refused(Some(&order.key), &failure.what),
    };
    match client.send(&to, text(&order.text), &order.key).await {
        Ok(accepted) => {
            let id = accepted.message_id;
            (format!("accepted {id} to {to}"), json!({ "event": "accepted", "key": order.key, "id": id }))
        }
        Err(error) => refused(Some(&order.key), &error.to_string()),
    }
}

fn refused(key: Option<&str>, why: &str) -> (String, Value) {
    (format!("refused: {why}"), json!({ "event": "refused", "key": key, "detail": why }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_not_whole_names_what_is_wrong() {
        assert!(parse(r#"{"to":"1","text":"a","key":"k"}"#).is_ok());
        for (line, why) in [
            (r#"{"to":"1","text":"a"}"#, "key"),
            (r#"{"to":"1","text":"","key":"k"}"#, "text"),
            (r#"{"to":"1","text":"a","key":"k","what":1}"#, "what"),
            ("hello", "expected"),
        ] {
            assert!(parse(line).unwrap_err().contains(why), "{line}");
        }
    }
}
