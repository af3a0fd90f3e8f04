//! Questions that a restriction can forbid, and what their refusals say: group operations and usync. Every question of
//! an account passes here, whoever asks it.

use std::time::Duration;

use super::groups::{self, GroupAction};
use super::record::{DAY, Pause, Restrictions, Source};
use super::signals::{Change, Restriction, SignalKind};
use crate::client::context::Shared;
use crate::client::line::IqError;
use crate::client::send::release::Times;
use crate::stanza::ErrorInfo;
use crate::store::{StoreError, Tx};
use crate::wire::{Jid, Node};

/// Without a number a refused kind rests for so many seconds.
const REST: u64 = 60;

/// A question that may be forbidden.
#[derive(Debug, Clone)]
pub(crate) enum Limited {
    /// A group operation.
    Group { action: GroupAction, group: Option<Jid>, people: u32 },
    /// A question about users, by the names of its protocols.
    Usync { protocols: Vec<String> },
}

impl Limited {
    /// `None`: nothing that is limited.
    pub(crate) fn of(question: &Node) -> Option<Self> {
        if let Some(query) = question.find("usync").and_then(|usync| usync.find("query")) {
            return Some(Self::Usync {
                protocols: query.nodes().map(|child| child.tag.to_string()).collect(),
            });
        }
        let action = GroupAction::of(question)?;
        let people = question.nodes().next().map_or(0, |child| child.find_all("participant").count());
        Some(Self::Group {
            action,
            group: question.jid("to").filter(Jid::is_group),
            people: u32::try_from(people).unwrap_or(u32::MAX),
        })
    }

    fn may_be_asked(&self, kept: &Restrictions, now: i64) -> Result<(), IqError> {
        match self {
            Self::Group { action, group, people } => {
                kept.group_action(*action, group.as_ref(), *people, now).map_err(IqError::Limited)
            }
            Self::Usync { protocols } => {
                let held = protocols.iter().filter_map(|protocol| kept.usync.get(protocol));
                let until = held.filter(|pause| pause.holds(now)).map(|pause| pause.until).max();
                until.map_or(Ok(()), |until| {
                    let left = Duration::from_millis(u64::try_from(until - now).unwrap_or(0));
                    Err(IqError::Held(left))
                })
            }
        }
    }
}

impl Shared {
    /// Whether a question may be asked now.
    pub(crate) async fn may_be_asked(&self, question: &Limited) -> Result<(), IqError> {
        let now = self.clock.wall_ms();
        match self.store.read(Restrictions::load).await {
            Ok(kept) => question.may_be_asked(&kept, now),
            Err(error) => {
                tracing::error!(%error, "the store failed");
                Err(IqError::Stopped)
            }
        }
    }

    /// What an answer says of the questions to come.
    pub(crate) async fn heed(&self, question: Limited, answer: &Result<Node, IqError>) {
        let times = self.times();
        let noted = match (question, answer) {
            (Limited::Group { action, group, .. }, Err(error)) => {
                let error = error.clone();
                let noted = move |tx: &mut Tx<'_>| groups::refused(tx, action, group.as_ref(), &error, times);
                self.store.write(noted).await
            }
            (Limited::Usync { protocols }, answer) => {
                let paused = rests(&protocols, answer);
                if paused.is_empty() {
                    return;
                }
                self.store.write(move |tx| pause(tx, &paused, times)).await
            }
            (Limited::Group { .. }, Ok(_)) => return,
        };
        if let Err(error) = noted {
            tracing::error!(%error, "the store failed");
        }
        self.limits.changed();
        self.inbox.notify_waiters();
    }
}

/// Which protocols rest, and for how many seconds.
fn rests(protocols: &[String], answer: &Result<Node, IqError>) -> Vec<(String, u64)> {
    match answer {
        Err(IqError::Refused { code, backoff, .. }) if *code == 429 || backoff.is_some() => {
            let seconds = backoff.unwrap_or(REST);
            protocols.iter().map(|protocol| (protocol.clone(), seconds)).collect()
        }
        Err(_) => Vec::new(),
        Ok(answer) => {
            let result = answer.find("usync").and_then(|usync| usync.find("result"));
            let parts = result.into_iter().flat_map(Node::nodes);
            let resting = parts.filter_map(|part| {
                let error = ErrorInfo::of(part)?;
                let rests = error.code == 429 || error.backoff.is_some();
                rests.then(|| (part.tag.to_string(), error.backoff.unwrap_or(REST)))
            });
            resting.collect()
        }
    }
}

fn pause(tx: &mut Tx<'_>, paused: &[(String, u64)], times: Times) -> Result<(), StoreError> {
    let now = times.now;
    let mut kept = Restrictions::load(tx)?;
    for (protocol, seconds) in paused {
        let until = now + i64::try_from(*seconds).unwrap_or(0).saturating_mul(1000).min(DAY);
        kept.usync.insert(protocol.clone(), Pause { since: now, until });
        let told = Restriction::new(SignalKind::Usync, Change::Began, now).about(protocol.clone());
        told.until(Some(until)).from(Source::Refusal).tell(tx)?;
    }
    kept.save(tx, now)
}
