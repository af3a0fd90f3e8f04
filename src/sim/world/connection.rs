//! One client connection as the world sees it: its state and the way out. Not: sockets, which are `listen`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::World;
use super::account::DeviceRef;
use super::faults::Damage;
use super::limits::LastEnd;
use super::net::Pace;
use super::pairing::Registration;
use super::timers::Timer;
use crate::clock::UnixMillis;
use crate::crypto::PublicKey;
use crate::noise::Pattern;
use crate::wire::Node;

/// A connection's number, from 1, never given twice.
pub type ConnectionId = u64;

/// How many stanzas may wait for a slow reader before its connection is closed; the queues keep what matters.
const WRITE_QUEUE: usize = 32_768;

/// How a connection is ended, or what is written besides stanzas.
#[derive(Debug, Clone)]
pub(crate) enum Out {
    Stanza(Node),
    /// A stanza whose frame is damaged on its way.
    Damaged(Node, Damage),
    /// From now on, frames go at this pace.
    Pace(Pace),
    /// Bytes as they are, below the encryption.
    Raw(Vec<u8>),
    /// A frame's plaintext, flag byte first.
    Plaintext(Vec<u8>),
    /// Close in order, with this WebSocket code.
    Close(u16),
    /// Drop the socket without a word.
    Reset,
    /// Stop reading and writing, keep the socket.
    HalfOpen,
}

/// Where a client came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// `X-Sim-Source`, else the address that was dialled or that dialled (09 §23).
    pub source: String,
    /// The `Origin` header.
    pub origin: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum State {
    Handshake,
    Registering(Box<Registration>),
    Online(Session),
    /// An end was announced; nothing is read any more.
    Closing,
}

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub device: DeviceRef,
    /// When it logged in.
    pub since_ms: UnixMillis,
    pub passive: bool,
    /// Live traffic may flow: after `active`, or from a login with `passive=false` on.
    pub active: bool,
    pub backlog: Backlog,
    /// Accounts whose presence this connection watches.
    pub watching: BTreeSet<String>,
    pub presence_available: bool,
}

/// Offline delivery of one connection (09 §12).
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Positions in the device's queue still to be written, in order.
    pub waiting: std::collections::VecDeque<u64>,
    pub total: usize,
    pub written: usize,
    /// Nothing goes out before the first `active`.
    pub held: bool,
    /// A batch was asked for on this connection.
    pub asked: bool,
    /// Grows with every sign of life of the client, so that old fallback timers know that they are old.
    pub signs: u64,
    /// `<ib><offline/></ib>` was written.
    pub done: bool,
}

/// A client connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub peer: Peer,
    pub noise: Option<PublicKey>,
    pub handshake: Option<Pattern>,
    pub state: State,
    pub sender: mpsc::Sender<Out>,
    pub opened_ms: UnixMillis,
    pub last_in_ms: UnixMillis,
    pub stanzas_in: u64,
    pub stanzas_out: u64,
    pub version: Option<[u32; 3]>,
    pub last_in: Option<String>,
    /// The tag of the last stanza to the client.
    pub last_out: Option<String>,
    /// The ClientPayload, as it came.
    pub payload: Vec<u8>,
    /// The server has ended it without a word.
    pub dropped: bool,
    pub pace: Pace,
    /// When the last stanza leaves that the network has not delivered yet.
    pub last_leaves_ms: UnixMillis,
    pub bytes: Arc<Bytes>,
}

/// Bytes of frames, counted by the two halves of a connection.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Bytes {
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// From the client, and to it.
    pub fn get(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }
}

impl Connection {
    pub fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Online(session) => Some(session),
            _ => None,
        }
    }

    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Online(session) => Some(session),
            _ => None,
        }
    }

    pub fn registration(&self) -> Option<&Registration> {
        match &self.state {
            State::Registering(registration) => Some(registration),
            _ => None,
        }
    }

    pub fn registration_mut(&mut self) -> Option<&mut Registration> {
        match &mut self.state {
            State::Registering(registration) => Some(registration),
            _ => None,
        }
    }
}

impl World {
    /// A client has upgraded to WebSocket. What the world has to say to it comes out of the receiver.
    pub(crate) fn connect(&mut self, peer: Peer) -> (ConnectionId, mpsc::Receiver<Out>) {
        self.upgraded(&peer.source);
        self.next_connection += 1;
        let id = self.next_connection;
        let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
        let connection = Connection {
            peer,
            noise: None,
            handshake: None,
            state: State::Handshake,
            sender,
            opened_ms: self.now_ms,
            last_in_ms: self.now_ms,
            stanzas_in: 0,
            stanzas_out: 0,
            version: None,
            last_in: None,
            last_out: None,
            payload: Vec::new(),
            dropped: false,
            pace: Pace::default(),
            last_leaves_ms: 0,
            bytes: Arc::default(),
        };
        self.connections.insert(id, connection);
        self.set_pace(id);
        (id, receiver)
    }

