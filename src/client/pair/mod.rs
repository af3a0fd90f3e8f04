//! Linking a device: QR, code, passkey gate (protocol 02), companion side. One `Driver` runs beside the reader of
//! a registration connection; it owns the codes and the advSecret. Dialling is `life`'s, the cryptography `signal`'s.
//!
//! | file | subject |
//! |---|---|
//! | `rotation` | which QR code is shown when, every change of the advSecret (pure) |
//! | `flow` | one pairing by code: what is accepted, when it is over (pure) |
//! | `code` | the driver's part of pairing by code |
//! | `passkey` | the driver's part of the passkey gate |
//! | `accept` | pair-success: checks, transaction, reply |
//! | `keys` | the keys of a link that is to be |

mod accept;
mod code;
mod driver;
mod event;
mod flow;
pub(crate) mod keys;
mod passkey;
mod rotation;
#[cfg(test)]
mod tests;

pub use code::CodeError;
pub(crate) use driver::PasskeyUnsupported;
pub(crate) use driver::{Command, Driver, Input};
pub use event::PairEvent;
pub use passkey::Assertion;
pub(crate) use passkey::GateInput;
