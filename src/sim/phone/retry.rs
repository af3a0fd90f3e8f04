//! Retry receipts both ways (protocol 05b §9, §10), and what comes back for the phone's own messages: acks and
//! receipts.

use std::borrow::Cow;

use crate::signal::{RetryReason, padding};
use crate::sim::seam::{PhoneContext, PhoneError, PhoneEvent};
use crate::wire::{Jid, Node};

use super::Primary;
use super::compose::device_sent;
use super::receive::Envelope;
use super::requests::Goal;
use super::send::{Labels, Target, peer_stanza};

/// A message is asked for at most this often.
const MAX_ASKED: u32 = 4;
/// Messages that are being asked for, at most.
const MAX_ATTEMPTS: usize = 10_000;
/// A session is made anew because of retries once in this time.
const RENEW_MS: i64 = 3_600_000;

/// A message to be encrypted again for one device.
pub(super) struct Resend {
    id: String,
    /// Where the stanza goes: the group, or the device.
    to: Jid,
    requester: Jid,
    recipient: Option<Jid>,
    count: u32,
}

impl Primary {
    /// Asks for a message again; keys go along from the second time on.
    pub(super) fn ask_again(
        &mut self,
        context: &mut PhoneContext<'_>,
        envelope: &Envelope,
        resent: u32,
        reason: Option<RetryReason>,
    ) {
        let key = self.seen_key(envelope);
        let asked = self.received.attempts.get(&key).copied().unwrap_or(0);
        let count = asked.max(resent).saturating_add(1);
        if count > MAX_ASKED {
            return;
        }
        if self.received.attempts.len() >= MAX_ATTEMPTS {
            self.received.attempts.pop_first();
        }
        self.received.attempts.insert(key, count);
        let group = envelope.from.is_group() || envelope.from.is_broadcast();
        let recipient = (envelope.own && !group && !envelope.peer).then(|| envelope.chat.clone());
        let retry = Node::new("retry")
            .attr("v", "1")
            .attr("count", count)
            .attr("id", envelope.id.clone())
            .attr("t", envelope.t)
            .opt_attr("error", reason.map(RetryReason::code));
        let identity = self.device_identity();
        let keys = (count >= 2).then(|| self.keys.retry_bundle(context.rng).children(identity));
        context.send(
            Node::new("receipt")
                .attr("to", envelope.from.clone())
                .attr("id", envelope.id.clone())
                .attr("type", "retry")
                .opt_attr("participant", group.then(|| envelope.sender.clone()))
                .opt_attr("recipient", recipient)
                .opt_attr("category", envelope.peer.then_some("peer"))
                .child(retry)
                .child(Node::new("registration").bytes(self.keys.registration_id.to_be_bytes()))
                .children(keys),
        );
    }

    /// The server's ack of a message.
    pub(super) fn ack(&mut self, context: &mut PhoneContext<'_>, ack: &Node) {
        if ack.str("class").as_deref() != Some("message") {
            return;
        }
        let Some(id) = ack.str("id").map(Cow::into_owned) else { return };
        let error = ack.str("error").map(Cow::into_owned);
        if let Some(group) = ack.jid("from").filter(Jid::is_group) {
            self.distribution_acked(&group, &id, error.is_none());
        }
        context.report(PhoneEvent::Acked { id, error });
    }

    /// A receipt for messages of the phone.
    pub(super) fn receipt(&mut self, context: &mut PhoneContext<'_>, receipt: &Node) {
        self.learn_from(context, receipt);
        let kind =
            receipt.str("type").filter(|kind| !kind.is_empty()).unwrap_or("delivered".into()).into_owned();
        let Some(from) = receipt.jid("from") else { return };
        let reader = receipt.jid("participant").unwrap_or_else(|| from.clone());
        if kind == "retry" {
            return self.retry_asked(context, receipt, (from, reader));
        }
        let listed = receipt.find("list").into_iter().flat_map(|list| list.find_all("item"));
        let ids = receipt.str("id").into_iter().chain(listed.filter_map(|item| item.str("id")));
        for id in ids.map(Cow::into_owned).collect::<Vec<_>>() {
            self.confirmed(context, &id, &reader, &kind);
        }
        for merged in receipt.find_all("participants") {
            let Some(id) = merged.str("key").or_else(|| merged.str("message_id")) else { continue };
            for user in merged.find_all("user") {
                let kind = user.str("type").unwrap_or(Cow::Borrowed(&kind));
                if let Some(reader) = user.jid("jid") {
                    self.confirmed(context, &id, &reader, &kind);
                }
            }
        }
    }

