//! What the runner saw, and what follows from it.

use std::time::Duration;

use super::queue::between;
use super::{
    AccountId, BackoffCode, Closed, Decision, Desired, Disconnect, Failure, LinkStep, LogoutCause, Notice,
    Number, Purpose, REMEMBERED_DISCONNECTS, Scheduler, Seen, State,
};
use crate::client::life::backoff::STABLE_AFTER;
use crate::fleet::At;

/// A log-out this soon after becoming ready has a cause of its own (SR-055).
const RIGHT_AFTER: Duration = Duration::from_secs(30);
/// Log-outs of one egress in an hour that raise a warning (SR-088).
const PATTERN: usize = 3;

impl Scheduler {
    /// Takes in what was seen of a dial. What belongs to an older dial is dropped.
    pub fn seen(&mut self, id: &AccountId, dial: u64, seen: Seen, now: At) {
        let Some(account) = self.accounts.get(id) else { return };
        let Some(socket) = account.socket.filter(|socket| socket.dial == dial) else { return };
        match seen {
            Seen::Closed(closed) => self.closed(id, closed, now),
            // The order to close was given: only the end is of interest.
            _ if socket.closing => {}
            Seen::Step(step) => self.step(id, step),
            Seen::RoundOver => self.round_over(id, now),
            Seen::Paired(number) => self.paired(id, dial, number, now),
            Seen::LoggedIn => self.enter(id, State::Syncing),
            Seen::Ready => self.ready(id, now),
            Seen::Restricted(until) => self.restricted(id, until),
            Seen::Free => self.free(id),
        }
        self.advance(now);
    }

