//! What a program says to `listen --commands`: one JSON object a line on stdin.
//!
//! `{"send":{"to":"15555550001","text":"hello","key":"order-17"}}` sends a text, once per key whatever happens
//! (with `"campaign":true` it waits where a limit refuses a single message);
//! `{"ack":"EVENT_ID"}` acknowledges an event that was printed.

use std::io::{BufRead, Read};

use palomar::wire::Jid;
use serde::Deserialize;
use tokio::sync::mpsc;

/// The longest line, in bytes.
const MAX_LINE: u64 = 256 * 1024;
/// Commands that may wait; a program that writes faster is held up at its pipe.
const WAITING: usize = 64;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Send a text.
    Send(Text),
    /// The event with this id is dealt with.
    Ack(String),
}

/// A text to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// A phone number or a JID.
    pub to: Recipient,
    /// The text.
    pub text: String,
    /// The caller's idempotency key.
    pub key: String,
    /// One of many that nobody ordered one by one.
    #[serde(default)]
    pub campaign: bool,
}

/// A chat, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Recipient(pub Jid);

impl TryFrom<String> for Recipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        crate::send::recipient(&text).map(Self).map_err(|failure| failure.what)
    }
}

/// A line of stdin: a command, or why it is none.
pub type Line = Result<Command, String>;

/// Reads stdin on a thread of its own. The channel ends with it.
pub fn stdin() -> mpsc::Receiver<Line> {
    let (tell, commands) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = next(&mut input) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    commands
}

/// The next line that is not empty; `None` at the end, or where the input can't be trusted any more.
fn next(input: &mut impl BufRead) -> Option<Line> {
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
        if read == 0 || !line.ends_with(b"\n") {
            // A line without end was cut off with its writer, or is too long.
            return None;
        }
        if !line.trim_ascii().is_empty() {
            return Some(serde_json::from_slice(&line).map_err(|e| format!("no command: {e}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<Line> {
        std::iter::from_fn(|| next(&mut input)).collect()
    }

    #[test]
    fn lines_are_commands_or_say_what_is_wrong_with_them() {
        let input = br#"{"ack":"e1"}

{"send":{"to":"+15555550001","text":"hi","key":"k"}}
{"send":{"to":"nobody","text":"hi","key":"k"}}
{"send":{"to":"15555550001","text":"hi"}}
{"shout":"x"}
"#;
        let lines = all(input);
        assert_eq!(lines[0], Ok(Command::Ack("e1".to_owned())));
        let to = Recipient(Jid::pn("15555550001").unwrap());
        let text = Text { to, text: "hi".to_owned(), key: "k".to_owned(), campaign: false };
        assert_eq!(lines[1], Ok(Command::Send(text)));
        assert!(lines[2].as_ref().unwrap_err().contains("nobody"), "{:?}", lines[2]);
        assert!(lines[3].as_ref().unwrap_err().contains("key"));
        assert!(lines[4].as_ref().unwrap_err().contains("shout"));
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_command() {
        assert_eq!(all(br#"{"ack":"e1"}"#), []);
        assert_eq!(all(&vec![b' '; 1 << 20]), []);
    }
}
