//! What the handling of one batch shares: the own account, time, chance, and what is to be done after the commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha20Rng;

use crate::client::devices::epochs::Epochs;
use crate::client::devices::own::Own;
use crate::client::send::release::Times;
use crate::signal::Guard;
use crate::stanza::judge::drift::Unknown;
use crate::stanza::receipt::Receipt;
use crate::stanza::retry;
use crate::store::UnixMillis;
use crate::store::inbox::MessageKey;
use crate::wire::{Jid, Node};

/// Addresses whose failures are remembered.
const MAX_GUARDS: usize = 4096;

/// The limits on hostile messages, per Signal address (04 §17). In memory only.
#[derive(Clone, Default)]
pub(crate) struct Guards(Arc<Mutex<HashMap<String, Guard>>>);

impl Guards {
    /// Works with the guard of an address.
    pub(crate) fn with<T>(&self, address: &str, work: impl FnOnce(&mut Guard) -> T) -> T {
        let mut guards = self.lock();
        if guards.len() >= MAX_GUARDS && !guards.contains_key(address) {
            guards.clear();
        }
        work(guards.entry(address.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Guard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has to be done once the batch is durable, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// An ack or a nack.
    Send(Node),
    /// A receipt; those that fit together go out as one.
    Receipt(Receipt),
    /// Ask for a message again, and answer the message itself once that request is safe at the server.
    Retry(Box<AskAgain>),
    /// A device asks for a message of ours again.
    Resend(Box<retry::Received>),
    /// The outbox has a new row.
    Outbox,
    /// A limit has changed: what waits is looked at again.
    Limits,
    /// An event waits for its message.
    Held,
    /// A device list is stale.
    Refresh(Jid),
    /// The server has few prekeys of ours left.
    PrekeysLow,
    /// The server asks us to compare keys.
    Digest,
    /// The own phone has a new identity.
    OwnPhoneChanged,
    /// A contact's identity has changed: give it a token again, if one was issued.
    Reissue(Jid),
}

/// A retry receipt and what follows it.
#[derive(Debug)]
pub(crate) struct AskAgain {
    pub(crate) retry: Node,
    pub(crate) id: String,
    pub(crate) message: MessageKey,
    /// Closes the message at the server.
    pub(crate) answer: Node,
}

/// See the module.
pub(crate) struct Env {
    pub(crate) own: Own,
    pub(crate) now: UnixMillis,
    /// Server time, Unix seconds.
    pub(crate) server_s: i64,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) guards: Guards,
    /// What is told about device lists overtakes the questions about them.
    pub(crate) epochs: Epochs,
    /// Delivery receipts show no ticks (05b §8, "silent delivery").
    pub(crate) silent: bool,
    pub(crate) effects: Vec<Effect>,
    /// What was unknown inside the messages of the batch.
    pub(crate) unknown: Vec<Unknown>,
}

impl Env {
    /// Both times.
    pub(crate) fn times(&self) -> Times {
        Times { now: self.now, server_s: self.server_s }
    }

    pub(crate) fn send(&mut self, node: Node) {
        self.effects.push(Effect::Send(node));
    }
}
