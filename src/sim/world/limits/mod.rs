//! The operating rules R1 to R14 (09 §23): what the world remembers of sources, accounts and devices, and what it says at
//! a breach. None of it is part of the written state.
//!
//! | file | subject |
//! |---|---|
//! | `logins` | R1, R2, R3, R6, R7, R8, R13 |
//! | `sending` | R4, R5, R9, R10, R11, R12, R14 |

mod logins;
mod sending;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Ban, ConnectionId, DeviceRef, World};
use crate::clock::UnixMillis;
use crate::sim::config::Profile;
use crate::sim::rules::Mode;
use crate::sim::violations::Fault;

pub(crate) use logins::{LastEnd, Turned};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// A ban of a rule, unless the rule names another.
const BAN_S: u64 = 600;

/// Everything that the rules remember.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    sources: BTreeMap<String, Source>,
    accounts: BTreeMap<String, Book>,
    devices: BTreeMap<DeviceRef, DeviceBook>,
    /// (number, source): until when a logout rests.
    cooldowns: BTreeMap<(String, String), UnixMillis>,
    /// Those of `cooldowns` whose device was told that it is unlinked.
    told: BTreeSet<(String, String)>,
    /// Retry receipts and resends: (author, id, other side).
    retries: BTreeMap<(DeviceRef, String, DeviceRef), (u32, UnixMillis)>,
}

/// What is known of a source.
#[derive(Debug, Default)]
struct Source {
    /// Upgrades that were let in and have not become connections yet.
    upgrading: usize,
    last_login: Option<(DeviceRef, UnixMillis)>,
    logins: VecDeque<(UnixMillis, String)>,
}

/// What is known of an account.
#[derive(Debug, Default)]
struct Book {
    messages: Window,
    hard_breaches: Window,
    new_chats: Window,
    cycle_chats: Window,
    /// Accounts that it wrote to.
    chats: BTreeSet<String>,
    /// Accounts that wrote to it.
    wrote: BTreeSet<String>,
    looked_up: Window,
    contact_queries: Window,
    other_queries: Window,
    /// Recipients of a text who never wrote, by the text's hash.
    texts: BTreeMap<[u8; 32], VecDeque<(UnixMillis, String)>>,
    groups_made: Window,
    members_added: Window,
    available_since: Option<UnixMillis>,
}

/// What is known of a device.
#[derive(Debug, Default)]
struct DeviceBook {
    logged_in: bool,
    reconnects: Window,
    last_end: Option<LastEnd>,
    source: Option<String>,
}

/// Times within a sliding window, oldest first.
#[derive(Debug, Default)]
struct Window(VecDeque<UnixMillis>);

impl Window {
    fn note(&mut self, now: UnixMillis) {
        const KEPT: usize = 4096;
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    fn within(&self, now: UnixMillis, ms: i64) -> usize {
        self.0.iter().rev().take_while(|at| now - **at < ms).count()
    }

    /// How long until the oldest within the window is out of it.
    fn rest_ms(&self, now: UnixMillis, ms: i64) -> i64 {
        self.0.iter().find(|at| now - **at < ms).map_or(0, |at| at + ms - now)
    }
}

impl World {
    /// A rule's mode for an account: a lenient account is reported only, one of `bench` is not judged.
    fn mode_for(&self, number: &str, mode: Mode) -> Mode {
        match self.accounts.get(number).and_then(|account| account.profile) {
            Some(Profile::Lenient | Profile::Crude) => mode.min(Mode::Report),
            Some(Profile::Bench) => Mode::Off,
            Some(Profile::Strict) | None => mode,
        }
    }

    /// Records a breach; whether it is to be answered as the rule says.
    fn breach(
        &mut self,
        mode: Mode,
        (account, connection): (Option<&str>, Option<ConnectionId>),
        code: &'static str,
        detail: String,
    ) -> bool {
        let mode = account.map_or(mode, |number| self.mode_for(number, mode));
        if mode == Mode::Off {
            return false;
        }
        let sample = connection.and_then(|_| self.traffic.last_cursor());
        self.violations.record(self.now_ms, Fault { account, connection, code, detail, sample });
        mode == Mode::Enforce
    }

    /// A ban by a rule, which ends by itself.
    fn rule_ban(&mut self, number: &str, code: u16) {
        let until = self.now_ms + i64::try_from(BAN_S).unwrap_or(i64::MAX / 2) * 1000;
        self.ban(number, Some(Ban { reason: 402, code, expire: BAN_S }), None);
        if let Some(account) = self.accounts.get_mut(number) {
            account.ban_until = Some(until);
        }
    }

    /// A ban whose time is over is no ban.
    pub(crate) fn lift_ended_ban(&mut self, number: &str) {
        let now = self.now_ms;
        let Some(until) = self.accounts.get(number).and_then(|account| account.ban_until) else { return };
        let Some(account) = self.accounts.get_mut(number) else { return };
        if until <= now {
            (account.ban, account.ban_until) = (None, None);
        } else if let Some(ban) = &mut account.ban {
            ban.expire = u64::try_from((until - now).div_euclid(1000).max(1)).unwrap_or(1);
        }
    }
}
