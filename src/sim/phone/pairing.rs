//! Linking a companion, the phone's side: by QR (protocol 02 §6) and by code (02 §8).

use crate::clock::UnixMillis;
use crate::crypto::{KeyPair, PublicKey, random_bytes};
use crate::signal::adv::AdvSecret;
use crate::signal::key32;
use crate::signal::link_code::{self, Code, LinkCodeError};
use crate::signal::qr::Qr;
use crate::sim::seam::{Corrupt, PhoneContext, PhoneError, PhoneEvent};
use crate::wire::Node;

use super::Primary;
use super::requests::Request;

/// How long a parked `companion_hello` may be answered.
const HELLO_MS: i64 = 180_000;
/// Hellos that are parked at once.
const MAX_HELLOS: usize = 8;
const REG: &str = "link_code_companion_reg";

/// A pairing whose IQ is under way.
pub(super) struct Pairing {
    pub op: u64,
    key_index: u32,
    /// What the list that went out with the request was made of.
    revision: u64,
}

/// A companion that asks to be linked by code.
pub(super) struct Hello {
    reference: String,
    wrapped: Vec<u8>,
    noise: PublicKey,
    at_ms: UnixMillis,
    /// What was typed, once something was.
    typed: Option<Typed>,
}

struct Typed {
    op: u64,
    code: Code,
    ephemeral: KeyPair,
    corrupt: Option<Corrupt>,
}

/// What the phone learned about a companion, by either way.
struct Companion {
    reference: String,
    noise: PublicKey,
    identity: PublicKey,
    secret: AdvSecret,
}

impl Primary {
    pub(super) fn scan(
        &mut self,
        context: &mut PhoneContext<'_>,
        (op, text): (u64, &str),
        corrupt: Option<Corrupt>,
    ) -> Result<(), PhoneError> {
        let qr = Qr::parse(text).map_err(|_| PhoneError::BadQr)?;
        let companion = Companion {
            reference: qr.reference,
            noise: qr.noise,
            identity: qr.identity,
            secret: qr.adv_secret,
        };
        self.pair(context, op, &companion, corrupt);
        Ok(())
    }

    /// 02 §6, steps 2 to 6.
    fn pair(
        &mut self,
        context: &mut PhoneContext<'_>,
        op: u64,
        companion: &Companion,
        corrupt: Option<Corrupt>,
    ) {
        let key_index = self.adv.reserve();
        let now = context.shown_s();
        let identity = &self.keys.identity;
        let container = self.adv.container(
            identity,
            &companion.identity,
            &companion.secret,
            (key_index, now),
            corrupt,
            context.rng,
        );
        let list = self.adv.signed_list(identity, Some(key_index), now, context.rng);
        let request = Node::new("pair-device")
            .child(Node::new("ref").text_bytes(&companion.reference))
            .child(Node::new("pub-key").bytes(*companion.noise.as_bytes()))
            .child(Node::new("device-identity").bytes(container))
            .child(list);
        let iq = Node::new("iq").attr("xmlns", "md").attr("type", "set").child(request);
        self.ask(context, iq, Request::Pair(Pairing { op, key_index, revision: self.adv.revision }));
    }

    /// The answer to `pair-device`.
    pub(super) fn paired(&mut self, context: &mut PhoneContext<'_>, pairing: &Pairing, answer: &Node) {
        self.adv.pending.retain(|index| *index != pairing.key_index);
        let op = pairing.op;
        let device = answer.find("device").and_then(|device| device.jid("jid"));
        let Some(jid) = device.filter(|_| answer.str("type").as_deref() == Some("result")) else {
            let (code, text) = refusal(answer);
            return context.report(PhoneEvent::PairFailed { op, code, text });
        };
        let outdated = pairing.revision != self.adv.revision;
        self.adv.link(jid.device(), pairing.key_index);
        if outdated {
            self.publish_list(context);
        }
        context.report(PhoneEvent::Paired { op, jid });
    }

    /// The signed list on its own (02 §11).
    pub(super) fn publish_list(&mut self, context: &mut PhoneContext<'_>) {
        let list = self.adv.signed_list(&self.keys.identity, None, context.shown_s(), context.rng);
        let iq = Node::new("iq").attr("xmlns", "md").attr("type", "set").child(list);
        self.ask(context, iq, Request::Nothing);
    }

    /// A notification of code pairing from the server.
    pub(super) fn code_notification(&mut self, context: &mut PhoneContext<'_>, notification: &Node) {
        let Some(stage) = notification.find(REG) else { return };
        match stage.str("stage").as_deref() {
            Some("companion_hello") => self.park(context, stage),
            Some("companion_finish") => self.finish(context, stage),
            _ => {}
        }
    }

    fn park(&mut self, context: &PhoneContext<'_>, stage: &Node) {
        let bytes = |tag: &str| stage.find(tag)?.content_bytes().map(std::borrow::Cow::into_owned);
        let reference = stage.find("link_code_pairing_ref").and_then(Node::content_text);
        let noise = bytes("companion_server_auth_key_pub").and_then(|key| key32(&key).ok());
        let wrapped = bytes("link_code_pairing_wrapped_companion_ephemeral_pub");
        let (Some(reference), Some(noise), Some(wrapped)) = (reference, noise, wrapped) else { return };
        let reference = reference.into_owned();
        self.hellos.retain(|hello| hello.reference != reference && !hello.is_over(context.now_ms));
        if self.hellos.len() == MAX_HELLOS {
            self.hellos.remove(0);
        }
        self.hellos.push(Hello { reference, wrapped, noise, at_ms: context.now_ms, typed: None });
    }

