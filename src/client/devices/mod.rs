//! Other devices: which ones a user has, under which Signal address, with which identity, and a session with each.
//!
//! Not here: what is encrypted for them (`send`), what they send (`receive`).

pub(crate) mod address;
pub(crate) mod bundle;
mod daily;
pub(crate) mod epochs;
pub(crate) mod identity;
pub(crate) mod mapping;
pub(crate) mod metadata;
pub(crate) mod notification;
pub(crate) mod own;
mod record;
mod refresh;
pub(crate) mod session;
pub(crate) mod setup;

pub use refresh::DevicesError;

use crate::client::chance::Chance;
use crate::client::line::Line;
use crate::clock::Clock;
use crate::store::{Store, StoreError, Tx};
use crate::wire::{Jid, Server};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Device lists and session set-up of one account.
pub(crate) struct Devices {
    store: Store,
    line: Arc<dyn Line>,
    clock: Clock,
    chance: Chance,
    /// One list query at a time: who waits finds the answer in the store.
    asking: tokio::sync::Mutex<refresh::Asked>,
    /// One prekey fetch at a time, for the same reason.
    fetching: tokio::sync::Mutex<refresh::Asked>,
    tickets: AtomicU64,
    /// What notifications have changed.
    pub(crate) epochs: epochs::Epochs,
}

impl Devices {
    pub(crate) fn new(store: Store, line: Arc<dyn Line>, clock: Clock, chance: Chance) -> Self {
        Self {
            store,
            line,
            clock,
            chance,
            asking: tokio::sync::Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            tickets: AtomicU64::new(0),
            epochs: epochs::Epochs::default(),
        }
    }

    /// A number above all that were drawn before.
    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }
}

/// The stored devices of a user as addresses in the namespace of `user`; `None` without a record.
pub(crate) fn devices_of(tx: &Tx<'_>, user: &Jid) -> Result<Option<Vec<Jid>>, StoreError> {
    let Some(list) = tx.device_list(&user.to_user().to_string())? else { return Ok(None) };
    let hosted = match user.to_user().server() {
        Server::Lid => Server::HostedLid,
        _ => Server::Hosted,
    };
    let jid = |device: &crate::store::Device| {
        let base = if device.hosted { Jid::new(user.user(), hosted.clone()).ok()? } else { user.to_user() };
        Some(base.with_device(device.id))
    };
    Ok(Some(list.devices.iter().filter_map(jid).collect()))
}
