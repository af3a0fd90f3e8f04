//! The account's life: one task that dials, logs in or registers, and decides what follows each end (protocol 01
//! §14 to §19). The pure parts are files of their own.
//!
//! | file | subject |
//! |---|---|
//! | `backoff`, `decide`, `keepalive`, `offline` | pure: delays, verdicts, liveness, the offline queue |
//! | `run` | the loop: wanted or not, wait, connect, judge the end |
//! | `connect` | dial and handshake, with the payload of a login or a registration |
//! | `conn` | one live connection |
//! | `startup`, `background` | from `<success>` to ready, and what is done after it |
//! | `props`, `dirty`, `lists` | the server's properties; what it says is stale; privacy and blocklist |
//! | `restore` | what a store from a backup needs before anything is sent |
//! | `end` | how a connection can end |
//! | `stop` | standing still, and how that is stored |

mod background;
pub mod backoff;
pub(crate) mod conn;
mod connect;
pub mod decide;
mod dirty;
pub(crate) mod end;
pub mod keepalive;
mod lists;
pub mod offline;
pub(crate) mod props;
pub(crate) mod restore;
mod run;
mod startup;
pub(crate) mod stop;

pub(crate) use run::{CannotPair, Command, Life, PairRequest};
