//! What can go wrong in the store, said so that the caller knows what to do.

use std::sync::Arc;

/// Result of store calls.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A store failure. No variant holds a key, a plaintext or an address.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another handle in this one) has the account open.
    #[error("{what} is in use by {holder}; stop it first")]
    Held {
        /// The account or the data folder.
        what: String,
        /// Who: command, process id, host and since when, as far as known.
        holder: String,
    },
    /// The account was last used by another node that did not release it.
    #[error(
        "account {account} was last used by node {node} (host {host}, process {pid}), which did not release it; \
         make sure that it has stopped, then open with take-over"
    )]
    Leased {
        /// The account.
        account: String,
        /// The node's configured name.
        node: String,
        /// Its host name.
        host: String,
        /// Its process id.
        pid: u32,
    },
    /// No such account.
    #[error("there is no account {0}; create it first")]
    NoAccount(String),
    /// The account exists already.
    #[error("account {0} exists already")]
    AccountExists(String),
    /// Not a usable account id.
    #[error("account id {id:?}: {why}")]
    BadAccountId {
        /// What was given.
        id: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The store's file is damaged. It was not changed; restore a backup or link again.
    #[error(
        "the store of account {account} is damaged ({detail}); it was left untouched: restore a backup, or archive it and link again"
    )]
    Damaged {
        /// The account.
        account: String,
        /// What the check found.
        detail: String,
    },
    /// The store was written by a newer version of this program. It was not changed.
    #[error(
        "the store of account {account} has schema {found}, this program knows {known}: use a newer version"
    )]
    Newer {
        /// The account.
        account: String,
        /// The schema of the file.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// A record that the account can't do without does not parse or fails its checksum: stop, don't replace it.
    #[error("a record of table {table} is damaged: the account must be restored or linked again")]
    CorruptRecord {
        /// The table.
        table: &'static str,
    },
    /// A rule of the contract was broken by the caller; nothing was changed.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The disk or the database failed. Nothing of the transaction happened, nothing may be sent or acknowledged.
    #[error("store {doing} failed: {why}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The engine's text.
        why: Arc<str>,
    },
    /// The transaction's closure panicked; its changes were rolled back.
    #[error("a store transaction panicked and was rolled back")]
    Panicked,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Io { doing, why: why.to_string().into() }
    }
}
