//! A folder to run commands in, commands that run beside the test, and the simulator that they are pointed at.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use palomar::sim::{NewAccount, SimConfig, Simulator};
use palomar::store::sqlite::{Options, SqliteAccounts, Writers};
use palomar::store::{AccountId, Accounts as _, DataDir};
use serde_json::Value;

pub const NUMBER: &str = "15550001111";
pub const OTHER: &str = "15550002222";

/// A folder to run commands in, and what they are told.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub server: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: Vec::new(), environment: Vec::new() }
    }

    pub fn at(simulator: &Simulator) -> Self {
        let root = hex::encode(simulator.root_key().as_bytes());
        let server =
            ["--server", &simulator.chat_url().unwrap(), "--root-key", &root].map(str::to_owned).to_vec();
        Self { server, ..Self::new() }
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palomar"));
        command.env_clear().env("HOME", self.folder.path()).env("TMPDIR", self.folder.path());
        command.envs(self.environment.iter().cloned());
        command.current_dir(self.folder.path()).arg("--data").arg(self.data());
        command.args(&self.server).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// As [`Place::run`], off the test's runtime, so that a simulator in this process can answer.
    pub async fn run_beside(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child: Some(child), lines: Some(lines) }
    }

    pub fn account(&self, name: &str) -> (SqliteAccounts, palomar::store::Store) {
        let writers = Arc::new(Writers::inline());
        let accounts = SqliteAccounts::new(DataDir::new(self.data()), writers, Options::default()).unwrap();
        let store = accounts.create(&AccountId::new(name).unwrap(), 0).unwrap();
        (accounts, store)
    }
}

/// A command that runs beside the test.
pub struct Running {
    child: Option<Child>,
    lines: Option<BufReader<std::process::ChildStdout>>,
}

impl Running {
    /// The next JSON line with this `event`.
    pub async fn event(&mut self, name: &str) -> Value {
        let mut lines = self.lines.take().unwrap();
        let name = name.to_owned();
        let (lines, value) = tokio::task::spawn_blocking(move || {
            loop {
                let mut line = String::new();
                assert!(lines.read_line(&mut line).unwrap() > 0, "the command ended before {name:?}");
                let value: Value = serde_json::from_str(&line).unwrap();
                assert!(value.get("error").is_none(), "{value}");
                if value["event"] == name.as_str() {
                    return (lines, value);
                }
            }
        })
        .await
        .unwrap();
        self.lines = Some(lines);
        value
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    pub async fn exit(mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub async fn simulator() -> Simulator {
    let simulator = Simulator::start(SimConfig::ephemeral(1)).await.unwrap();
    for number in [NUMBER, OTHER] {
        let new = NewAccount { number: Some(number.to_owned()), ..NewAccount::default() };
        simulator.admin().create_account(new).await.unwrap();
    }
    simulator
}

pub async fn assert_no_violations(simulator: &Simulator) {
    let violations = simulator.admin().violations().await;
    assert_eq!(violations.total(), 0, "{violations:#?}");
}

/// Links `id` to the phone of [`NUMBER`].
pub async fn link(place: &Place, simulator: &Simulator, id: &str) {
    let mut linking = place.start(&["--json", "link", id]);
    let qr = linking.event("qr").await;
    simulator.admin().scan_qr(NUMBER, qr["text"].as_str().unwrap()).await.unwrap();
    assert!(linking.event("linked").await["pn"].as_str().unwrap().starts_with(NUMBER));
    linking.event("ready").await;
    assert_eq!(linking.exit().await, Some(0));
}
