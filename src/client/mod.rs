//! One account's life: connect, pair, log in, send, receive, retry, sync.

pub mod chance;
pub mod config;
mod context;
pub mod devices;
pub mod event;
pub mod iq;
pub mod life;
pub mod line;
mod link;
mod messaging;
pub mod net;
pub mod payload;
pub mod prekeys;
pub mod profile;
mod receive;
pub mod send;
pub mod state;
