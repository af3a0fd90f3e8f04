//! A runner without a network: it does at once what is decided and remembers it.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::fleet::scheduler::*;
use crate::fleet::{At, Limits};

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn id(n: usize) -> AccountId {
    AccountId::new(&format!("user-{n}")).unwrap()
}

pub(super) fn number(n: usize) -> Number {
    Number { pn: Some(format!("1555{n:07}")), lid: Some(format!("1000000000{n:05}")) }
}

pub(super) fn known(egress: &str, linked: Option<Number>) -> Known {
    Known {
        egress: Egress(egress.to_owned()),
        desired: Desired::Running,
        linked,
        cooldown_until: None,
        links: Vec::new(),
    }
}

/// A dial that was decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) at: At,
    pub(super) account: AccountId,
    pub(super) purpose: Purpose,
}

pub(super) struct World {
    pub(super) scheduler: Scheduler,
    pub(super) now: At,
    pub(super) dials: Vec<Dial>,
    pub(super) notices: Vec<Notice>,
    pub(super) refused: Vec<AccountId>,
    /// Open connections: dial by account.
    pub(super) open: BTreeMap<AccountId, u64>,
    closing: Vec<(AccountId, u64)>,
}

impl World {
    pub(super) fn with(limits: Limits, seed: u64, after_wipe: bool) -> Self {
        let now = At(1_800_000_000_000);
        let rng = Box::new(ChaCha20Rng::seed_from_u64(seed));
        Self {
            scheduler: Scheduler::new(limits, rng, now, after_wipe),
            now,
            dials: Vec::new(),
            notices: Vec::new(),
            refused: Vec::new(),
            open: BTreeMap::new(),
            closing: Vec::new(),
        }
    }

    /// `n` linked accounts on one egress, all wanted.
    pub(super) fn linked(n: usize) -> Self {
        let mut world = Self::with(Limits::default(), 7, false);
        for k in 0..n {
            world.scheduler.add(id(k), known("direct", Some(number(k))), world.now);
        }
        world.act();
        world
    }

    /// `n` accounts on one egress that were never linked.
    pub(super) fn unlinked(n: usize) -> Self {
        let mut world = Self::with(Limits::default(), 7, false);
        for k in 0..n {
            world.scheduler.add(
                id(k),
                Known { desired: Desired::Stopped, ..known("direct", None) },
                world.now,
            );
        }
        world.act();
        world
    }

    /// Does what was decided.
    pub(super) fn act(&mut self) {
        for decision in self.scheduler.decisions() {
            match decision {
                Decision::Connect { account, dial, purpose } => {
                    assert_eq!(
                        self.open.insert(account.clone(), dial),
                        None,
                        "a second connection of {account}"
                    );
                    self.dials.push(Dial { at: self.now, account, purpose });
                }
                Decision::Disconnect { account, dial } => self.closing.push((account, dial)),
                Decision::RefusePairing { account, dial } => {
                    self.refused.push(account.clone());
                    self.closing.push((account, dial));
                }
                Decision::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// Closes what was ordered to be closed.
    pub(super) fn close_ordered(&mut self) {
        for (account, dial) in std::mem::take(&mut self.closing) {
            if self.open.get(&account) == Some(&dial) {
                self.open.remove(&account);
                self.scheduler.seen(&account, dial, Seen::Closed(Closed::Asked), self.now);
            }
        }
        self.act();
    }

    /// Time passes; every tick comes when it is due.
    pub(super) fn wait(&mut self, duration: Duration) {
        self.wait_judged(duration, |_| {});
    }

    /// The same, with a look at every moment at which something may have been done.
    pub(super) fn wait_judged(&mut self, duration: Duration, mut judge: impl FnMut(&Self)) {
        let end = self.now + duration;
        self.close_ordered();
        let mut ticks = 0;
        while let Some(wake) = self.scheduler.wake_at(self.now).filter(|wake| *wake <= end) {
            ticks += 1;
            assert!(ticks < 5_000, "a tight loop at {wake:?}");
            self.now = wake;
            self.scheduler.tick(self.now);
            self.act();
            judge(self);
            self.close_ordered();
        }
        self.now = end;
        self.scheduler.tick(self.now);
        self.act();
        self.close_ordered();
    }

    pub(super) fn command(&mut self, n: usize, command: Command) -> Answer {
        let answer = self.scheduler.command(&id(n), command, self.now);
        self.act();
        answer
    }

    /// Something is seen of the account's connection, if it has one.
    pub(super) fn see(&mut self, n: usize, seen: Seen) {
        let account = id(n);
        let Some(dial) = self.open.get(&account).copied() else { return };
        if matches!(seen, Seen::Closed(_)) {
            self.open.remove(&account);
        }
        self.scheduler.seen(&account, dial, seen, self.now);
        self.act();
    }

    /// The account's connection comes up.
    pub(super) fn succeed(&mut self, n: usize) {
        self.see(n, Seen::LoggedIn);
        self.see(n, Seen::Ready);
    }

    /// Every connection that comes up within the time becomes ready at once.
    pub(super) fn let_all_succeed(&mut self, accounts: usize, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.wait(Duration::from_millis(500));
            for n in 0..accounts {
                if self.state(n) == "connecting" {
                    self.succeed(n);
                }
            }
        }
    }

    pub(super) fn state(&self, n: usize) -> &'static str {
        self.scheduler.state(&id(n)).map_or("gone", State::name)
    }

    /// Waits, at most ten minutes, until the account dials.
    pub(super) fn wait_dial(&mut self, n: usize) {
        for _ in 0..600 {
            if self.open.contains_key(&id(n)) {
                return;
            }
            self.wait(seconds(1));
        }
        panic!("{} never dials: {:?}", id(n), self.scheduler.state(&id(n)));
    }

    /// Links an account to a number, all the way to ready.
    pub(super) fn link(&mut self, n: usize, number: Number) {
        let answer = self.command(n, Command::Link { force: false });
        assert!(matches!(answer.outcome, Outcome::Queued(_)), "{answer:?}");
        self.wait_dial(n);
        self.see(n, Seen::Step(LinkStep::Qr));
        self.see(n, Seen::Paired(number));
        self.succeed(n);
    }
}

impl World {
    /// Waits until anybody dials once more.
    pub(super) fn wait_dial_within(&mut self, limit: Duration) {
        let (before, end) = (self.dials.len(), self.now + limit);
        while self.dials.len() == before && self.now < end {
            self.wait(seconds(10));
        }
        assert!(self.dials.len() > before, "nobody dials within {limit:?}");
    }
}
