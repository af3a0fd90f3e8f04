//! Messages to the phone: whose they are, opening them, the inbox and the receipts (protocol 05b §2 to §8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message as _;

use crate::proto::Message;
use crate::signal::{
    Answer, Local, OpenedBy, PreKeySignalMessage, Receive, RetryReason, SenderKeyDistribution,
    SenderKeyMessage, SenderKeyRecord, SignalError, SignalMessage, padding,
};
use crate::sim::seam::{InboxItem, OpenedMessage, PhoneContext, PhoneEvent};
use crate::stanza::judge::payload as judge;
use crate::wire::{Jid, Node};

use super::Primary;
use super::book::PeerKey;
use super::compose::{describe, open_device_sent};
use super::send::Logged;

/// Messages that are remembered as seen.
const MAX_SEEN: usize = 20_000;

/// What a stanza says about a message.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub id: String,
    /// The address that answers go to: the sending device, or the group.
    pub from: Jid,
    pub chat: Jid,
    /// The sending device.
    pub sender: Jid,
    /// Sent by one of our own companions.
    pub own: bool,
    /// For this phone, not for a chat.
    pub peer: bool,
    pub t: i64,
}

/// A message in the way that it is remembered: chat, author's user, id.
pub(super) type SeenKey = (Jid, Jid, String);

/// What the phone has got.
#[derive(Default)]
pub(super) struct Received {
    pub seen: BTreeSet<SeenKey>,
    pub order: VecDeque<SeenKey>,
    /// How often a message was asked for again.
    pub attempts: BTreeMap<SeenKey, u32>,
    /// Sender keys of others, by group and device.
    pub sender_keys: BTreeMap<(Jid, PeerKey), SenderKeyRecord>,
}

impl Received {
    fn note(&mut self, key: SeenKey) {
        if self.order.len() == MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.attempts.remove(&key);
        if self.seen.insert(key.clone()) {
            self.order.push_back(key);
        }
    }
}

/// Why an `enc` gave nothing.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Signal(SignalError),
    /// The companion's signed identity is missing or wrong.
    Identity,
    /// It opened, but the padding is wrong: nothing to ask again for.
    Padding,
}

impl From<SignalError> for Failure {
    fn from(error: SignalError) -> Self {
        Self::Signal(error)
    }
}

/// A content that was opened.
struct Opened {
    /// The serialized `Message`.
    message: Vec<u8>,
    enc_type: String,
}

impl Primary {
    /// A message from the server.
    pub(super) fn message(&mut self, context: &mut PhoneContext<'_>, stanza: &Node) {
        let Some(envelope) = self.envelope(stanza) else { return };
        self.learn_from(context, stanza);
        let (opened, failure) = self.open_all(context, &envelope, stanza);
        let mut content = None;
        for one in opened {
            content = Self::take(one).or(content);
        }
        match (content, failure) {
            (Some(one), _) => self.deliver(context, &envelope, &one),
            // Nothing but a sender key.
            (None, None) => context.send(self.receipt_for(&envelope, None)),
            (None, Some(failure)) => self.failed(context, &envelope, stanza, failure),
        }
    }

    /// 05b §2. `None` for what is no message of a chat that a phone can have.
    fn envelope(&self, stanza: &Node) -> Option<Envelope> {
        let id = stanza.str("id")?.into_owned();
        let from = stanza.jid("from")?;
        let group = from.is_group() || from.is_broadcast();
        let sender = if group { stanza.jid("participant")? } else { from.clone() };
        let own = self.book.same_user(&sender, &self.setup.pn);
        let chat = match stanza.jid("recipient") {
            _ if group => from.clone(),
            Some(recipient) if own => recipient.to_user(),
            _ => from.to_user(),
        };
        let peer = own && stanza.str("category").as_deref() == Some("peer");
        let t = stanza.u64("t").and_then(|t| i64::try_from(t).ok()).unwrap_or_default();
        Some(Envelope { id, from, chat, sender, own, peer, t })
    }

    /// The pairs of addresses that the server wrote on a stanza.
    pub(super) fn learn_from(&mut self, context: &PhoneContext<'_>, stanza: &Node) {
        for (key, others) in [
            ("from", &["sender_pn", "sender_lid"][..]),
            ("participant", &["participant_pn", "participant_lid"]),
            ("recipient", &["peer_recipient_pn", "peer_recipient_lid"]),
        ] {
            let Some(jid) = stanza.jid(key).filter(Jid::is_user) else { continue };
            for other in others.iter().filter_map(|key| stanza.jid(key)) {
                self.book.learn(&jid, &other, context.now_ms);
            }
        }
    }

