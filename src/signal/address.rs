//! The address of a session: user, namespace and device (protocol 04 §11.3). Local; never on the wire.

use std::fmt;

/// Whose session, identity key or sender key: a user in its namespace, and one of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The user with its namespace, so that a PN and a LID of the same digits differ (`Jid::signal_name`).
    pub user: Box<str>,
    /// The device; 0 is the phone.
    pub device: u16,
}

impl Address {
    /// An address.
    #[must_use]
    pub fn new(user: impl Into<Box<str>>, device: u16) -> Self {
        Self { user: user.into(), device }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.user, self.device)
    }
}
