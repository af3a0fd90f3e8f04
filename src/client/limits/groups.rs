//! Group operations under a restriction: whether one may be asked for, and what a refusal says (05d §9.1).

use super::record::{DAY, GroupLimits, MINUTE, Pause, Restrictions, Since, Source};
use super::signals::{Change, Restriction, SignalKind};
use crate::client::line::IqError;
use crate::client::send::release::Times;
use crate::stanza::restrictions::{RateLimit, Scope};
use crate::store::{StoreError, Tx, UnixMillis};
use crate::wire::{Jid, Node};

/// After an integrity block group operations rest for so long (our number).
const BLOCKED: UnixMillis = DAY;

/// The longest backoff that is believed.
const LONGEST: u64 = 86_400;

/// A group operation that a restriction may forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupAction {
    /// A new group.
    Create,
    /// People are added.
    Add,
    /// People get or lose the role of an admin.
    Role,
    /// Its link is used, shown or made.
    Link,
    /// A message.
    Send,
}

impl GroupAction {
    /// What a question asks for; `None`: nothing that is limited.
    #[must_use]
    pub fn of(question: &Node) -> Option<Self> {
        if question.str("xmlns").as_deref() != Some("w:g2") || question.str("type").as_deref() != Some("set")
        {
            return None;
        }
        let child = question.nodes().next()?;
        Some(match child.tag.as_ref() {
            "create" => Self::Create,
            "add" => Self::Add,
            "promote" | "demote" => Self::Role,
            "invite" => Self::Link,
            _ => return None,
        })
    }
}

/// A group operation is not to be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service limits this account's group operations ({})", signal.name())]
pub struct GroupLimited {
    /// What limits it.
    pub signal: SignalKind,
    /// Until when; `None`: until a person or the service lifts it.
    pub until: Option<UnixMillis>,
    /// So many people at once would do.
    pub participants: Option<u32>,
}

impl Restrictions {
    /// Whether a group operation may be asked for. `people`: how many it concerns.
    ///
    /// # Errors
    /// [`GroupLimited`]: not now.
    pub fn group_action(
        &self,
        action: GroupAction,
        group: Option<&Jid>,
        people: u32,
        now: UnixMillis,
    ) -> Result<(), GroupLimited> {
        let limited = |signal, until| Err(GroupLimited { signal, until, participants: None });
        let held = |pause: Option<Pause>| pause.filter(|pause| pause.holds(now)).map(|pause| pause.until);
        let known = group.and_then(|group| self.groups.get(&group.to_string()));
        let GroupLimits { adds, locked, suspended, .. } = known.copied().unwrap_or_default();
        if action == GroupAction::Send {
            return if suspended.is_some() { limited(SignalKind::GroupSuspended, None) } else { Ok(()) };
        }
        if action == GroupAction::Link {
            let until = held(locked);
            return until.map_or(Ok(()), |until| limited(SignalKind::GroupLocked, Some(until)));
        }
        if let Some(until) = held(self.group_block) {
            return limited(SignalKind::GroupBlock, Some(until));
        }
        if action == GroupAction::Role {
            return Ok(());
        }
        if action == GroupAction::Create && self.companions.is_some() {
            return limited(SignalKind::Companions, None);
        }
        if let Some(until) = held(self.group_adds).max(held(adds).filter(|_| action == GroupAction::Add)) {
            return limited(SignalKind::GroupAdds, Some(until));
        }
        match self.group_participants.filter(|limit| people > limit.what) {
            Some(limit) => Err(GroupLimited {
                signal: SignalKind::GroupParticipants,
                until: None,
                participants: Some(limit.what),
            }),
            None => Ok(()),
        }
    }
}

/// A group question was refused: what that says of the account.
pub(super) fn refused(
    tx: &mut Tx<'_>,
    action: GroupAction,
    group: Option<&Jid>,
    error: &IqError,
    times: Times,
) -> Result<(), StoreError> {
    let IqError::Refused { code, rate_limit, backoff, .. } = error else { return Ok(()) };
    let now = times.now;
    let mut kept = Restrictions::load(tx)?;
    let wait = |seconds: u64| now + i64::try_from(seconds.min(LONGEST) * 1000).unwrap_or(MINUTE);
    let told = |signal| Restriction::new(signal, Change::Began, now).from(Source::Refusal);
    let adds = matches!(action, GroupAction::Add | GroupAction::Create);
    let restriction = match (code, rate_limit) {
        (486, _) => {
            let until = now + BLOCKED;
            kept.group_block = Some(Pause { since: now, until });
            told(SignalKind::GroupBlock).value("486").until(Some(until))
        }
        (429, Some(RateLimit::Participants(most))) if adds => {
            kept.group_participants = Some(Since { what: *most, since: now });
            told(SignalKind::GroupParticipants).value(most)
        }
        (429, Some(RateLimit::Backoff { scope: Scope::Group, seconds })) if adds && group.is_some() => {
            let (name, until) = (group.map(Jid::to_string).unwrap_or_default(), wait(*seconds));
            kept.groups.entry(name.clone()).or_default().adds = Some(Pause { since: now, until });
            told(SignalKind::GroupAdds).about(name).until(Some(until))
        }
        (429, Some(RateLimit::Backoff { seconds, .. })) if adds => {
            let until = wait(*seconds);
            kept.group_adds = Some(Pause { since: now, until });
            told(SignalKind::GroupAdds).until(Some(until))
        }
        (429, None) if adds => {
            let until = wait(backoff.unwrap_or(60));
            kept.group_adds = Some(Pause { since: now, until });
            told(SignalKind::GroupAdds).until(Some(until))
        }
        (436, _) => {
            let Some(name) = group.map(Jid::to_string) else { return Ok(()) };
            let until = match rate_limit {
                Some(RateLimit::Locked(ends)) => times.wall(*ends),
                _ => now + DAY,
            };
            kept.groups.entry(name.clone()).or_default().locked = Some(Pause { since: now, until });
            told(SignalKind::GroupLocked).about(name).until(Some(until))
        }
        (416, _) => {
            let Some(name) = group.map(Jid::to_string) else { return Ok(()) };
            kept.groups.entry(name.clone()).or_default().suspended.get_or_insert(now);
            told(SignalKind::GroupSuspended).about(name)
        }
        _ => return Ok(()),
    };
    restriction.tell(tx)?;
    kept.save(tx, now)
}
