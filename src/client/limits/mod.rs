//! What limits an account: the service's signals (protocol 05d §9.1), which chats they close (§9.2), and the budget of
//! new chats that the account sets itself (§10). Here they are asked for, listened to, kept, shown and obeyed.
//!
//! | file | subject |
//! |---|---|
//! | `record` | what is kept with the account |
//! | `signals` | a signal comes: what changes, and what the application is told |
//! | `notices` | signals that come as notifications |
//! | `chat` | what decides about one chat: exempt, known, blocked |
//! | `decide` | may this message leave? Pure |
//! | `release`, `gate` | the outbox's question, put together and answered |
//! | `groups` | group operations |
//! | `asked` | questions that a restriction forbids, and what their refusals say |
//! | `watch` | the questions to the server, and the ends |
//! | `stranger` | the one question that the application asks |
//! | `health` | all of it, to be shown |
//! | `words` | what it means, in the languages of the operator |

mod asked;
mod chat;
mod decide;
mod gate;
mod groups;
mod health;
mod notices;
mod record;
mod release;
mod signals;
mod stranger;
mod watch;
mod words;

pub use decide::{NewChats, Why};
pub use groups::{GroupAction, GroupLimited};
pub use health::{Health, Quota, Shown, Standing, health};
pub use record::{Capped, GroupLimits, Lock, Pause, Restrictions, Since, Source, Text, Unit};
pub use signals::{Change, Restriction, SignalKind, clear};
pub use stranger::StrangerError;
pub use words::{Labels, Language, Words, time};

pub(crate) use asked::Limited;
pub(crate) use chat::{blocked, heard, token_came, wrote};
pub(crate) use gate::{check, take};
pub(crate) use notices::{group, mex};
pub(crate) use signals::{paused, refused_463, refused_475};
pub(crate) use watch::Limits;

#[cfg(test)]
mod tests;
