//! The foreign clients behind one set of verbs, so that each row of the interop table is written once.

use serde_json::{Value, json};

use super::install::{self, Installed};
use super::peer::Peer;
use super::world::{THEIRS, World};

/// Which foreign client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Baileys,
    Whatsmeow,
    Zapo,
}

/// A foreign client that has left for a while.
pub struct Away {
    kind: Kind,
    installed: Installed,
    /// Its process, where that holds its state.
    process: Option<Peer>,
}

/// A foreign client that is linked to the account [`THEIRS`].
pub struct Foreign {
    pub kind: Kind,
    pub peer: Peer,
    installed: Installed,
}

impl Foreign {
    /// Starts the client; it is not connected yet. `None` where it can't be run here and needn't.
    pub async fn start(kind: Kind, world: &World) -> Option<Self> {
        let installed = match kind {
            Kind::Baileys => install::baileys()?,
            Kind::Whatsmeow => install::whatsmeow()?,
            Kind::Zapo => install::zapo()?,
        };
        let peer = Self::spawn(kind, world, &installed).await;
        Some(Self { kind, peer, installed })
    }

    /// Starts it and links it by QR.
    pub async fn linked(kind: Kind, world: &World) -> Option<Self> {
        let mut foreign = Self::start(kind, world).await?;
        world.link_by_qr(&mut foreign.peer).await;
        Some(foreign)
    }

    async fn spawn(kind: Kind, world: &World, installed: &Installed) -> Peer {
        match kind {
            Kind::Baileys => world.baileys(installed).await,
            Kind::Whatsmeow => world.whatsmeow(installed).await,
            Kind::Zapo => world.zapo(installed).await,
        }
    }

    /// Ends the process, or for the one that keeps its state in memory the connection and the client object.
    pub async fn leave(mut self) -> Away {
        let process = match self.kind {
            Kind::Baileys | Kind::Whatsmeow => {
                self.peer.stop().await;
                None
            }
            Kind::Zapo => {
                self.peer.command("disconnect", Value::Null).await;
                Some(self.peer)
            }
        };
        Away { kind: self.kind, installed: self.installed, process }
    }

    /// Connects and waits until the server has it online.
    pub async fn connect(&mut self, world: &World) {
        self.peer.command("connect", json!({})).await;
        self.peer.event("open").await;
        world.online(1).await;
    }

    /// Sends a text; yields the message id.
    pub async fn send(&mut self, to: &str, text: &str) -> String {
        let reply = self.peer.command("send", json!({ "to": to, "text": text })).await;
        reply["message_id"].as_str().unwrap().to_owned()
    }

    /// Waits for a text and yields the event.
    pub async fn text(&mut self, text: &str) -> Value {
        self.peer.text(text).await
    }

    /// Marks a message that came as read.
    pub async fn read(&mut self, message: &Value) {
        let sender = message.get("sender").unwrap_or(&message["chat"]).clone();
        let arguments = json!({ "chat": message["chat"], "sender": sender, "ids": [message["id"]] });
        self.peer.command("read", arguments).await;
    }

    /// Waits until a message of its own counts as delivered to the other side.
    pub async fn delivered(&mut self, id: &str) {
        self.receipt(id, 3, 1).await;
    }

    /// Waits until a message of its own counts as read by the other side.
    pub async fn was_read(&mut self, id: &str) {
        self.receipt(id, 4, 4).await;
    }

    /// `status` is Baileys' scale (3 delivered, 4 read), `receipt` neonize's type of receipt (1 delivered, 4 read); zapo shows
    /// the type's own word.
    async fn receipt(&mut self, id: &str, status: u64, receipt: u64) {
        match self.kind {
            Kind::Baileys => {
                let is_it = |line: &Value| line["id"] == id && line["status"].as_u64() >= Some(status);
                self.peer.event_where("status", is_it).await;
            }
            Kind::Whatsmeow => {
                let is_it = |line: &Value| {
                    let ids = line["ids"].as_array().unwrap();
                    line["type"] == receipt && ids.iter().any(|one| one == id)
                };
                self.peer.event_where("receipt", is_it).await;
            }
            Kind::Zapo => {
                let wanted = if status < 4 { "delivered" } else { "read" };
                let is_it = |line: &Value| line["id"] == id && line["type"] == wanted;
                self.peer.event_where("receipt", is_it).await;
            }
        }
    }

    /// Waits until it says that it was logged out.
    pub async fn logged_out(&mut self) {
        match self.kind {
            Kind::Baileys => self.peer.event_where("close", |line| line["code"] == 401).await,
            Kind::Whatsmeow | Kind::Zapo => self.peer.event("logged_out").await,
        };
    }

    /// Asks for a code, types it on the phone, and waits until the client is online.
    pub async fn link_by_code(&mut self, world: &World) {
        self.peer.command("connect", json!({})).await;
        // Asked for when the first code for a scan is there: before that the connection is not ready for it.
        self.peer.event("qr").await;
        let reply = self.peer.command("pair_code", json!({ "phone": THEIRS })).await;
        let code = reply["code"].as_str().unwrap().to_owned();
        let linked = world.sim.admin().enter_code(THEIRS, &code).await.expect("the phone links the client");
        self.peer.event("open").await;
        world.online(linked.device).await;
        world.has_keys().await;
    }
}

impl Away {
    /// Comes back with the same state; it is not connected yet.
    pub async fn back(self, world: &World) -> Foreign {
        let peer = match self.process {
            Some(peer) => peer,
            None => Foreign::spawn(self.kind, world, &self.installed).await,
        };
        Foreign { kind: self.kind, peer, installed: self.installed }
    }
}

/// Each row once for each foreign client, as a test of its own with the client's name in front.
macro_rules! rows {
    ($($(#[$doc:meta])* $row:ident => $baileys:ident, $whatsmeow:ident, $zapo:ident;)*) => {$(
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $baileys() {
            $row($crate::foreign::Kind::Baileys).await;
        }

        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $whatsmeow() {
            $row($crate::foreign::Kind::Whatsmeow).await;
        }

        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $zapo() {
            $row($crate::foreign::Kind::Zapo).await;
        }
    )*};
}
pub(crate) use rows;
