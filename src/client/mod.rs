//! One account's life: connect, pair, log in, send, receive, retry, sync.

pub mod net;
