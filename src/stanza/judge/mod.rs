//! The stanza judge: is a stanza *like* one that the official client can send (protocol 09 §23.1)?
//!
//! Here live the table of shapes, the comparison with it, and the list of deliberate deviations. A pure function of
//! (table, stanza): it builds nothing, refuses nothing, and changes nothing. `drift` looks the other way: at what the
//! server sends (09 §23.2).
//!
//! [`order`] has the order of a connection's stanzas and the counts of a quiet day (protocol 01 §14).
//! [`recording`] is the shape of whole connections.
//! [`payload`] does the same for the protobuf payloads inside stanzas (feature `sim`, for the size of its tables).

mod compare;
mod deviations;
pub mod drift;
mod form;
mod kind;
pub mod order;
#[cfg(feature = "sim")]
pub mod payload;
pub mod recording;
mod table;

pub use compare::{Finding, Judgement, Verdict, What};
pub use deviations::{Deviation, Deviations};
pub use table::{Direction, Table, TableError};
