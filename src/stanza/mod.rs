//! Stanzas: what they say and how they are built. No IO, no clock.

pub mod content;
