//! The server's properties that the client follows, by name and with their defaults (protocol 05a §8, 05d §6). Asking for
//! them is `life::props`.

use crate::store::{StoreError, Tx};

/// A property: its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Property {
    /// Seconds of a bucket of received contact tokens.
    ReceivedBucket = 865,
    /// How many of those buckets count.
    ReceivedBuckets = 909,
    /// Seconds of a bucket of issued contact tokens.
    IssuedBucket = 996,
    /// How many of those buckets count.
    IssuedBuckets = 997,
    /// The account's 1:1 chats live under LIDs.
    LidMigrated = 9435,
    /// Contact tokens are issued to the LID.
    IssueToLid = 14303,
    /// New chats of a cycle, counted in messages.
    NewChats = 17845,
    /// The same, counted in threads.
    NewThreads = 29369,
    /// Seconds for which an answer about that quota counts.
    NewChatsLifetime = 20649,
    /// The quota is off.
    NewChatsOff = 34795,
    /// Where no token is held, one is computed from the salt.
    ComputedTokens = 24941,
}

/// What the server has said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Properties(Vec<(u32, String)>);

impl Properties {
    pub(crate) fn load(tx: &Tx<'_>) -> Result<Self, StoreError> {
        Ok(Self(tx.props()?.unwrap_or_default().values))
    }

    fn value(&self, property: Property) -> Option<&str> {
        let code = property as u32;
        self.0.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on; all of these are off by default.
    pub(crate) fn is_on(&self, property: Property) -> bool {
        self.value(property).is_some_and(|value| matches!(value, "1" | "true" | "True"))
    }

    /// A number, where the server gave a readable one.
    pub(crate) fn number(&self, property: Property) -> Option<u64> {
        self.value(property)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_or_not_readable_is_off() {
        let said = Properties(vec![(9435, "1".into()), (24941, "maybe".into()), (865, "60".into())]);
        assert!(said.is_on(Property::LidMigrated));
        assert!(!said.is_on(Property::ComputedTokens) && !said.is_on(Property::IssueToLid));
        assert_eq!(
            (said.number(Property::ReceivedBucket), said.number(Property::IssuedBucket)),
            (Some(60), None)
        );
    }
}
