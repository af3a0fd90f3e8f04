//! One account as the scheduler sees it.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Desired, Egress, Known, Number, Purpose, State};
use crate::client::life::backoff::Backoff;
use crate::fleet::At;

/// The window of the budgets of dials and links.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A connection that was decided on and has not ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    /// The number of its dial.
    pub(super) dial: u64,
    /// Whether the order to close it was given.
    pub(super) closing: bool,
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) egress: Egress,
    pub(super) desired: Desired,
    pub(super) state: State,
    pub(super) linked: Option<Number>,
    pub(super) socket: Option<Socket>,
    pub(super) backoff: Backoff,
    pub(super) dials: Recent,
    pub(super) links: Recent,
    pub(super) cooldown_until: Option<At>,
    /// The rounds of codes that the present link request has used.
    pub(super) round: u32,
    /// Removed, but its connection is not closed yet.
    pub(super) leaving: bool,
    /// The order of the queue: lower goes first. Given when it joins.
    pub(super) ticket: (Class, u64),
}

/// Who goes first: what a person asked for, then what goes by itself (SR-017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Asked,
    ByItself,
}

impl Account {
    pub(super) fn new(known: Known) -> Self {
        Self {
            egress: known.egress,
            desired: known.desired,
            state: State::Stopped,
            linked: known.linked,
            socket: None,
            backoff: Backoff::default(),
            dials: Recent::default(),
            links: Recent(known.links.into()),
            cooldown_until: known.cooldown_until,
            round: 0,
            leaving: false,
            ticket: (Class::ByItself, 0),
        }
    }

    /// Whether it waits in the queue and was not taken yet.
    pub(super) fn waits(&self) -> Option<Purpose> {
        match self.state {
            State::Queued { purpose, starts_at: None } => Some(purpose),
            _ => None,
        }
    }

    /// When it dials, if it was taken from the queue.
    pub(super) fn taken(&self) -> Option<(At, Purpose)> {
        match self.state {
            State::Queued { purpose, starts_at: Some(at) } => Some((at, purpose)),
            _ => None,
        }
    }

    /// Whether it holds one of the places of its egress.
    pub(super) fn holds_place(&self) -> bool {
        self.socket.is_some() || self.taken().is_some()
    }

    /// Whether it counts as connecting. A socket that is only being closed doesn't.
    pub(super) fn connecting(&self) -> bool {
        self.taken().is_some() || self.state.is_connecting()
    }
}

/// Moments of the last hour, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<At>);

impl Recent {
    pub(super) fn add(&mut self, now: At) {
        self.forget(now);
        self.0.push_back(now);
    }

    pub(super) fn forget(&mut self, now: At) {
        while self.0.front().is_some_and(|at| now.since(*at) >= HOUR) {
            self.0.pop_front();
        }
    }

    /// When one more is within `most` an hour: at once, or when the oldest that counts is an hour old.
    pub(super) fn free_at(&self, most: usize, now: At) -> At {
        let counted = self.0.iter().filter(|at| now.since(**at) < HOUR);
        let over = (counted.clone().count() + 1).saturating_sub(most);
        let Some(blocking) = over.checked_sub(1) else { return now };
        counted.clone().nth(blocking).map_or(now + HOUR, |at| *at + HOUR)
    }

    pub(super) fn count(&self, now: At) -> usize {
        self.0.iter().filter(|at| now.since(**at) < HOUR).count()
    }

    pub(super) fn list(&self) -> impl Iterator<Item = At> + '_ {
        self.0.iter().copied()
    }
}
