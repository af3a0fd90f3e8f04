//! Connecting and linking: R1, R2, R3, R6, R7, R8, R13.

use std::collections::BTreeSet;

use super::{BAN_S, HOUR_MS, MINUTE_MS};
use crate::clock::UnixMillis;
use crate::sim::rules::{DoubleLinkPolicy, Mode};
use crate::sim::world::connection::State;
use crate::sim::world::faults::Place;
use crate::sim::world::iq::Refusal;
use crate::sim::world::login::Failure;
use crate::sim::world::{ConnectionId, DeviceRef, World};

/// A connection that lived this long makes its end the server's matter (01 §19).
const SETTLED_MS: i64 = 30_000;
/// Logins whose intervals are compared.
const RHYTHM: usize = 11;

/// An upgrade request that is turned away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turned {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u64>,
    /// `Location`.
    pub location: Option<String>,
}

/// How the last connection of a device ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastEnd {
    /// How long it was logged in.
    pub lived_ms: i64,
    /// The server, or a fault, ended it.
    pub by_server: bool,
}

impl World {
    /// R1, and the faults that strike an upgrade request (F07, F11).
    pub(crate) fn admit(&mut self, source: &str) -> Result<(), Turned> {
        const RETRY_AFTER_S: u64 = 2;
        if self.is_down() {
            return Err(Turned { status: 503, ..Turned::default() });
        }
        let place = Place { source: Some(source.to_owned()), ..Place::default() };
        if let Some(strike) = self.strike(&["F11"], &place) {
            return Err(Turned {
                status: u16::try_from(strike.number("status", 503)).unwrap_or(503),
                location: strike.text("location").map(str::to_owned),
                retry_after: strike.params.get("retry_after").and_then(serde_json::Value::as_u64),
            });
        }
        let rule = self.rules.attempts.clone();
        let waiting = self
            .connections
            .values()
            .filter(|connection| connection.peer.source == source)
            .filter(|connection| matches!(connection.state, State::Handshake))
            .count();
        let book = self.limits.sources.entry(source.to_owned()).or_default();
        let attempts = waiting + book.upgrading + 1;
        if attempts > rule.max {
            let detail = format!("{attempts} attempts of {source} at once");
            if self.breach(rule.mode, (None, None), "parallel-connects", detail) {
                return Err(Turned { status: 429, retry_after: Some(RETRY_AFTER_S), location: None });
            }
        }
        self.limits.sources.entry(source.to_owned()).or_default().upgrading += 1;
        Ok(())
    }

    /// An upgrade that was let in has become a connection, or nothing.
    pub(crate) fn upgraded(&mut self, source: &str) {
        if let Some(book) = self.limits.sources.get_mut(source) {
            book.upgrading = book.upgrading.saturating_sub(1);
        }
    }

