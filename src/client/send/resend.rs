//! A device asks for a message of ours again (protocol 05b §10): who may, a new session where one is needed, and one
//! ciphertext for that device alone.

use crate::client::devices::own::Own;
use crate::client::devices::setup::{self, Installed};
use crate::client::devices::{DevicesError, address, devices_of, identity, session};
use crate::client::messaging::{Job, Messaging};
use crate::client::once::Alone;
use crate::client::receive::receipts::forms;
use crate::client::send::encrypt::{self, NotEncrypted, Sealed, fingerprint};
use crate::signal::IdentityKey;
use crate::stanza::outgoing::Body;
use crate::stanza::retry::Received;
use crate::store::{Outgoing, StoreError, Target, Tx, UnixMillis};
use crate::wire::Jid;
use rand_chacha::ChaCha20Rng;
use tokio::time::Instant;

/// From this count on a request is ignored.
const TOO_MANY: u32 = 5;

/// So many requests of one device for one message are looked at, but one.
const REQUESTS: u32 = 10;

/// A device's session is made anew at most this often, in milliseconds.
const RECREATE: UnixMillis = 60 * 60 * 1000;

/// What a request leads to.
#[derive(Debug)]
enum Answer {
    Nothing,
    /// The device is not known: ask for the user's list.
    Refresh,
    OwnPhoneChanged,
    /// Send it again; `fetch`: with a new session.
    Send {
        key: String,
        chat: Jid,
        fetch: bool,
    },
}

/// A message that is to be sent again, when its turn has come.
pub(crate) struct Resend {
    asked: Received,
    key: String,
    chat: Jid,
    fetch: bool,
    turn: Instant,
    /// One worker for each (chat, id, requester).
    _alone: Alone,
}

impl Resend {
    /// Whether it goes without any waiting: then it is sent before the next request is looked at.
    pub(crate) fn goes_now(&self, now: Instant) -> bool {
        !self.fetch && self.turn <= now
    }
}

impl Messaging {
    /// Judges a request, which is acked already; in the order in which they came. `None`: nothing is sent again.
    pub(crate) async fn judge_retry(&self, asked: Received) -> Result<Option<Resend>, StoreError> {
        if asked.count >= TOO_MANY {
            return Ok(None);
        }
        let name = format!("{} {} {}", asked.from, asked.requester(), asked.id);
        let Some(alone) = self.answering.begin(name) else { return Ok(None) };
        let (now, mut rng) = (self.ctx.clock.wall_ms(), self.ctx.chance.fork());
        let request = asked.clone();
        let answer = self.ctx.store.write(move |tx| judge(tx, &request, now, &mut rng)).await?;
        let (key, chat, fetch) = match answer {
            Answer::Nothing => return Ok(None),
            Answer::Refresh => {
                self.job(Job::Refresh(asked.requester().to_user())).await;
                return Ok(None);
            }
            Answer::OwnPhoneChanged => {
                self.stop_for_phone();
                return Ok(None);
            }
            Answer::Send { key, chat, fetch } => (key, chat, fetch),
        };
        // Nothing is dropped in a 1:1 chat: the excess waits its turn.
        let now = self.ctx.clock.now();
        let Some(wait) = self.outbox.bucket(&chat.to_string(), now) else {
            tracing::warn!("too many resends wait in this chat: one is dropped");
            return Ok(None);
        };
        Ok(Some(Resend { asked, key, chat, fetch, turn: now + wait, _alone: alone }))
    }

    /// Waits for its turn, makes a session where one is needed, and sends.
    pub(crate) async fn resend(&self, resend: Resend) -> Result<(), StoreError> {
        let Resend { asked, key, chat, fetch, turn, _alone } = resend;
        self.ctx.clock.sleep_until(turn).await;
        if !self.ready().await {
            return Ok(());
        }
        if fetch {
            match self.devices.new_sessions(&[asked.requester().clone()]).await {
                Ok(_) => {}
                Err(DevicesError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "no keys of a device that asks for a message again");
                    return Ok(());
                }
            }
        }
        let (now, mut rng) = (self.ctx.clock.wall_ms(), self.ctx.chance.fork());
        let sealed = self.ctx.store.write(move |tx| seal(tx, &asked, &key, &chat, now, &mut rng)).await;
        match sealed {
            Ok(bytes) => drop(self.ctx.send_bytes(bytes).await),
            Err(NotEncrypted::Store(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, "a message was not sent again"),
        }
        Ok(())
    }
}

