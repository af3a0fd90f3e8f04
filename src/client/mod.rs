//! One account's life: connect, pair, log in, send, receive, retry, sync.

pub mod chance;
pub mod event;
pub mod life;
pub mod line;
pub mod net;
pub mod payload;
pub mod profile;
pub mod state;
