//! Events on their way to the application: read from the inbox, acknowledged there (design §2 rule 3). At least
//! once: what was not acknowledged comes again after a restart, with the same id.

use std::collections::VecDeque;

use super::context::Context;
use super::event::Event;
use crate::store::{StoreError, inbox};

/// So many are read at once.
const PAGE: usize = 64;

/// The stream of an account's events.
pub struct Events {
    ctx: Context,
    /// The last one that was given out.
    after: u64,
    page: VecDeque<inbox::Event>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("after", &self.after).finish_non_exhaustive()
    }
}

/// One event, to be acknowledged.
pub struct Delivery {
    ctx: Context,
    /// The stable id: one that was seen already is a repetition.
    pub id: String,
    /// Its place in the account's order.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("kind", &self.event.kind())
            .finish_non_exhaustive()
    }
}

impl Delivery {
    /// The application has dealt with it: it does not come again.
    ///
    /// # Errors
    /// The store's; the event then comes again.
    pub async fn ack(self) -> Result<(), StoreError> {
        let (id, now) = (self.id, self.ctx.clock.wall_ms());
        self.ctx.store.write(move |tx| tx.acknowledge(&id, now).map(drop)).await
    }
}

impl Events {
    pub(super) fn new(ctx: Context) -> Self {
        Self { ctx, after: 0, page: VecDeque::new() }
    }

    /// The next event, in order; waits until there is one.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self) -> Result<Delivery, StoreError> {
        loop {
            // Registered before the look, so that nothing falls between.
            let ctx = self.ctx.clone();
            let grown = ctx.inbox.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            while let Some(row) = self.page.pop_front() {
                if let Some(delivery) = self.deliver(row).await? {
                    return Ok(delivery);
                }
            }
            let after = self.after;
            self.page = self.ctx.store.read(move |tx| tx.open_events(after, PAGE)).await?.into();
            if self.page.is_empty() {
                grown.await;
            }
        }
    }

    async fn deliver(&mut self, row: inbox::Event) -> Result<Option<Delivery>, StoreError> {
        self.after = row.seq;
        let (ctx, id) = (self.ctx.clone(), row.event_id);
        match Event::read(row.payload.expose()) {
            Some(event) => Ok(Some(Delivery { ctx, id, seq: row.seq, event })),
            None => {
                // Written by another version: kept in the store, not shown.
                tracing::warn!(id, "an event can't be read");
                Ok(None)
            }
        }
    }

    /// Gives every event to `handler` and acknowledges it when the handler returns; runs until the store fails.
    ///
    /// # Errors
    /// The store's.
    pub async fn for_each<F, R>(mut self, mut handler: F) -> Result<(), StoreError>
    where
        F: FnMut(Event) -> R,
        R: Future<Output = ()>,
    {
        loop {
            let delivery = self.next().await?;
            handler(delivery.event.clone()).await;
            delivery.ack().await?;
        }
    }
}
