//! The queue: who is taken when, per egress, and the gate through which links go one by one.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::RngExt as _;
use rand_core::CryptoRng;

use super::account::{Account, Class, Socket};
use super::{AccountId, Decision, Desired, Egress, Place, Purpose, Recent, Scheduler, State};
use crate::fleet::At;

/// What one egress remembers.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// No account is taken from the queue before this.
    next_take: At,
    /// Log-outs of the last hour (SR-088).
    pub(super) logouts: Recent,
}

impl Scheduler {
    /// Puts an account at the end of its class.
    pub(super) fn enqueue(&mut self, id: &AccountId, purpose: Purpose, class: Class) {
        let ticket = (class, self.next_number());
        if let Some(account) = self.accounts.get_mut(id) {
            account.state = State::Queued { purpose, starts_at: None };
            account.ticket = ticket;
        }
    }

    /// Everything that is due: ends of backoffs, takes from the queues, dials.
    pub(super) fn advance(&mut self, now: At) {
        self.end_backoffs(now);
        let lanes: Vec<_> = self.lanes.keys().cloned().collect();
        for egress in &lanes {
            while let Some(id) = self.next_of(egress, now) {
                self.take(&id, egress, now);
            }
        }
        self.dial_those_due(now);
    }

    fn end_backoffs(&mut self, now: At) {
        let due =
            |account: &Account| matches!(account.state, State::Backoff { retry_at, .. } if retry_at <= now);
        let ended: Vec<_> =
            self.accounts.iter().filter(|(_, account)| due(account)).map(|(id, _)| id.clone()).collect();
        for id in ended {
            let linked = self.accounts.get(&id).is_some_and(|account| account.linked.is_some());
            let purpose = if linked { Purpose::Resume } else { Purpose::Link };
            self.enqueue(&id, purpose, Class::ByItself);
        }
    }

    /// The account that is to be taken now, if one is.
    fn next_of(&self, egress: &Egress, now: At) -> Option<AccountId> {
        let lane = self.lanes.get(egress)?;
        if lane.next_take > now || !self.has_place(egress) {
            return None;
        }
        self.line(egress)
            .into_iter()
            .find(|id| self.may_start_at(id, now).is_some_and(|at| at <= now))
            .cloned()
    }

    /// Those who wait on an egress, first come first.
    fn line(&self, egress: &Egress) -> Vec<&AccountId> {
        let waiting = |account: &Account| account.egress == *egress && account.waits().is_some();
        let mut line: Vec<_> = self.accounts.iter().filter(|(_, account)| waiting(account)).collect();
        line.sort_by_key(|(_, account)| account.ticket);
        line.into_iter().map(|(id, _)| id).collect()
    }

    fn has_place(&self, egress: &Egress) -> bool {
        let of_egress = || self.accounts.values().filter(|account| account.egress == *egress);
        of_egress().filter(|account| account.holds_place()).count() < self.limits.connected
            && of_egress().filter(|account| account.connecting()).count() < self.limits.connecting
    }

    /// When the waiting account may be taken, as far as it alone goes; `None` while something must end first.
    fn may_start_at(&self, id: &AccountId, now: At) -> Option<At> {
        let account = self.accounts.get(id)?;
        if account.socket.is_some() {
            return None;
        }
        let budget = account.dials.free_at(self.limits.dials_per_hour, now);
        match account.waits()? {
            Purpose::Resume => Some(budget),
            Purpose::Link if self.another_links(id) => None,
            // The next round of a link that is under way keeps its turn.
            Purpose::Link if account.round > 0 => Some(budget),
            Purpose::Link => Some(budget.max(self.next_link)),
        }
    }

    /// Whether somebody else is linking, or between two rounds of codes (SR-033).
    fn another_links(&self, id: &AccountId) -> bool {
        let links = |account: &Account| {
            account.state.is_linking() || (account.round > 0 && account.waits() == Some(Purpose::Link))
        };
        self.accounts.iter().any(|(other, account)| other != id && links(account))
    }

