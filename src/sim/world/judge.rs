//! Where the judge is asked (09 §23.1): for every stanza of a client, for the payload of its handshake, and for every
//! message that a phone opens. It changes no answer; in `strict` each finding that is not listed is a violation.

use super::{ConnectionId, DeviceRef, World};
use crate::proto::ClientPayload;
use crate::sim::config::Profile;
use crate::sim::seam::OpenedMessage;
use crate::sim::shapes::Payload;
use crate::sim::violations::Fault;
use crate::stanza::judge::payload;
use crate::wire::Node;

impl World {
    /// Whether a device's stanzas are judged; `None` before the login.
    pub(super) fn judges(&self, device: Option<&DeviceRef>) -> bool {
        self.rules.judges_shapes() && self.judged_by(device) != Profile::Bench
    }

    fn judged_by(&self, device: Option<&DeviceRef>) -> Profile {
        device.map_or(self.config.profile, |device| self.profile(&device.number))
    }

    /// Writes a client's stanza into the log, with what the judge says of it and of what is readable in it.
    pub(super) fn judge_stanza(
        &mut self,
        id: ConnectionId,
        device: Option<&DeviceRef>,
        (node, written): (&Node, Option<&Node>),
    ) {
        let written = written.filter(|_| self.judges(device));
        let judgement = written.and_then(|written| self.shapes.judge(written));
        let payloads = written.map(|written| self.shapes.in_stanza(written)).unwrap_or_default();
        let judged = (judgement.clone(), payloads.clone());
        self.traffic.record_in(self.now_ms, id, device.cloned(), node.clone(), judged);
        let cursor = self.traffic.last_cursor();
        if let Some(judgement) = judgement {
            let unlisted = self.shapes.count(device, &judgement, cursor);
            self.unlike("stanza-unlike", (Some(id), device), unlisted, cursor);
        }
        for Payload { findings, .. } in payloads {
            let unlisted = self.shapes.count_payload(device, &findings, cursor);
            self.unlike("payload-unlike", (Some(id), device), unlisted, cursor);
        }
    }

    /// The payload of a handshake. A login is judged by its account's profile.
    pub(super) fn judge_client_payload(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        decoded: Option<&ClientPayload>,
    ) {
        let login = decoded.and_then(|payload| Some((payload.username?, payload.device.unwrap_or(0))));
        let device = login.and_then(|(number, device)| {
            let at = DeviceRef { number: number.to_string(), device: u16::try_from(device).ok()? };
            self.device(&at).is_some().then_some(at)
        });
        if !self.judges(device.as_ref()) {
            return;
        }
        let findings = self.shapes.payload(payload::Payload::ClientPayload, bytes);
        let unlisted = self.shapes.count_payload(device.as_ref(), &findings, None);
        self.unlike("payload-unlike", (Some(id), device.as_ref()), unlisted, None);
    }

    /// A message that a phone, or a virtual companion, has opened. What phones write themselves is not judged.
    pub(super) fn judge_opened(&mut self, number: &str, opened: OpenedMessage) {
        let OpenedMessage { by, sender, id, padded, mut envelope } = opened;
        let Some(sender) = self.resolve(&sender).filter(|sender| !self.is_driven(sender)) else { return };
        if !self.judges(Some(&sender)) {
            return;
        }
        // A user's chat is named in either form.
        let known = envelope.chat.iter().filter_map(|chat| self.resolve(&chat.parse().ok()?));
        let accounts: Vec<String> = known.map(|at| at.number).collect();
        for account in accounts.iter().filter_map(|number| self.accounts.get(number)) {
            envelope.chat.extend([account.pn.to_string(), account.lid.to_string()]);
        }
        let findings = self.shapes.opened(&padded, &envelope);
        let payload = Payload { device: Some(DeviceRef::new(number, by)), findings: findings.clone() };
        let cursor = self.traffic.opened(&sender, &id, payload);
        let unlisted = self.shapes.count_payload(Some(&sender), &findings, cursor);
        let connection = self.device(&sender).and_then(|device| device.connection);
        self.unlike("payload-unlike", (connection, Some(&sender)), unlisted, cursor);
    }

    fn unlike(
        &mut self,
        code: &'static str,
        (connection, device): (Option<ConnectionId>, Option<&DeviceRef>),
        unlisted: Vec<String>,
        sample: Option<u64>,
    ) {
        if self.judged_by(device) != Profile::Strict {
            return;
        }
        let account = device.map(|device| device.number.as_str());
        for detail in unlisted {
            self.violations.record(self.now_ms, Fault { account, connection, code, detail, sample });
        }
    }
}
