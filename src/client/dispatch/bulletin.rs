//! `<ib>` (protocol 01 §15): each child for itself.

use super::{Dispatcher, Purpose};
use crate::client::event::Event;
use crate::client::life::conn::lock;
use crate::client::pair;
use crate::stanza::ib::{self, Bulletin};
use crate::store::StoreError;
use crate::wire::NodeRef;

/// The least time an expiry date is away: 3 days, in seconds.
const EXPIRY_MIN: i64 = 3 * 86_400;
/// Where the store keeps version and date: `2.3000.R seconds`.
pub(crate) const EXPIRY: &str = "client_expiration";
/// Bulletins about stale domains that may wait for their work.
const DIRTY_MAX: usize = 16;

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
            let mut waiting = lock(&self.conn.dirty);
            // More than that the server tells again at the next login.
            if waiting.len() < DIRTY_MAX {
                waiting.push(dirty);
            }
            drop(waiting);
            self.conn.dirty_told.notify_one();
        }
        Ok(())
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
            let held = tx.setting(EXPIRY)?.and_then(|held| {
                let (of, date) = std::str::from_utf8(held.expose()).ok()?.split_once(' ')?;
                // What was said of another version says nothing of this one.
                date.parse().ok().filter(|_| of == version)
            });
            if held.is_some_and(|held: i64| date >= held) {
                return Ok(false);
            }
            let date = date.max(earliest);
            tx.set_setting(EXPIRY, Some(format!("{version} {date}").as_bytes()))?;
            tx.push_event(&Event::ClientExpires { version, at: date }.row(now), now)?;
            Ok(true)
        });
        if told.await? {
            ctx.inbox.notify_waiters();
        }
        Ok(())
    }
}
