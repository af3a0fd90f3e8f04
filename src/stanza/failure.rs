//! `<failure>`, sent instead of `<success>` (protocol 01 §17). What it means for the account is decided in
//! `client`.

use crate::wire::NodeRef;

/// A refused login or registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// `reason`; `None` if absent or no number.
    pub reason: Option<u32>,
    /// `code`, of a temporary ban.
    pub code: Option<u32>,
    /// `expire`, of a temporary ban: seconds from now, not a date.
    pub expire: Option<u64>,
    /// `backoff`: seconds before the next dial.
    pub backoff: Option<u64>,
    /// Every attribute as it came: some (the appeal token of a locked account) are delivered once.
    pub attributes: Vec<(String, String)>,
}

impl Failure {
    /// Reads the stanza; nothing in it is mandatory.
    #[must_use]
    pub fn parse(node: NodeRef<'_>) -> Self {
        let small = |key| node.u64(key).and_then(|value| u32::try_from(value).ok());
        Self {
            reason: small("reason"),
            code: small("code"),
            expire: node.u64("expire"),
            backoff: node.u64("backoff"),
            attributes: super::attributes(node),
        }
    }
}
