//! Palomar, its simulator, and clients that we did not write: Baileys, whatsmeow and zapo-js, unmodified, on loopback.
//!
//! Every test has a simulator of its own on ports that the system chooses. A foreign client is judged leniently: it differs
//! from the official client on purpose. Baileys checks no signature, so it is never the judge of one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(feature = "sim")]

#[path = "interop/certificates.rs"]
mod certificates;
#[path = "interop/foreign.rs"]
mod foreign;
#[path = "interop/install.rs"]
mod install;
#[path = "interop/ours.rs"]
mod ours;
#[path = "interop/peer.rs"]
mod peer;
#[path = "interop/world.rs"]
mod world;

#[path = "interop/with_palomar.rs"]
mod with_palomar;
#[path = "interop/with_phone.rs"]
mod with_phone;
#[path = "interop/with_zapo.rs"]
mod with_zapo;
