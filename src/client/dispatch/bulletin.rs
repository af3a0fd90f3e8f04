//! `<ib>` (protocol 01 §15): each child for itself.

use super::{Dispatcher, Purpose};
use crate::client::event::Event;
use crate::client::pair;
use crate::stanza::ib::{self, Bulletin, Dirty};
use crate::store::StoreError;
use crate::wire::NodeRef;

/// The least time an expiry date is away: 3 days, in seconds.
const EXPIRY_MIN: i64 = 3 * 86_400;
/// Where the store keeps the date, as decimal Unix seconds.
pub(crate) const EXPIRY: &str = "client_expiration";

impl Dispatcher {
    pub(super) async fn bulletins(&self, node: NodeRef<'_>) -> Result<(), StoreError> {
        let mut dirty = Vec::new();
        for bulletin in ib::parse(node) {
            match bulletin {
                Bulletin::OfflinePreview { count } => {
                    let now = self.conn.ctx.clock.now();
                    self.conn.offline(|offline| offline.preview(now, count));
                }
                Bulletin::Offline { .. } => self.conn.offline(super::super::life::offline::Offline::ended),
                Bulletin::EdgeRouting(info) => {
                    self.conn.ctx.store.write(move |tx| tx.set_routing(&info)).await?;
                }
                Bulletin::Dirty(told) => dirty.push(told),
                Bulletin::DowngradeWebclient => self.to_pairing(pair::Input::PhoneWithoutMultiDevice).await,
                Bulletin::ClientExpiration(date) => self.expiration(date).await?,
                Bulletin::Other(tag) => tracing::debug!(tag, "a bulletin is ignored"),
            }
        }
        if !dirty.is_empty() && matches!(self.purpose, Purpose::LogIn(_)) {
            self.clean(&dirty).await;
        }
        Ok(())
    }

    /// Nothing of what can be dirty is cached across connections yet, so the work is done as soon as it is told.
    async fn clean(&self, dirty: &[Dirty]) {
        let clean = ib::clean(dirty).attr("id", self.conn.ctx.questions.id());
        // A connection that breaks here is noticed by its reader.
        let _ = self.conn.link.send(&clean).await;
    }

    /// The client version will be refused from a date on.
    async fn expiration(&self, date: Option<i64>) -> Result<(), StoreError> {
        let ctx = &self.conn.ctx;
        let version = ctx.config.version.get().to_string();
        let (earliest, now) = (ctx.clock.wall_s() + EXPIRY_MIN, ctx.clock.wall_ms());
        let told = ctx.store.write(move |tx| -> Result<bool, StoreError> {
            let Some(date) = date else {
                return tx.set_setting(EXPIRY, None).map(|()| false);
            };
            let held =
                tx.setting(EXPIRY)?.and_then(|held| std::str::from_utf8(held.expose()).ok()?.parse().ok());
            if held.is_some_and(|held: i64| date >= held) {
                return Ok(false);
            }
            let date = date.max(earliest);
            tx.set_setting(EXPIRY, Some(date.to_string().as_bytes()))?;
            tx.push_event(&Event::ClientExpires { version, at: date }.row(now), now)?;
            Ok(true)
        });
        if told.await? {
            ctx.inbox.notify_waiters();
        }
        Ok(())
    }
}
