//! Signals that come as notifications: `mex` updates, and what `w:gp2` says of locked and suspended groups. Inside the
//! transaction after which they are answered.

use super::record::{Pause, Restrictions, Source};
use super::signals::{self, Change, Restriction, SignalKind};
use crate::client::event::{Event, Notice};
use crate::client::send::release::Times;
use crate::stanza::ack::Nack;
use crate::stanza::mex;
use crate::stanza::restrictions::{GroupChange, Told, is_known_operation, told};
use crate::store::{StoreError, Tx};
use crate::wire::{Jid, Node, json};

/// Takes a `mex` notification: changes what it tells, and says how it is answered. What is no restriction is passed on
/// as it came.
pub(crate) fn mex(tx: &mut Tx<'_>, node: &Node, times: Times) -> Result<Option<Nack>, StoreError> {
    let Some(update) = mex::update(node) else { return Ok(Some(Nack::Parsing)) };
    match told(&update) {
        Some(Ok(told)) => {
            log_alarm(&told);
            signals::take(tx, &told, Source::Notification, times)?;
            Ok(None)
        }
        Some(Err(error)) => {
            tracing::warn!(%error, op = update.op, "a restriction could not be read");
            Ok(Some(Nack::Parsing))
        }
        None if is_known_operation(&update.op) && update.data.is_err() => Ok(Some(Nack::Parsing)),
        None => {
            let notice = Notice {
                kind: "mex".to_owned(),
                id: node.str("id").unwrap_or_default().into_owned(),
                from: node.str("from").unwrap_or_default().into_owned(),
                stanza: json::to_json(node),
            };
            tx.push_event(&Event::Notice(notice).row(times.now), times.now)?;
            Ok((!is_known_operation(&update.op)).then_some(Nack::UnrecognizedStanza))
        }
    }
}

fn log_alarm(told: &Told) {
    if let Told::Challenge(challenge) = told {
        tracing::error!(
            ?challenge,
            "the service wants a person; nothing is sent by itself until one has cleared it"
        );
    }
}

/// Takes what a `w:gp2` notification says of its group. The rest of it is not ours.
pub(crate) fn group(
    tx: &mut Tx<'_>,
    group: &Jid,
    changes: &[GroupChange],
    times: Times,
) -> Result<(), StoreError> {
    if !group.is_group() {
        return Ok(());
    }
    let (now, name) = (times.now, group.to_string());
    let mut kept = Restrictions::load(tx)?;
    for change in changes {
        let limits = kept.groups.entry(name.clone()).or_default();
        let (signal, change, until) = match *change {
            GroupChange::Locked(ends) => {
                let until = ends.map_or(i64::MAX, |ends| times.wall(ends));
                limits.locked = Some(Pause { since: now, until });
                (SignalKind::GroupLocked, Change::Began, ends.map(|_| until))
            }
            GroupChange::Unlocked => {
                limits.locked = None;
                (SignalKind::GroupLocked, Change::Ended, None)
            }
            GroupChange::Suspended => {
                limits.suspended = Some(now);
                (SignalKind::GroupSuspended, Change::Began, None)
            }
            GroupChange::Unsuspended => {
                limits.suspended = None;
                (SignalKind::GroupSuspended, Change::Ended, None)
            }
        };
        let told = Restriction::new(signal, change, now).about(name.clone()).until(until);
        told.from(Source::Notification).tell(tx)?;
    }
    kept.save(tx, now)
}
