//! Is a phone number on WhatsApp (protocol 05d §3)? Answers are kept, and few numbers are asked for (05d §10): this is for
//! somebody who wants to write to somebody, not for going through lists of numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::context::Context;
use crate::client::devices::mapping;
use crate::client::line::{IqError, Line};
use crate::clock::UnixMillis;
use crate::stanza::usync::{Answer, Context as For, Mode, Protocol, Query, Registered, User, UserAnswer};
use crate::store::{StoreError, Tx};
use crate::wire::Jid;

const MINUTE: UnixMillis = 60_000;
const DAY: UnixMillis = 24 * 60 * MINUTE;

/// How long an answer counts.
const KEPT_IN: UnixMillis = 7 * DAY;
const KEPT_OUT: UnixMillis = DAY;

/// Numbers and questions in any minute, and numbers in any day.
const PER_MINUTE: usize = 20;
const QUESTIONS: usize = 5;
const PER_DAY: usize = 200;

const SETTING: &str = "contacts.checked";

/// What is known of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// It has an account, under this address, which may name another number than was asked for.
    Registered(String),
    /// It has none.
    NotRegistered,
    /// The service did not say.
    Unknown,
}

/// A number could not be checked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckError {
    /// `+`, a digit from 1 to 9, fifteen digits at most.
    #[error("{0:?} is no phone number in international form (+ and digits)")]
    BadNumber(String),
    /// Too many were asked for lately.
    #[error("too many numbers were checked; try again in {0:?}")]
    Later(Duration),
    /// More numbers than may be asked for at once.
    #[error("at most {PER_MINUTE} numbers can be checked at once")]
    TooMany,
    /// The question failed.
    #[error(transparent)]
    Iq(#[from] IqError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was asked and answered lately; durable, so that a restart does not begin anew.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checked {
    /// Number, when, what was said.
    known: Vec<(String, UnixMillis, Registration)>,
    /// When, and how many numbers.
    questions: Vec<(UnixMillis, usize)>,
}

impl Checked {
    fn load(tx: &Tx<'_>) -> Result<Self, StoreError> {
        let kept = tx.setting(SETTING)?;
        Ok(kept.and_then(|kept| serde_json::from_slice(kept.expose()).ok()).unwrap_or_default())
    }

    fn save(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        // Plain data: writing it can't fail.
        tx.set_setting(SETTING, Some(&serde_json::to_vec(self).unwrap_or_default()))
    }

    /// Forgets what is too old to count.
    fn prune(&mut self, now: UnixMillis) {
        self.known.retain(|(_, at, said)| {
            let kept = if matches!(said, Registration::Registered(_)) { KEPT_IN } else { KEPT_OUT };
            now.saturating_sub(*at) < kept
        });
        self.questions.retain(|(at, _)| now.saturating_sub(*at) < DAY);
    }

    fn said(&self, number: &str) -> Option<&Registration> {
        self.known.iter().find(|(known, ..)| known == number).map(|(.., said)| said)
    }