    /// R2, R3, R8 and R13, at the login of a linked device.
    pub(crate) fn judge_login(&mut self, id: ConnectionId, at: &DeviceRef) -> Result<(), Failure> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let (source, opened) = (connection.peer.source.clone(), connection.opened_ms);
        let book = self.limits.devices.entry(at.clone()).or_default();
        book.source = Some(source.clone());
        // The first login follows a 515.
        let first = !std::mem::replace(&mut book.logged_in, true);
        let judged = if first { Ok(()) } else { self.judge_spacing(id, at, (&source, opened)) };
        let judged = judged.and(if first { Ok(()) } else { self.judge_reconnects(id, at) });
        if judged.is_ok() {
            self.judge_live(id, at, &source)?;
            self.judge_rhythm(at, &source);
        }
        judged
    }

    fn judge_spacing(
        &mut self,
        id: ConnectionId,
        at: &DeviceRef,
        (source, opened): (&str, UnixMillis),
    ) -> Result<(), Failure> {
        let rule = self.rules.spacing.clone();
        let book = self.limits.sources.entry(source.to_owned()).or_default();
        let last = book.last_login.replace((at.clone(), opened));
        let close =
            last.filter(|(other, before)| other != at && opened - before < rule.min_ms - rule.tolerance_ms);
        let Some((other, before)) = close else { return Ok(()) };
        let detail = format!("{} ms after {}:{}", opened - before, other.number, other.device);
        let who = (Some(at.number.as_str()), Some(id));
        if self.breach(rule.mode, who, "login-spacing", detail) { Err(Failure::new(503)) } else { Ok(()) }
    }

    fn judge_reconnects(&mut self, id: ConnectionId, at: &DeviceRef) -> Result<(), Failure> {
        let rule = self.rules.reconnects.clone();
        let now = self.now_ms;
        let book = self.limits.devices.entry(at.clone()).or_default();
        if book.last_end.take().is_some_and(|end| end.by_server && end.lived_ms >= SETTLED_MS) {
            return Ok(());
        }
        book.reconnects.note(now);
        let (minute, hour) = (book.reconnects.within(now, MINUTE_MS), book.reconnects.within(now, HOUR_MS));
        if minute <= rule.per_min && hour <= rule.per_hour {
            return Ok(());
        }
        let detail = format!("{minute} reconnects in a minute, {hour} in an hour");
        if !self.breach(rule.mode, (Some(&at.number), Some(id)), "reconnect-storm", detail) {
            return Ok(());
        }
        let storm = minute >= 3 * rule.per_min || hour >= 3 * rule.per_hour;
        Err(if storm { Failure::banned(101, BAN_S) } else { Failure::new(503) })
    }

    fn judge_live(&mut self, id: ConnectionId, at: &DeviceRef, source: &str) -> Result<(), Failure> {
        let rule = self.rules.live_connections.clone();
        let others = self.connections.iter().filter(|(other, connection)| {
            **other != id && connection.peer.source == source && connection.session().is_some()
        });
        // A device's own earlier connection is about to be replaced.
        let others = others.filter(|(_, other)| other.session().is_none_or(|session| session.device != *at));
        let live = others.count() + 1;
        if live <= rule.max {
            return Ok(());
        }
        let detail = format!("{live} live connections of {source}");
        let refuse = self.breach(rule.mode, (Some(&at.number), Some(id)), "connections-per-source", detail);
        if refuse { Err(Failure::new(503)) } else { Ok(()) }
    }

    /// R13: a report, never more.
    fn judge_rhythm(&mut self, at: &DeviceRef, source: &str) {
        let (now, mode) = (self.now_ms, self.rules.synchronised.mode.min(Mode::Report));
        let book = self.limits.sources.entry(source.to_owned()).or_default();
        book.logins.push_back((now, at.number.clone()));
        if book.logins.len() > RHYTHM {
            book.logins.pop_front();
        }
        let second = book.logins.iter().filter(|(at, _)| now - at < 1000);
        let accounts: BTreeSet<&String> = second.map(|(_, number)| number).collect();
        let times: Vec<UnixMillis> = book.logins.iter().map(|(at, _)| *at).collect();
        let detail = if accounts.len() > 3 {
            format!("{} accounts of {source} within a second", accounts.len())
        } else if times.len() == RHYTHM && is_regular(&times) {
            format!("logins of {source} at equal intervals")
        } else {
            return;
        };
        book.logins.clear();
        self.breach(mode, (None, None), "synchronised-fleet", detail);
    }

    /// How a device's connection ended, for R3.
    pub(crate) fn note_end(&mut self, at: &DeviceRef, end: LastEnd) {
        self.limits.devices.entry(at.clone()).or_default().last_end = Some(end);
    }

    /// R6: a companion is gone; its number rests at its source.
    pub(crate) fn begin_cooldown(&mut self, at: &DeviceRef) {
        let rule = self.rules.cooldown.clone();
        let book = self.limits.devices.remove(at).unwrap_or_default();
        let Some(source) = book.source.filter(|_| rule.mode != Mode::Off) else { return };
        let spread = rule.max_s.saturating_sub(rule.min_s);
        let drawn = u64::from_be_bytes(self.random());
        let seconds = rule.min_s + if spread == 0 { 0 } else { drawn % (spread + 1) };
        let until = self.now_ms + i64::try_from(seconds).unwrap_or(0) * 1000;
        self.limits.cooldowns.retain(|_, until| *until > self.now_ms);
        self.limits.told.remove(&(at.number.clone(), source.clone()));
        self.limits.cooldowns.insert((at.number.clone(), source), until);
    }

    /// R6: whether a number may be linked from here; refused, after how many seconds it may.
    pub(crate) fn judge_cooldown(&mut self, number: &str, id: ConnectionId) -> Result<(), i64> {
        let mode = self.rules.cooldown.mode;
        let Some(source) = self.connections.get(&id).map(|connection| connection.peer.source.clone()) else {
            return Ok(());
        };
        let until = self.limits.cooldowns.get(&(number.to_owned(), source)).copied().unwrap_or_default();
        if until <= self.now_ms {
            return Ok(());
        }
        let rest = (until - self.now_ms + 999).div_euclid(1000);
        let detail = format!("{rest} s before the rest after a logout is over");
        if self.breach(mode, (Some(number), Some(id)), "cooldown-login", detail) { Err(rest) } else { Ok(()) }
    }

    /// How long the number may not be linked from where it was, seconds.
    pub(crate) fn cooldown_rest_s(&self, number: &str) -> i64 {
        let resting = self.limits.cooldowns.iter().filter(|((resting, _), _)| resting == number);
        resting.map(|(_, until)| (until - self.now_ms + 999).div_euclid(1000)).max().unwrap_or(0)
    }

    /// R6: a login of a device that is linked no more. The first is how it learns of that.
    pub(crate) fn judge_dead_login(&mut self, id: ConnectionId, number: &str) {
        let Some(source) = self.connections.get(&id).map(|connection| connection.peer.source.clone()) else {
            return;
        };
        let key = (number.to_owned(), source);
        if self.limits.cooldowns.get(&key).is_some_and(|until| *until > self.now_ms)
            && !self.limits.told.insert(key)
        {
            let detail = "a login of an unlinked device during the rest after its logout".to_owned();
            self.breach(self.rules.cooldown.mode, (Some(number), Some(id)), "cooldown-login", detail);
        }
    }

    /// R7, before a scan is taken.
    pub(crate) fn refuses_double_link(&self, number: &str, kind: (&str, i32)) -> Result<(), Refusal> {
        let rule = &self.rules.double_link;
        let refuses =
            rule.policy == DoubleLinkPolicy::Refuse && self.mode_for(number, rule.mode) == Mode::Enforce;
        if refuses && !self.same_kind(number, kind).is_empty() {
            return Err(Refusal { code: 409, text: "double-link" });
        }
        Ok(())
    }

    /// R7, after a pairing is complete.
    pub(crate) fn judge_double_link(&mut self, id: ConnectionId, at: &DeviceRef) {
        let rule = self.rules.double_link.clone();
        let pairing = self.device(at).and_then(|device| device.pairing.as_ref());
        let Some(kind) = pairing.map(|pairing| (pairing.os.clone(), pairing.platform_type)) else { return };
        let mut older = self.same_kind(&at.number, (&kind.0, kind.1));
        older.retain(|device| *device != at.device);
        if older.is_empty() || rule.policy == DoubleLinkPolicy::Both {
            return;
        }
        let detail = format!("a second companion on {}", kind.0);
        let enforced = self.breach(rule.mode, (Some(&at.number), Some(id)), "double-link", detail);
        if enforced && rule.policy == DoubleLinkPolicy::Replace {
            for device in older {
                self.unlink(&DeviceRef::new(&at.number, device));
            }
        }
    }

    fn same_kind(&self, number: &str, (os, platform): (&str, i32)) -> Vec<u16> {
        let companions = self.accounts.get(number).into_iter().flat_map(|account| account.companions());
        let same = companions.filter(|(_, device)| {
            let pairing = device.pairing.as_ref().filter(|_| !device.driven);
            pairing.is_some_and(|pairing| pairing.os == os && pairing.platform_type == platform)
        });
        same.map(|(id, _)| id).collect()
    }
}

/// A coefficient of variation of the intervals below 0.05.
fn is_regular(times: &[UnixMillis]) -> bool {
    let gaps: Vec<f64> =
        times.windows(2).filter_map(|pair| Some((pair.last()? - pair.first()?) as f64)).collect();
    let count = gaps.len().max(1) as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
    mean > 0.0 && variance.sqrt() / mean < 0.05
}
