//! One test's world: a simulator, accounts with phones, and foreign clients pointed at it.

use std::time::Duration;

use palomar::sim::{Expectation, NewAccount, Profile, SimConfig, Simulator};
use serde_json::json;
use tempfile::TempDir;

use super::install::Installed;
use super::peer::Peer;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A number whose phone exists in every test, for the foreign client.
pub const THEIRS: &str = "15550002001";
/// A number whose phone exists in every test, for palomar or the test itself.
pub const OURS: &str = "15550001001";

/// A simulator and a folder for the clients' files.
pub struct World {
    pub sim: Simulator,
    pub folder: TempDir,
}

impl World {
    /// A world with two accounts; the foreign client's account is judged leniently, ours strictly.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with another configuration of the simulator.
    pub async fn with(change: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig::ephemeral(7);
        config.profile = Profile::Lenient;
        change(&mut config);
        let sim = Simulator::start(config).await.expect("the simulator starts");
        for (number, profile) in [(OURS, Profile::Strict), (THEIRS, Profile::Lenient)] {
            let account =
                NewAccount { number: Some(number.into()), profile: Some(profile), ..NewAccount::default() };
            sim.admin().create_account(account).await.expect("a new account");
        }
        Self { sim, folder: tempfile::tempdir().unwrap() }
    }

    /// Starts a Baileys with its own files; it is not connected yet.
    pub async fn baileys(&self, installed: &Installed) -> Peer {
        let auth = self.folder.path().join("baileys");
        let (url, root) = (self.sim.chat_url().unwrap(), self.sim.admin().info().root_key.clone());
        Peer::start("Baileys", installed, &[&url, &root, auth.to_str().unwrap()], &[]).await
    }

    /// Starts a zapo-js, whose state lives as long as its process; it is not connected yet.
    pub async fn zapo(&self, installed: &Installed) -> Peer {
        let info = self.sim.admin().info();
        let (url, serial) = (self.sim.chat_url().unwrap(), info.root_serial.to_string());
        Peer::start("zapo-js", installed, &[&url, &info.root_key, &serial], &[]).await
    }

    /// Starts a whatsmeow with its own files; it is not connected yet.
    pub async fn whatsmeow(&self, installed: &Installed) -> Peer {
        let ca = self.folder.path().join("ca.pem");
        std::fs::write(&ca, self.sim.ca_pem()).unwrap();
        let database = self.folder.path().join("whatsmeow.db");
        let (root, proxy) =
            (self.sim.admin().info().root_key.clone(), self.sim.admin().info().proxy.unwrap());
        let proxy = format!("http://{proxy}");
        let env = [("HTTPS_PROXY", proxy.as_str()), ("SSL_CERT_FILE", ca.to_str().unwrap())];
        Peer::start("whatsmeow", installed, &[&root, database.to_str().unwrap()], &env).await
    }

    /// Connects a foreign client that is not linked yet, lets its phone scan the code, and waits until it is online and
    /// can be written to.
    pub async fn link_by_qr(&self, peer: &mut Peer) -> u16 {
        peer.command("connect", json!({})).await;
        let qr = peer.event("qr").await["qr"].as_str().unwrap().to_owned();
        let linked = self.sim.admin().scan_qr(THEIRS, &qr).await.expect("the phone links the client");
        peer.event("open").await;
        self.online(linked.device).await;
        self.has_keys().await;
        linked.device
    }

    /// Waits until the foreign client has uploaded prekeys: zapo does it beside everything else, after it is online.
    pub async fn has_keys(&self) {
        let upload = Expectation {
            account: THEIRS.to_owned(),
            tag: "iq".to_owned(),
            xmlns: Some("encrypt".to_owned()),
            child: Some("list".to_owned()),
            within: PATIENCE,
            since: Some(0),
            ..Expectation::default()
        };
        self.sim.admin().expect(&upload).await.expect("prekeys");
    }

    /// Waits until the foreign client's device is online, its queue drained.
    pub async fn online(&self, device: u16) {
        self.sim.admin().wait_online(THEIRS, device, PATIENCE).await.expect("online");
    }
}

/// The PN of a number.
pub fn pn(number: &str) -> String {
    format!("{number}@s.whatsapp.net")
}
