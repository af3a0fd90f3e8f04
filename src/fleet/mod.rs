//! Many accounts of one process: who may connect when, who may link when, and what happens after a loss.
//!
//! The scheduler is pure: facts with a time go in, decisions with a time come out (design §4). Turning decisions into action
//! is the runner's, one account's protocol is `client`'s, and pacing inside one account is `client::send`'s.

mod limits;
pub mod scheduler;
mod time;

pub use limits::{Limit, Limits, OutOfRange};
pub use time::At;
