//! The server's word on a message: who waits for it, and what it leads to (protocol 05a §12, 05d §10).

use crate::client::devices::own::Own;
use crate::client::limits;
use crate::client::messaging::{Job, Messaging};
use crate::client::receive::receipts::forms;
use crate::client::send::acks::{NoAck, Waiter};
use crate::client::send::settle::{self, After};
use crate::client::send::wrong;
use crate::stanza::ack::ServerAck;
use crate::store::{OutgoingState, StoreError};

/// Open rows among which those under way are looked for.
const LOOKED_AT: usize = 256;

impl Messaging {
    /// Waits for the ack of a message and does what it demands.
    pub(crate) async fn await_ack(
        &self,
        key: String,
        seq: u64,
        waiter: Waiter,
        again: bool,
    ) -> Result<(), StoreError> {
        match waiter.wait(&self.ctx.clock).await {
            Ok(ack) => self.acked(key, seq, ack).await,
            Err(NoAck::Disconnected) => {
                self.outbox.heard(seq);
                Ok(())
            }
            Err(NoAck::Timeout) if again => self.send_again(key, seq).await,
            Err(NoAck::Timeout) => {
                // The next connection sends it again; what is newer in this chat waits no longer.
                self.outbox.not_heard(seq);
                Ok(())
            }
        }
    }

    async fn acked(&self, key: String, seq: u64, ack: ServerAck) -> Result<(), StoreError> {
        let (name, now, taken) = (key.clone(), self.ctx.clock.wall_ms(), ack.clone());
        let after = self
            .ctx
            .store
            .write(move |tx| match Own::load(tx)? {
                Some(own) => settle::settle(tx, &own, &name, &taken, now),
                None => Ok(After::Nothing),
            })
            .await?;
        self.outbox.settle();
        self.ctx.inbox.notify_waiters();
        if after != After::Nothing {
            tracing::info!(?after, "the server's word on a message");
        }
        if ack.error.is_none() {
            self.taken().await?;
        }
        if ack.refresh_lid
            && let Some(user) = ack.from.clone()
        {
            self.job(Job::LearnLid(user)).await;
        }
        match after {
            After::Again(wait) => {
                self.ctx.clock.sleep(wait).await;
                return self.send_again(key, seq).await;
            }
            After::Pause(backoff) => self.pause(backoff).await?,
            After::ReachMissed => self.job(Job::ReachMissed(seq)).await,
            After::AskCap => {
                self.limits_changed();
                self.ctx.limits.ask_cap(self.ctx.clock.now());
            }
            After::IssueToken => {
                self.limits_changed();
                self.ctx.limits.ask_timelock(self.ctx.clock.now());
                if let Some(user) = ack.from {
                    self.job(Job::IssueToken(user)).await;
                }
            }
            After::Anew | After::Nothing => {}
        }
        self.outbox.heard(seq);
        Ok(())
    }

    /// An ack that nobody waits for: of a message it is the server's word all the same.
    pub(crate) async fn late_ack(&self, ack: ServerAck) -> Result<(), StoreError> {
        let Some(chat) = ack.from.clone().filter(|_| ack.class == "message") else { return Ok(()) };
        let id = ack.id.clone();
        let row = self.ctx.store.read(move |tx| {
            for form in forms(tx, &chat)? {
                if let Some(row) = tx.outgoing_message(&form, &id)? {
                    return Ok(Some(row).filter(|row| row.state == OutgoingState::Encrypted));
                }
            }
            Ok::<_, StoreError>(None)
        });
        match row.await? {
            Some(row) => self.acked(row.key, row.seq, ack).await,
            None => Ok(()),
        }
    }

    /// The server could not read something of ours (a top-level `<error code="479">`). It names no stanza: it counts for
    /// the chats whose messages are under way.
    pub(crate) async fn unreadable(&self) -> Result<(), StoreError> {
        let (under_way, now) = (self.outbox.under_way(), self.ctx.clock.wall_ms());
        self.ctx
            .store
            .write(move |tx| {
                let open = tx.open_outgoing(0, LOOKED_AT)?.into_iter();
                let mut chats: Vec<String> =
                    open.filter(|row| under_way.contains(&row.seq)).map(|row| row.chat).collect();
                chats.sort();
                chats.dedup();
                chats.iter().try_for_each(|chat| wrong::note(tx, chat, now))
            })
            .await
    }

    /// The identical bytes once more, on the connection that lives.
    async fn send_again(&self, key: String, seq: u64) -> Result<(), StoreError> {
        let name = key.clone();
        let row = self.ctx.store.read(move |tx| tx.outgoing(&name)).await?;
        match (row, self.attempt(&key, None).await?) {
            (Some(row), Some(stanza)) => self.transmit(&row, stanza, false).await,
            // A receipt was the server's word, too.
            _ => self.outbox.heard(seq),
        }
        Ok(())
    }

    /// The account sends nothing for a while, also after a restart.
    async fn pause(&self, backoff: Option<u64>) -> Result<(), StoreError> {
        let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
        let kept = {
            let mut inner = self.outbox.lock();
            inner.pace.pause(backoff, now);
            inner.pace.kept(now, wall)
        };
        let until = kept.paused().unwrap_or(wall);
        self.ctx
            .store
            .write(move |tx| {
                kept.save(tx)?;
                limits::paused(tx, until, wall)
            })
            .await?;
        self.limits_changed();
        Ok(())
    }

    /// The server takes messages.
    async fn taken(&self) -> Result<(), StoreError> {
        let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
        let kept = {
            let mut inner = self.outbox.lock();
            inner.pace.is_taken().then(|| inner.pace.kept(now, wall))
        };
        match kept {
            Some(kept) => self.ctx.store.write(move |tx| kept.save(tx)).await,
            None => Ok(()),
        }
    }
}
