//! Every command that README and the pages of `docs/` show is run, in the order of its page, in a folder of its own,
//! against a simulator.
//!
//! What stands for the reader's own things is replaced by rule: the service by the simulator (through the environment,
//! as a reader would configure it), the account `ID` by `alice`, phone numbers by those of simulated phones. What needs
//! a person gets one: codes are scanned or typed, somebody writes to whoever listens, and what runs until Ctrl-C gets it.

use std::collections::BTreeMap;
use std::time::Duration;

use palomar::sim::{NewAccount, Simulator};
use serde_json::Value;

use crate::page;
use crate::place::{Place, Running, code, simulator, stderr, stdout};

/// Commands that are run elsewhere, or are the test run itself.
const ELSEWHERE: [(&str, &str); 5] = [
    ("cargo run --release -- demo", "commands::the_demo_goes_as_it_must"),
    ("palomar demo", "commands::the_demo_goes_as_it_must"),
    ("cargo test --workspace", "this test is part of it"),
    ("cargo install --path .", "the tests run the binary that it installs"),
    ("bash .ci/run", "this test is part of it"),
];
/// Accounts that a page may name, the phones that they are linked to, and the number that a page writes to.
const PHONES: [(&str, &str); 2] = [("alice", "15550001111"), ("bob", "15550003333")];
const CORRESPONDENT: &str = "15550002222";

