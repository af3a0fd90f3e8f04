//! A connection of the test's own: the keys of a linked account, and whatever stanzas the test wants to send.

use palomar::client::DeviceProfile;
use palomar::client::net::{Arrival, Endpoint, FrameWriter, Handshake, Tls, handshake, open};
use palomar::client::payload::{BUILT_IN_VERSION, Login, login};
use palomar::crypto::{KeyPair, PublicKey, os_rng};
use palomar::store::Store;
use palomar::wire::{Jid, Node, encode};
use tokio::task::JoinHandle;

use crate::world::{ToSim, World};

pub struct Raw {
    writer: FrameWriter,
    reader: JoinHandle<()>,
    own: Jid,
}

impl Raw {
    /// Logs in as the account of a store, whose own client is away.
    pub async fn log_in(world: &World, store: &Store) -> Self {
        let keys = store.read(|tx| tx.keys()).await.unwrap().unwrap();
        let link = store.read(|tx| tx.link()).await.unwrap().unwrap();
        let own = link.pn.parse::<Jid>().unwrap();
        let noise = KeyPair::from_stored(keys.noise.private.expose(), PublicKey(keys.noise.public));
        let who = Login {
            username: own.user().parse().unwrap(),
            device: u32::from(own.device()),
            passive: false,
            counter: 9,
        };
        let payload = login(BUILT_IN_VERSION, &DeviceProfile::draw(&mut os_rng()), &who);
        let address = "ws://sim.test/ws/chat".parse().unwrap();
        let root = world.sim.root_key();
        let endpoint = Endpoint::at(address, root, Tls::new(None).unwrap());
        let dialer = ToSim::new(&world.sim, "10.0.0.99");
        let (clock, rng) = (world.clock, &mut os_rng());
        let socket = open(&dialer, &endpoint, &endpoint.address, None, &clock, rng).await.unwrap();
        let how = Handshake { noise: &noise, payload: &payload, routing: None, server_static: None, root };
        let mut established = handshake(socket, &how, &clock, rng).await.unwrap();
        while !matches!(established.reader.next().await.unwrap(), Arrival::Frame { .. }) {}
        let mut reader = established.reader;
        let reader = tokio::spawn(async move { while reader.next().await.is_ok() {} });
        Self { writer: established.writer, reader, own }
    }

    /// The device's own address.
    pub fn own(&self) -> &Jid {
        &self.own
    }

    pub async fn send(&mut self, stanza: &Node) {
        let bytes = encode(stanza).unwrap();
        self.writer.send(&[&bytes]).await.unwrap_or_else(|error| panic!("{stanza}: {error}"));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    /// Sends what ends the connection, and waits for its end.
    pub async fn send_last(mut self, stanza: &Node) {
        self.send(stanza).await;
        crate::world::within(self.reader).await.unwrap();
    }
}
