//! The client against the simulated server, in one process, over memory, in virtual time.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crude;
mod drift;
#[path = "../common/faulty.rs"]
mod faulty;
mod killed;
mod life;
mod linking;
mod pairing;
mod phone;
mod restrictions;
mod server;
mod strict_reader;
mod talk;
mod transport;
#[path = "../common/vectors.rs"]
mod vectors;
mod world;

mod coverage;
mod raw;
