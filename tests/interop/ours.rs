//! Palomar's own client, linked to the account [`OURS`] and judged strictly.

use std::sync::Arc;

use palomar::client::event::{ReceiptKind, Received};
use palomar::client::net::{Endpoint, Tcp, Tls};
use palomar::client::{Client, Config, Event, Events, PairEvent, State};
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _, Store, StoreError};

use super::world::{OURS, PATIENCE, World};

/// Palomar's client and the events that it has told so far.
pub struct Ours {
    pub client: Client,
    store: Store,
    events: Events,
    unread: Vec<Event>,
}

impl Ours {
    /// A client on an empty store; it is not connected yet.
    pub async fn new(world: &World) -> Self {
        let id: AccountId = "ours".parse().unwrap();
        let store = MemoryAccounts::new().create(&id, world.sim.admin().now_ms()).unwrap();
        Self::open(world, store).await
    }

    /// A client on a store that may be linked.
    async fn open(world: &World, store: Store) -> Self {
        let address = world.sim.chat_url().unwrap().parse().unwrap();
        let endpoint = Endpoint::at(address, world.sim.root_key(), Tls::new(None).unwrap());
        let client = Client::open(store.clone(), Config::new(endpoint, Arc::new(Tcp))).await.unwrap();
        let events = client.events();
        Self { client, store, events, unread: Vec::new() }
    }

    /// Links by QR and waits until the account is ready.
    pub async fn linked(world: &World) -> Self {
        let ours = Self::new(world).await;
        let mut pairing = ours.client.pair().await.unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, pairing.next()).await.expect("in time").expect("an event") {
                PairEvent::QrCode { text, .. } => {
                    world.sim.admin().scan_qr(OURS, &text).await.unwrap();
                }
                PairEvent::PairSuccess { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        ours.ready().await;
        ours
    }

    /// Waits until the account may send.
    pub async fn ready(&self) {
        tokio::time::timeout(PATIENCE, self.client.ready()).await.expect("in time").expect("ready");
    }

    /// Ends the client's task and opens another one on the same store, connected.
    pub async fn restart(self, world: &World) -> Self {
        self.client.close().await.unwrap();
        let ours = Self::open(world, self.store).await;
        ours.client.connect().await.unwrap();
        ours.ready().await;
        ours
    }

    /// Sends a text and waits until the server has it; yields the message id.
    pub async fn send(&self, to: &str, text: &str) -> String {
        let accepted = self.client.send_text(&to.parse().unwrap(), text, text).await.unwrap();
        let outcome =
            tokio::time::timeout(PATIENCE, self.client.outcome(text)).await.expect("in time").unwrap();
        assert!(matches!(outcome, Some(palomar::client::SendOutcome::Sent { .. })), "{text}: {outcome:?}");
        accepted.message_id
    }

    /// The first event that `pick` takes; others stay for later.
    pub async fn event<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        if let Some(at) = self.unread.iter().position(|event| pick(event).is_some()) {
            return pick(&self.unread.remove(at)).unwrap();
        }
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await;
            let delivery =
                next.unwrap_or_else(|_| panic!("no {what}; other events: {:#?}", self.unread)).unwrap();
            let event = delivery.event.clone();
            delivery.ack().await.unwrap();
            match pick(&event) {
                Some(found) => return found,
                None => self.unread.push(event),
            }
        }
    }

    /// Waits for a text.
    pub async fn text(&mut self, text: &str) -> Received {
        self.event(&format!("text {text:?}"), |event| match event {
            Event::Message(message) if message.text.as_deref() == Some(text) => Some((**message).clone()),
            _ => None,
        })
        .await
    }

    /// Waits until a message of ours has a receipt of a kind.
    pub async fn receipt(&mut self, id: &str, kind: ReceiptKind) {
        self.event(&format!("{kind:?} of {id}"), |event| match event {
            Event::Receipt(receipt) if receipt.kind == kind && receipt.ids.iter().any(|one| one == id) => {
                Some(())
            }
            _ => None,
        })
        .await;
    }

    /// Marks a message as read.
    pub async fn read(&self, message: &Received) {
        let chat = message.chat.parse().unwrap();
        self.client.mark_read(&chat, &chat, vec![message.id.clone()], false).await.unwrap();
    }

    /// Forgets every Signal session, as a damaged store would.
    pub async fn forget_sessions(&self) -> usize {
        let forget = |tx: &mut palomar::store::Tx<'_>| {
            let addresses = tx.session_addresses("")?;
            for address in &addresses {
                tx.delete_session(address)?;
            }
            Ok::<_, StoreError>(addresses.len())
        };
        self.store.write(forget).await.unwrap()
    }

    /// Waits until the account stands still, and says why.
    pub async fn stopped(&self) -> State {
        let mut state = self.client.state();
        let stopped = state.wait_for(|state| matches!(state, State::Stopped(_)));
        tokio::time::timeout(PATIENCE, stopped).await.expect("in time").expect("a state").clone()
    }
}
