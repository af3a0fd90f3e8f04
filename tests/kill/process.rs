//! The real binary as a child process: commands in, one JSON object a line out.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Where the binary finds its server and keeps its account.
#[derive(Debug, Clone)]
pub struct Place {
    pub data: PathBuf,
    pub server: String,
    pub root_key: String,
}

/// A running binary. Killed when dropped.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: UnboundedReceiver<Value>,
    log: PathBuf,
}

impl Process {
    /// Starts `palomar --json ARGUMENTS`, without the pauses between messages, and with nothing of this process's
    /// environment that could tell it something.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        let log = place.data.with_extension("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_palomar"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PALOMAR_"))
        {
            command.env_remove(name);
        }
        let mut child = command
            .env("PALOMAR_MIN_MESSAGE_GAP_MS", "0")
            .env("PALOMAR_MAX_MESSAGES_PER_MINUTE", "100000")
            .current_dir(place.data.parent().unwrap_or(Path::new("/")))
            .arg("--json")
            .arg("--data")
            .arg(&place.data)
            .args(["--server", &place.server, "--root-key", &place.root_key])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("the binary starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        let (tell, lines) = unbounded_channel();
        std::thread::spawn(move || {
            // What a killed process left of a line has no end: it was not said.
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok() && line.ends_with('\n') {
                let value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("no JSON: {line:?}: {e}"));
                drop(tell.send(value));
                line.clear();
            }
        });
        Self { child, stdin, lines, log }
    }

    /// Writes a command. A process that has ended does not hear it; that shows when its lines end.
    pub fn tell(&mut self, command: &Value) {
        drop(writeln!(self.stdin, "{command}"));
    }

    /// The next line; `None` once the process has ended and everything it said was read.
    pub async fn line(&mut self) -> Option<Value> {
        self.lines.recv().await
    }

    /// SIGKILL, then everything it had said.
    pub async fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("a process of our own");
        self.child.wait().expect("a process of our own");
        let mut rest = Vec::new();
        while let Some(line) = self.lines.recv().await {
            rest.push(line);
        }
        rest
    }

    /// Waits for its end, after its lines have ended.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("a process of our own");
        (status, std::fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
