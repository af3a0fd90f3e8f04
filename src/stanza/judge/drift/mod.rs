//! The drift report (protocol 09 §23.2): what the service sends that nobody has told us of. Known are the names of the
//! table's incoming rows and those of `known.csv`; what is unknown is counted by its shape, never with its values.
//!
//! | file | subject |
//! |---|---|
//! | `names` | the known operations, elements and attributes |
//! | `unknown` | a stanza compared with them |
//! | `fingerprint` | by which a shape is recognised |
//! | `fields` | field numbers and codes inside messages |
//! | `report` | what was counted, bounded |
//!
//! Time is an argument; nothing here knows an account.

mod fields;
mod fingerprint;
mod names;
mod report;
mod unknown;

pub use fields::in_message;
pub use fingerprint::fingerprint;
pub use names::Names;
pub use report::{Entry, MAX_ENTRIES, Report};
pub(super) use unknown::shown_name;
pub use unknown::{Kind, Unknown};
