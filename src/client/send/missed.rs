//! The devices that a message missed, told by a `phash` in its ack: reached once, under the same id (protocol 05a §12).
//! What is owed to them is durable; so is the second stanza, which goes again until the server has answered it.

use crate::client::devices::own::Own;
use crate::client::devices::{DevicesError, address, devices_of, identity};
use crate::client::line::IqError;
use crate::client::messaging::Messaging;
use crate::client::send::encrypt::{self, NotEncrypted, Sealed, fingerprint};
use crate::client::send::plan::{self, Plan};
use crate::client::send::{resend, settle, token};
use crate::signal::IdentityKey;
use crate::stanza::outgoing::Body;
use crate::stanza::phash::phash;
use crate::store::{Flag, Missed, Outgoing, SecretBytes, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// Tries on one connection, and the pause before the next in seconds.
const TRIES: u32 = 3;
const PAUSE: u64 = 5;

/// The second stanza is not sent again by itself after this time, in milliseconds.
const OLD: UnixMillis = 24 * 60 * 60 * 1000;

/// What is done next.
enum Step {
    /// Nobody is to be reached any more.
    Settled,
    /// Send these bytes.
    Send(Vec<u8>),
}

impl Messaging {
    /// Refreshes the lists and sends to whoever got nothing. `seq`: the number of the message's row.
    pub(crate) async fn reach_missed(&self, seq: u64) -> Result<(), StoreError> {
        let Some(_alone) = self.reaching.begin(seq.to_string()) else { return Ok(()) };
        if !self.ready().await {
            return Ok(());
        }
        for attempt in 1..=TRIES {
            match self.reach(seq).await {
                Ok(()) => return Ok(()),
                Err(DevicesError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, attempt, "devices that a message missed were not reached");
                    let wait = if let DevicesError::Iq(error) = &error { error.wait() } else { None };
                    let least = std::time::Duration::from_secs(PAUSE << attempt);
                    self.ctx.clock.sleep(wait.unwrap_or_default().max(least)).await;
                }
            }
        }
        Ok(())
    }

    async fn reach(&self, seq: u64) -> Result<(), DevicesError> {
        let found = self.ctx.store.read(move |tx| found(tx, seq)).await?;
        let Some((missed, row, to)) = found else {
            self.ctx.store.write(move |tx| tx.settle_missed(seq).map(drop)).await?;
            return Ok(());
        };
        let now = self.ctx.clock.wall_ms();
        let step = match missed.stanza {
            Some(stanza) if now < missed.until.saturating_add(OLD) => Step::Send(stanza.expose().to_vec()),
            None if now < missed.until => self.second_stanza(seq, &missed, &row, &to).await?,
            _ => Step::Settled,
        };
        match step {
            Step::Send(bytes) => self.send_second(seq, &row, &to, bytes).await,
            Step::Settled => Ok(self.ctx.store.write(move |tx| tx.settle_missed(seq).map(drop)).await?),
        }
    }

    /// Lists, sessions, and the second stanza, durable.
    async fn second_stanza(
        &self,
        seq: u64,
        owed: &Missed,
        row: &Outgoing,
        to: &Jid,
    ) -> Result<Step, DevicesError> {
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        let (hash, chat) = (owed.hash.clone(), to.clone());
        if !self.ctx.store.read(move |tx| is_known(tx, &own, &chat, &hash)).await? {
            let users = [to.clone(), self.own_user().await?];
            self.devices.lists(&users, true).await?;
        }
        let (key, asked) = (row.key.clone(), to.clone());
        let Some(plan) = self.ctx.store.read(move |tx| missed(tx, &key, &asked)).await? else {
            return Ok(Step::Settled);
        };
        if self.devices.sessions(&plan.all()).await?.own_phone_changed {
            return Err(IqError::Stopped.into());
        }
        let (key, times, mut rng) = (row.key.clone(), self.times(), self.ctx.chance.fork());
        let sealed = self.ctx.store.write(move |tx| {
            let own = Own::load(tx)?.ok_or(NotEncrypted::BadMessage)?;
            // Meanwhile it may have been revoked, and a phone may have shown a new identity.
            let owed = tx.missed(seq)?.filter(|owed| times.now < owed.until).ok_or(NotEncrypted::Nobody)?;
            let row = tx.outgoing(&key)?.ok_or(NotEncrypted::BadMessage)?;
            let mut plan = plan;
            if is_replaced(tx, &row, &plan.chat)? {
                plan.theirs.clear();
            }
            let sealed = Sealed::new(&row, &plan.chat, &mut rng)?;
            let (targets, rows) = encrypt::encrypt_all(tx, &sealed, &plan, times.now)?;
            if targets.is_empty() {
                return Err(NotEncrypted::Nobody);
            }
            let body = Body::Fanout { targets, common: None };
            let mut stanza = sealed.stanza(tx, &own, plan.chat.clone(), &plan.chat, body)?;
            stanza.missed_devices_only = true;
            stanza.contact_token = token::beside(tx, &own, &plan.chat, times.server_s)?;
            let bytes = encrypt::encode(&stanza.build())?;
            tx.put_targets(&row.chat, &row.message_id, &rows)?;
            tx.put_missed(seq, &Missed { stanza: Some(SecretBytes::new(bytes.clone())), ..owed })?;
            Ok::<_, NotEncrypted>(bytes)
        });
        match sealed.await {
            Ok(bytes) => Ok(Step::Send(bytes)),
            Err(NotEncrypted::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::info!(%error, "nothing to send to missed devices");
                Ok(Step::Settled)
            }
        }
    }

    /// Sends it and waits for the server's word. Without one it goes again on the next connection.
    async fn send_second(
        &self,
        seq: u64,
        row: &Outgoing,
        to: &Jid,
        bytes: Vec<u8>,
    ) -> Result<(), DevicesError> {
        let waiter = self.acks.expect("message", &row.message_id);
        if self.ctx.send_bytes(bytes).await.is_err() {
            return Ok(());
        }
        let Ok(ack) = waiter.wait(&self.ctx.clock).await else { return Ok(()) };
        if ack.error == Some(429) {
            // The row waits for the account's next "ready".
            return Ok(());
        }
        self.ctx.store.write(move |tx| tx.settle_missed(seq).map(drop)).await?;
        if ack.phash.is_some() {
            // There is no third stanza: only the lists are refreshed once more.
            let users = [to.clone(), self.own_user().await?];
            self.devices.lists(&users, true).await?;
        }
        Ok(())
    }

    async fn own_user(&self) -> Result<Jid, DevicesError> {
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        Ok(own.pn.to_user())
    }
}

