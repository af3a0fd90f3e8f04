//! Phones for pure transport tests (`--phones stub`, 09 §24): they take everything and send nothing.

use super::seam::{Phone, PhoneCommand, PhoneContext, PhoneError};
use crate::wire::Node;

/// A phone without keys.
#[derive(Debug, Default)]
pub(crate) struct StubPhone;

impl Phone for StubPhone {
    fn start(&mut self, _: &mut PhoneContext<'_>) {}

    fn receive(&mut self, _: &mut PhoneContext<'_>, _: &Node) {}

    fn receive_for(&mut self, _: &mut PhoneContext<'_>, _: u16, _: &Node) {}

    fn welcome(&mut self, _: &mut PhoneContext<'_>, _: u16) {}

    fn command(&mut self, _: &mut PhoneContext<'_>, command: PhoneCommand) -> Result<(), PhoneError> {
        match command {
            PhoneCommand::CompanionGone { .. } | PhoneCommand::Reinstall => Ok(()),
            _ => Err(PhoneError::Unknown("this run has no phones that act".to_owned())),
        }
    }

    fn snapshot(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
