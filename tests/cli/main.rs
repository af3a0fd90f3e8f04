//! The command line as its users see it.

#![cfg(all(feature = "cli", feature = "sim"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod commands;
mod docs;
mod drift;
mod examples;
mod health;
mod page;
mod place;
mod recorder;
