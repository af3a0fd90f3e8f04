//! The phone role (protocol 09 §20): a primary device with Signal state of its own, which links companions, sends and
//! receives, asks for lost messages and answers those who ask. It has no socket and no clock; the server calls it
//! through the seam.
//!
//! | file | subject |
//! |---|---|
//! | `keys`, `book`, `adv` | own keys, known devices, signed devices and keys of the app state |
//! | `requests` | own IQs and what follows from their answers |
//! | `pairing`, `welcome` | linking by QR and code; what a new companion gets |
//! | `compose`, `send`, `group` | messages out |
//! | `receive`, `retry` | messages in, receipts, retries both ways |
//! | `snapshot` | the whole state as JSON |
//!
//! | `devices` | virtual companions |
//!
//! App-state patches and media are not here.

mod adv;
mod book;
mod compose;
mod devices;
mod group;
mod keys;
mod pairing;
mod receive;
mod requests;
mod retry;
mod send;
mod snapshot;
mod welcome;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::seam::{Phone, PhoneCommand, PhoneContext, PhoneError, PhoneSetup};
use crate::wire::{Jid, Node};
use requests::Request;

pub use snapshot::restore;

/// A phone that has no keys yet; [`Phone::start`] makes them.
#[must_use]
pub fn new(setup: PhoneSetup) -> Box<dyn Phone> {
    Box::new(SimPhone { setup, primary: None, devices: BTreeMap::new() })
}

/// A phone before and after its start.
struct SimPhone {
    setup: PhoneSetup,
    primary: Option<Primary>,
    /// Virtual companions.
    devices: BTreeMap<u16, Primary>,
}

/// All state of a phone, or of a virtual companion, which is the same but for `adv`.
struct Primary {
    setup: PhoneSetup,
    /// Absent at the phone.
    companion: Option<devices::Companion>,
    keys: keys::Keys,
    adv: adv::Adv,
    book: book::Book,
    requests: BTreeMap<String, Request>,
    next_request: u64,
    hellos: Vec<pairing::Hello>,
    log: send::Log,
    received: receive::Received,
    /// Our sender keys, by group.
    groups: BTreeMap<Jid, group::OwnGroup>,
}

impl Phone for SimPhone {
    fn start(&mut self, context: &mut PhoneContext<'_>) {
        if self.primary.is_none() {
            let primary = self.primary.insert(Primary::new(self.setup.clone(), context));
            primary.upload(context);
        }
    }

    fn receive(&mut self, context: &mut PhoneContext<'_>, stanza: &Node) {
        if let Some(primary) = &mut self.primary {
            primary.stanza(context, stanza);
        }
    }

    fn welcome(&mut self, context: &mut PhoneContext<'_>, device: u16) {
        if let Some(primary) = &mut self.primary {
            primary.welcome(context, device);
        }
    }

    fn receive_for(&mut self, context: &mut PhoneContext<'_>, device: u16, stanza: &Node) {
        self.with_device(context, device, |companion, context| companion.stanza(context, stanza));
    }

    fn command(&mut self, context: &mut PhoneContext<'_>, command: PhoneCommand) -> Result<(), PhoneError> {
        match command {
            PhoneCommand::AddDevice { device } => self.add_device(context, device),
            PhoneCommand::Send { op, to, content, id, device } if device != 0 => self
                .with_device(context, device, |companion, context| {
                    companion.send(context, (op, to), content, id)
                })
                .unwrap_or_else(|| Err(PhoneError::Unknown(format!("no virtual companion {device}")))),
            command => {
                match command {
                    PhoneCommand::Reinstall => self.devices.clear(),
                    PhoneCommand::CompanionGone { device } => drop(self.devices.remove(&device)),
                    _ => {}
                }
                self.primary.as_mut().ok_or(PhoneError::PhoneOffline)?.command(context, command)
            }
        }
    }

    fn snapshot(&self) -> serde_json::Value {
        self.saved()
    }
}

impl Primary {
    fn new(setup: PhoneSetup, context: &mut PhoneContext<'_>) -> Self {
        let mut book = book::Book::default();
        book.learn(&setup.pn, &setup.lid, context.now_ms);
        Self {
            keys: keys::Keys::generate(context.rng),
            adv: adv::Adv::generate(context.now_ms, context.rng),
            book,
            requests: BTreeMap::new(),
            next_request: 0,
            hellos: Vec::new(),
            log: send::Log::default(),
            received: receive::Received::default(),
            groups: BTreeMap::new(),
            companion: None,
            setup,
        }
    }

    /// Gives fresh prekeys to the directory.
    fn upload(&mut self, context: &mut PhoneContext<'_>) {
        let children = self.keys.upload(context.rng);
        let iq = Node::new("iq").attr("xmlns", "encrypt").attr("type", "set").children(children);
        self.ask(context, iq, Request::Nothing);
    }

    fn stanza(&mut self, context: &mut PhoneContext<'_>, stanza: &Node) {
        match &*stanza.tag {
            "iq" => self.answered(context, stanza),
            "message" => self.message(context, stanza),
            "receipt" => self.receipt(context, stanza),
            "ack" => self.ack(context, stanza),
            "notification" => self.notification(context, stanza),
            _ => {}
        }
    }

