//! The table of IQs (09 §7): which request gets which answer, and the envelope of answers. The answers that need
//! more than a few lines live with their subject.

mod profile;
mod settings;

pub(crate) use profile::Picture;

use super::World;
use super::account::DeviceRef;
use super::connection::{ConnectionId, State};
use super::keys;
use crate::sim::config::Profile;
use crate::sim::seam::PhoneError;
use crate::wire::{Jid, Node};

/// Who sent a stanza: a device, on a connection or, for phones, by function call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub device: DeviceRef,
    /// None for phones.
    pub connection: Option<ConnectionId>,
}

/// An IQ error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: u16,
    pub text: &'static str,
}

impl Refusal {
    /// The text that goes with a code (09 §7).
    pub fn text_of(code: u16) -> &'static str {
        match code {
            400 => "bad-request",
            401 => "not-authorized",
            403 => "forbidden",
            404 => "item-not-found",
            405 => "not-allowed",
            406 => "not-acceptable",
            408 => "request-timeout",
            409 => "conflict",
            410 => "gone",
            419 => "resource-limit",
            429 => "rate-overlimit",
            431 => "locked",
            451 => "restricted",
            501 => "feature-not-implemented",
            503 => "service-unavailable",
            _ => "internal-server-error",
        }
    }

    pub const BAD_REQUEST: Self = Self { code: 400, text: "bad-request" };
    pub const NOT_AUTHORIZED: Self = Self { code: 401, text: "not-authorized" };
    pub const FORBIDDEN: Self = Self { code: 403, text: "forbidden" };
    pub const ITEM_NOT_FOUND: Self = Self { code: 404, text: "item-not-found" };
    pub const NOT_ACCEPTABLE: Self = Self { code: 406, text: "not-acceptable" };
    pub const CONFLICT: Self = Self { code: 409, text: "conflict" };
    pub const GONE: Self = Self { code: 410, text: "gone" };
    pub const RATE_OVERLIMIT: Self = Self { code: 429, text: "rate-overlimit" };
    pub const NOT_IMPLEMENTED: Self = Self { code: 501, text: "feature-not-implemented" };
}

/// An answer's children, or an error.
pub(crate) type Reply = Result<Vec<Node>, Refusal>;

impl World {
    /// An IQ of a logged-in device or a phone.
    pub(crate) fn iq(&mut self, origin: &Origin, iq: &Node) {
        let kind = iq.str("type").unwrap_or_default().into_owned();
        if matches!(kind.as_str(), "result" | "error") {
            // An answer to a ping of the server: that it came is all that matters.
            return;
        }
        let well_formed =
            iq.get("id").is_some() && iq.get("xmlns").is_some() && matches!(&*kind, "get" | "set");
        if !well_formed && !is_stats(iq) {
            return self.malformed_iq(origin, iq);
        }
        if let Some(struck) = origin.connection.and_then(|id| self.strike_iq(id, iq)) {
            if let Some(error) = struck {
                self.refuse_with(origin, iq, error);
            }
            return;
        }
        if let Some(id) = origin.connection {
            self.strike_answers(id, iq);
        }
        if let Some(reply) = self.answer(origin, iq, &kind) {
            self.reply(origin, iq, reply);
        }
    }

    /// What the table answers to an IQ of an account's phone, which the caller reads instead of the phone.
    pub(crate) fn ask_as_phone(&mut self, number: &str, iq: &Node) -> Result<Reply, PhoneError> {
        let account = self.accounts.get(number);
        let account = account.ok_or_else(|| PhoneError::Unknown(format!("no account {number}")))?;
        if !account.phone_online {
            return Err(PhoneError::PhoneOffline);
        }
        let origin = Origin { device: DeviceRef::new(number, 0), connection: None };
        let kind = iq.str("type").unwrap_or_default().into_owned();
        let reply = self.answer(&origin, iq, &kind);
        self.settle();
        Ok(reply.unwrap_or(Ok(Vec::new())))
    }

    fn malformed_iq(&mut self, origin: &Origin, iq: &Node) {
        self.fault(origin, "malformed-iq", format!("xmlns {:?}", iq.str("xmlns")));
        if let Some(id) = origin.connection.filter(|_| self.is_strict(&origin.device.number)) {
            let error = Node::new("stream:error").child(Node::new("xml-not-well-formed"));
            self.end_with(id, Some(error), 200);
        }
    }

    /// Writes an IQ's result or error to the one who asked; a crude server answers only some.
    pub(crate) fn reply(&mut self, origin: &Origin, iq: &Node, reply: Reply) {
        if self.keeps_silent(origin, iq) {
            return;
        }
        let answer = answer_to(iq, self.now_s(), reply);
        match origin.connection {
            Some(id) => self.write(id, answer),
            None => self.answer_phone(&origin.device, answer),
        }
    }

    /// An error that says more than its code.
    pub(crate) fn refuse_with(&mut self, origin: &Origin, iq: &Node, error: Node) {
        let answer = envelope(iq).attr("type", "error").child(error);
        match origin.connection {
            Some(id) => self.write(id, answer),
            None => self.answer_phone(&origin.device, answer),
        }
    }