    /// How the handshake went, for those who look.
    pub(crate) fn shook_hands(&mut self, id: ConnectionId, pattern: Pattern) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.handshake = Some(pattern);
        }
    }

    /// The socket is gone.
    pub(crate) fn disconnected(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        match connection.state {
            State::Online(session) => self.session_ended(id, &session, connection.dropped),
            State::Registering(registration) => self.registration_ended(id, &registration),
            State::Handshake | State::Closing => self.forget_connection(id),
        }
    }

    /// Writes a stanza to a connection, and into the traffic log, as the network brings it.
    pub(crate) fn write(&mut self, id: ConnectionId, node: Node) {
        match self.leaves_at(id, &node) {
            Some(at) if at > self.now_ms => self.keep_back(id, at, node),
            Some(_) => self.write_now(id, node),
            None => {}
        }
    }

    pub(crate) fn write_now(&mut self, id: ConnectionId, node: Node) {
        let damage = self.strike_frame(id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.stanzas_out += 1;
        connection.last_out = Some(node.tag.to_string());
        self.stats.count("out", &node.tag);
        let device = connection.session().map(|session| session.device.clone());
        connection.dropped |= damage.is_some();
        let out = match damage {
            Some(damage) => Out::Damaged(node.clone(), damage),
            None => Out::Stanza(node.clone()),
        };
        match &mut self.held {
            Some(held) => held.push((id, out)),
            None => {
                if connection.sender.try_send(out).is_err() {
                    return self.overrun(id);
                }
            }
        }
        self.traffic.record_out(self.now_ms, id, device, node);
    }

    pub(crate) fn out(&mut self, id: ConnectionId, out: Out) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.dropped |= matches!(out, Out::Reset | Out::HalfOpen | Out::Close(_));
        }
        if let Some(held) = &mut self.held {
            held.push((id, out));
        } else if let Some(connection) = self.connections.get(&id) {
            // A full queue means that the client does not read: its connection is dropped at the next stanza.
            let _ = connection.sender.try_send(out);
        }
    }

    /// A client that does not read: the queues keep what matters.
    fn overrun(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.forget_connection(id);
    }

    /// From now on nothing leaves before [`World::release`] or [`World::withhold`].
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// The state is written: what depends on it leaves.
    pub(crate) fn release(&mut self) {
        for (id, out) in self.held.as_mut().map(std::mem::take).unwrap_or_default() {
            let Some(connection) = self.connections.get(&id) else { continue };
            if connection.sender.try_send(out).is_err() {
                self.overrun(id);
            }
        }
    }

    /// The state could not be written: nothing is said, every connection is dropped.
    pub(crate) fn withhold(&mut self) {
        self.held.as_mut().map(std::mem::take);
        for connection in self.connections.values() {
            // One whose queue is full is dropped at its next stanza.
            let _ = connection.sender.try_send(Out::Reset);
        }
    }

    /// Says a last stanza and closes after `delay_ms` if the client does not.
    pub(crate) fn end_with(&mut self, id: ConnectionId, last: Option<Node>, delay_ms: i64) {
        if let Some(last) = last {
            self.write(id, last);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = std::mem::replace(&mut connection.state, State::Closing);
        match before {
            State::Online(session) => self.session_ended(id, &session, true),
            State::Registering(registration) => self.registration_ended(id, &registration),
            State::Handshake | State::Closing => {}
        }
        if delay_ms == 0 {
            self.out(id, Out::Close(1000));
        } else {
            let last = self.connections.get(&id).map_or(0, |connection| connection.last_leaves_ms);
            self.timers.set((self.now_ms + delay_ms).max(last + 1), Timer::Close(id));
        }
    }

    /// No device points at a connection that is gone.
    fn forget_connection(&mut self, id: ConnectionId) {
        let at = self.accounts.values().find_map(|account| {
            let device = account.devices.iter().find(|(_, device)| device.connection == Some(id))?;
            Some(DeviceRef::new(&account.number, *device.0))
        });
        if let Some(device) = at.and_then(|at| self.device_mut(&at)) {
            device.connection = None;
        }
    }

    fn session_ended(&mut self, id: ConnectionId, session: &Session, by_server: bool) {
        let lived_ms = self.now_ms - session.since_ms;
        self.note_end(&session.device, LastEnd { lived_ms, by_server });
        if let Some(device) = self.device_mut(&session.device)
            && device.connection == Some(id)
        {
            device.connection = None;
        }
        if session.presence_available {
            self.presence_changed(&session.device, false);
        }
    }

    /// The live session of a connection.
    pub(crate) fn session(&self, id: ConnectionId) -> Option<&Session> {
        self.connections.get(&id).and_then(Connection::session)
    }

    pub(crate) fn session_mut(&mut self, id: ConnectionId) -> Option<&mut Session> {
        self.connections.get_mut(&id).and_then(Connection::session_mut)
    }
}

impl World {
    /// The reader gives up on a connection: it is closed with this WebSocket code.
    pub(crate) fn close(&mut self, id: ConnectionId, code: u16) {
        self.out(id, Out::Close(code));
        self.end_with(id, None, 0);
    }
}
