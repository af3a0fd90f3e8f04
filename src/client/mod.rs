//! One account's life: connect, pair, log in, send, receive, retry, sync.

pub mod chance;
pub mod event;
pub mod line;
pub mod net;
