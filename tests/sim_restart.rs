//! `palomar sim run --state`, killed (SIGKILL) and started again: what a client was told stands (protocol 09 §11, §27).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use palomar::client::net::{Endpoint, Tcp, Tls};
use palomar::client::{Client, Config, Event, PairEvent, SendOutcome};
use palomar::crypto::PublicKey;
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);
const OURS: &str = "15550001001";
const CONTACT: &str = "15550001002";

/// A simulator in a process of its own.
struct Sim {
    child: Child,
    said: Value,
}

impl Sim {
    fn start(state: &Path, ports: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palomar"));
        command.args(["--json", "sim", "run", "--seed", "3", "--state"]).arg(state).args(ports);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, said: serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}")) }
    }

    /// SIGKILL, and a new process on the same ports and the same state.
    fn killed(mut self, state: &Path) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let port = |name: &str| self.said[name].as_str().unwrap().parse::<SocketAddr>().unwrap().port();
        let ports = [("chat", "chat"), ("chat_tls", "tls"), ("proxy", "proxy"), ("admin", "admin")];
        let ports = ports.map(|(name, option)| format!("--{option}-port={}", port(name)));
        Self::start(state, &ports)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let mut stream = TcpStream::connect(self.said["admin"].as_str().unwrap()).await.unwrap();
        let body = body.to_string();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let value: Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["ok"], json!(true), "{path}: {value}");
        value
    }

    async fn prekeys(&self) -> Value {
        self.call("GET", &format!("/v1/accounts/{OURS}"), json!({})).await["devices"][0]["prekeys"].clone()
    }

    async fn client(&self, store: &Store) -> Client {
        let root =
            PublicKey::from_slice(&hex::decode(self.said["root_key"].as_str().unwrap()).unwrap()).unwrap();
        let address = self.said["chat_url"].as_str().unwrap().parse().unwrap();
        let endpoint = Endpoint::at(address, root, Tls::new(None).unwrap());
        Client::open(store.clone(), Config::new(endpoint, Arc::new(Tcp))).await.unwrap()
    }

    async fn link(&self, client: &Client) {
        let mut pairing = client.pair().await.unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, pairing.next()).await.expect("in time").expect("an event") {
                PairEvent::QrCode { text, .. } => {
                    self.call("POST", &format!("/v1/accounts/{OURS}/scan-qr"), json!({"qr": text})).await;
                }
                PairEvent::PairSuccess { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        ready(client).await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn ready(client: &Client) {
    tokio::time::timeout(PATIENCE, client.ready()).await.expect("in time").expect("ready");
}

async fn send(client: &Client, text: &str) {
    let to = format!("{CONTACT}@s.whatsapp.net").parse().unwrap();
    client.send_text(&to, text, text).await.unwrap();
    let outcome = tokio::time::timeout(PATIENCE, client.outcome(text)).await.expect("in time").unwrap();
    assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "{text}: {outcome:?}");
}

async fn heard(client: &Client, text: &str) {
    let mut events = client.events();
    let found = async {
        loop {
            let delivery = events.next().await.unwrap();
            let event = delivery.event.clone();
            delivery.ack().await.unwrap();
            if matches!(&event, Event::Message(message) if message.text.as_deref() == Some(text)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {text:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proves_09_27_06_nothing_is_acked_before_it_is_persisted() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut sim = Sim::start(&state, &["--any-ports".to_owned()]);
    for number in [OURS, CONTACT] {
        sim.call("POST", "/v1/accounts", json!({"number": number})).await;
    }
    let id: AccountId = "ours".parse().unwrap();
    let store = MemoryAccounts::new().create(&id, 0).unwrap();
    let client = sim.client(&store).await;
    sim.link(&client).await;
    client.close().await.unwrap();

    // Each kill follows the server's ack at once.
    let texts: Vec<String> = (0..8).map(|n| format!("text {n}")).collect();
    for text in &texts {
        let client = sim.client(&store).await;
        client.connect().await.unwrap();
        ready(&client).await;
        let prekeys = sim.prekeys().await;
        send(&client, text).await;
        sim = sim.killed(&state);
        assert_eq!(sim.prekeys().await, prekeys, "the directory is as it was");
        client.close().await.unwrap();
    }
    let inbox = sim.call("GET", &format!("/v1/accounts/{CONTACT}/inbox"), json!({})).await;
    let read: Vec<&str> =
        inbox["items"].as_array().unwrap().iter().filter_map(|item| item["text"].as_str()).collect();
    assert_eq!(read, texts, "each once, in order");

    // What waits for a device that is away waits for it after a kill as well.
    let queued = json!({"to": OURS, "text": "queued"});
    sim.call("POST", &format!("/v1/accounts/{CONTACT}/send"), queued).await;
    sim = sim.killed(&state);
    let client = sim.client(&store).await;
    client.connect().await.unwrap();
    heard(&client, "queued").await;
    client.close().await.unwrap();
    let violations = sim.call("GET", "/v1/violations", json!({})).await;
    assert_eq!(violations["total"], json!(0), "{violations}");
}
