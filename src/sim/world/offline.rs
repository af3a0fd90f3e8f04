//! Offline delivery after a login (09 §12): preview, primer, batches, end marker, and what happens for clients
//! that never ask.

use super::account::DeviceRef;
use super::connection::Backlog;
use super::queue::{Answer, Kind};
use super::timers::Timer;
use super::{ConnectionId, Origin, World};
use crate::sim::config::Profile;
use crate::wire::{Jid, Node};

/// How many entries come without being asked for.
const PRIMER: usize = 5;
/// No request within this time of `active` (or of `<success>` after a login with `passive=false`): everything.
const ASK_WITHIN_MS: i64 = 500;
/// After a batch, a client that neither asks nor acks for this long gets the rest.
const SILENT_MS: i64 = 2000;

impl World {
    /// Right after `<success>`.
    pub(crate) fn begin_backlog(&mut self, id: ConnectionId, at: &DeviceRef) {
        if self.is_crude(&at.number) {
            return self.no_backlog(id, at);
        }
        let held = self.config.hold_until_active;
        let waiting: std::collections::VecDeque<u64> = self
            .device(at)
            .map(|device| device.queue.iter().map(|entry| entry.sequence).collect())
            .unwrap_or_default();
        let Some(session) = self.session_mut(id) else { return };
        let held = held && session.passive;
        let passive = session.passive;
        session.backlog = Backlog { total: waiting.len(), waiting, held, ..Backlog::default() };
        if held {
            return;
        }
        self.preview(id, at);
        if !passive {
            self.expect_batch_request(id);
        }
    }

    /// A crude server has no queue: live at once, and what came before is gone.
    fn no_backlog(&mut self, id: ConnectionId, at: &DeviceRef) {
        if let Some(device) = self.device_mut(at) {
            device.queue.clear();
        }
        if let Some(session) = self.session_mut(id) {
            session.active = true;
            session.backlog = Backlog { done: true, ..Backlog::default() };
        }
    }

    /// The first `active` of a passive login.
    pub(crate) fn backlog_active(&mut self, id: ConnectionId, at: &DeviceRef) {
        let Some(session) = self.session_mut(id) else { return };
        if std::mem::take(&mut session.backlog.held) {
            self.preview(id, at);
        }
        let Some(session) = self.session(id) else { return };
        if session.backlog.done {
            self.flush_live(id, at);
        } else {
            self.expect_batch_request(id);
        }
    }

    fn expect_batch_request(&mut self, id: ConnectionId) {
        let Some(session) = self.session(id) else { return };
        if !session.backlog.done && !session.backlog.asked {
            let timer = Timer::OfflineFallback(id, session.backlog.signs);
            self.timers.set(self.now_ms + ASK_WITHIN_MS, timer);
        }
    }

    fn preview(&mut self, id: ConnectionId, at: &DeviceRef) {
        let Some(total) = self.session(id).map(|session| session.backlog.total) else { return };
        if total > 0 {
            let kinds: Vec<(Kind, bool)> = self
                .device(at)
                .map(|device| {
                    let app_data = |node: &Node| node.str("type").as_deref() == Some("server_sync");
                    device.queue.iter().map(|entry| (entry.kind, app_data(&entry.node))).collect()
                })
                .unwrap_or_default();
            let count = |wanted: fn(&(Kind, bool)) -> bool| kinds.iter().filter(|kind| wanted(kind)).count();
            let preview = Node::new("offline_preview")
                .attr("count", total)
                .attr("message", count(|(kind, _)| matches!(kind, Kind::Message | Kind::OwnCopy)))
                .attr("receipt", count(|(kind, _)| *kind == Kind::Receipt))
                .attr("notification", count(|(kind, data)| *kind == Kind::Notification && !data))
                .attr("appdata", count(|(kind, data)| *kind == Kind::Notification && *data))
                .attr("call", count(|(kind, _)| *kind == Kind::Call));
            self.write(id, Node::new("ib").attr("from", Jid::service()).child(preview));
        }
        let gated = self.profile(&at.number) == Profile::Strict;
        self.write_batch(id, at, if gated { PRIMER } else { usize::MAX });
    }