    /// All `enc` of a stanza: pairwise ones first, then the group's (05b §4). What opened, and the first failure.
    fn open_all(
        &mut self,
        context: &mut PhoneContext<'_>,
        envelope: &Envelope,
        stanza: &Node,
    ) -> (Vec<Opened>, Option<Failure>) {
        let shown = stanza.find("device-identity").and_then(Node::content_bytes);
        let (mut opened, mut failure) = (Vec::new(), None);
        for pass in [&["pkmsg", "msg"][..], &["skmsg"]] {
            let retriable = matches!(failure, Some(Failure::Identity))
                || matches!(failure, Some(Failure::Signal(error)) if error != SignalError::Duplicate);
            if retriable && opened.is_empty() {
                break;
            }
            for enc in stanza.find_all("enc") {
                let kind = enc.str("type").unwrap_or_default().into_owned();
                if !pass.contains(&kind.as_str()) {
                    continue;
                }
                let bytes = enc.content_bytes().unwrap_or_default();
                let padded = match kind.as_str() {
                    "skmsg" => self.open_group(envelope, &bytes),
                    _ => self.open_pairwise(context, envelope, (&kind, &bytes), shown.as_deref()),
                };
                if let Ok(padded) = &padded {
                    self.tell_opened(context, envelope, (stanza, enc), padded);
                }
                let plain = padded.and_then(|padded| {
                    padding::unpad(&padded).map(<[u8]>::to_vec).map_err(|_| Failure::Padding)
                });
                match plain {
                    Ok(message) => {
                        self.take_sender_key(envelope, &message, &kind);
                        opened.push(Opened { message, enc_type: kind });
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        (opened, failure)
    }

    fn open_pairwise(
        &mut self,
        context: &mut PhoneContext<'_>,
        envelope: &Envelope,
        (kind, bytes): (&str, &[u8]),
        shown: Option<&[u8]>,
    ) -> Result<Vec<u8>, Failure> {
        let receive = Receive { now: context.now_ms, own_account: envelope.own };
        if kind == "msg" {
            let message = SignalMessage::parse(bytes)?;
            let peer = self.book.peer(&envelope.sender);
            let opened = peer.sessions.decrypt_message(&message, receive, &mut peer.guard, context.rng)?;
            return Ok(opened.plaintext.to_vec());
        }
        let message = PreKeySignalMessage::parse(bytes)?;
        let identity = message.identity.0;
        if !self.vouched(&envelope.sender, &identity, shown) {
            return Err(Failure::Identity);
        }
        let local = Local { identity: &self.keys.identity, registration_id: self.keys.registration_id };
        let peer = self.book.peer(&envelope.sender);
        let opened = peer.sessions.decrypt_prekey_message(
            local,
            &message,
            &mut self.keys.prekeys,
            receive,
            &mut peer.guard,
            context.rng,
        )?;
        if let OpenedBy::New { consumed_prekey } = opened.by {
            if let Some(id) = consumed_prekey {
                self.keys.prekeys.one_time.remove(&id);
            }
            self.identity_seen(&envelope.sender, identity);
        }
        Ok(opened.plaintext.to_vec())
    }

    /// A group message: with the sender's own chain, else with one of another device of the same user (05b §4).
    fn open_group(&mut self, envelope: &Envelope, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let message = SenderKeyMessage::parse(bytes)?;
        let sender = self.book.key(&envelope.sender);
        let at = (envelope.chat.clone(), sender.clone());
        let fits = |record: &SenderKeyRecord| record.knows(message.id());
        let at = if self.received.sender_keys.get(&at).is_some_and(fits) {
            at
        } else {
            let other = self.received.sender_keys.iter().find(|((group, device), record)| {
                *group == envelope.chat && device.user == sender.user && fits(record)
            });
            other.map(|(at, _)| at.clone()).ok_or(SignalError::NoSenderKey)?
        };
        let record = self.received.sender_keys.get_mut(&at).ok_or(SignalError::NoSenderKey)?;
        Ok(record.open(&message)?)
    }

    /// A sender key for this chat, from a pairwise session only (04 §10.4).
    fn take_sender_key(&mut self, envelope: &Envelope, message: &[u8], kind: &str) {
        let group = envelope.chat.is_group() || envelope.chat.is_broadcast();
        if kind == "skmsg" || !group {
            return;
        }
        let Ok(message) = Message::decode(message) else { return };
        let Some(given) = message.sender_key_distribution_message else { return };
        let named = given.group_id.unwrap_or_default();
        if !named.is_empty() && named != envelope.chat.to_string() {
            return;
        }
        let bytes = given.axolotl_sender_key_distribution_message.unwrap_or_default();
        let Ok(distribution) = SenderKeyDistribution::parse(&bytes) else { return };
        let at = (envelope.chat.clone(), self.book.key(&envelope.sender));
        self.received.sender_keys.entry(at).or_default().process(&distribution);
    }

    /// An opened message; `None` if there is nothing in it for a person, or nothing that can be read.
    fn take(opened: Opened) -> Option<Opened> {
        let message = Message::decode(&*opened.message).ok()?;
        let bare = Message { message_context_info: None, sender_key_distribution_message: None, ..message };
        (bare != Message::default()).then_some(opened)
    }

    /// Tells the server what was in a ciphertext, so that it can be judged (09 §23.1).
    fn tell_opened(
        &self,
        context: &mut PhoneContext<'_>,
        envelope: &Envelope,
        (stanza, enc): (&Node, &Node),
        padded: &[u8],
    ) {
        let common = |enc: &Node| enc.str("type").as_deref() == Some("skmsg");
        context.report(PhoneEvent::Opened(Box::new(OpenedMessage {
            by: self.device(),
            sender: envelope.sender.clone(),
            id: envelope.id.clone(),
            padded: padded.to_vec(),
            envelope: judge::Envelope {
                chat: vec![envelope.chat.to_string()],
                collective: envelope.from.is_group() || envelope.from.is_broadcast(),
                own: envelope.own,
                peer: envelope.peer,
                has_common: stanza.find_all("enc").any(common),
                labels: judge::Labels::of(stanza, enc),
            },
        })));
    }

    /// A content for the inbox, once; the receipt every time.
    fn deliver(&mut self, context: &mut PhoneContext<'_>, envelope: &Envelope, opened: &Opened) {
        let key = self.seen_key(envelope);
        let known = self.received.seen.contains(&key);
        let inner = match open_device_sent(&opened.message) {
            Some((inner, _)) if envelope.own => inner,
            _ => opened.message.clone(),
        };
        if !known {
            self.received.note(key);
            self.log.push(Logged {
                id: envelope.id.clone(),
                chat: envelope.chat.clone(),
                author: envelope.sender.clone(),
                from_me: envelope.own,
                peer: envelope.peer,
                message: inner.clone(),
                t: envelope.t,
                targets: BTreeMap::new(),
            });
            let (kind, text) = describe(&inner);
            context.report(PhoneEvent::Inbox(Box::new(InboxItem {
                message: opened.message.clone(),
                enc_type: opened.enc_type.clone(),
                decrypt_ok: true,
                ..item(envelope, kind, text)
            })));
        }
        context.send(self.receipt_for(envelope, quiet(&inner).then_some("inactive")));
        if !known && envelope.peer {
            self.peer_request(context, envelope, &inner);
        }
    }

    fn failed(
        &mut self,
        context: &mut PhoneContext<'_>,
        envelope: &Envelope,
        stanza: &Node,
        failure: Failure,
    ) {
        let key = self.seen_key(envelope);
        if self.received.seen.contains(&key) {
            return context.send(self.receipt_for(envelope, None));
        }
        let reason = match failure {
            Failure::Padding => return self.undecryptable(context, envelope, stanza),
            Failure::Identity => Some(RetryReason::Identity),
            Failure::Signal(error) => match error.answer() {
                Answer::Retry(reason) => reason,
                // The key was used, and the content is not known: nothing to be had.
                Answer::AsSeen | Answer::Renew => return,
            },
        };
        if !self.received.attempts.contains_key(&key) {
            self.undecryptable(context, envelope, stanza);
        }
        let resent = stanza.find_all("enc").filter_map(|enc| enc.u64("count")).max().unwrap_or(0);
        self.ask_again(context, envelope, u32::try_from(resent).unwrap_or(u32::MAX), reason);
    }

    fn undecryptable(&self, context: &mut PhoneContext<'_>, envelope: &Envelope, stanza: &Node) {
        let enc_type = stanza.find("enc").and_then(|enc| enc.str("type")).unwrap_or_default().into_owned();
        let item = InboxItem { enc_type, ..item(envelope, "undecryptable".to_owned(), None) };
        context.report(PhoneEvent::Inbox(Box::new(item)));
    }

    pub(super) fn seen_key(&self, envelope: &Envelope) -> SeenKey {
        (self.book.user(&envelope.chat), self.book.user(&envelope.sender), envelope.id.clone())
    }

    /// A delivery receipt in the form that the message calls for (05b §7, §8).
    fn receipt_for(&self, envelope: &Envelope, kind: Option<&'static str>) -> Node {
        let group = envelope.from.is_group() || envelope.from.is_broadcast();
        let kind = match envelope {
            _ if envelope.peer => Some("peer_msg"),
            _ if envelope.own => Some("sender"),
            _ => kind,
        };
        let recipient = (envelope.own && !group && !envelope.peer).then(|| envelope.chat.clone());
        Node::new("receipt")
            .attr("to", envelope.from.clone())
            .attr("id", envelope.id.clone())
            .opt_attr("type", kind)
            .opt_attr("participant", group.then(|| envelope.sender.clone()))
            .opt_attr("recipient", recipient)
    }
}

fn item(envelope: &Envelope, kind: String, text: Option<String>) -> InboxItem {
    InboxItem {
        id: envelope.id.clone(),
        chat: envelope.chat.to_string(),
        from: envelope.sender.to_user().to_string(),
        device: envelope.sender.device(),
        t: envelope.t,
        kind,
        text,
        message: Vec::new(),
        enc_type: String::new(),
        decrypt_ok: false,
        own_copy: envelope.own && !envelope.peer,
        receipts_sent: Vec::new(),
    }
}

/// Whether a message has no ticks, so that its receipt is `inactive` (05b §8).
fn quiet(message: &[u8]) -> bool {
    Message::decode(message).is_ok_and(|message| {
        message.reaction_message.is_some()
            || message.enc_reaction_message.is_some()
            || message.enc_comment_message.is_some()
            || message.enc_event_response_message.is_some()
            || message.keep_in_chat_message.is_some()
    })
}