    fn enter(&mut self, id: &AccountId, state: State) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.state = state;
        }
    }

    fn step(&mut self, id: &AccountId, step: LinkStep) {
        if let Some(account) = self.accounts.get_mut(id)
            && account.state.is_linking()
        {
            account.state = State::Linking { step, round: account.round };
        }
    }

    fn ready(&mut self, id: &AccountId, now: At) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        if account.state.is_ready() {
            return;
        }
        account.state = State::Ready { since: now };
        self.end_link(id, now);
    }

    fn restricted(&mut self, id: &AccountId, until: Option<At>) {
        if let Some(account) = self.accounts.get_mut(id)
            && let Some(since) = account.state.ready_since()
        {
            account.state = State::Restricted { until, since };
        }
    }

    fn free(&mut self, id: &AccountId) {
        if let Some(account) = self.accounts.get_mut(id)
            && let State::Restricted { since, .. } = account.state
        {
            account.state = State::Ready { since };
        }
    }

    /// The number is known: it must be no other account's (SR-037).
    fn paired(&mut self, id: &AccountId, dial: u64, number: Number, now: At) {
        let holds = |(other, account): (&AccountId, &super::Account)| {
            other != id && account.linked.as_ref().is_some_and(|held| held.same(&number))
        };
        let holder = self.accounts.iter().find(|entry| holds(*entry)).map(|(other, _)| other.clone());
        let Some(account) = self.accounts.get_mut(id) else { return };
        let Some(holder) = holder else {
            account.linked = Some(number);
            return;
        };
        account.desired = Desired::Stopped;
        account.state = State::Failed(Failure::SameNumber { holder: holder.clone() });
        if let Some(socket) = account.socket.as_mut() {
            socket.closing = true;
        }
        self.end_link(id, now);
        self.decisions.push_back(Decision::RefusePairing { account: id.clone(), dial });
        self.decisions.push_back(Decision::Notice(Notice::SameNumber { account: id.clone(), holder }));
    }

    /// The codes of this connection are used up: another round, or the end (SR-032).
    fn round_over(&mut self, id: &AccountId, now: At) {
        let last = self.accounts.get(id).is_some_and(|account| account.round >= self.limits.qr_rounds);
        if last {
            self.enter(id, State::LinkExpired);
            if let Some(account) = self.accounts.get_mut(id) {
                account.desired = Desired::Stopped;
            }
            self.end_link(id, now);
        } else {
            self.enqueue(id, Purpose::Link, super::Class::Asked);
        }
        self.close(id);
    }

    /// The present link request is over, well or not.
    pub(super) fn end_link(&mut self, id: &AccountId, now: At) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        if std::mem::take(&mut account.round) > 0 {
            let egress = account.egress.clone();
            self.link_ended(&egress, now);
        }
    }

    fn closed(&mut self, id: &AccountId, closed: Closed, now: At) {
        self.remember(id, closed, now);
        let Some(account) = self.accounts.get_mut(id) else { return };
        let asked = account.socket.take().is_some_and(|socket| socket.closing);
        let ready_since = account.state.ready_since();
        if ready_since.is_some_and(|since| now.since(since) >= STABLE_AFTER) {
            account.backoff.was_stable();
        }
        if closed == Closed::RateLimited {
            account.backoff.penalise();
        }
        match closed {
            Closed::LoggedOut(cause) => self.logged_out(id, cause, ready_since, now),
            // We wanted it closed, and what follows was decided then.
            _ if asked => {}
            Closed::Replaced => self.halt(id, State::Replaced, now),
            Closed::Outdated => self.halt(id, State::Failed(Failure::Outdated), now),
            Closed::Refused => self.halt(id, State::Failed(Failure::Refused), now),
            Closed::Code(code) => self.halt(id, State::Failed(Failure::Code(code)), now),
            Closed::Store => self.halt(id, State::Failed(Failure::Store), now),
            Closed::TempBanned { until } => self.back_off(id, BackoffCode::TempBanned, until, now),
            Closed::RateLimited => self.back_off(id, BackoffCode::RateLimited, now, now),
            Closed::Lost | Closed::Asked => self.back_off(id, BackoffCode::Lost, now, now),
        }
        self.drop_if_leaving(id);
    }

    /// No way on until somebody asks.
    fn halt(&mut self, id: &AccountId, state: State, now: At) {
        self.enter(id, state);
        self.end_link(id, now);
    }

    fn back_off(&mut self, id: &AccountId, code: BackoffCode, not_before: At, now: At) {
        let Some(account) = self.accounts.get_mut(id) else { return };
        if account.desired == Desired::Stopped {
            account.state = State::Stopped;
            return;
        }
        if account.linked.is_none() && account.round >= self.limits.qr_rounds {
            account.desired = Desired::Stopped;
            self.halt(id, State::LinkExpired, now);
            return;
        }
        let delay = account.backoff.fail(0, not_before.since(now), &mut self.rng);
        account.state = State::Backoff { retry_at: now + delay, code };
    }

    fn logged_out(&mut self, id: &AccountId, cause: LogoutCause, ready_since: Option<At>, now: At) {
        let cooldown_until = now + between(&mut self.rng, &self.limits.logout_cooldown);
        let soon = ready_since.is_some_and(|since| now.since(since) <= RIGHT_AFTER);
        let cause =
            if soon && cause == LogoutCause::Unlinked { LogoutCause::RightAfterLinking } else { cause };
        let Some(account) = self.accounts.get_mut(id) else { return };
        account.linked = None;
        account.cooldown_until = Some(cooldown_until);
        account.state = State::LoggedOut { cause, cooldown_until };
        let egress = account.egress.clone();
        self.end_link(id, now);
        let notice = Notice::LoggedOut { account: id.clone(), cause, cooldown_until };
        self.decisions.push_back(Decision::Notice(notice));
        let Some(lane) = self.lanes.get_mut(&egress) else { return };
        lane.logouts.add(now);
        let logouts = lane.logouts.count(now);
        if logouts >= PATTERN {
            self.decisions.push_back(Decision::Notice(Notice::LogoutPattern { egress, logouts }));
        }
    }

    fn remember(&mut self, id: &AccountId, closed: Closed, now: At) {
        if self.disconnects.len() == REMEMBERED_DISCONNECTS {
            self.disconnects.pop_front();
        }
        self.disconnects.push_back(Disconnect { at: now, account: id.clone(), closed });
    }
}
