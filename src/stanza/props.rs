//! The server's properties ("ab props"): question and answer (protocol 01 §14.2 step 7, 09 §7.1).

use super::iq;
use crate::wire::{Jid, Node};

/// Asks for them, without id. `known`: the hash last seen, or the refresh id where the server named a newer one.
#[must_use]
pub fn query(known: Option<Known<'_>>) -> Node {
    let props = Node::new("props").attr("protocol", "1");
    let props = match known {
        None => props,
        Some(Known::Hash(hash)) => props.attr("hash", hash.to_owned()),
        Some(Known::RefreshId(id)) => props.attr("refresh_id", id.to_owned()),
    };
    iq::get("abt", Jid::service()).child(props)
}

/// What we have already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a> {
    /// Answered only if something changed.
    Hash(&'a str),
    /// Answered with a delta, perhaps.
    RefreshId(&'a str),
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the next question.
    pub hash: Option<String>,
    /// The version of the properties.
    pub refresh_id: Option<String>,
    /// Seconds until they should be asked for again.
    pub refresh: Option<u64>,
    /// The values are changes to those we have.
    pub delta: bool,
    /// Code and value of each property that can be read.
    pub values: Vec<(u32, String)>,
}

/// Reads an answer; `None` without `<props>`.
#[must_use]
pub fn parse(answer: &Node) -> Option<Answer> {
    let props = answer.find("props")?;
    let text = |key| props.str(key).map(std::borrow::Cow::into_owned);
    let values = props.find_all("prop").filter_map(|prop| {
        let code = u32::try_from(prop.u64("config_code")?).ok()?;
        Some((code, prop.str("config_value")?.into_owned()))
    });
    Some(Answer {
        hash: text("hash"),
        refresh_id: text("refresh_id"),
        refresh: props.u64("refresh"),
        delta: props.str("delta_update").as_deref() == Some("true"),
        values: values.collect(),
    })
}
