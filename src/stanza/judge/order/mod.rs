//! The order of a connection's stanzas, as protocol 01 §14 has it: from pairing to "ready" and from a login to
//! "ready", and how often each query may go out on a quiet day.
//!
//! | file | subject |
//! |---|---|
//! | `mark` | which place of the order a stanza has, by its shape alone |
//! | `expected` | the order and the counts, as data |
//! | `compare` | the comparison with what was seen |
//!
//! Pure. Recordings are compared by the same data as the simulator's traffic.

mod compare;
mod expected;
mod mark;

pub use compare::{Count, Fault, Row, Seen, compare, count};
pub use expected::{Allowance, Day, LINK, LOGIN, Step, quiet_day};
pub use mark::{Mark, Shape};
