//! XX or IK, and what becomes of the cached chain (protocol 01 §6). Pure.

use super::error::NetError;
use super::handshake::Established;
use crate::crypto::PublicKey;
use crate::noise::{CertChain, HandshakeError, Pattern};

/// What is to be done with an account's cached chain after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachedChain {
    /// Leave it as it is.
    Keep,
    /// Store this one.
    Store(CertChain),
    /// Forget it: the server does not hold its key.
    Delete,
}

/// What one account remembers of its handshakes while the process lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    ik_failed: bool,
}

impl Memory {
    /// The server key for IK, `None` for XX. IK needs a registered account, a cached chain inside its dates, and no
    /// failed IK since the last success. `now` in Unix seconds.
    #[must_use]
    pub fn choose(&self, registered: bool, cached: Option<&CertChain>, now: i64) -> Option<PublicKey> {
        cached
            .filter(|chain| registered && !self.ik_failed && chain.is_valid_at(now))
            .map(|chain| chain.leaf.key)
    }

    /// Takes note of how a try ended.
    pub fn note(&mut self, registered: bool, outcome: Result<&Established, &NetError>) -> CachedChain {
        match outcome {
            Ok(established) => {
                self.ik_failed = false;
                match established.chain {
                    Some(chain) if registered => CachedChain::Store(chain),
                    _ => CachedChain::Keep,
                }
            }
            Err(NetError::Handshake(HandshakeError { pattern: Pattern::Ik, .. })) => {
                self.ik_failed = true;
                CachedChain::Delete
            }
            Err(_) => CachedChain::Keep,
        }
    }
}
