//! The account's privacy settings (protocol 05d §5): question and answer.

use super::iq;
use crate::wire::{Jid, Node};

/// Asks for all settings, without id.
#[must_use]
pub fn query() -> Node {
    iq::get("privacy", Jid::service()).child(Node::new("privacy"))
}

/// Name and value of each setting in an answer; one that failed alone (`value="error"`) is left out.
#[must_use]
pub fn parse(answer: &Node) -> Vec<(String, String)> {
    let Some(privacy) = answer.find("privacy") else { return Vec::new() };
    let setting = |category: &Node| {
        let value = category.str("value").filter(|value| value != "error")?;
        Some((category.str("name")?.into_owned(), value.into_owned()))
    };
    privacy.find_all("category").filter_map(setting).collect()
}
