//! What is done after "ready" (protocol 01 §14.2 steps 6 and 7): presence, privacy, own devices, rotation of the
//! signed prekey, digest, properties, privacy, blocklist, the daily round. None of it delays anything, and a failure is
//! only reported.

use std::time::Duration;

use tokio::sync::Notify;

use super::conn::Conn;
use super::dirty;
use super::lists::{self, NotRead};
use super::props::{self, Ask};
use crate::client::messaging::Messaging;
use crate::client::prekeys::DigestCheck;
use crate::stanza::presence;
use crate::store::{Flag, StoreError};
use crate::wire::Jid;

/// Everything, beside each other; the presence goes on for the connection's life.
pub(crate) async fn run(conn: &Conn, messaging: &Messaging, abprops: Option<u64>) {
    tokio::join!(
        presence(conn),
        keys(conn, messaging),
        own_devices(conn, messaging),
        list("privacy", &conn.privacy_told, || lists::privacy(conn)),
        list("blocklist", &conn.ctx.blocklist_named, || lists::blocklist(conn)),
        properties(conn, abprops),
        dirty::run(conn, messaging),
        messaging.run_daily()
    );
}

/// One presence once the name is known, then every change of name or wish.
async fn presence(conn: &Conn) {
    let ctx = &conn.ctx;
    let mut wish = ctx.available.subscribe();
    let mut told: Option<String> = None;
    loop {
        let renamed = ctx.name_changed.notified();
        tokio::pin!(renamed);
        renamed.as_mut().enable();
        let available = *wish.borrow_and_update();
        let name = ctx.store.read(|tx| tx.push_name()).await.unwrap_or_default();
        if let Some(name) = &name {
            let stanza = match &told {
                Some(old) if old != name => Some(presence::renamed(name)),
                Some(_) => None,
                None => Some(presence::own(available, name)),
            };
            if let Some(stanza) = stanza
                && conn.link.send(&stanza).await.is_err()
            {
                return;
            }
            told = Some(name.clone());
        }
        tokio::select! {
            biased;
            () = renamed => {}
            changed = wish.changed() => {
                if changed.is_err() {
                    return;
                }
                // The new wish is told with the name.
                told = None;
            }
        }
    }
}

async fn keys(conn: &Conn, messaging: &Messaging) {
    if let Err(error) = messaging.prekeys.rotate_if_due().await {
        tracing::warn!(%error, "the signed prekey was not rotated");
    }
    let unchecked = conn
        .ctx
        .store
        .read(|tx| Ok::<_, StoreError>(tx.flag(Flag::KeysUnchecked)? || tx.flag(Flag::UncleanStop)?));
    if !unchecked.await.unwrap_or_default() {
        return;
    }
    let checked = match messaging.prekeys.check_digest().await {
        Ok(DigestCheck::Unknown) => return,
        Ok(check) => check,
        Err(error) => {
            tracing::warn!(%error, "our keys at the server were not checked");
            return;
        }
    };
    tracing::info!(?checked, "our keys at the server");
    let settled = conn.ctx.store.write(|tx| {
        tx.set_flag(Flag::KeysUnchecked, false)?;
        tx.set_flag(Flag::UncleanStop, false)
    });
    if let Err(error) = settled.await {
        tracing::error!(%error, "the store failed");
    }
}

async fn own_devices(conn: &Conn, messaging: &Messaging) {
    let link = conn.ctx.store.read(|tx| tx.link()).await.ok().flatten();
    let Some(own) = link.and_then(|link| link.pn.parse::<Jid>().ok()) else { return };
    if let Err(error) = messaging.devices.lists(&[own.to_user()], false).await {
        tracing::warn!(%error, "the own device list was not asked for");
    }
}

/// Asked for at once, and whenever the server says that it changed.
async fn list<F: Future<Output = Result<(), NotRead>>>(name: &str, told: &Notify, read: impl Fn() -> F) {
    loop {
        if let Err(error) = read().await {
            tracing::warn!(%error, name, "a list was not read");
        }
        told.notified().await;
    }
}

/// Asked for when they are old, when `<success>` names another version, and whenever the server says so.
async fn properties(conn: &Conn, abprops: Option<u64>) {
    let now = conn.ctx.clock.wall_ms();
    let held = conn.ctx.store.read(|tx| Ok::<_, StoreError>(tx.props()?.unwrap_or_default())).await;
    if let Ok(held) = held {
        let named = abprops.map(|version| version.to_string());
        if named.is_some() && held.refresh_id.is_some() && named != held.refresh_id {
            props::fetch(conn, Ask::Newer).await;
        } else if held.refresh_at.is_none_or(|at| now >= at) {
            props::fetch(conn, Ask::Changed).await;
        }
    }
    loop {
        tokio::select! {
            biased;
            () = conn.ctx.props_named.notified() => props::fetch(conn, Ask::All).await,
            () = until_refresh(conn) => props::fetch(conn, Ask::Changed).await,
        }
    }
}

/// Sleeps until the properties are to be asked for again, as their answer said; without a word, as long as the
/// connection lives. After a failure they are left alone for an hour.
async fn until_refresh(conn: &Conn) {
    let held = conn.ctx.store.read(|tx| tx.props()).await.ok().flatten().unwrap_or_default();
    let Some(at) = held.refresh_at else { return std::future::pending().await };
    let wait = u64::try_from(at.saturating_sub(conn.ctx.clock.wall_ms())).unwrap_or(0);
    let wait = if wait == 0 { Duration::from_secs(3600) } else { Duration::from_millis(wait) };
    conn.ctx.clock.sleep(wait).await;
}
