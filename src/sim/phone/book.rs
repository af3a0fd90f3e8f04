//! Whom the phone knows: which PN and LID are one user, and the Signal state per device, whichever form a stanza
//! used (protocol 09 §20).

use std::collections::BTreeMap;

use crate::clock::UnixMillis;
use crate::crypto::PublicKey;
use crate::signal::{Guard, SessionRecord};
use crate::wire::Jid;

/// A device of a user. The user is the LID where it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerKey {
    pub user: Jid,
    pub device: u16,
}

/// What is known of one device.
#[derive(Default)]
pub(super) struct Peer {
    pub identity: Option<PublicKey>,
    pub sessions: SessionRecord,
    pub guard: Guard,
    /// The session that a second retry of a message named (05b §10 step 8).
    pub retried_base_key: BTreeMap<String, PublicKey>,
    /// When a session was last made anew because of a retry.
    pub renewed_ms: Option<UnixMillis>,
}

/// All users and devices.
#[derive(Default)]
pub(super) struct Book {
    pub lids: BTreeMap<Jid, Jid>,
    pub peers: BTreeMap<PeerKey, Peer>,
}

impl Book {
    /// Learns that two addresses are one user's, in any order; anything but a PN and a LID is ignored.
    pub fn learn(&mut self, one: &Jid, other: &Jid, now: UnixMillis) {
        let (pn, lid) = match (one.is_pn(), other.is_pn()) {
            (true, false) if other.is_lid() => (one.to_user(), other.to_user()),
            (false, true) if one.is_lid() => (other.to_user(), one.to_user()),
            _ => return,
        };
        if self.lids.get(&pn) == Some(&lid) {
            return;
        }
        self.lids.insert(pn.clone(), lid.clone());
        let moved: Vec<PeerKey> = self.peers.keys().filter(|key| key.user == pn).cloned().collect();
        for key in moved {
            let Some(peer) = self.peers.remove(&key) else { continue };
            let to = PeerKey { user: lid.clone(), device: key.device };
            match self.peers.remove(&to) {
                Some(known) => self.peers.insert(to, known.merge(peer, now)),
                None => self.peers.insert(to, peer),
            };
        }
    }

    /// A user's one address.
    pub fn user(&self, jid: &Jid) -> Jid {
        let user = jid.to_user();
        self.lids.get(&user).cloned().unwrap_or(user)
    }

    pub fn key(&self, device: &Jid) -> PeerKey {
        PeerKey { user: self.user(device), device: device.device() }
    }

    pub fn get(&self, device: &Jid) -> Option<&Peer> {
        self.peers.get(&self.key(device))
    }

    pub fn peer(&mut self, device: &Jid) -> &mut Peer {
        self.peers.entry(self.key(device)).or_default()
    }

    /// The identity of a user's phone, which signs for the user's companions.
    pub fn account_key(&self, user: &Jid) -> Option<PublicKey> {
        self.get(&user.to_user())?.identity
    }

    pub fn same_user(&self, one: &Jid, other: &Jid) -> bool {
        self.user(one) == self.user(other)
    }

    /// Forgets devices of a user.
    pub fn forget(&mut self, user: &Jid, which: impl Fn(u16) -> bool) {
        let user = self.user(user);
        self.peers.retain(|key, _| key.user != user || !which(key.device));
    }
}

impl Peer {
    fn merge(self, pn: Self, now: UnixMillis) -> Self {
        let identity = self.identity.or(pn.identity);
        let sessions = match identity {
            Some(identity) => SessionRecord::merge(self.sessions, pn.sessions, &identity.into(), now),
            None => self.sessions,
        };
        Self { identity, sessions, ..self }
    }
}
