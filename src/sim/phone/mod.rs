//! The phone role (09 §20): primary devices with real Signal state.

use super::seam::{Phone, PhoneSetup};
use super::stub::StubPhone;

/// A new phone; [`Phone::start`] makes its keys.
#[must_use]
pub fn new(_setup: PhoneSetup) -> Box<dyn Phone> {
    Box::new(StubPhone)
}

/// The phone of a snapshot.
///
/// # Errors
/// What is wrong with the snapshot.
pub fn restore(_setup: PhoneSetup, _snapshot: serde_json::Value) -> Result<Box<dyn Phone>, String> {
    Ok(Box::new(StubPhone))
}