    fn confirmed(&mut self, context: &mut PhoneContext<'_>, id: &str, reader: &Jid, kind: &str) {
        let device = self.book.key(reader);
        let Some(message) = self.log.sent(id) else { return };
        if let Some(target) = message.targets.get_mut(&device) {
            target.confirmed = true;
        }
        if !message.peer {
            let (id, device, kind) = (id.to_owned(), reader.clone(), kind.to_owned());
            context.report(PhoneEvent::Receipt { id, device, kind });
        }
    }

    /// 05b §10.
    fn retry_asked(&mut self, context: &mut PhoneContext<'_>, receipt: &Node, (from, requester): (Jid, Jid)) {
        let Some(id) = receipt.str("id").map(Cow::into_owned) else { return };
        let retry = receipt.find("retry");
        let count =
            retry.and_then(|retry| retry.u64("count")).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        context.report(PhoneEvent::Retry { id: id.clone(), device: requester.clone(), count });
        let device = self.book.key(&requester);
        if from.is_group()
            && let Some(own) = self.groups.get_mut(&from)
        {
            own.forget(|holder| *holder == device);
        }
        if count > MAX_ASKED {
            return;
        }
        let Some(message) = self.log.sent(&id) else { return };
        let Some(target) = message.targets.get(&device).copied() else { return };
        if target.confirmed || !self.keys_for_retry(receipt, &requester, &id, count, context) {
            return;
        }
        if !self.entitled(&id, &requester, &target) {
            return;
        }
        let resend =
            Resend { id, to: from, requester: requester.clone(), recipient: receipt.jid("recipient"), count };
        self.with_sessions(context, vec![requester], Goal::Resend(resend));
    }

    /// Step 7 (c): whoever shows another identity than the message was encrypted for gets nothing, except a phone that
    /// was set up anew and none of whose user's devices has the message.
    fn entitled(&self, id: &str, requester: &Jid, target: &Target) -> bool {
        let identity = self.book.get(requester).and_then(|peer| peer.identity);
        if target.identity.is_none() || target.identity == identity {
            return true;
        }
        let user = self.book.user(requester);
        let confirmed = self.log.find(id).is_some_and(|message| {
            message.targets.iter().any(|(device, target)| device.user == user && target.confirmed)
        });
        requester.device() == 0 && !confirmed
    }

    /// Steps 6 and 8: the bundle that came along, or what is to become of the session. `false` ends the retry.
    fn keys_for_retry(
        &mut self,
        receipt: &Node,
        requester: &Jid,
        id: &str,
        count: u32,
        context: &mut PhoneContext<'_>,
    ) -> bool {
        let registration = receipt.find("registration").and_then(Node::content_bytes);
        let registration = registration.and_then(|bytes| registration_id(&bytes));
        if let Some(keys) = receipt.find("keys") {
            let Some(registration) = registration.filter(|id| *id != 0) else { return false };
            return self.install_retry(context, requester, (registration, keys));
        }
        let now = context.now_ms;
        let peer = self.book.peer(requester);
        if registration
            .is_some_and(|id| peer.sessions.remote_registration_id().is_some_and(|known| known != id))
        {
            peer.sessions.archive_current();
        }
        match (count, peer.sessions.base_key().copied()) {
            (2, Some(base)) => {
                peer.retried_base_key.insert(id.to_owned(), base);
            }
            (3.., base) if peer.retried_base_key.remove(id).is_some_and(|before| Some(before) == base) => {
                peer.sessions.archive_current();
            }
            _ => {}
        }
        let due = peer.renewed_ms.is_none_or(|at| now - at >= RENEW_MS);
        if count >= 2 && due {
            peer.renewed_ms = Some(now);
            peer.sessions.archive_current();
        }
        true
    }

