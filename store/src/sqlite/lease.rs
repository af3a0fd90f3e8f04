//! Which node an account was last used by, kept in the account's own store.
//!
//! There is no heartbeat: the lock says whether the account is in use on this machine. The lease tells a crash (same
//! node, not released: taken over silently) from a folder that another node may still be using (refused).

use super::file::File;
use crate::UnixMillis;
use crate::account::Flag;
use crate::codec::record;
use crate::error::{Result, StoreError};
use crate::place::AccountId;
use crate::rows::Table;
use crate::store::{IfCorrupt, Tx};

/// Who uses a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The node's configured name; two machines must not share one.
    pub name: String,
    /// Its host name.
    pub host: String,
    /// What runs, for people: the command's name.
    pub command: String,
}

impl Node {
    /// Named after this host.
    #[must_use]
    pub fn this_host() -> Self {
        let host = host();
        Self { name: host.clone(), host, command: command() }
    }
}

fn host() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named =
        read.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    let name = named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "unknown host".to_owned())
}

fn command() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(|path| path.file_stem()).and_then(|name| name.to_str());
    name.unwrap_or("palomar").to_owned()
}

record! {
    /// The last use.
    #[derive(Debug, Clone)]
    pub struct Lease {
        /// The node's name.
        pub node: String,
        /// Its host.
        pub host: String,
        /// The process.
        pub pid: u32,
        /// Since when.
        pub since: UnixMillis,
        /// It ended cleanly.
        pub released: bool,
    }
}

const LEASE: &[u8] = b"lease";

/// Takes the account for this node.
pub(super) fn acquire(
    file: &File,
    id: &AccountId,
    node: &Node,
    take_over: bool,
    now: UnixMillis,
) -> Result<()> {
    file.transaction(|tx| {
        let last: Option<Lease> = tx.load(Table::Account, LEASE, IfCorrupt::Stop)?;
        let unreleased = last.as_ref().filter(|lease| !lease.released);
        if let Some(lease) = unreleased {
            if lease.node != node.name && !take_over {
                return Err(StoreError::Leased {
                    account: id.to_string(),
                    node: lease.node.clone(),
                    host: lease.host.clone(),
                    pid: lease.pid,
                });
            }
            tx.set_flag(Flag::UncleanStop, true)?;
        }
        let lease = Lease {
            node: node.name.clone(),
            host: node.host.clone(),
            pid: std::process::id(),
            since: now,
            released: false,
        };
        tx.store(Table::Account, LEASE, &lease)
    })
}

/// Gives the account back.
pub(super) fn release(file: &File) -> Result<()> {
    file.transaction(|tx: &mut Tx<'_>| {
        let Some(mut lease) = tx.load::<Lease>(Table::Account, LEASE, IfCorrupt::Stop)? else {
            return Ok(());
        };
        lease.released = true;
        tx.store(Table::Account, LEASE, &lease)
    })
}