    /// Takes so many numbers from what may be asked; else how long to wait.
    fn take(&mut self, numbers: usize, now: UnixMillis) -> Result<(), UnixMillis> {
        self.prune(now);
        // The earliest moment from which on the sum of what is asked within the span stays below the limit.
        let wait = |span: UnixMillis, most: usize, count: fn(usize) -> usize, new: usize| {
            let mut sum = new;
            for (at, asked) in self.questions.iter().rev() {
                if now.saturating_sub(*at) >= span {
                    break;
                }
                sum += count(*asked);
                if sum > most {
                    return at.saturating_add(span).saturating_sub(now);
                }
            }
            0
        };
        let waits = [
            wait(MINUTE, PER_MINUTE, |asked| asked, numbers),
            wait(MINUTE, QUESTIONS, |_| 1, 1),
            wait(DAY, PER_DAY, |asked| asked, numbers),
        ];
        match waits.into_iter().max() {
            Some(wait) if wait > 0 => Err(wait),
            _ => {
                self.questions.push((now, numbers));
                Ok(())
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (1..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

/// Checks numbers (`+` and digits); the answers are in their order.
pub(crate) async fn check(ctx: &Context, numbers: &[String]) -> Result<Vec<Registration>, CheckError> {
    if let Some(bad) = numbers.iter().find(|number| !is_number(number)) {
        return Err(CheckError::BadNumber(bad.clone()));
    }
    let (asked, now) = (numbers.to_vec(), ctx.clock.wall_ms());
    // What is asked is taken from the budget before it goes out.
    let ask = ctx.store.write(move |tx| {
        let mut checked = Checked::load(tx)?;
        checked.prune(now);
        let mut ask: Vec<String> =
            asked.into_iter().filter(|number| checked.said(number).is_none()).collect();
        ask.sort();
        ask.dedup();
        if ask.len() > PER_MINUTE {
            return Err(CheckError::TooMany);
        }
        if !ask.is_empty() {
            let wait = |ms: UnixMillis| Duration::from_millis(ms.unsigned_abs());
            checked.take(ask.len(), now).map_err(|ms| CheckError::Later(wait(ms)))?;
            checked.save(tx)?;
        }
        Ok(ask)
    });
    let ask = ask.await?;
    if !ask.is_empty() {
        let answer = Line::ask(&**ctx, question(&ask).build(&ctx.sid())).await?;
        let answers = Answer::parse(&answer).unwrap_or_default();
        let now = ctx.clock.wall_ms();
        ctx.store.write(move |tx| take(tx, &ask, &answers, now)).await?;
    }
    let asked = numbers.to_vec();
    let known = ctx.store.read(move |tx| {
        let checked = Checked::load(tx)?;
        let said = |number: &String| checked.said(number).cloned().unwrap_or(Registration::Unknown);
        Ok::<_, StoreError>(asked.iter().map(said).collect())
    });
    Ok(known.await?)
}

/// The official client's form.
fn question(numbers: &[String]) -> Query {
    Query {
        mode: Mode::Query,
        context: For::Interactive,
        protocols: vec![
            Protocol::Contact { lid: false },
            Protocol::Lid,
            Protocol::Business,
            Protocol::DisappearingMode,
            Protocol::Username,
        ],
        users: numbers.iter().map(|number| User::phone(number)).collect(),
    }
}

/// Keeps what was said about each number; an error about one says nothing.
fn take(tx: &mut Tx<'_>, asked: &[String], answers: &Answer, now: UnixMillis) -> Result<(), StoreError> {
    let mut checked = Checked::load(tx)?;
    for user in &answers.users {
        let Some(contact) = &user.contact else { continue };
        let digits = contact.query.trim_start_matches('+');
        let Some(number) = asked.iter().find(|number| number.trim_start_matches('+') == digits) else {
            continue;
        };
        let said = match (contact.registered, &user.jid) {
            (Registered::In, Some(jid)) => {
                learn(tx, jid, user, now)?;
                Registration::Registered(jid.to_user().to_string())
            }
            (Registered::In, None) => continue,
            (Registered::Out | Registered::Invalid, _) => Registration::NotRegistered,
        };
        checked.known.retain(|(known, ..)| known != number);
        checked.known.push((number.clone(), now, said));
    }
    checked.save(tx)
}

fn learn(tx: &mut Tx<'_>, jid: &Jid, user: &UserAnswer, now: UnixMillis) -> Result<(), StoreError> {
    let others = user.pn_jid.iter().chain(user.lid.iter().flatten());
    others.into_iter().try_for_each(|other| mapping::learn(tx, jid, other, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_international_form() {
        for good in ["+4915112345678", "+1", "+123456789012345"] {
            assert!(is_number(good), "{good}");
        }
        for bad in ["", "+", "4915112345678", "+0151", "+49 151", "+1234567890123456", "+49a"] {
            assert!(!is_number(bad), "{bad}");
        }
    }

    #[test]
    fn twenty_numbers_in_five_questions_a_minute_and_two_hundred_a_day() {
        let mut checked = Checked::default();
        for _ in 0..5 {
            assert_eq!(checked.take(1, 0), Ok(()));
        }
        assert_eq!(checked.take(1, 1000), Err(59_000));
        assert_eq!(checked.take(15, MINUTE), Ok(()));
        assert_eq!(checked.take(6, MINUTE), Err(MINUTE));
        assert_eq!(checked.take(5, MINUTE), Ok(()));
        let mut now = MINUTE;
        for _ in 0..8 {
            now += MINUTE;
            assert_eq!(checked.take(20, now), Ok(()));
        }
        // 185 today; the first of them leave the day with their questions.
        assert_eq!(checked.take(15, now + MINUTE), Ok(()));
        assert_eq!(checked.take(1, now + 2 * MINUTE), Err(DAY - now - 2 * MINUTE));
    }
}
