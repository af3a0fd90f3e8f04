//! A small world for tests of the messaging half: accounts with phones and companions, all of them real
//! [`Messaging`]s over in-memory stores, and a router in place of the server. Only in tests.

mod bots;
mod cancelled;
mod changes;
mod contacts;
mod delivery;
mod edits;
mod group;
mod keys;
mod limits;
mod lists;
mod migration;
mod missed;
mod outbox;
mod phone;
mod receiving;
mod restored;
mod restrictions;
mod retries;
mod router;
mod stale;
mod tokens;
mod vouching;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rand_core::CryptoRng;
use tokio::task::JoinHandle;

use crate::client::chance::Chance;
use crate::client::config::Config;
use crate::client::context::Shared;
use crate::client::devices::{address, session};
use crate::client::event::{Event, Received};
use crate::client::messaging::Messaging;
use crate::client::net::memory::network;
use crate::client::net::{Endpoint, Tls};
use crate::client::prekeys::mint::stored;
use crate::client::receive::{self, Handler};
use crate::client::send::Pacing;
use crate::client::state::State;
use crate::clock::Clock;
use crate::crypto::{KeyPair, PublicKey, random_bytes};
use crate::proto::Message;
use crate::signal::adv::primary::{NewDevice, issue};
use crate::signal::adv::{AdvSecret, Hosting, companion};
use crate::signal::padding;
use crate::store::memory::MemoryAccounts;
use crate::store::{AccountId, Accounts, Keys, Link, Store, StoreError};
use crate::wire::{Arena, Jid, Node, OwnedFrame};

pub(crate) use router::{Fault, IqFault, Router};

/// Unix milliseconds at the beginning of every test.
const START: i64 = 1_760_000_000_000;

/// Tests that are not about the pace don't wait for it.
const FAST: Pacing = Pacing { gap: Duration::from_millis(1), jitter: Duration::ZERO, per_minute: 10_000 };

/// One device: a messaging half and the tasks behind it.
pub(crate) struct Device {
    pub(crate) messaging: Arc<Messaging>,
    pub(crate) store: Store,
    pub(crate) pn: Jid,
    pub(crate) lid: Jid,
    worker: JoinHandle<()>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// An account of the world: the phone's identity signs for its companions.
pub(crate) struct Account {
    pn: Jid,
    lid: Jid,
    phone: KeyPair,
}

/// How a messaging half is started.
struct Way {
    polls: Option<u64>,
    pacing: Pacing,
    handler: Handler,
}

impl Default for Way {
    fn default() -> Self {
        Self { polls: None, pacing: FAST, handler: receive::handle }
    }
}

/// The world.
pub(crate) struct World {
    pub(crate) router: Router,
    chance: Chance,
    clock: Clock,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Clock::starting_at(START);
        Self { router: Router::new(clock), chance: Chance::seeded(&[7; 32]), clock }
    }

    /// An account with this number as PN, and its LID.
    pub(crate) fn account(&self, number: u64) -> Account {
        let pn = Jid::pn(&format!("1555000{number}")).unwrap();
        let lid = Jid::lid(&format!("10000000{number}")).unwrap();
        Account { pn, lid, phone: KeyPair::generate(&mut self.chance.fork()) }
    }