fn found(tx: &Tx<'_>, seq: u64) -> Result<Option<(Missed, Outgoing, Jid)>, StoreError> {
    // A restored store is older than what it has sent: nothing goes out as stored (04 S8).
    let restored = tx.flag(Flag::Restored)?;
    let missed = tx.missed(seq)?.filter(|missed| missed.stanza.is_none() || !restored);
    let Some(missed) = missed else { return Ok(None) };
    let Some(row) = tx.outgoing(&missed.key)? else { return Ok(None) };
    Ok(settle::chat_of(&row).map(|to| (missed, row, to)))
}

/// Whether our lists already are what the server's hash says, with the sending device or without it.
fn is_known(tx: &Tx<'_>, own: &Own, to: &Jid, hash: &str) -> Result<bool, StoreError> {
    let me = own.in_namespace_of(to);
    let (Some(mut all), Some(ours)) = (devices_of(tx, to)?, devices_of(tx, &me.to_user())?) else {
        return Ok(false);
    };
    all.extend(ours);
    all.retain(|device| !own.is_this_device(device));
    let without = phash(&all);
    all.push(me.clone());
    Ok(without == hash || phash(&all) == hash)
}

/// The devices of the fresh lists that the message was not encrypted for; `None`: there are none.
fn missed(tx: &Tx<'_>, key: &str, to: &Jid) -> Result<Option<Plan>, DevicesError> {
    let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
    let Some(row) = tx.outgoing(key)? else { return Ok(None) };
    let reached: Vec<String> =
        tx.targets(&row.chat, &row.message_id)?.into_iter().map(|target| target.device).collect();
    let mut plan = plan::plan(tx, &own, to)?;
    if is_replaced(tx, &row, &plan.chat)? {
        plan.theirs.clear();
    }
    let is_missed = |device: &Jid| -> Result<bool, StoreError> {
        Ok(!reached.contains(&address::key(&address::canonical(tx, device)?)))
    };
    for devices in [&mut plan.theirs, &mut plan.ours] {
        let mut kept = Vec::new();
        for device in devices.drain(..) {
            if is_missed(&device)? {
                kept.push(device);
            }
        }
        *devices = kept;
    }
    Ok((!plan.theirs.is_empty() || !plan.ours.is_empty()).then_some(plan))
}

/// Whether the user's phone has another identity than when the message was written: nobody of that user gets it.
fn is_replaced(tx: &Tx<'_>, row: &Outgoing, user: &Jid) -> Result<bool, StoreError> {
    let phone = address::canonical(tx, &user.to_user())?;
    if let Some(target) = resend::target(tx, row, &phone)? {
        let now = identity::stored(tx, &phone)?.map(|key| fingerprint(&IdentityKey(key)));
        return Ok(now.as_ref() != Some(&target.identity));
    }
    let stored = tx.identity(&address::key(&phone))?;
    Ok(stored.and_then(|identity| identity.changed_at).is_some_and(|at| at > row.created_at))
}