/// A page while its commands are run.
struct Session {
    simulator: Simulator,
    place: Place,
    /// Account by phone number.
    linked: BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_pages_runs_against_the_simulator() {
    let mut seen = 0;
    for (name, text) in page::all() {
        let commands = page::commands(&text);
        let (elsewhere, here): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| is_elsewhere(&page::words(command)));
        println!("docs {name}: {} commands run, {} elsewhere", here.len(), elsewhere.len());
        if here.is_empty() {
            continue;
        }
        let mut session = Session::new().await;
        for command in here {
            let words = page::words(&command);
            let run = session.run(&words);
            let limit = Duration::from_secs(90);
            let done =
                tokio::time::timeout(limit, run).await.unwrap_or_else(|_| Err("it did not end".to_owned()));
            if let Err(why) = done {
                panic!("{name}: {command}\n{why}");
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "the pages show commands");
}

fn is_elsewhere(words: &[String]) -> bool {
    let command = words.join(" ");
    ELSEWHERE.iter().any(|(known, _)| *known == command)
}

impl Session {
    async fn new() -> Self {
        let simulator = simulator().await;
        let number = Some(PHONES[1].1.to_owned());
        simulator.admin().create_account(NewAccount { number, ..NewAccount::default() }).await.unwrap();
        let mut place = Place::new();
        // A simulator of the page's own gets ports that nobody else has.
        place.environment = vec![
            ("PALOMAR_SERVER".to_owned(), simulator.chat_url().unwrap()),
            ("PALOMAR_ROOT_KEY".to_owned(), hex::encode(simulator.root_key().as_bytes())),
        ];
        Self { simulator, place, linked: BTreeMap::new() }
    }

    /// Runs one command as its reader would see it through.
    async fn run(&mut self, words: &[String]) -> Result<(), String> {
        let arguments = self.replaced(arguments(words)?);
        let told: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let id = told.iter().find(|word| PHONES.iter().any(|(id, _)| id == *word)).copied();
        if let Some(id) = id
            && told.first() != Some(&"link")
            && !self.linked.contains_key(id)
        {
            self.link(id, &["link", id]).await?;
        }
        match (told.first().copied(), id) {
            (Some("link"), Some(id)) => self.link(id, &told).await,
            (Some("listen"), Some(id)) => self.listen(id, &told).await,
            (Some("sim"), _) if told.get(1) == Some(&"run") => self.simulate(&told).await,
            _ => self.to_the_end(&told).await,
        }
    }

    /// Placeholders by rule.
    fn replaced(&self, arguments: &[String]) -> Vec<String> {
        let mut replaced: Vec<String> = Vec::new();
        for word in arguments {
            let by_code = replaced.last().is_some_and(|before| before == "--code");
            replaced.push(match word.as_str() {
                "ID" => "alice".to_owned(),
                "URL" => self.simulator.chat_url().unwrap(),
                "HEX" => hex::encode(self.simulator.root_key().as_bytes()),
                "2.3000.N" => palomar::client::payload::BUILT_IN_VERSION.to_string(),
                number if number.starts_with("+1555") && by_code => {
                    let id = replaced.iter().find_map(|id| PHONES.iter().find(|(of, _)| of == id));
                    id.map_or(number, |(_, phone)| phone).to_owned()
                }
                number if number.starts_with("+1555") => CORRESPONDENT.to_owned(),
                other => other.to_owned(),
            });
        }
        replaced
    }

    async fn to_the_end(&self, told: &[&str]) -> Result<(), String> {
        let output = self.place.run_beside(told).await;
        match code(&output) {
            0 => Ok(()),
            other => Err(format!("exit code {other}\n{}{}", stdout(&output), stderr(&output))),
        }
    }

    fn start(&self, told: &[&str]) -> Running {
        self.place.start(&[&["--json"], told].concat())
    }

    async fn link(&mut self, id: &str, told: &[&str]) -> Result<(), String> {
        let phone =
            PHONES.iter().find(|(of, _)| *of == id).map(|(_, phone)| *phone).ok_or("no such account")?;
        let mut linking = self.start(told);
        let admin = self.simulator.admin();
        let shown = if told.contains(&"--code") {
            let code = linking.event("code").await;
            admin.enter_code(phone, code["code"].as_str().unwrap_or_default()).await
        } else {
            let qr = linking.event("qr").await;
            admin.scan_qr(phone, qr["text"].as_str().unwrap_or_default()).await
        };
        shown.map_err(|error| error.to_string())?;
        linking.event("ready").await;
        self.linked.insert(id.to_owned(), phone.to_owned());
        ended(linking, &[0]).await
    }

    async fn listen(&mut self, id: &str, told: &[&str]) -> Result<(), String> {
        let phone = self.linked.get(id).cloned().unwrap_or_default();
        self.simulator
            .admin()
            .send_text(CORRESPONDENT, &phone, "hello back")
            .await
            .map_err(|error| error.to_string())?;
        let mut listening = self.start(told);
        let message = listening.event("message").await;
        if message["text"] != "hello back" {
            return Err(format!("another message: {message}"));
        }
        listening.interrupt();
        ended(listening, &[130]).await
    }

    async fn simulate(&self, told: &[&str]) -> Result<(), String> {
        let mut own = told.to_vec();
        if !own.iter().any(|word| word.ends_with("-port")) {
            own.push("--any-ports");
        }
        let mut running = self.start(&own);
        let listening: Value = running.event("listening").await;
        if listening["chat_url"].as_str().is_none_or(|url| !url.starts_with("ws://127.0.0.1:")) {
            return Err(format!("not where a client could come: {listening}"));
        }
        running.interrupt();
        ended(running, &[0]).await
    }
}

async fn ended(running: Running, codes: &[i32]) -> Result<(), String> {
    let code = running.exit().await;
    if code.is_some_and(|code| codes.contains(&code)) { Ok(()) } else { Err(format!("exit code {code:?}")) }
}

/// What `palomar` is told; `cargo run --release --` stands for it in a checkout.
fn arguments(words: &[String]) -> Result<&[String], String> {
    let text: Vec<&str> = words.iter().map(String::as_str).collect();
    let programs: [&[&str]; 2] = [&["palomar"], &["cargo", "run", "--release", "--"]];
    let program = programs.iter().find(|program| text.starts_with(program));
    program
        .and_then(|program| words.get(program.len()..))
        .ok_or_else(|| "no rule says how this command is run: see `arguments` and ELSEWHERE".to_owned())
}