/// The chat of a request; `None`: it names none that we could answer for.
fn chat_of(own: &Own, asked: &Received) -> Option<Jid> {
    if own.is_own(asked.requester()) || asked.from.is_bot() {
        return asked.recipient.as_ref().map(Jid::to_user);
    }
    asked.from.is_user().then(|| asked.from.to_user())
}

fn judge(
    tx: &mut Tx<'_>,
    asked: &Received,
    now: UnixMillis,
    rng: &mut ChaCha20Rng,
) -> Result<Answer, StoreError> {
    let Some(own) = Own::load(tx)? else { return Ok(Answer::Nothing) };
    let Some(chat) = chat_of(&own, asked) else { return Ok(Answer::Nothing) };
    let requester = asked.requester();
    let device = address::canonical(tx, requester)?;
    let key = address::key(&device);
    let mut history = tx.asked_retry(&key, &asked.id)?;
    history.requests = history.requests.saturating_add(1);
    history.at = now;
    tx.put_asked_retry(&key, &asked.id, &history)?;
    if history.requests >= REQUESTS {
        return Ok(Answer::Nothing);
    }
    let listed = devices_of(tx, &requester.to_user())?.unwrap_or_default();
    if listed.iter().all(|known| known.device() != device.device()) {
        return Ok(Answer::Refresh);
    }
    match with_keys(tx, &own, asked, &device, now, rng)? {
        Keys::Fine => {}
        Keys::Reject => return Ok(Answer::Nothing),
        Keys::OwnPhoneChanged => return Ok(Answer::OwnPhoneChanged),
    }
    let Some(row) = find(tx, &chat, &asked.id)? else { return Ok(Answer::Nothing) };
    if !is_entitled(tx, &row, &device)? {
        tracing::info!("a device asks for a message that is not for it");
        return Ok(Answer::Nothing);
    }
    let fetch = asked.keys.is_none() && needs_session(tx, asked, &key, now)?;
    Ok(Answer::Send { key: row.key, chat, fetch })
}

enum Keys {
    Fine,
    Reject,
    OwnPhoneChanged,
}

/// Takes the keys that a request brings, and what its registration id says.
fn with_keys(
    tx: &mut Tx<'_>,
    own: &Own,
    asked: &Received,
    device: &Jid,
    now: UnixMillis,
    rng: &mut ChaCha20Rng,
) -> Result<Keys, StoreError> {
    let key = address::key(device);
    let mut record = session::load(tx, &key)?;
    let known = record.remote_registration_id().filter(|id| *id != 0);
    let changed = asked.registration_id.is_some_and(|id| known.is_some_and(|known| known != id));
    if own.is_own(device) && (changed || known.is_none()) && asked.registration_id.is_some() {
        return Ok(Keys::Reject);
    }
    let bundle = match &asked.keys {
        None => {
            if changed {
                record.archive_current();
                session::save(tx, &key, &record)?;
            }
            return Ok(Keys::Fine);
        }
        Some(Err(_)) => return Ok(Keys::Reject),
        Some(Ok(bundle)) if bundle.prekey.is_none() && !device.is_bot() => return Ok(Keys::Reject),
        Some(Ok(bundle)) => bundle,
    };
    // What waited in the queue may be old: it counts only if it fits the session that we have.
    if asked.offline && (known.is_none() || known != asked.registration_id) {
        tx.delete_session(&key)?;
        return Ok(Keys::Fine);
    }
    Ok(match setup::install(tx, own, device, bundle, now, rng)? {
        Installed::Yes { .. } => Keys::Fine,
        Installed::No => Keys::Reject,
        Installed::OwnPhoneChanged => Keys::OwnPhoneChanged,
    })
}

