//! The devices that a message missed, told by a `phash` in its ack: reached once, under the same id (protocol 05a §12).

use crate::client::devices::own::Own;
use crate::client::devices::{DevicesError, address, identity};
use crate::client::line::IqError;
use crate::client::messaging::Messaging;
use crate::client::send::encrypt::{self, NotEncrypted, Sealed, fingerprint};
use crate::client::send::plan::{self, Plan};
use crate::client::send::{resend, settle};
use crate::signal::IdentityKey;
use crate::stanza::outgoing::Body;
use crate::store::{Outgoing, StoreError, Tx};

impl Messaging {
    /// Refreshes the lists and sends to whoever got nothing.
    pub(crate) async fn reach_missed(&self, key: String) -> Result<(), StoreError> {
        if !self.ready().await {
            return Ok(());
        }
        let name = key.clone();
        let row = self.ctx.store.read(move |tx| tx.outgoing(&name)).await?;
        let Some(row) = row else { return Ok(()) };
        let in_time = |until: i64| until > self.ctx.clock.wall_ms();
        let Some(to) = settle::chat_of(&row).filter(|_| row.reach_missed_until.is_some_and(in_time)) else {
            return Ok(());
        };
        match self.refresh_and_send(&to, key).await {
            Ok(()) => Ok(()),
            Err(DevicesError::Store(error)) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "devices that a message missed were not reached");
                Ok(())
            }
        }
    }

    async fn refresh_and_send(&self, to: &crate::wire::Jid, key: String) -> Result<(), DevicesError> {
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        self.devices.lists(&[to.clone(), own.pn.to_user()], true).await?;
        let (name, asked) = (key.clone(), to.clone());
        let missed = self.ctx.store.read(move |tx| missed(tx, &name, &asked)).await?;
        let Some(mut missed) = missed else { return Ok(()) };
        if self.devices.sessions(&missed.all()).await?.own_phone_changed {
            return Err(IqError::Stopped.into());
        }
        let (now, mut rng) = (self.ctx.clock.wall_ms(), self.ctx.chance.fork());
        let bytes = self.ctx.store.write(move |tx| {
            let own = Own::load(tx)?.ok_or(NotEncrypted::BadMessage)?;
            let mut row = tx.outgoing(&key)?.ok_or(NotEncrypted::BadMessage)?;
            // Meanwhile it may have been revoked, and a phone may have shown a new identity.
            if row.reach_missed_until.is_none_or(|until| until <= now) {
                return Err(NotEncrypted::Nobody);
            }
            if is_replaced(tx, &row, &missed.chat)? {
                missed.theirs.clear();
            }
            let sealed = Sealed::new(&row, &missed.chat, &mut rng)?;
            let (targets, rows) = encrypt::encrypt_all(tx, &sealed, &missed, now)?;
            if targets.is_empty() {
                return Err(NotEncrypted::Nobody);
            }
            let body = Body::Fanout { targets, common: None };
            let mut stanza = sealed.stanza(tx, &own, missed.chat.clone(), &missed.chat, body)?;
            stanza.missed_devices_only = true;
            let bytes = encrypt::encode(&stanza.build())?;
            tx.put_targets(&row.chat, &row.message_id, &rows)?;
            row.reach_missed_until = Some(0);
            tx.put_outgoing(&row)?;
            Ok::<_, NotEncrypted>(bytes)
        });
        match bytes.await {
            // A phash in the ack of this one has no further consequence: there is no third stanza.
            Ok(bytes) => drop(self.ctx.send_bytes(bytes).await),
            Err(NotEncrypted::Store(error)) => return Err(error.into()),
            Err(error) => tracing::info!(%error, "nothing to send to missed devices"),
        }
        Ok(())
    }
}

/// The devices of the fresh lists that the message was not encrypted for; `None`: there are none.
fn missed(tx: &Tx<'_>, key: &str, to: &crate::wire::Jid) -> Result<Option<Plan>, DevicesError> {
    let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
    let Some(row) = tx.outgoing(key)? else { return Ok(None) };
    let reached: Vec<String> =
        tx.targets(&row.chat, &row.message_id)?.into_iter().map(|target| target.device).collect();
    let mut plan = plan::plan(tx, &own, to)?;
    if is_replaced(tx, &row, &plan.chat)? {
        plan.theirs.clear();
    }
    let is_missed = |device: &crate::wire::Jid| -> Result<bool, StoreError> {
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
fn is_replaced(tx: &Tx<'_>, row: &Outgoing, user: &crate::wire::Jid) -> Result<bool, StoreError> {
    let phone = address::canonical(tx, &user.to_user())?;
    if let Some(target) = resend::target(tx, row, &phone)? {
        let now = identity::stored(tx, &phone)?.map(|key| fingerprint(&IdentityKey(key)));
        return Ok(now.as_ref() != Some(&target.identity));
    }
    let stored = tx.identity(&address::key(&phone))?;
    Ok(stored.and_then(|identity| identity.changed_at).is_some_and(|at| at > row.created_at))
}