    /// A device of an account, linked, its keys uploaded, ready.
    pub(crate) async fn device(&self, account: &Account, number: u16) -> Device {
        let rng = &mut self.chance.fork();
        let identity = if number == 0 { account.phone.clone() } else { KeyPair::generate(rng) };
        let adv = linked(account, &identity, number, rng);
        let store = MemoryAccounts::new().create(&AccountId::new("test").unwrap(), START).unwrap();
        let (pn, lid) = (account.pn.with_device(number), account.lid.with_device(number));
        let keys = Keys {
            identity: stored(&identity),
            noise: stored(&KeyPair::generate(rng)),
            registration_id: crate::signal::generate_registration_id(rng),
        };
        let link = Link {
            pn: pn.to_string(),
            lid: Some(lid.to_string()),
            account: adv.clone(),
            key_index: u32::from(number),
            platform: "android".to_owned(),
            business_name: None,
            lid_migrated: true,
            linked_at: START,
        };
        let (own_pn, own_lid) = (account.pn.to_string(), account.lid.to_string());
        let phone = account.phone.public().0.to_vec();
        let phone_key = crate::client::devices::address::key(&account.lid);
        store
            .write(move |tx| {
                tx.set_keys(&keys)?;
                tx.set_link(Some(&link))?;
                tx.save_identity(&phone_key, &phone, START)?;
                tx.put_mapping(&own_pn, &own_lid).map(drop)
            })
            .await
            .unwrap();
        self.router.register(account, number, adv);
        self.start(store, pn, lid).await
    }

    /// Starts a messaging half over a store and connects it.
    pub(crate) async fn start(&self, store: Store, pn: Jid, lid: Jid) -> Device {
        self.start_as(Way::default(), store, pn, lid).await
    }

    /// As [`start`](Self::start), at this pace.
    pub(crate) async fn start_paced(&self, store: Store, pn: Jid, lid: Jid, pacing: Pacing) -> Device {
        self.start_as(Way { pacing, ..Way::default() }, store, pn, lid).await
    }

    /// As [`Self::start`]; after so many polls its workers are dropped where they stand.
    pub(crate) async fn start_for(&self, polls: Option<u64>, store: Store, pn: Jid, lid: Jid) -> Device {
        self.start_as(Way { polls, ..Way::default() }, store, pn, lid).await
    }

    /// As [`Self::start`], with what handles a received stanza.
    pub(crate) async fn start_handled(&self, store: Store, pn: Jid, lid: Jid, handler: Handler) -> Device {
        self.start_as(Way { handler, ..Way::default() }, store, pn, lid).await
    }

    async fn start_as(&self, way: Way, store: Store, pn: Jid, lid: Jid) -> Device {
        let Way { polls, pacing, handler } = way;
        // Never dialled: the router is the other end of every link.
        let address = "ws://localhost/".parse().unwrap();
        let endpoint = Endpoint::at(address, PublicKey([9; 32]), Tls::new(None).unwrap());
        let mut config = Config::new(endpoint, Arc::new(network().0));
        config.pacing = pacing;
        let ctx = Shared::new(config, store.clone(), self.clock, self.chance.clone(), State::Offline);
        let messaging = Messaging::handled_by(ctx, handler);
        let worker = tokio::spawn({
            let messaging = Arc::clone(&messaging);
            async move {
                match polls {
                    None => messaging.run().await,
                    Some(polls) => drop(cancelled::after(polls, messaging.run()).await),
                }
            }
        });
        let device = Device { messaging, store, pn, lid, worker };
        self.connect(&device).await;
        device
    }

    pub(crate) async fn connect(&self, device: &Device) {
        self.router.connect(device);
        if !self.router.has_keys(&device.lid) {
            device.messaging.prekeys.upload().await.unwrap();
        }
        device.messaging.ctx.show(State::Ready);
        device.messaging.became_ready().await;
        self.router.flush(device).await;
    }

    /// Lets everything that is under way come to rest.
    pub(crate) async fn settle(&self) {
        self.clock.sleep(Duration::from_secs(20)).await;
    }
}

impl Messaging {
    /// As if the stanza had come from the server.
    pub(crate) async fn stanza(&self, node: Node) {
        let plaintext = crate::wire::encode(&node).unwrap();
        self.frame(OwnedFrame::decode(plaintext, Arena::new()).unwrap()).await;
    }
}

fn linked<R: CryptoRng>(account: &Account, identity: &KeyPair, number: u16, rng: &mut R) -> Vec<u8> {
    let secret = AdvSecret::new([9; 32]);
    let device = NewDevice {
        raw_id: 5,
        timestamp: 1_760_000_000,
        key_index: u32::from(number),
        account: Hosting::Plain,
        device: Hosting::Plain,
    };
    let container = issue(&device, identity.public(), &secret, &account.phone, &random_bytes(rng));
    let verified = companion::verify(&container, &secret, identity.public(), None).unwrap();
    verified.sign(identity, &random_bytes(rng)).account
}