    fn take(&mut self, id: &AccountId, egress: &Egress, now: At) {
        let delay = between(&mut self.rng, &self.limits.connect_delay);
        let starts_at = now + delay;
        if let Some(lane) = self.lanes.get_mut(egress) {
            lane.next_take = starts_at + self.limits.queue_pause;
        }
        let Some(account) = self.accounts.get_mut(id) else { return };
        let Some(purpose) = account.waits() else { return };
        account.state = State::Queued { purpose, starts_at: Some(starts_at) };
        if purpose == Purpose::Link && account.round == 0 {
            self.next_link = self.next_link.max(starts_at + self.limits.link_pace);
        }
    }

    fn dial_those_due(&mut self, now: At) {
        let due: Vec<_> = self
            .accounts
            .iter()
            .filter_map(|(id, account)| {
                let (at, purpose) = account.taken().filter(|(at, _)| *at <= now)?;
                Some((at, id.clone(), purpose))
            })
            .collect();
        for (_, id, purpose) in due {
            let dial = self.next_number();
            let Some(account) = self.accounts.get_mut(&id) else { continue };
            account.dials.add(now);
            if purpose == Purpose::Link {
                account.round += 1;
            }
            account.socket = Some(Socket { dial, closing: false });
            account.state = State::Connecting { purpose };
            self.decisions.push_back(Decision::Connect { account: id, dial, purpose });
        }
    }

    /// A link is over, well or not: in an egress with trouble the next waits longer (SR-035).
    pub(super) fn link_ended(&mut self, egress: &Egress, now: At) {
        let trouble = |account: &Account| {
            account.egress == *egress && account.cooldown_until.is_some_and(|until| until > now)
        };
        if self.accounts.values().any(trouble) {
            let pause = between(&mut self.rng, &self.limits.link_pace_in_trouble);
            self.next_link = self.next_link.max(now + pause);
        }
    }

    /// Where an account stands in the queue.
    #[must_use]
    pub fn place(&self, id: &AccountId, now: At) -> Option<Place> {
        let account = self.accounts.get(id)?;
        if let Some((at, _)) = account.taken() {
            return Some(Place { position: 1, expected: Some(at) });
        }
        account.waits()?;
        let position = self.line(&account.egress).into_iter().position(|other| other == id)? + 1;
        Some(Place { position, expected: self.expected(account, id, position, now) })
    }

    /// A guess: those before it each take the pause and the middle of the delay.
    fn expected(&self, account: &Account, id: &AccountId, position: usize, now: At) -> Option<At> {
        if !self.has_place(&account.egress) {
            return None;
        }
        let lane = self.lanes.get(&account.egress)?;
        let first = self.may_start_at(id, now)?.max(lane.next_take).max(now);
        let delay = (*self.limits.connect_delay.start() + *self.limits.connect_delay.end()) / 2;
        let before = u32::try_from(position - 1).unwrap_or(u32::MAX);
        Some(first + (delay + self.limits.queue_pause).saturating_mul(before) + delay)
    }

    /// When the next tick is due; `None` while nothing waits for time alone.
    #[must_use]
    pub fn wake_at(&self, now: At) -> Option<At> {
        let of = |(id, account): (&AccountId, &Account)| match &account.state {
            State::Backoff { retry_at, .. } if account.desired == Desired::Running => Some(*retry_at),
            State::Queued { starts_at: Some(at), .. } => Some(*at),
            State::Queued { starts_at: None, .. } if self.has_place(&account.egress) => {
                let lane = self.lanes.get(&account.egress)?;
                Some(self.may_start_at(id, now)?.max(lane.next_take))
            }
            _ => None,
        };
        self.accounts.iter().filter_map(of).min().map(|at| at.max(now))
    }
}

/// A duration drawn uniformly from a range; its lower end if the range is empty.
pub(super) fn between<R: CryptoRng>(rng: &mut R, range: &RangeInclusive<Duration>) -> Duration {
    if range.is_empty() { *range.start() } else { rng.random_range(range.clone()) }
}
