//! Asking for device lists and keeping them (protocol 05a §2, §3).

use std::time::Duration;

use tokio::time::Instant;

use crate::client::devices::list::{Delivered, Outcome, judge};
use crate::client::devices::own::Own;
use crate::client::devices::{Devices, address, devices_of, identity, mapping};
use crate::client::line::IqError;
use crate::clock::UnixMillis;
use crate::stanza::phash::phash;
use crate::stanza::usync::{Answer, Context, Known, Mode, Protocol, Query, User, UserAnswer};
use crate::store::{StoreError, Tx};
use crate::wire::Jid;

/// How long a list counts if the server says nothing (05a §3).
const REFRESH: i64 = 604_800;

/// Users of one question.
const MAX_USERS: usize = 500;

/// A device list could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DevicesError {
    /// The account is not linked.
    #[error("the account is not linked")]
    NotLinked,
    /// The server has no device for this user under any address.
    #[error("the user can't be reached now")]
    Unreachable,
    /// The server wants no such question before this time has passed.
    #[error("the server wants no device query for {0:?}")]
    Throttled(Duration),
    /// The question failed.
    #[error(transparent)]
    Iq(#[from] IqError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// When the server wants to be asked again.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    until: Option<Instant>,
    last: Duration,
}

impl Throttle {
    fn check(&self, now: Instant) -> Result<(), DevicesError> {
        match self.until {
            Some(until) if until > now => Err(DevicesError::Throttled(until - now)),
            _ => Ok(()),
        }
    }

    /// 60 s without a number, doubling to an hour.
    fn refused(&mut self, now: Instant, seconds: u64) {
        let doubled = (self.last * 2).clamp(Duration::from_secs(60), Duration::from_secs(3600));
        self.last = if seconds == 0 { doubled } else { Duration::from_secs(seconds.min(86_400)) };
        self.until = Some(now + self.last);
    }
}

impl Devices {
    /// Makes sure that the store has a usable list of each user (any namespace), asking where it has none. With
    /// `force` every one is asked for.
    pub(crate) async fn lists(&self, users: &[Jid], force: bool) -> Result<(), DevicesError> {
        let mut throttle = self.asking.lock().await;
        // At most three rounds: an answer under another address, or one overtaken by a notification.
        for round in 0..3 {
            let (users, now) = (users.to_vec(), self.clock.wall_ms());
            let force = force && round == 0;
            let missing = self.store.write(move |tx| missing(tx, &users, force, now)).await?;
            if missing.is_empty() {
                return Ok(());
            }
            throttle.check(self.clock.now())?;
            for part in missing.chunks(MAX_USERS) {
                self.ask(part, &mut throttle).await?;
            }
        }
        let (users, now) = (users.to_vec(), self.clock.wall_ms());
        let missing = self.store.write(move |tx| missing(tx, &users, false, now)).await?;
        if missing.is_empty() { Ok(()) } else { Err(DevicesError::Unreachable) }
    }

    async fn ask(&self, users: &[User], throttle: &mut Throttle) -> Result<(), DevicesError> {
        let query = Query {
            mode: Mode::Query,
            context: Context::Message,
            protocols: vec![Protocol::Devices, Protocol::Lid],
            users: users.to_vec(),
        };
        let answer = match self.line.ask(query.build(&self.line.sid())).await {
            Ok(answer) => answer,
            Err(IqError::Refused { code, text, backoff }) => {
                if code == 429 || backoff.is_some() {
                    throttle.refused(self.clock.now(), backoff.unwrap_or(0));
                }
                return Err(IqError::Refused { code, text, backoff }.into());
            }
            Err(error) => return Err(error.into()),
        };
        let answers = Answer::parse(&answer).unwrap_or_default();
        let verdict = answers.verdict(Protocol::Devices);
        if let Some(error) = verdict.and_then(|verdict| verdict.error.as_ref()) {
            throttle.refused(self.clock.now(), error.backoff.unwrap_or(0));
            return Err(DevicesError::Throttled(throttle.last));
        }
        let now = self.clock.wall_ms();
        let refresh = verdict.and_then(|verdict| verdict.refresh);
        let refresh = refresh.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(REFRESH);
        self.store
            .write(move |tx| {
                let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
                answers.users.iter().try_for_each(|user| take(tx, &own, user, refresh, now))
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
        self.store
            .write(move |tx| {
                for user in &answers.users {
                    learn(tx, user, now)?;
                }
                Ok(())
            })
            .await
    }
}

/// Users without a usable list, in the address to ask under: the LID where it is known. For the own account both.
fn missing(tx: &mut Tx<'_>, users: &[Jid], force: bool, now: UnixMillis) -> Result<Vec<User>, DevicesError> {
    let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
    let mut asked: Vec<User> = Vec::new();
    for user in users {
        let record = tx.device_list(&user.to_user().to_string())?;
        let usable = record
            .as_ref()
            .is_some_and(|list| list.fetched_at.is_some() && list.refresh_at.is_none_or(|at| at > now));
        if usable && !force {
            continue;
        }
        let forms = if own.is_own(user) {
            vec![Some(own.pn.to_user()), own.lid.as_ref().map(Jid::to_user)]
        } else {
            vec![Some(address::canonical(tx, &user.to_user())?)]
        };
        for form in forms.into_iter().flatten() {
            if asked.iter().all(|other| other.jid.as_ref() != Some(&form)) {
                let known = held(tx, &form)?;
                asked.push(User { known, ..User::jid(&form) });
            }
        }
    }
    Ok(asked)
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
) -> Result<(), DevicesError> {
    learn(tx, user, now)?;
    let (Some(jid), Some(Ok(devices))) = (&user.jid, &user.devices) else { return Ok(()) };
    let (jid, delivered) = (jid.to_user(), Delivered::from(devices));
    let name = jid.to_string();
    let old = tx.device_list(&name)?;
    let phone = address::canonical(tx, &jid)?;
    let primary = identity::stored(tx, &phone)?;
    match judge(old.as_ref(), &delivered, primary.as_ref()) {
        Outcome::Store { mut list, reset } => {
            let other = address::other_form(tx, &jid)?;
            let forms = [Some(jid.clone()), other];
            list.pn = forms.iter().flatten().find(|jid| jid.is_pn()).map(Jid::to_string);
            list.lid = forms.iter().flatten().find(|jid| jid.is_lid()).map(Jid::to_string);
            list.fetched_at = Some(now);
            list.refresh_at = Some(now.saturating_add(refresh.saturating_mul(1000)));
            if reset {
                forget_companions(tx, own, &jid)?;
            }
            tx.put_device_list(&list)?;
        }
        Outcome::Keep => {
            // Asked and answered: the stored one counts for another while.
            if let Some(mut list) = old {
                list.fetched_at = Some(now);
                list.refresh_at = Some(now.saturating_add(refresh.saturating_mul(1000)));
                tx.put_device_list(&list)?;
            }
        }
        Outcome::Empty => {}
        Outcome::Failed(why) => tracing::warn!(why, "a device list was not taken"),
    }
    Ok(())
}

/// The account was registered anew: sessions, identities and marks of its companions go (05a §3 rule 3).
pub(crate) fn forget_companions(tx: &mut Tx<'_>, own: &Own, user: &Jid) -> Result<(), StoreError> {
    if own.is_own(user) {
        return Ok(());
    }
    for form in address::both(tx, user)? {
        identity::forget_devices(tx, &form, |device| device != 0)?;
    }
    Ok(())
}
