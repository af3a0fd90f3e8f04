//! Asking for device lists and keeping them (protocol 05a §2, §3).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::client::devices::own::Own;
use crate::client::devices::{Devices, address, devices_of, mapping, record, setup};
use crate::client::line::IqError;
use crate::clock::UnixMillis;
use crate::stanza::devices::{Ignored, apply};
use crate::stanza::phash::phash;
use crate::stanza::usync::{Answer, Context, Known, Mode, Protocol, Query, User, UserAnswer};
use crate::store::{StoreError, Tx};
use crate::wire::Jid;

/// How long a list counts if the server says nothing (05a §3), and the least, whatever it says. Seconds.
const REFRESH: i64 = 604_800;
const DAY: i64 = 86_400;

/// Users of one question.
const MAX_USERS: usize = 500;

/// A question is asked again because of another address, or because a notification overtook its answer.
const ROUNDS: usize = 3;

/// Users whose last question is remembered.
const MAX_REMEMBERED: usize = 4096;

/// A device list could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DevicesError {
    /// The account is not linked.
    #[error("the account is not linked")]
    NotLinked,
    /// The server has no device for this user under any address.
    #[error("the user can't be reached now")]
    Unreachable,
    /// The question failed, or may not be asked now.
    #[error(transparent)]
    Iq(#[from] IqError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// When users were last asked for: who waited for the lock meanwhile is served by that question (single flight).
#[derive(Debug, Default)]
pub(crate) struct Asked(HashMap<String, u64>);

impl Asked {
    /// Whether a question began after the ticket was drawn.
    pub(crate) fn since(&self, name: &str, ticket: u64) -> bool {
        self.0.get(name).is_some_and(|began| *began > ticket)
    }

    pub(crate) fn note(&mut self, names: impl IntoIterator<Item = String>, ticket: u64) {
        if self.0.len() > MAX_REMEMBERED {
            self.0.clear();
        }
        self.0.extend(names.into_iter().map(|name| (name, ticket)));
    }
}

/// A user to be asked for.
#[derive(Debug)]
struct Wanted {
    user: User,
    /// All addresses of the user.
    names: Vec<String>,
}

impl Devices {
    /// Makes sure that the store has a usable list of each user (any namespace), asking where it has none. With
    /// `force` every one is asked for, by a question that begins after this call.
    pub(crate) async fn lists(&self, users: &[Jid], force: bool) -> Result<(), DevicesError> {
        let ticket = self.ticket();
        if !force && self.have(users).await? {
            return Ok(());
        }
        let mut asked = self.asking.lock().await;
        let mut again = if force { self.names(users).await? } else { Vec::new() };
        again.retain(|name| !asked.since(name, ticket));
        let mut done: HashSet<Jid> = HashSet::new();
        for _ in 0..ROUNDS {
            let (names, forced) = (users.to_vec(), std::mem::take(&mut again));
            let now = self.clock.wall_ms();
            let wanted = self.store.read(move |tx| wanted(tx, &names, &forced, now)).await?;
            // The same address is asked twice only if its answer was overtaken.
            let fresh = |wanted: &Wanted| wanted.user.jid.as_ref().is_some_and(|jid| !done.contains(jid));
            let wanted: Vec<Wanted> = wanted.into_iter().filter(fresh).collect();
            if wanted.is_empty() {
                break;
            }
            for part in wanted.chunks(MAX_USERS) {
                let began = self.ticket();
                let overtaken = self.ask(part).await?;
                done.extend(part.iter().filter_map(|wanted| wanted.user.jid.clone()));
                done.retain(|jid| !overtaken.contains(&jid.to_string()));
                let names = part.iter().flat_map(|wanted| wanted.names.clone());
                asked.note(names.filter(|name| !overtaken.contains(name)), began);
                again.extend(overtaken);
            }
        }
        if self.have(users).await? { Ok(()) } else { Err(DevicesError::Unreachable) }
    }

    /// Whether there is a usable list of each.
    pub(crate) async fn have(&self, users: &[Jid]) -> Result<bool, StoreError> {
        let (users, now) = (users.to_vec(), self.clock.wall_ms());
        let usable = self.store.read(move |tx| {
            users.iter().map(|user| is_usable(tx, user, now)).collect::<Result<Vec<_>, StoreError>>()
        });
        Ok(usable.await?.into_iter().all(|usable| usable))
    }

    async fn names(&self, users: &[Jid]) -> Result<Vec<String>, StoreError> {
        let users = users.to_vec();
        self.store
            .read(move |tx| {
                let name = |user: &Jid| Ok(address::canonical(tx, &user.to_user())?.to_string());
                users.iter().map(name).collect()
            })
            .await
    }

    /// Asks, and takes the answer; returns the names of those whose answer was overtaken.
    async fn ask(&self, wanted: &[Wanted]) -> Result<Vec<String>, DevicesError> {
        let since = self.epochs.now();
        let query = Query {
            mode: Mode::Query,
            context: Context::Message,
            protocols: vec![Protocol::Devices, Protocol::Lid],
            users: wanted.iter().map(|wanted| wanted.user.clone()).collect(),
        };
        let answer = self.line.ask(query.build(&self.line.sid())).await?;
        let answers = Answer::parse(&answer).unwrap_or_default();
        let verdict = answers.verdict(Protocol::Devices);
        if let Some(error) = verdict.and_then(|verdict| verdict.error.as_ref()) {
            // The line holds the next ones back; whoever asked waits as long.
            return Err(IqError::Held(Duration::from_secs(error.backoff.unwrap_or(60))).into());
        }
        let now = self.clock.wall_ms();
        let refresh = verdict.and_then(|verdict| verdict.refresh);
        let refresh = refresh.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(REFRESH).max(DAY);
        let epochs = self.epochs.clone();
        self.store
            .write(move |tx| {
                let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
                let mut overtaken = Vec::new();
                for user in &answers.users {
                    learn(tx, user, now)?;
                    let Some(jid) = &user.jid else { continue };
                    let names: Vec<String> =
                        address::both(tx, &jid.to_user())?.iter().map(Jid::to_string).collect();
                    if epochs.is_overtaken(since, &names) {
                        overtaken.extend(names);
                    } else {
                        take(tx, &own, user, refresh, now)?;
                    }
                }
                Ok(overtaken)
            })
            .await
    }

    /// Asks for a user's LID and learns it (05a §12, `refresh_lid`).
    pub(crate) async fn learn_lid(&self, user: &Jid) -> Result<(), DevicesError> {
        let query = Query {
            mode: Mode::Query,
            context: Context::Background,
            protocols: vec![Protocol::Lid],
            users: vec![User::jid(&user.to_user())],
        };
        let answer = self.line.ask(query.build(&self.line.sid())).await?;
        let answers = Answer::parse(&answer).unwrap_or_default();
        let now = self.clock.wall_ms();
        self.store.write(move |tx| answers.users.iter().try_for_each(|user| learn(tx, user, now))).await?;
        Ok(())
    }
}

fn is_usable(tx: &Tx<'_>, user: &Jid, now: UnixMillis) -> Result<bool, StoreError> {
    let list = tx.device_list(&user.to_user().to_string())?;
    Ok(list.is_some_and(|list| list.fetched_at.is_some() && list.refresh_at.is_none_or(|at| at > now)))
}

/// Users without a usable list and those that are to be asked for anyway, in the address to ask under: the LID where it
/// is known. For the own account both.
fn wanted(
    tx: &Tx<'_>,
    users: &[Jid],
    forced: &[String],
    now: UnixMillis,
) -> Result<Vec<Wanted>, DevicesError> {
    let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
    let mut all: Vec<Wanted> = Vec::new();
    for user in users {
        let names: Vec<String> = address::both(tx, &user.to_user())?.iter().map(Jid::to_string).collect();
        if is_usable(tx, user, now)? && !names.iter().any(|name| forced.contains(name)) {
            continue;
        }
        let forms = if own.is_own(user) {
            vec![Some(own.pn.to_user()), own.lid.as_ref().map(Jid::to_user)]
        } else {
            vec![Some(address::canonical(tx, &user.to_user())?)]
        };
        for form in forms.into_iter().flatten() {
            if all.iter().all(|other| other.user.jid.as_ref() != Some(&form)) {
                let known = held(tx, &form)?;
                all.push(Wanted { user: User { known, ..User::jid(&form) }, names: names.clone() });
            }
        }
    }
    Ok(all)
}

fn held(tx: &Tx<'_>, user: &Jid) -> Result<Option<Known>, StoreError> {
    let Some(list) = tx.device_list(&user.to_string())? else { return Ok(None) };
    let (Some(ts), Some(devices)) = (list.ts, devices_of(tx, user)?) else { return Ok(None) };
    Ok(Some(Known {
        device_hash: phash(&devices),
        ts: ts.unsigned_abs(),
        expected_ts: list.expected_ts.map(i64::unsigned_abs),
    }))
}

fn learn(tx: &mut Tx<'_>, user: &UserAnswer, now: UnixMillis) -> Result<(), StoreError> {
    let Some(jid) = &user.jid else { return Ok(()) };
    for other in user.pn_jid.iter().chain(user.lid.iter().flatten()) {
        mapping::learn(tx, jid, other, now)?;
    }
    Ok(())
}

/// Takes one user's part of an answer.
fn take(
    tx: &mut Tx<'_>,
    own: &Own,
    user: &UserAnswer,
    refresh: i64,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let (Some(jid), Some(Ok(answer))) = (&user.jid, &user.devices) else { return Ok(()) };
    let jid = jid.to_user();
    let old = tx.device_list(&jid.to_string())?;
    let stored = old.as_ref().map(record::read);
    let phone = setup::phone_of(tx, &jid)?;
    let counts_until = Some(now.saturating_add(refresh.saturating_mul(1000)));
    match apply(stored.as_ref(), answer, record::check(phone)) {
        Ok(update) => {
            if update.unreadable || update.cut {
                tracing::warn!(cut = update.cut, "a device list could not be read as a whole");
            }
            record::forget_gone(tx, own, &jid, &update)?;
            let mut list = record::written(tx, &jid, &update, answer)?;
            (list.fetched_at, list.refresh_at) = (Some(now), counts_until);
            tx.put_device_list(&list)?;
        }
        Err(Ignored::Older | Ignored::TimesDiffer) => {
            // Asked and answered: the stored one counts for another while.
            if let Some(mut list) = old {
                (list.fetched_at, list.refresh_at) = (Some(now), counts_until);
                tx.put_device_list(&list)?;
            }
        }
        Err(error) => tracing::warn!(%error, "a device list was not taken"),
    }
    Ok(())
}