impl Device {
    /// The events in the inbox, oldest first.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let rows = self.store.read(|tx| tx.open_events(0, 1000)).await.unwrap();
        rows.iter().filter_map(|row| Event::read(row.payload.expose())).collect()
    }

    /// The messages among them.
    pub(crate) async fn messages(&self) -> Vec<Received> {
        let events = self.events().await.into_iter();
        events.filter_map(|event| if let Event::Message(m) = event { Some(*m) } else { None }).collect()
    }

    pub(crate) async fn texts(&self) -> Vec<String> {
        self.messages().await.into_iter().filter_map(|message| message.text).collect()
    }

    pub(crate) async fn edit(
        &self,
        change: impl FnOnce(&mut crate::store::Tx<'_>) -> Result<(), StoreError> + Send + 'static,
    ) {
        self.store.write(change).await.unwrap();
    }

    /// Ends the device's process; its store goes on.
    pub(crate) fn stop(self) -> (Store, Jid, Jid) {
        self.disconnect();
        (self.store.clone(), self.pn.clone(), self.lid.clone())
    }

    pub(crate) fn disconnect(&self) {
        self.messaging.ctx.current.set(None);
        self.messaging.ctx.show(State::Offline);
        self.messaging.disconnected();
    }

    /// A message for one device under the session that is there: its `<enc>`.
    pub(crate) async fn seal(&self, to: &Device, message: &Message) -> Node {
        self.seal_bytes(to, &message.encode_to_vec()).await
    }

    /// As [`Self::seal`], of any bytes.
    pub(crate) async fn seal_bytes(&self, to: &Device, bytes: &[u8]) -> Node {
        let (key, padded) = (address::key(&to.lid), padding::pad_with(bytes, 4));
        let sealed = self.store.write(move |tx| session::encrypt(tx, &key, &padded, START)).await;
        let (sent, _) = sealed.unwrap().expect("a session");
        Node::new("enc").attr("v", "2").attr("type", sent.kind.as_str()).bytes(sent.bytes)
    }

    /// Hands a device a message of this one in the chat of the two, without anything beside its `<enc>`.
    pub(crate) async fn says(&self, to: &Device, id: &str, enc: Node) {
        to.messaging.stanza(self.stanza(id, enc)).await;
    }

    /// As [`Self::says`], with something beside the `<enc>`.
    pub(crate) async fn says_with(&self, to: &Device, id: &str, enc: Node, beside: Node) {
        to.messaging.stanza(self.stanza(id, enc).child(beside)).await;
    }

    fn stanza(&self, id: &str, enc: Node) -> Node {
        Node::new("message")
            .attr("from", self.lid.in_device_form())
            .attr("id", id.to_owned())
            .attr("t", START / 1000)
            .attr("type", "text")
            .attr("sender_pn", self.pn.to_user())
            .child(enc)
    }

    /// The identity key that others see.
    pub(crate) async fn identity(&self) -> PublicKey {
        let keys = self.store.read(|tx| tx.keys()).await.unwrap().unwrap();
        PublicKey(keys.identity.public)
    }
}

/// The targets of a fan-out.
pub(crate) fn targets(message: &Node) -> Vec<String> {
    let participants = message.find("participants").unwrap();
    let mut jids: Vec<String> =
        participants.find_all("to").map(|to| to.jid("jid").unwrap().to_string()).collect();
    jids.sort();
    jids
}

/// The LID addresses of devices, in the order of [`targets`].
pub(crate) fn sorted(devices: &[&Device]) -> Vec<String> {
    let mut jids: Vec<String> = devices.iter().map(|device| device.lid.to_string()).collect();
    jids.sort();
    jids
}