    /// Device lists are asked for before every message, so their notifications say nothing new but who is gone.
    fn notification(&mut self, context: &mut PhoneContext<'_>, notification: &Node) {
        let from = notification.jid("from");
        match notification.str("type").as_deref() {
            Some("encrypt") if notification.find("count").is_some() => self.upload(context),
            Some("encrypt") if notification.find("identity").is_some() => {
                if let Some(user) = from.filter(|user| !self.book.same_user(user, &self.setup.pn)) {
                    let name = self.book.user(&user);
                    self.book.forget(&user, |_| true);
                    self.groups.values_mut().for_each(|own| own.forget(|device| device.user == name));
                }
            }
            Some("devices") => {
                let gone = notification.find("remove").and_then(|remove| remove.find("device"));
                if let Some(device) =
                    gone.and_then(|device| device.jid("jid")).filter(|jid| jid.device() != 0)
                {
                    self.book.forget(&device, |id| id == device.device());
                }
            }
            Some("link_code_companion_reg") => self.code_notification(context, notification),
            _ => {}
        }
    }

    fn command(&mut self, context: &mut PhoneContext<'_>, command: PhoneCommand) -> Result<(), PhoneError> {
        match command {
            PhoneCommand::ScanQr { op, qr, corrupt } => self.scan(context, (op, &qr), corrupt),
            PhoneCommand::EnterCode { op, code, corrupt } => self.enter_code(context, (op, &code), corrupt),
            PhoneCommand::Send { op, to, content, id, .. } => self.send(context, (op, to), content, id),
            PhoneCommand::Receipt { ids, chat, kind, participant } => {
                self.send_receipt(context, &ids, (&chat, &kind), participant)
            }
            PhoneCommand::Presence { kind, to } => self.presence(context, &kind, to),
            PhoneCommand::Chatstate { to, state } => chatstate(context, &to, &state),
            PhoneCommand::Unlink { device } => self.unlink(context, device),
            PhoneCommand::CompanionGone { device } => {
                self.companion_gone(context, device);
                Ok(())
            }
            PhoneCommand::Reinstall => {
                self.reinstall(context);
                Ok(())
            }
            PhoneCommand::Call { to, call_id, action, video, reason } => {
                self.call(context, &to, (&call_id, &action), video, reason)
            }
            PhoneCommand::RotateAppKey => {
                self.adv.new_app_key(context.now_ms, context.rng);
                self.share_keys(context);
                Ok(())
            }
            PhoneCommand::PushName { name } => {
                self.setup.push_name = name;
                context.send(Node::new("presence").attr("name", self.setup.push_name.clone()));
                Ok(())
            }
            PhoneCommand::AddDevice { .. } => Err(PhoneError::Unknown("not at this device".to_owned())),
            PhoneCommand::DropSession { device } => {
                let device = device.clone();
                self.book.forget(&device, |id| id == device.device());
                Ok(())
            }
        }
    }

    /// A call's offer or its end (05d §7); there is no media.
    fn call(
        &self,
        context: &mut PhoneContext<'_>,
        to: &Jid,
        (call_id, action): (&str, &str),
        video: bool,
        reason: Option<String>,
    ) -> Result<(), PhoneError> {
        let part = Node::new(action.to_owned())
            .attr("call-id", call_id.to_owned())
            .attr("call-creator", self.own(to).in_device_form());
        let part = match action {
            "offer" => {
                let audio = Node::new("audio").attr("enc", "opus").attr("rate", "16000");
                part.child(audio).children(video.then(|| Node::new("video").attr("enc", "vp8")))
            }
            "terminate" => part.opt_attr("reason", reason),
            _ => return Err(PhoneError::Unknown(format!("no call action {action}"))),
        };
        let id = self.new_message_id(context);
        context.send(Node::new("call").attr("to", to).attr("id", id).child(part));
        Ok(())
    }

    /// Everything new; what was under way fails.
    fn reinstall(&mut self, context: &mut PhoneContext<'_>) {
        for request in std::mem::take(&mut self.requests).into_values() {
            request.abandoned(context);
        }
        let next_request = self.next_request;
        *self = Self { next_request, ..Self::new(self.setup.clone(), context) };
        self.upload(context);
    }

    fn presence(
        &self,
        context: &mut PhoneContext<'_>,
        kind: &str,
        to: Option<Jid>,
    ) -> Result<(), PhoneError> {
        let presence = Node::new("presence").attr("type", kind.to_owned());
        match (kind, to) {
            ("available" | "unavailable", None) => {
                context.send(presence.attr("name", self.setup.push_name.clone()));
            }
            ("subscribe" | "unsubscribe", Some(to)) => context.send(presence.attr("to", to)),
            _ => return Err(PhoneError::Unknown(format!("no presence {kind}"))),
        }
        Ok(())
    }
}

fn chatstate(context: &mut PhoneContext<'_>, to: &Jid, state: &str) -> Result<(), PhoneError> {
    let state = match state {
        "composing" => Node::new("composing"),
        "recording" => Node::new("composing").attr("media", "audio"),
        "paused" => Node::new("paused"),
        _ => return Err(PhoneError::Unknown(format!("no chat state {state}"))),
    };
    context.send(Node::new("chatstate").attr("to", to).child(state));
    Ok(())
}
