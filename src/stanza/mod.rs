//! Stanzas: what they say and how they are built, one file a kind; and `judge`, the table of shapes. No IO, no clock.

pub mod content;
pub mod judge;