    /// `None` where the answer was written already.
    fn answer(&mut self, origin: &Origin, iq: &Node, kind: &str) -> Option<Reply> {
        let xmlns = iq.str("xmlns").unwrap_or_default().into_owned();
        let child = iq.nodes().next().map(|child| child.tag.to_string()).unwrap_or_default();
        Some(match (xmlns.as_str(), kind, child.as_str()) {
            ("passive", "set", "active") => {
                self.reply(origin, iq, Ok(Vec::new()));
                self.active(origin);
                return None;
            }
            ("passive", "set", "passive") => {
                self.passive(origin);
                Ok(Vec::new())
            }
            ("w:p" | "urn:xmpp:ping", _, _) => Ok(Vec::new()),
            ("encrypt", "get", "count") => self.count_keys(origin),
            ("encrypt", "get", "digest") => self.digest_keys(origin),
            ("encrypt", "get", "key") => self.fetch_bundles(origin, iq),
            ("encrypt", "get", "identity") => self.fetch_identities(iq),
            ("encrypt", "set", "rotate") => self.rotate_signed_key(origin, iq),
            ("encrypt", "set", _) => {
                // The answer comes before what the keys set off (09 §20 row 3).
                let reply = self.upload_keys(origin, iq);
                self.reply(origin, iq, reply);
                return None;
            }
            ("usync", _, "usync") => self.usync(origin, iq),
            ("md", "set", "pair-device") => self.pair_device(origin, iq)?,
            ("md", "set", "link_code_companion_reg") => self.primary_hello(origin, iq),
            ("md", "set", "remove-companion-device") => self.remove_companion(origin, iq)?,
            ("md", "set", "key-index-list") => self.publish_key_index_list(origin, iq),
            ("w:g2", _, _) if self.refuse_group_iq(origin, iq, kind, &child) => return None,
            ("w:g2", "set", "create" | "add") => match self.judge_groups(origin, iq, &child) {
                Some(error) => {
                    self.refuse_with(origin, iq, error);
                    return None;
                }
                None => self.group_iq(origin, iq, kind, &child),
            },
            ("w:g2", _, _) => self.group_iq(origin, iq, kind, &child),
            _ => return Some(self.answer_setting(origin, iq, (&xmlns, kind, &child))),
        })
    }

    /// What no row of the table has: 501 in `strict`, an empty result elsewhere.
    fn unknown_iq(&mut self, origin: &Origin, xmlns: &str, child: &str) -> Reply {
        match self.profile(&origin.device.number) {
            Profile::Strict => Err(Refusal::NOT_IMPLEMENTED),
            Profile::Lenient => {
                tracing::info!("unhandled {xmlns}/{child}");
                Ok(Vec::new())
            }
            Profile::Bench | Profile::Crude => Ok(Vec::new()),
        }
    }

    /// IQs and acks of a connection that is not logged in: pings and pairing, nothing else (09 §8).
    pub(crate) fn registering_stanza(&mut self, id: ConnectionId, node: &Node) {
        if node.tag != "iq" {
            return;
        }
        let kind = node.str("type").unwrap_or_default().into_owned();
        let xmlns = node.str("xmlns").unwrap_or_default().into_owned();
        let child = node.nodes().next().map(|child| child.tag.to_string()).unwrap_or_default();
        let reply = match (&*kind, &*xmlns, &*child) {
            ("result" | "error", _, _) => return self.registering_answer(id, node),
            (_, "w:p" | "urn:xmpp:ping", _) => Ok(Vec::new()),
            ("set", "md", "link_code_companion_reg") => self.code_stage(id, node),
            ("get", "md", "link_code_companion_reg") => Ok(vec![
                Node::new("link_code_companion_reg").child(Node::new("country_code").attr("iso", "US")),
            ]),
            _ => Err(Refusal::NOT_AUTHORIZED),
        };
        let registering = self.connections.get(&id).is_some_and(|c| matches!(c.state, State::Registering(_)));
        if registering && node.get("id").is_some() {
            let answer = answer_to(node, self.now_s(), reply);
            self.write(id, answer);
        }
    }
}

/// Baileys sends its counters without a type.
fn is_stats(iq: &Node) -> bool {
    iq.str("xmlns").as_deref() == Some("w:stats") && iq.get("id").is_some()
}

/// The envelope of an answer: `from` is what the request was addressed to.
fn envelope(iq: &Node) -> Node {
    let from = iq.jid("to").filter(|to| !to.user().is_empty() || to.is_group()).unwrap_or_else(Jid::service);
    Node::new("iq").attr("from", from).attr("id", iq.str("id").unwrap_or_default().into_owned())
}

fn answer_to(iq: &Node, now_s: i64, reply: Reply) -> Node {
    let answer = envelope(iq);
    match reply {
        Ok(children) => answer.attr("type", "result").attr("t", now_s.to_string()).children(children),
        Err(refusal) => answer
            .attr("type", "error")
            .child(Node::new("error").attr("code", refusal.code.to_string()).attr("text", refusal.text)),
    }
}

/// The content of a child as text.
pub(crate) fn text_of(node: &Node, tag: &str) -> Option<String> {
    node.find(tag)?.content_text().map(std::borrow::Cow::into_owned)
}

/// The content of a child, of exactly `N` bytes.
pub(crate) fn child_bytes<const N: usize>(node: &Node, tag: &str) -> Option<[u8; N]> {
    node.find(tag).and_then(keys::fixed)
}
