//! What a row needs before it leaves: leave to do so, device lists, sessions, and the transaction that encrypts it
//! (protocol 05a §5, §7).

use std::time::Duration;

use crate::client::devices::own::Own;
use crate::client::devices::{DevicesError, address, session};
use crate::client::line::IqError;
use crate::client::messaging::{Job, Messaging};
use crate::client::send::encrypt::{self, NotEncrypted};
use crate::client::send::release::{self, Verdict};
use crate::client::send::{peer, plan, settle, token};
use crate::store::{Outgoing, OutgoingState, StoreError};
use crate::wire::Jid;

/// Why a row was not prepared.
#[derive(Debug, thiserror::Error)]
enum NotPrepared {
    #[error(transparent)]
    Devices(#[from] DevicesError),
    #[error(transparent)]
    Encrypt(#[from] NotEncrypted),
    #[error("the recipient is no user")]
    BadRecipient,
    #[error("it may not leave now")]
    NotReleased(Verdict),
    /// It was taken back, or is settled already.
    #[error("it is not wanted any more")]
    NotWanted,
}

impl From<StoreError> for NotPrepared {
    fn from(error: StoreError) -> Self {
        Self::Devices(error.into())
    }
}

impl Messaging {
    pub(super) async fn process_message(&self, row: Outgoing) -> Result<(), StoreError> {
        let fanned = match self.check(&row).await {
            Ok(()) => self.prepare(&row).await,
            Err(error) => Err(error),
        };
        match fanned {
            Ok(fanned) => {
                self.transmit(&row, fanned, true).await;
                self.offer_token(&row).await
            }
            Err(error) => self.not_prepared(&row, error).await,
        }
    }

    /// A message to the own phone.
    pub(super) async fn process_peer(&self, row: Outgoing) -> Result<(), StoreError> {
        match self.prepare_peer(&row).await {
            Ok(bytes) => {
                self.transmit(&row, bytes, true).await;
                Ok(())
            }
            Err(error) => self.not_prepared(&row, error).await,
        }
    }

    /// Nothing is asked of the network for a message that may not leave.
    async fn check(&self, row: &Outgoing) -> Result<(), NotPrepared> {
        let (row, times, budget) = (row.clone(), self.times(), self.ctx.config.new_chats);
        let verdict = self.ctx.store.read(move |tx| {
            let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
            Ok::<_, NotPrepared>(release::check(tx, &own, &row, &budget, times)?)
        });
        match verdict.await? {
            Verdict::Go => Ok(()),
            other => Err(NotPrepared::NotReleased(other)),
        }
    }

    /// Device lists, sessions, then the transaction.
    async fn prepare(&self, row: &Outgoing) -> Result<Vec<u8>, NotPrepared> {
        let to = settle::chat_of(row).ok_or(NotPrepared::BadRecipient)?;
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        let users = [to.clone(), own.pn.to_user()];
        self.devices.lists(&users, false).await?;
        let plan = self.plan(&to).await?;
        let set_up = self.devices.sessions(&plan.all()).await?;
        if set_up.own_phone_changed {
            return Err(DevicesError::Iq(IqError::Stopped).into());
        }
        for user in set_up.changed {
            self.job(Job::Reissue(user)).await;
        }
        let stale = !set_up.gone.is_empty() || self.lacks_phone(&plan).await?;
        // The keys of a phone may have shown that its list was wrong.
        let plan = if stale || !self.devices.have(&users).await? {
            self.devices.lists(&users, stale).await?;
            let plan = self.plan(&to).await?;
            self.devices.sessions(&plan.all()).await?;
            plan
        } else {
            plan
        };
        let (key, times, mut rng) = (row.key.clone(), self.times(), self.ctx.chance.fork());
        let (pace, budget) = (self.paced(), self.ctx.config.new_chats);
        let fanned = self.ctx.store.write(move |tx| {
            let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
            let row = tx.outgoing(&key)?.filter(|row| row.state == OutgoingState::Queued);
            let mut row = row.ok_or(NotPrepared::NotWanted)?;
            match release::take(tx, &own, &row, &budget, times)? {
                // It waits for nothing any more.
                Verdict::Go => (row.why, row.until) = (None, None),
                other => return Err(NotPrepared::NotReleased(other)),
            }
            pace.save(tx)?;
            // As it is now: a notification may have come meanwhile. A list that was dropped says nothing better.
            let listed = tx.device_list(&plan.chat.to_string())?.is_some();
            let plan = if listed { plan::plan(tx, &own, &to)? } else { plan };
            Ok::<_, NotPrepared>(encrypt::fan_out(tx, &own, &mut row, &plan, times, &mut rng)?)
        });
        fanned.await
    }

    async fn prepare_peer(&self, row: &Outgoing) -> Result<Vec<u8>, NotPrepared> {
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        if self.devices.sessions(&[peer::device(row, &own)]).await?.own_phone_changed {
            return Err(DevicesError::Iq(IqError::Stopped).into());
        }
        let (key, now, mut rng) = (row.key.clone(), self.ctx.clock.wall_ms(), self.ctx.chance.fork());
        let pace = self.paced();
        let sealed = self.ctx.store.write(move |tx| {
            pace.save(tx)?;
            peer::seal(tx, &key, now, &mut rng)
        });
        sealed.await?.ok_or(NotPrepared::NotWanted)
    }

    async fn not_prepared(&self, row: &Outgoing, error: NotPrepared) -> Result<(), StoreError> {
        let now = self.ctx.clock.now();
        let wait = match &error {
            NotPrepared::Devices(DevicesError::Store(error))
            | NotPrepared::Encrypt(NotEncrypted::Store(error)) => return Err(error.clone()),
            NotPrepared::NotWanted => return Ok(()),
            NotPrepared::NotReleased(verdict) => return self.not_released(row, verdict.clone()).await,
            NotPrepared::Devices(DevicesError::Iq(error)) => match error.wait() {
                Some(wait) => Some(wait),
                None if error.code().is_some_and(|code| code < 500) => None,
                None => Some(self.outbox.next_try(row.seq, error)),
            },
            NotPrepared::Encrypt(NotEncrypted::Nobody) => {
                // The list was stale, perhaps: ask once more.
                self.forget_list(row).await?;
                let first = self.outbox.lock().retried.insert(row.seq);
                first.then_some(Duration::ZERO)
            }
            _ => None,
        };
        if let Some(wait) = wait {
            tracing::info!(%error, ?wait, id = row.message_id, "a message waits");
            self.outbox.lock().later.insert(row.seq, now + wait);
            return Ok(());
        }
        tracing::warn!(%error, id = row.message_id, "a message could not be prepared");
        let detail = error.to_string();
        self.end(row, move |tx, row, now| settle::fail(tx, row, None, &detail, now)).await
    }

    async fn not_released(&self, row: &Outgoing, verdict: Verdict) -> Result<(), StoreError> {
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Wait { why, until } => self.holds(row, why, until).await,
            Verdict::Refuse(refused) => {
                self.end(row, move |tx, row, now| settle::refuse(tx, row, &refused, now)).await
            }
        }
    }

    async fn forget_list(&self, row: &Outgoing) -> Result<(), StoreError> {
        let chat = row.chat.clone();
        self.ctx.store.write(move |tx| tx.delete_device_list(&chat).map(drop)).await
    }

    pub(super) async fn plan(&self, to: &Jid) -> Result<plan::Plan, DevicesError> {
        let to = to.clone();
        self.ctx
            .store
            .read(move |tx| {
                let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
                Ok(plan::plan(tx, &own, &to)?)
            })
            .await
    }

    /// Whether the recipient's phone has no session, so that the chat would stay empty there.
    async fn lacks_phone(&self, plan: &plan::Plan) -> Result<bool, StoreError> {
        let phone = plan.theirs.iter().find(|device| device.device() == 0).cloned();
        let Some(phone) = phone else { return Ok(false) };
        let now = self.ctx.clock.wall_ms();
        self.ctx
            .store
            .write(move |tx| {
                let key = address::key(&address::canonical(tx, &phone)?);
                Ok::<_, StoreError>(!session::can_send(tx, &key, now)?)
            })
            .await
    }

    /// With every message the contact gets a token of ours, if it has none of this period.
    async fn offer_token(&self, row: &Outgoing) -> Result<(), StoreError> {
        let Some(chat) = settle::chat_of(row) else { return Ok(()) };
        let (row, server_s) = (row.clone(), self.times().server_s);
        let offers = self.ctx.store.read(move |tx| token::offers(tx, &row, server_s)).await?;
        if offers {
            self.job(Job::IssueToken(chat)).await;
        }
        Ok(())
    }
}