    /// The message again, for the one device that asked.
    pub(super) fn resend(&mut self, context: &mut PhoneContext<'_>, resend: &Resend) {
        let own = self.book.same_user(&resend.requester, &self.setup.pn);
        let Some(message) = self.log.sent(&resend.id) else { return };
        let peer = message.peer;
        let plain =
            if own && !peer { device_sent(&message.message, &message.chat) } else { message.message.clone() };
        let labels = Labels::of(&message.message);
        let padded = padding::pad(&plain, context.rng);
        let Some((kind, bytes, identity)) = self.encrypt(context, &resend.requester, &padded) else { return };
        let device = self.book.key(&resend.requester);
        if let Some(target) = self.log.sent(&resend.id).and_then(|message| message.targets.get_mut(&device)) {
            target.identity = Some(identity);
        }
        let enc = labels.enc(kind, bytes).attr("count", resend.count);
        if peer {
            return context.send(peer_stanza(&resend.id, &resend.requester, enc));
        }
        let group = resend.to.is_group();
        let mode = self.groups.get(&resend.to).map(|own| if own.lid_mode { "lid" } else { "pn" });
        let to = if group { resend.to.clone() } else { resend.to.in_device_form() };
        let stanza = labels
            .envelope(&resend.id, &to)
            .opt_attr("participant", group.then(|| resend.requester.in_device_form()))
            .opt_attr("recipient", resend.recipient.clone())
            .opt_attr("addressing_mode", mode.filter(|_| group))
            .child(enc)
            .children(self.device_identity().filter(|_| kind == "pkmsg"))
            .children(labels.meta());
        context.send(stanza);
    }

    /// A receipt by order of the person.
    pub(super) fn send_receipt(
        &mut self,
        context: &mut PhoneContext<'_>,
        ids: &[String],
        (chat, kind): (&Jid, &str),
        participant: Option<Jid>,
    ) -> Result<(), PhoneError> {
        let (first, rest) =
            ids.split_first().ok_or_else(|| PhoneError::Unknown("no message id".to_owned()))?;
        if kind == "retry" {
            for id in ids {
                let envelope = self.logged_envelope(id)?;
                self.ask_again(context, &envelope, 0, None);
            }
            return Ok(());
        }
        let author = self.log.find(first).map(|message| message.author.clone());
        let (to, kind, t) = match kind {
            "delivered" => (author.clone().filter(|_| !chat.is_group()), None, None),
            "read" | "played" => (None, Some(kind.to_owned()), Some(context.now_ms)),
            _ => return Err(PhoneError::Unknown(format!("no receipt of type {kind}"))),
        };
        let participant = participant.or(author.map(|author| author.to_user())).filter(|_| chat.is_group());
        let items: Vec<Node> = rest.iter().map(|id| Node::new("item").attr("id", id)).collect();
        context.send(
            Node::new("receipt")
                .attr("to", to.unwrap_or_else(|| chat.clone()))
                .attr("id", first)
                .opt_attr("type", kind)
                .opt_attr("participant", participant)
                .opt_attr("t", t)
                .children((!items.is_empty()).then(|| Node::new("list").children(items))),
        );
        Ok(())
    }

    fn logged_envelope(&self, id: &str) -> Result<Envelope, PhoneError> {
        let message = self.log.find(id).ok_or_else(|| PhoneError::Unknown(format!("no message {id}")))?;
        let group = message.chat.is_group();
        Ok(Envelope {
            id: id.to_owned(),
            from: if group { message.chat.clone() } else { message.author.clone() },
            chat: message.chat.clone(),
            sender: message.author.clone(),
            own: message.from_me,
            peer: message.peer,
            t: message.t,
        })
    }
}

/// Four bytes; fewer are filled up in front.
fn registration_id(bytes: &[u8]) -> Option<u32> {
    let fits = (1..=4).contains(&bytes.len());
    fits.then(|| bytes.iter().fold(0, |id, byte| id << 8 | u32::from(*byte)))
}
