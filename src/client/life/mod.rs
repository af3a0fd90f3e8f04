//! The account's life.

pub mod backoff;
pub mod decide;
pub mod keepalive;
pub mod offline;
