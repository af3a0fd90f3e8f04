//! Commands. Each is legal in every state (research, gateway conventions §5).

use super::account::{Account, Class};
use super::{AccountId, Answer, Command, Decision, Desired, Outcome, Purpose, Refusal, Scheduler, State};
use crate::fleet::At;

impl Scheduler {
    /// Carries a command out, as far as it can be now.
    pub fn command(&mut self, id: &AccountId, command: Command, now: At) -> Answer {
        if !self.accounts.contains_key(id) {
            return Answer { state: State::Stopped, outcome: Outcome::Refused(Refusal::Unknown) };
        }
        let outcome = match command {
            Command::Start => self.start(id),
            Command::Stop => self.stop(id, now),
            Command::Link { force } => self.link(id, force, now),
        };
        self.advance(now);
        let state = self.state(id).cloned().unwrap_or(State::Stopped);
        let place = self.place(id, now);
        let outcome = match (outcome, place) {
            (Outcome::Done, Some(place)) => Outcome::Queued(place),
            (outcome, _) => outcome,
        };
        Answer { state, outcome }
    }

    /// Starts every account, through the same queue (SR-022).
    pub fn start_all(&mut self, now: At) -> Vec<(AccountId, Answer)> {
        let ids: Vec<_> = self.accounts.keys().cloned().collect();
        ids.into_iter()
            .map(|id| {
                let answer = self.command(&id, Command::Start, now);
                (id, answer)
            })
            .collect()
    }

    fn single_refusal(&self, id: &AccountId) -> Option<Outcome> {
        let other = self.served().is_some_and(|served| served != id);
        (!self.limits.multi && other).then_some(Outcome::Refused(Refusal::SingleAccount))
    }

    fn start(&mut self, id: &AccountId) -> Outcome {
        if let Some(refusal) = self.single_refusal(id) {
            return refusal;
        }
        let Some(account) = self.accounts.get_mut(id) else { return Outcome::Refused(Refusal::Unknown) };
        match &account.state {
            State::Ready { .. } | State::Restricted { .. } => {
                account.desired = Desired::Running;
                return Outcome::Done;
            }
            State::Queued { .. } | State::Connecting { .. } | State::Linking { .. } | State::Syncing => {
                account.desired = Desired::Running;
                return Outcome::UnderWay;
            }
            // The wait of a backoff is the service's peace, not ours to cut short.
            State::Backoff { .. } => {
                account.desired = Desired::Running;
                return Outcome::UnderWay;
            }
            State::LoggedOut { .. } => return Outcome::Refused(Refusal::NotLinked),
            State::Stopped | State::LinkExpired | State::Replaced | State::Failed(_) => {}
        }
        if account.linked.is_none() {
            return Outcome::Refused(Refusal::NotLinked);
        }
        account.desired = Desired::Running;
        self.enqueue(id, Purpose::Resume, Class::Asked);
        Outcome::Done
    }

    fn stop(&mut self, id: &AccountId, now: At) -> Outcome {
        let Some(account) = self.accounts.get_mut(id) else { return Outcome::Refused(Refusal::Unknown) };
        account.desired = Desired::Stopped;
        // What it can't do anyway it keeps saying: a cooldown is not forgotten by a stop.
        if !matches!(account.state, State::LoggedOut { .. }) {
            account.state = State::Stopped;
            self.end_link(id, now);
            self.close(id);
        }
        Outcome::Done
    }

    /// Gives the order to close the connection, once.
    pub(super) fn close(&mut self, id: &AccountId) {
        let Some(socket) = self.accounts.get_mut(id).and_then(|account| account.socket.as_mut()) else {
            return;
        };
        if !std::mem::replace(&mut socket.closing, true) {
            self.decisions.push_back(Decision::Disconnect { account: id.clone(), dial: socket.dial });
        }
    }

    fn link(&mut self, id: &AccountId, force: bool, now: At) -> Outcome {
        if let Some(refusal) = self.single_refusal(id) {
            return refusal;
        }
        let Some(account) = self.accounts.get(id) else { return Outcome::Refused(Refusal::Unknown) };
        if account.state.is_ready() {
            return Outcome::Ignored("the account is linked and ready");
        }
        let underway = matches!(
            account.state,
            State::Queued { .. } | State::Connecting { .. } | State::Linking { .. } | State::Syncing
        );
        if underway {
            return Outcome::UnderWay;
        }
        if account.linked.is_some() && !force {
            return Outcome::Ignored("the account is linked; start it, or force a new link");
        }
        if let Some(refusal) = self.link_refusal(account, now) {
            return Outcome::Refused(refusal);
        }
        let Some(account) = self.accounts.get_mut(id) else { return Outcome::Refused(Refusal::Unknown) };
        account.desired = Desired::Running;
        account.linked = None;
        account.round = 0;
        account.links.add(now);
        self.enqueue(id, Purpose::Link, Class::Asked);
        Outcome::Done
    }

    fn link_refusal(&self, account: &Account, now: At) -> Option<Refusal> {
        if let Some(until) = account.cooldown_until.filter(|until| *until > now) {
            return Some(Refusal::Cooldown { until });
        }
        let until = account.links.free_at(self.limits.links_per_hour, now);
        (until > now).then_some(Refusal::TooManyLinks { until })
    }
}