fn find(tx: &Tx<'_>, chat: &Jid, id: &str) -> Result<Option<Outgoing>, StoreError> {
    for form in forms(tx, chat)? {
        if let Some(row) = tx.outgoing_message(&form, id)?.filter(|row| !row.plaintext.is_empty()) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Only a device that the message was for, that has not confirmed it, and that still has its identity (05b §10 step 7).
fn is_entitled(tx: &Tx<'_>, row: &Outgoing, device: &Jid) -> Result<bool, StoreError> {
    let Some(target) = target(tx, row, device)? else { return Ok(false) };
    if target.confirmed {
        return Ok(false);
    }
    let Some(identity) = identity::stored(tx, device)? else { return Ok(false) };
    if target.identity == fingerprint(&IdentityKey(identity)) {
        return Ok(true);
    }
    // A phone that was set up anew may have the message, if no device of its user has it.
    if device.device() != 0 {
        return Ok(false);
    }
    let mut starts = vec![address::prefix(device)];
    starts.extend(address::other_form(tx, device)?.map(|other| address::prefix(&other)));
    let all = tx.targets(&row.chat, &row.message_id)?;
    let theirs = |target: &&Target| starts.iter().any(|start| target.device.starts_with(start));
    Ok(!all.iter().filter(theirs).any(|target| target.confirmed))
}

/// The target row of a device, under either of its addresses.
pub(super) fn target(tx: &Tx<'_>, row: &Outgoing, device: &Jid) -> Result<Option<Target>, StoreError> {
    let mut found = tx.target(&row.chat, &row.message_id, &address::key(device))?;
    if found.is_none()
        && let Some(other) = address::other_form(tx, device)?
    {
        found = tx.target(&row.chat, &row.message_id, &address::key(&other))?;
    }
    Ok(found)
}

/// A request without keys: whether a session is to be made anew (05b §10 step 8).
fn needs_session(tx: &mut Tx<'_>, asked: &Received, key: &str, now: UnixMillis) -> Result<bool, StoreError> {
    let mut record = session::load(tx, key)?;
    let base_key = record.base_key().map(|base| base.as_bytes().to_vec());
    let mut history = tx.asked_retry(key, &asked.id)?;
    if asked.count == 2 {
        history.base_key = base_key;
        tx.put_asked_retry(key, &asked.id, &history)?;
    } else if asked.count > 2 {
        if history.base_key.is_some() && history.base_key == base_key {
            record.archive_current();
            session::save(tx, key, &record)?;
        }
        history.base_key = None;
        tx.put_asked_retry(key, &asked.id, &history)?;
    }
    let recent = tx.session_recreated_at(key)?.is_some_and(|at| now.saturating_sub(at) < RECREATE);
    let wanted = !record.can_send(now) || (asked.count >= 2 && !recent);
    if wanted {
        tx.mark_session_recreated(key, now)?;
    }
    Ok(wanted)
}

/// Encrypts for the device that asks, and writes what has to be durable before it leaves.
fn seal(
    tx: &mut Tx<'_>,
    asked: &Received,
    key: &str,
    chat: &Jid,
    now: UnixMillis,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<u8>, NotEncrypted> {
    let own = Own::load(tx)?.ok_or(NotEncrypted::BadMessage)?;
    let row = tx.outgoing(key)?.ok_or(NotEncrypted::BadMessage)?;
    let to_own = own.is_own(asked.requester());
    let sealed = Sealed::new(&row, chat, rng)?;
    let sent = sealed.enc(tx, asked.requester(), to_own, Some(asked.count), now)?;
    let (enc, target) = sent.ok_or(NotEncrypted::Nobody)?;
    let mut stanza = sealed.stanza(tx, &own, asked.from.clone(), chat, Body::One(enc))?;
    if to_own {
        stanza.recipient = Some(chat.clone());
        // Only messages to others can be reported.
        stanza.reporting_token = None;
    } else {
        stanza.peer_recipient = None;
    }
    tx.put_targets(&row.chat, &row.message_id, &[target])?;
    encrypt::encode(&stanza.build())
}
