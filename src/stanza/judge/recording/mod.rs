//! Recordings of connections (issue "on the wire like the official client"): shapes and times of the stanzas of a
//! connection, both ways. Values are left out or replaced by their kinds, so a recording can be given to others.
//!
//! | file | subject |
//! |---|---|
//! | `shape` | a stanza without its values |
//! | `line` | the file: a header, then a JSON object a line |
//! | `order` | the first minute of each connection |
//! | `compare` | a recording held against the table, what is known, and the expected order |

mod compare;
mod line;
mod order;
mod shape;

pub use compare::{Difference, Side, compare};
pub use line::{Cut, Entry, Header, NotARecording, Purpose, Recording, Way};
pub use shape::Shape;