    /// A code was typed: the newest parked hello is answered.
    pub(super) fn enter_code(
        &mut self,
        context: &mut PhoneContext<'_>,
        (op, text): (u64, &str),
        corrupt: Option<Corrupt>,
    ) -> Result<(), PhoneError> {
        let code = Code::parse(text).ok_or(PhoneError::BadCode)?;
        self.hellos.retain(|hello| !hello.is_over(context.now_ms));
        let hello = self.hellos.last_mut().ok_or(PhoneError::BadCode)?;
        let ephemeral = KeyPair::generate(context.rng);
        let (salt, iv) = (random_bytes(context.rng), random_bytes(context.rng));
        let wrapped = link_code::wrap(ephemeral.public(), &code, &salt, &iv);
        hello.typed = Some(Typed { op, code, ephemeral, corrupt });
        let stage = Node::new(REG)
            .attr("stage", "primary_hello")
            .attr("jid", self.setup.pn.clone())
            .child(Node::new("link_code_pairing_ref").text_bytes(&hello.reference))
            .child(Node::new("link_code_pairing_wrapped_primary_ephemeral_pub").bytes(wrapped))
            .child(Node::new("primary_identity_pub").bytes(*self.keys.identity.public().as_bytes()));
        let iq = Node::new("iq").attr("xmlns", "md").attr("type", "set").child(stage);
        self.ask(context, iq, Request::Hello { op });
        Ok(())
    }

    /// The answer to `primary_hello`; only a refusal ends anything.
    pub(super) fn hello_answered(&mut self, context: &mut PhoneContext<'_>, op: u64, answer: &Node) {
        if answer.str("type").as_deref() != Some("result") {
            self.hellos.retain(|hello| hello.typed.as_ref().is_none_or(|typed| typed.op != op));
            let (code, text) = refusal(answer);
            context.report(PhoneEvent::PairFailed { op, code, text });
        }
    }

    fn finish(&mut self, context: &mut PhoneContext<'_>, stage: &Node) {
        let bytes = |tag: &str| stage.find(tag)?.content_bytes();
        let reference = stage.find("link_code_pairing_ref").and_then(Node::content_text);
        let bundle = bytes("link_code_pairing_wrapped_key_bundle");
        let identity = bytes("companion_identity_public").and_then(|key| key32(&key).ok());
        let (Some(reference), Some(bundle), Some(identity)) = (reference, bundle, identity) else { return };
        let Some(at) = self.hellos.iter().position(|hello| hello.reference == *reference) else { return };
        let Some(hello) = self.hellos.get_mut(at) else { return };
        let Some(typed) = hello.typed.take() else { return };
        let secret = link_code::primary_finish(
            &typed.code,
            &typed.ephemeral,
            &self.keys.identity,
            &hello.wrapped,
            &identity,
            &bundle,
        );
        match secret {
            Ok(secret) => {
                let hello = self.hellos.remove(at);
                let companion =
                    Companion { reference: hello.reference, noise: hello.noise, identity, secret };
                self.pair(context, typed.op, &companion, typed.corrupt);
            }
            // The hello stays: another code may be tried.
            Err(LinkCodeError::WrongCode) => {
                let (code, text) = ("bad-code".to_owned(), String::new());
                context.report(PhoneEvent::PairFailed { op: typed.op, code, text });
            }
            Err(error) => {
                self.hellos.remove(at);
                let code = "device-error".to_owned();
                context.report(PhoneEvent::PairFailed { op: typed.op, code, text: error.to_string() });
            }
        }
    }

    /// Takes companions out of the list by request of the person (02 §11); the server answers by unlinking them.
    pub(super) fn unlink(
        &mut self,
        context: &mut PhoneContext<'_>,
        device: Option<u16>,
    ) -> Result<(), PhoneError> {
        let request = match device {
            Some(device) if self.adv.valid.contains_key(&device) => {
                Node::new("remove-companion-device").attr("jid", self.setup.pn.with_device(device))
            }
            Some(device) => return Err(PhoneError::Unknown(format!("no companion {device}"))),
            None => Node::new("remove-companion-device").attr("all", "true"),
        };
        let request = request.attr("reason", "user_initiated");
        let iq = Node::new("iq").attr("xmlns", "md").attr("type", "set").child(request);
        self.ask(context, iq, Request::Nothing);
        Ok(())
    }

    /// A companion is gone: a new signed list, a new key of the app state for those that are left.
    pub(super) fn companion_gone(&mut self, context: &mut PhoneContext<'_>, device: u16) {
        if !self.adv.unlink(device) {
            return;
        }
        self.book.forget(&self.setup.pn.clone(), |id| id == device);
        self.publish_list(context);
        self.adv.new_app_key(context.now_ms, context.rng);
        self.share_keys(context);
    }
}

impl Hello {
    fn is_over(&self, now: UnixMillis) -> bool {
        now - self.at_ms >= HELLO_MS
    }
}

/// The admin code of a refused IQ, and its text.
fn refusal(answer: &Node) -> (String, String) {
    let error = answer.find("error");
    let text = error.and_then(|error| error.str("text")).unwrap_or_default().into_owned();
    let code = error.and_then(|error| error.u64("code")).unwrap_or(500);
    let name = match (code, text.as_str()) {
        (404, "ref-expired") => "ref-expired",
        (404, _) => "ref-unknown",
        (400, "pub-key-mismatch") => "pub-key-mismatch",
        (409, _) => "companion-limit",
        (408, _) => "timeout",
        (429, _) => "cooldown",
        _ => return (code.to_string(), text),
    };
    (name.to_owned(), text)
}
