//! Messages under a restriction: what is refused, what is counted, and what is a violation (09 §23 R16).

use super::{Restricted, World};
use crate::sim::rules::Mode;
use crate::sim::violations::Fault;
use crate::sim::world::checks::Objection;
use crate::sim::world::{Ban, Origin};

/// What is in flight when a restriction is announced is no fault.
const IN_FLIGHT_MS: i64 = 5_000;
/// How long a token counts (09 §18 no. 2).
const TOKEN_MS: i64 = 28 * 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// So many within an hour end in a ban.
const PATIENCE: usize = 3;

impl World {
    /// Check 5 for the sender's own restrictions: 463 under a time-lock, 475 beyond the cap.
    pub(crate) fn check_restrictions(&mut self, origin: &Origin, peer: &str) -> Result<(), Objection> {
        if origin.connection.is_none() || self.is_exempt(origin, peer) {
            return Ok(());
        }
        let number = origin.device.number.as_str();
        let Some(kept) = self.restricted(number) else { return Ok(()) };
        if kept.timelock.is_some() {
            self.under_restriction(origin, "timelock");
            self.known(&origin.device.number, "timelock");
            return Err(Objection::new(463, "", ""));
        }
        let Some(cap) = &kept.cap else { return Ok(()) };
        let forced = cap.status.as_deref() == Some("CAPPED");
        let first = is_first(kept, peer);
        if forced || first && cap.used >= cap.quota {
            self.under_restriction(origin, "cap");
            self.known(&origin.device.number, "cap");
            return Err(Objection::new(475, "", ""));
        }
        if first {
            self.count_new_chat(number, peer);
        }
        Ok(())
    }

    fn count_new_chat(&mut self, number: &str, peer: &str) {
        let Some(kept) = self.restricted.get_mut(number) else { return };
        kept.counted.insert(peer.to_owned());
        let Some(cap) = kept.cap.as_mut() else { return };
        let before = cap.status().to_owned();
        cap.used += 1;
        if cap.status() != before {
            self.announce_cap(number);
        }
    }

    /// Somebody wrote to an account: a message of it there is an answer.
    pub(crate) fn heard_from(&mut self, number: &str, by: &str) {
        if let Some(kept) = self.restricted.get_mut(number).filter(|kept| kept.cap.is_some()) {
            kept.heard.insert(by.to_owned());
        }
    }

    /// Chats that no restriction of the sender closes: its own, businesses, and those whose token it holds.
    fn is_exempt(&self, origin: &Origin, peer: &str) -> bool {
        let number = &origin.device.number;
        let Some(account) = self.accounts.get(peer) else { return true };
        let token = account.tokens.get(number).is_some_and(|(_, at)| self.now_ms - at < TOKEN_MS);
        peer == number || account.business || account.pn.is_bot() || token
    }

    /// The error and backoff of every message's ack, while one is in force.
    pub(crate) fn message_backoff(&mut self, origin: &Origin) -> Option<(u16, i64)> {
        let now = self.now_ms;
        let number = origin.connection.map(|_| origin.device.number.clone())?;
        let backoff = self.restricted(&number)?.messages.as_ref().filter(|backoff| backoff.until > now)?;
        let answer = (backoff.error, ((backoff.until - now) / 1000).max(1));
        self.under_restriction(origin, "messages");
        self.known(&number, "messages");
        Some(answer)
    }

    /// A client acts against a restriction. It is a fault if it could know for some seconds; the third in an hour is
    /// a ban, if R16 is enforced.
    pub(super) fn under_restriction(&mut self, origin: &Origin, part: &str) {
        let now = self.now_ms;
        let told = self.restricted(&origin.device.number).and_then(|kept| kept.told.get(part)).copied();
        if told.is_none_or(|told| now - told <= IN_FLIGHT_MS) {
            return;
        }
        self.rule_fault(origin, "restriction-ignored", format!("against {part}"));
        let Some(kept) = self.restricted.get_mut(&origin.device.number) else { return };
        kept.ignored.retain(|at| now - at < HOUR_MS);
        kept.ignored.push(now);
        if kept.ignored.len() >= PATIENCE && self.rules.restrictions.mode == Mode::Enforce {
            self.ban(&origin.device.number, Some(Ban { reason: 402, code: 101, expire: 3600 }), None);
        }
    }

    /// Records a breach of R16.
    pub(super) fn rule_fault(&mut self, origin: &Origin, code: &'static str, detail: String) {
        if origin.connection.is_none() || self.rules.restrictions.mode == Mode::Off {
            return;
        }
        let fault = Fault {
            account: Some(&origin.device.number),
            connection: origin.connection,
            code,
            detail,
            sample: self.traffic.last_cursor(),
        };
        self.violations.record(self.now_ms, fault);
    }
}

/// Whether a message begins a chat of this cycle.
fn is_first(kept: &Restricted, peer: &str) -> bool {
    !kept.counted.contains(peer) && !kept.heard.contains(peer)
}
