//! What goes into the scheduler: commands of people and programs, and what the runner saw.

use super::{AccountId, Desired, LinkStep, LogoutCause, State};
use crate::fleet::At;

/// Where an account's bytes leave the machine: `direct`, or the proxy's address. Fixed for an account (SR-009).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Egress(pub String);

/// A user of the service, by both of its addresses, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Number {
    /// The user part of the phone-number address.
    pub pn: Option<String>,
    /// The user part of the hidden address.
    pub lid: Option<String>,
}

impl Number {
    /// Whether both are the same user: one common address is enough (SR-037, and §11 no. 3 of the research).
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let equal = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        equal(&self.pn, &other.pn) || equal(&self.lid, &other.lid)
    }
}

/// What is known of an account when it is added: what was stored when the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its egress.
    pub egress: Egress,
    /// What is wanted of it.
    pub desired: Desired,
    /// Its number, if it is linked.
    pub linked: Option<Number>,
    /// The end of the cooldown of its last log-out.
    pub cooldown_until: Option<At>,
    /// When it was linked or tried to be, in the last hour.
    pub links: Vec<At>,
}

/// A command. Each is legal in every state; the answer is what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Be connected.
    Start,
    /// Don't be.
    Stop,
    /// Link it to a phone.
    Link {
        /// Also when it is linked but not usable. While it is ready this is ignored (SR-039).
        force: bool,
    },
}

/// What comes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The state after it.
    pub state: State,
    /// What it did.
    pub outcome: Outcome,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is so now.
    Done,
    /// It waits in the queue.
    Queued(Place),
    /// The same is under way already; its result is this one's (SR-040).
    UnderWay,
    /// Nothing was done, and why (SR-039).
    Ignored(&'static str),
    /// It can't be, now or at all.
    Refused(Refusal),
}

/// A place in the queue (SR-019, SR-073).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1, among those of the same egress.
    pub position: usize,
    /// When it will probably dial; `None` while all places are taken.
    pub expected: Option<At>,
}

/// Why a command can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such account.
    Unknown,
    /// More than one account is switched off, and another one is served (SR-016).
    SingleAccount,
    /// It is not linked: link it first.
    NotLinked,
    /// A log-out is too recent (SR-052).
    Cooldown {
        /// When a link is possible again.
        until: At,
    },
    /// Too many attempts in an hour (SR-044).
    TooManyLinks {
        /// When the next is possible.
        until: At,
    },
}

/// What the runner saw of a connection. Everything but the end may come more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A step of a link waits for a person.
    Step(LinkStep),
    /// The refs of this round are used up.
    RoundOver,
    /// The pairing is complete but not confirmed, and this is the number.
    Paired(Number),
    /// Logged in.
    LoggedIn,
    /// Caught up.
    Ready,
    /// The service limits the account, until then where it says so.
    Restricted(Option<At>),
    /// It no longer does.
    Free,
    /// The connection is over; nothing more comes of it.
    Closed(Closed),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// We closed it.
    Asked,
    /// Lost, or never opened.
    Lost,
    /// The service said "too much".
    RateLimited,
    /// Unlinked.
    LoggedOut(LogoutCause),
    /// Another client took over.
    Replaced,
    /// Banned for a time.
    TempBanned {
        /// Its end.
        until: At,
    },
    /// The version is refused.
    Outdated,
    /// The client is refused.
    Refused,
    /// Another refusal.
    Code(u16),
    /// The store can't be opened.
    Store,
}

/// What is to be done, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Dial. Everything that is seen of it carries the number.
    Connect {
        /// Who.
        account: AccountId,
        /// The number of the dial.
        dial: u64,
        /// To log in or to link.
        purpose: super::Purpose,
    },
    /// Close the connection in order.
    Disconnect {
        /// Who.
        account: AccountId,
        /// Which dial's.
        dial: u64,
    },
    /// Don't confirm the pairing and remove the link from the phone (SR-037).
    RefusePairing {
        /// Who.
        account: AccountId,
        /// Which dial's.
        dial: u64,
    },
    /// Tell the operator.
    Notice(Notice),
}

/// What the operator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// More accounts are assigned to one egress than are inconspicuous (SR-020).
    CrowdedEgress {
        /// Which.
        egress: Egress,
        /// How many.
        accounts: usize,
    },
    /// Logged out; no reconnect will happen by itself (SR-051).
    LoggedOut {
        /// Who.
        account: AccountId,
        /// Why.
        cause: LogoutCause,
        /// When it can be linked again.
        cooldown_until: At,
    },
    /// Three log-outs in an hour on one egress (SR-088).
    LogoutPattern {
        /// Which.
        egress: Egress,
        /// How many.
        logouts: usize,
    },
    /// A second account was linked to a number (SR-037).
    SameNumber {
        /// The one that was refused.
        account: AccountId,
        /// The one that holds it.
        holder: AccountId,
    },
}