    /// Writes up to `count` entries of the backlog, and the end marker behind the last.
    fn write_batch(&mut self, id: ConnectionId, at: &DeviceRef, count: usize) {
        for _ in 0..count {
            let Some(session) = self.session_mut(id) else { return };
            let Some(sequence) = session.backlog.waiting.pop_front() else { break };
            session.backlog.written += 1;
            let ordinal = session.backlog.written - 1;
            self.write_entry(at, id, sequence, Some(ordinal));
        }
        let Some(session) = self.session_mut(id) else { return };
        if !session.backlog.waiting.is_empty() || session.backlog.done {
            return;
        }
        session.backlog.done = true;
        let (total, active) = (session.backlog.total, session.active);
        let place = self.place(id);
        let struck = self.strike(&["F29"], &place).map(|strike| strike.kind);
        let total = if struck == Some("too-big") { total + 1000 } else { total };
        let marker = Node::new("offline").attr("count", total);
        if struck != Some("never") {
            self.write(id, Node::new("ib").attr("from", Jid::service()).child(marker));
        }
        self.write_dirty(id, at);
        self.write_chatstates(id, at);
        if active {
            self.flush_live(id, at);
        }
    }

    fn write_dirty(&mut self, id: ConnectionId, at: &DeviceRef) {
        let dirty = self.device(at).map(|device| device.dirty.clone()).unwrap_or_default();
        for (kind, t) in dirty {
            let dirty = Node::new("dirty").attr("type", kind).attr("timestamp", t);
            self.write(id, Node::new("ib").attr("from", Jid::service()).child(dirty));
        }
    }

    /// What came while the backlog was under way, or before `active`.
    fn flush_live(&mut self, id: ConnectionId, at: &DeviceRef) {
        let waiting: Vec<u64> = self
            .device(at)
            .map(|device| {
                let unsent = device.queue.iter().filter(|entry| entry.sent_on != Some(id));
                unsent.map(|entry| entry.sequence).collect()
            })
            .unwrap_or_default();
        for sequence in waiting {
            self.write_entry(at, id, sequence, None);
        }
    }

    /// `<ib>` from a client.
    pub(crate) fn info(&mut self, origin: &Origin, node: &Node) {
        let Some(id) = origin.connection else { return };
        let Some(batch) = node.find("offline_batch") else { return };
        let count = batch.u64("count").and_then(|count| usize::try_from(count).ok()).unwrap_or(PRIMER);
        let Some(session) = self.session_mut(id) else { return };
        if session.backlog.held || session.backlog.done {
            return;
        }
        session.backlog.asked = true;
        session.backlog.signs += 1;
        self.write_batch(id, &origin.device, count);
        self.expect_sign_of_life(id);
    }

    fn expect_sign_of_life(&mut self, id: ConnectionId) {
        let Some(session) = self.session(id) else { return };
        if !session.backlog.done {
            self.timers.set(self.now_ms + SILENT_MS, Timer::OfflineFallback(id, session.backlog.signs));
        }
    }

    pub(crate) fn offline_fallback(&mut self, id: ConnectionId, signs: u64) {
        let Some(session) = self.session(id) else { return };
        if session.backlog.done || session.backlog.signs != signs {
            return;
        }
        let at = session.device.clone();
        self.write_batch(id, &at, usize::MAX);
    }

    /// A receipt or an ack of a companion: takes out of the queue what it answers.
    pub(crate) fn answered(
        &mut self,
        origin: &Origin,
        ids: &[String],
        to: Option<&Jid>,
        answer: Answer<'_>,
    ) -> usize {
        let peer = to.map(|to| self.peer_key(to));
        let strict = self.is_strict(&origin.device.number);
        let Some(device) = self.device_mut(&origin.device) else { return 0 };
        let left = ids.iter().map(|id| device.queue.answer(id, peer.as_deref(), answer, strict)).sum();
        let Some(id) = origin.connection else { return left };
        let Some(session) = self.session_mut(id) else { return left };
        if session.backlog.asked && !session.backlog.done {
            session.backlog.signs += 1;
            self.expect_sign_of_life(id);
        }
        left
    }

    /// What an answer is matched by besides the id: the account, whichever form was used, else the text.
    pub(crate) fn peer_key(&self, jid: &Jid) -> String {
        match self.resolve(jid) {
            Some(at) => at.number,
            None => jid.without_device().to_string(),
        }
    }
}
