//! The scheduler: a pure state machine in the fleet's time (design §4; research, SR-010 to SR-060).
//!
//! Facts come in ([`Scheduler::command`], [`Scheduler::seen`], [`Scheduler::tick`]), decisions go out
//! ([`Scheduler::decisions`]), and [`Scheduler::wake_at`] says when the next tick is due. It dials nothing itself.

mod account;
mod command;
mod input;
mod queue;
mod seen;
mod state;

use std::collections::{BTreeMap, VecDeque};

pub use input::{
    Answer, Closed, Command, Decision, Egress, Known, Notice, Number, Outcome, Place, Refusal, Seen,
};
// The name only; the scheduler reads and writes nothing.
pub use crate::store::AccountId;
pub use state::{BackoffCode, Desired, Failure, LinkStep, LogoutCause, Purpose, State};

use account::{Account, Class, Recent};
use queue::Lane;
use rand_core::CryptoRng;

use crate::fleet::{At, Limits};

/// Disconnects that are remembered for the operator (SR-086).
pub const REMEMBERED_DISCONNECTS: usize = 20;

/// One disconnect, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// When.
    pub at: At,
    /// Who.
    pub account: AccountId,
    /// How.
    pub closed: Closed,
}

/// Where the scheduler's chance comes from: the operating system, or a seed in tests.
pub type Chance = Box<dyn CryptoRng + Send>;

/// The scheduler of a fleet.
pub struct Scheduler {
    limits: Limits,
    rng: Chance,
    accounts: BTreeMap<AccountId, Account>,
    lanes: BTreeMap<Egress, Lane>,
    /// No link before this.
    next_link: At,
    decisions: VecDeque<Decision>,
    disconnects: VecDeque<Disconnect>,
    /// Numbers of dials and places in the queue.
    counter: u64,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("accounts", &self.accounts.len()).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// An empty fleet. All chance comes from `rng`; after a clean wipe no link starts for a while (SR-036).
    #[must_use]
    pub fn new(limits: Limits, rng: Chance, now: At, after_wipe: bool) -> Self {
        let next_link = if after_wipe { now + limits.first_link_after_wipe } else { now };
        Self {
            limits,
            rng,
            accounts: BTreeMap::new(),
            lanes: BTreeMap::new(),
            next_link,
            decisions: VecDeque::new(),
            disconnects: VecDeque::new(),
            counter: 0,
        }
    }

    /// Adds an account with what is stored of it; one that is wanted and linked joins the queue. An account that is there
    /// already stays as it is.
    pub fn add(&mut self, account: AccountId, known: Known, now: At) {
        if self.accounts.contains_key(&account) {
            return;
        }
        let egress = known.egress.clone();
        let resume = known.desired == Desired::Running && known.linked.is_some();
        let logged_out = known.linked.is_none().then_some(known.cooldown_until).flatten();
        let mut new = Account::new(known);
        if let Some(cooldown_until) = logged_out.filter(|until| *until > now) {
            new.state = State::LoggedOut { cause: LogoutCause::Unlinked, cooldown_until };
        }
        self.accounts.insert(account.clone(), new);
        self.lanes.entry(egress.clone()).or_default();
        self.warn_if_crowded(egress);
        if resume && (self.limits.multi || self.served().is_none()) {
            self.enqueue(&account, Purpose::Resume, Class::ByItself);
        }
        self.advance(now);
    }

    /// Forgets an account, once its connection is closed.
    pub fn remove(&mut self, id: &AccountId, now: At) {
        self.command(id, Command::Stop, now);
        if let Some(account) = self.accounts.get_mut(id) {
            account.leaving = true;
        }
        self.drop_if_leaving(id);
        self.advance(now);
    }

    fn drop_if_leaving(&mut self, id: &AccountId) {
        if self.accounts.get(id).is_some_and(|account| account.leaving && account.socket.is_none()) {
            self.accounts.remove(id);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: At) {
        self.advance(now);
    }

    /// What is to be done now, in order. Each is given out once.
    pub fn decisions(&mut self) -> Vec<Decision> {
        self.decisions.drain(..).collect()
    }

    /// The state of an account.
    #[must_use]
    pub fn state(&self, account: &AccountId) -> Option<&State> {
        self.accounts.get(account).map(|account| &account.state)
    }

    /// What is wanted of an account.
    #[must_use]
    pub fn desired(&self, account: &AccountId) -> Option<Desired> {
        self.accounts.get(account).map(|account| account.desired)
    }

    /// The number of an account, while it is linked (SR-087).
    #[must_use]
    pub fn number(&self, account: &AccountId) -> Option<&Number> {
        self.accounts.get(account)?.linked.as_ref()
    }

    /// Every account.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountId> {
        self.accounts.keys()
    }

    /// The last disconnects, oldest first (SR-086).
    pub fn disconnects(&self) -> impl Iterator<Item = &Disconnect> {
        self.disconnects.iter()
    }

    /// What must be stored of an account, so that a restart forgets no limit.
    #[must_use]
    pub fn known(&self, account: &AccountId) -> Option<Known> {
        let account = self.accounts.get(account)?;
        Some(Known {
            egress: account.egress.clone(),
            desired: account.desired,
            linked: account.linked.clone(),
            cooldown_until: account.cooldown_until,
            links: account.links.list().collect(),
        })
    }

    /// The one account that is served, where only one may be.
    fn served(&self) -> Option<&AccountId> {
        let served = |account: &Account| {
            account.socket.is_some()
                || !matches!(
                    account.state,
                    State::Stopped | State::LoggedOut { .. } | State::LinkExpired | State::Failed(_)
                )
        };
        self.accounts.iter().find(|(_, account)| served(account)).map(|(id, _)| id)
    }

    fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn warn_if_crowded(&mut self, egress: Egress) {
        let accounts = self.accounts.values().filter(|account| account.egress == egress).count();
        if accounts > Limits::default().connected {
            self.decisions.push_back(Decision::Notice(Notice::CrowdedEgress { egress, accounts }));
        }
    }
}

#[cfg(test)]
mod tests;
