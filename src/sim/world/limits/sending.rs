//! What accounts send: R4, R5, R9, R10, R11, R12, R14.

use super::{HOUR_MS, MINUTE_MS};
use crate::crypto::sha256;
use crate::sim::rules::Mode;
use crate::sim::world::checks::Objection;
use crate::sim::world::timers::Timer;
use crate::sim::world::{DeviceRef, Origin, World};
use crate::wire::Node;

const BURST_MS: i64 = 5000;
/// Hard breaches within this time make a ban.
const BREACHES_MS: i64 = 600_000;
const BREACHES: usize = 3;

impl World {
    /// R4, for a message that is new (no resend, no repeated id, no peer message).
    pub(crate) fn judge_message_rate(&mut self, origin: &Origin) -> Result<(), Objection> {
        let Some(connection) = origin.connection else { return Ok(()) };
        let (now, rule) = (self.now_ms, self.rules.message_rate.clone());
        let number = origin.device.number.clone();
        let book = self.limits.accounts.entry(number.clone()).or_default();
        let (minute, burst) =
            (book.messages.within(now, MINUTE_MS) + 1, book.messages.within(now, BURST_MS) + 1);
        let who = (Some(number.as_str()), Some(connection));
        let detail = format!("{minute} messages in a minute, {burst} in 5 s");
        if minute > rule.hard_per_min || burst > rule.burst_5s {
            if self.breach(rule.mode, who, "rate-hard", detail) {
                let book = self.limits.accounts.entry(number.clone()).or_default();
                book.hard_breaches.note(now);
                if book.hard_breaches.within(now, BREACHES_MS) >= BREACHES {
                    self.rule_ban(&number, 101);
                }
                return Err(Objection::new(429, "", ""));
            }
        } else if minute > rule.soft_per_min {
            self.breach(rule.mode, who, "rate-soft", detail);
        }
        self.limits.accounts.entry(number).or_default().messages.note(now);
        Ok(())
    }

    /// R5, for a message to a user.
    pub(crate) fn judge_outreach(&mut self, origin: &Origin, peer: &str) -> Result<(), Objection> {
        let number = origin.device.number.clone();
        let (Some(connection), true) = (origin.connection, peer != number) else { return Ok(()) };
        let (now, rule) = (self.now_ms, self.rules.outreach.clone());
        let book = self.limits.accounts.entry(number.clone()).or_default();
        if book.wrote.contains(peer) || book.chats.contains(peer) {
            return Ok(());
        }
        let hour = book.new_chats.within(now, HOUR_MS) + 1;
        let cycle = book.cycle_chats.within(now, rule.cycle_s.saturating_mul(1000)) + 1;
        let capped = rule.cap_per_cycle > 0 && cycle > rule.cap_per_cycle;
        if hour > rule.per_hour || capped {
            let detail = format!("{hour} new chats in an hour, {cycle} in the cycle");
            if self.breach(rule.mode, (Some(&number), Some(connection)), "cold-outreach", detail) {
                if let Ok(seconds @ 1..) = u64::try_from(rule.timelock_s) {
                    self.set_timelock(&number, Some(("DEFAULT".to_owned(), Some(seconds))), true);
                }
                return Err(Objection::new(if capped { 475 } else { 463 }, "", ""));
            }
        }
        let book = self.limits.accounts.entry(number).or_default();
        book.new_chats.note(now);
        book.cycle_chats.note(now);
        book.chats.insert(peer.to_owned());
        Ok(())
    }

    /// A message was routed from one account to another.
    pub(crate) fn note_written(&mut self, from: &str, to: &str) {
        if from != to {
            self.limits.accounts.entry(to.to_owned()).or_default().wrote.insert(from.to_owned());
        }
    }

    /// R9: one more retry receipt for a message, or one more resend of it; whether it is dropped.
    pub(crate) fn judge_retry(&mut self, by: &Origin, id: &str, other: &DeviceRef) -> bool {
        let Some(connection) = by.connection else { return false };
        let (now, rule) = (self.now_ms, self.rules.retry_excess.clone());
        self.limits.retries.retain(|_, (_, at)| now - *at < HOUR_MS);
        let key = (by.device.clone(), id.to_owned(), other.clone());
        let (count, at) = self.limits.retries.entry(key).or_default();
        (*count, *at) = (*count + 1, now);
        let count = *count;
        if count <= rule.max {
            return false;
        }
        let number = by.device.number.clone();
        let detail = format!("{count} retries of one message");
        self.breach(rule.mode, (Some(&number), Some(connection)), "retry-excess", detail)
    }

