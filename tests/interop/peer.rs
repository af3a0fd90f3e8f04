//! A foreign client as a child process: commands out, events and replies in, one JSON object a line.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::install::Installed;

/// How long a foreign client may take for one thing (whatsmeow needs several seconds for its first prekeys).
const PATIENCE: Duration = Duration::from_secs(60);

/// A running foreign client.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Events that nobody has asked for yet, oldest first.
    waiting: Vec<Value>,
    next_id: u64,
    name: &'static str,
}

impl Peer {
    /// Starts the client with arguments and environment of its own.
    pub async fn start(
        name: &'static str,
        installed: &Installed,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(&installed.program)
            .arg(&installed.script)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut peer = Self { child, stdin, stdout, waiting: Vec::new(), next_id: 0, name };
        peer.event("started").await;
        peer
    }

    async fn line(&mut self, waiting_for: &str) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        let line = line.unwrap_or_else(|_| {
            panic!(
                "{} showed nothing for {PATIENCE:?} while waiting for {waiting_for}; unread: {:?}",
                self.name, self.waiting
            )
        });
        match line.expect("readable") {
            None => panic!("{} ended while waiting for {waiting_for}; unread: {:?}", self.name, self.waiting),
            // The libraries print to stdout themselves now and then.
            Some(text) => serde_json::from_str(&text)
                .unwrap_or_else(|_: serde_json::Error| json!({ "event": "noise", "text": text })),
        }
    }

    /// Gives a command and waits for its reply, which must be good.
    pub async fn command(&mut self, cmd: &str, mut arguments: Value) -> Value {
        let reply = self.try_command(cmd, arguments.take()).await;
        assert_eq!(reply["ok"], true, "{} refused {cmd}: {reply}", self.name);
        reply
    }

    /// Gives a command and waits for its reply, good or bad.
    pub async fn try_command(&mut self, cmd: &str, arguments: Value) -> Value {
        self.next_id += 1;
        let mut line = if arguments.is_null() { json!({}) } else { arguments };
        line["id"] = self.next_id.into();
        line["cmd"] = cmd.into();
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.expect("the peer lives");
        loop {
            let line = self.line(cmd).await;
            if line["reply"] == self.next_id {
                return line;
            }
            self.waiting.push(line);
        }
    }

    /// The next event of a name.
    pub async fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true).await
    }

    /// The next event of a name that a condition holds for; others stay for later.
    pub async fn event_where(&mut self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let matches = |line: &Value| line["event"] == name && condition(line);
        if let Some(at) = self.waiting.iter().position(matches) {
            return self.waiting.remove(at);
        }
        loop {
            let line = self.line(name).await;
            if matches(&line) {
                return line;
            }
            self.waiting.push(line);
        }
    }

    /// The text message with this text, however it arrives.
    pub async fn text(&mut self, text: &str) -> Value {
        self.event_where("message", |line| line["text"] == text).await
    }

    /// Ends the process in an orderly way.
    pub async fn stop(mut self) {
        self.command("stop", Value::Null).await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end", self.name)).expect("a status");
    }
}
