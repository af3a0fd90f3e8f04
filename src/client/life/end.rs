//! How a connection can end, as seen by the life loop.

use crate::client::life::decide::Verdict;
use crate::client::net::NetError;
use crate::stanza::failure::Failure;

/// The end of a connection, or of the try to make one.
#[derive(Debug)]
pub(crate) enum End {
    /// `<failure>`.
    Failure(Failure),
    /// A `<stream:error>`, judged.
    Told(Verdict),
    /// The socket could not be opened, or broke.
    Net(NetError),
    /// Nothing came for too long (01 §16).
    Dead,
    /// Too many frames can't be decoded (03 §15); the kind of the last one.
    BadFrames(String),
    /// We gave up, for this reason: no first stanza, no end of the offline phase.
    GaveUp(&'static str),
    /// The store failed: nothing may be acknowledged.
    Store(String),
    /// The own phone has a new identity.
    PhoneChanged,
    /// The caller wants it.
    Wanted(Wanted),
    /// A registration is over.
    Registration(String),
}

/// What the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Disconnect.
    Disconnect,
    /// Log out: the server has been told or did not answer.
    LogOut,
    /// The handle is gone.
    Exit,
}