    /// R10 and `--usync-throttle`; whether the query is refused.
    pub(crate) fn judge_usync(&mut self, origin: &Origin, contact: bool, users: usize) -> bool {
        let Some(connection) = origin.connection else { return false };
        let (now, rule, throttle) = (self.now_ms, self.rules.usync_rate.clone(), self.config.usync_per_min);
        let number = origin.device.number.clone();
        let book = self.limits.accounts.entry(number.clone()).or_default();
        let (excess, all) = if contact {
            (0..users).for_each(|_| book.looked_up.note(now));
            book.contact_queries.note(now);
            let numbers = book.looked_up.within(now, MINUTE_MS) > rule.numbers_per_min;
            let queries = book.contact_queries.within(now, MINUTE_MS);
            (numbers || queries > rule.contact_per_min, queries)
        } else {
            book.other_queries.note(now);
            let queries = book.other_queries.within(now, MINUTE_MS);
            (queries > rule.other_per_min, queries)
        };
        let detail = if contact { "look-ups of numbers" } else { "queries" };
        let refused = excess
            && self.breach(rule.mode, (Some(&number), Some(connection)), "usync-rate", detail.to_owned());
        refused || throttle.is_some_and(|limit| all > limit)
    }

    /// R11: a phone has read a text of another account's companion.
    pub(crate) fn judge_text(&mut self, from: &str, recipient: &str, text: &str) {
        let (now, rule) = (self.now_ms, self.rules.bulk_identical.clone());
        let window = rule.window_s.saturating_mul(1000);
        let book = self.limits.accounts.entry(from.to_owned()).or_default();
        if from == recipient || rule.mode == Mode::Off || book.wrote.contains(recipient) {
            return;
        }
        book.texts.retain(|_, sent| sent.back().is_some_and(|(at, _)| now - at < window));
        let sent = book.texts.entry(sha256(text.as_bytes())).or_default();
        sent.retain(|(at, number)| now - at < window && number != recipient);
        sent.push_back((now, recipient.to_owned()));
        let count = sent.len();
        if count <= rule.recipients {
            return;
        }
        let detail = format!("one text to {count} who never wrote");
        let connection = self.sessions().find(|(_, session)| session.device.number == from).map(|(id, _)| id);
        let enforced = self.breach(rule.mode, (Some(from), connection), "bulk-identical", detail);
        if enforced && count >= 2 * rule.recipients {
            self.rule_ban(from, 104);
        }
    }

    /// R12: groups made and members added by a client; refused, the answer's error.
    pub(crate) fn judge_groups(&mut self, origin: &Origin, iq: &Node, child: &str) -> Option<Node> {
        let connection = origin.connection?;
        let (now, rule) = (self.now_ms, self.rules.group_rate.clone());
        let number = origin.device.number.clone();
        let added = iq.find(child).map_or(0, |change| change.find_all("participant").count());
        let book = self.limits.accounts.entry(number.clone()).or_default();
        let (window, limit, what) = match child {
            "create" => {
                book.groups_made.note(now);
                (&book.groups_made, rule.creates_per_hour, "groups made")
            }
            "add" => {
                (0..added).for_each(|_| book.members_added.note(now));
                (&book.members_added, rule.adds_per_hour, "members added")
            }
            _ => return None,
        };
        let (count, rest) = (window.within(now, HOUR_MS), window.rest_ms(now, HOUR_MS));
        if count <= limit {
            return None;
        }
        let detail = format!("{count} {what} in an hour");
        if !self.breach(rule.mode, (Some(&number), Some(connection)), "group-rate", detail) {
            return None;
        }
        let backoff = (rest + 999).div_euclid(1000).max(1);
        let error = Node::new("error")
            .attr("code", "429")
            .attr("text", "rate-overlimit")
            .child(Node::new("rate_limit").attr("backoff", backoff).attr("type", "user"));
        if count >= 2 * limit {
            self.rule_ban(&number, 103);
        }
        Some(error)
    }

    /// R14: an account has become available, or has gone.
    pub(crate) fn note_presence(&mut self, number: &str, available: bool) {
        let (now, hours) = (self.now_ms, self.rules.always_online.hours);
        let book = self.limits.accounts.entry(number.to_owned()).or_default();
        if !available {
            book.available_since = None;
        } else if book.available_since.is_none() {
            book.available_since = Some(now);
            let at = now.saturating_add(hours.saturating_mul(HOUR_MS)).saturating_add(1);
            self.timers.set(at, Timer::AlwaysOnline(number.to_owned(), now));
        }
    }

    /// The time of [`World::note_presence`] is over.
    pub(crate) fn always_online(&mut self, number: &str, since: i64) {
        let book = self.limits.accounts.get(number);
        if book.is_none_or(|book| book.available_since != Some(since)) {
            return;
        }
        let mode = self.rules.always_online.mode.min(Mode::Report);
        let detail = format!("available for more than {} hours", self.rules.always_online.hours);
        self.breach(mode, (Some(number), None), "always-online", detail);
    }
}
