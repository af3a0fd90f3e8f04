//! What a handle's calls can answer, said so that the caller knows what to do.

use crate::client::state::Stop;
use crate::store::StoreError;

/// The account can't be opened, connected or linked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account is not linked: pair first.
    #[error("the account is not linked; link it first")]
    NotLinked,
    /// The account is linked: archive it before it is linked anew.
    #[error("the account is linked already; log out and archive it before linking anew")]
    Linked,
    /// A pairing of this account is under way: one at a time.
    #[error("the account is being linked already; finish or cancel that pairing first")]
    Pairing,
    /// The account stands still, and the call does not change that.
    #[error("the account is stopped: {0}")]
    Stopped(Stop),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}
