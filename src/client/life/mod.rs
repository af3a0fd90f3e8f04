//! The account's life.

pub mod backoff;
pub mod keepalive;
pub mod offline;
