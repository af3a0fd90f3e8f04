//! Trusted-contact tokens: when they expire and when a new one is due (05d §6), and the fallback token (05a §13).

use crate::crypto::hmac_sha256;
use crate::wire::{Jid, Node};

/// The buckets in which tokens live: duration in seconds and how many count. Server properties, clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    duration: u64,
    count: u64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self::new(604_800, 4)
    }
}

impl Buckets {
    /// Buckets of so many seconds (1 to 15,552,000), so many of them (at least 1).
    #[must_use]
    pub fn new(duration: u64, count: u64) -> Self {
        Self { duration: duration.clamp(1, 15_552_000), count: count.max(1) }
    }

    /// Whether a token of that time (none: never got one) is expired. Unix seconds.
    #[must_use]
    pub fn is_expired(self, now: u64, timestamp: Option<u64>) -> bool {
        let cutoff = (now / self.duration).saturating_sub(self.count - 1) * self.duration;
        timestamp.is_none_or(|timestamp| timestamp < cutoff)
    }

    /// Whether a token is to be issued anew, last issued at that time. Unix seconds.
    #[must_use]
    pub fn is_due(self, now: u64, issued: Option<u64>) -> bool {
        issued.is_none_or(|issued| now / self.duration > issued / self.duration)
    }
}

/// The fallback token of a recipient: HMAC over the bare LID.
#[must_use]
pub fn cstoken(nct_salt: &[u8], recipient_lid: &Jid) -> [u8; 32] {
    hmac_sha256(nct_salt, &[recipient_lid.without_device().to_string().as_bytes()])
}

/// Issues a token to a contact, without id.
#[must_use]
pub fn issue(contact: &Jid, now: u64) -> Node {
    let token = Node::new("token")
        .attr("jid", contact.without_device())
        .attr("t", now)
        .attr("type", "trusted_contact");
    Node::new("iq")
        .attr("to", Jid::service())
        .attr("xmlns", "privacy")
        .attr("type", "set")
        .child(Node::new("tokens").child(token))
}
