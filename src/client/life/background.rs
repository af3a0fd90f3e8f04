//! What is done after "ready" (protocol 01 §14.2 steps 6 and 7): presence, privacy, own devices, rotation of the
//! signed prekey, digest, properties, the daily round. None of it delays anything, and a failure is only reported.

use super::conn::Conn;
use super::props::{self, Ask};
use crate::client::iq::Repeat;
use crate::client::limits;
use crate::client::messaging::Messaging;
use crate::client::prekeys::DigestCheck;
use crate::stanza::{blocklist, presence, privacy};
use crate::store::{Flag, StoreError};
use crate::wire::Jid;

/// Where the hash of the list of blocked users stands.
const BLOCKLIST: &str = "blocklist";

/// Everything, beside each other; the presence goes on for the connection's life.
pub(crate) async fn run(conn: &Conn, messaging: &Messaging, abprops: Option<u64>) {
    tokio::join!(
        presence(conn),
        keys(conn, messaging),
        own_devices(conn, messaging),
        privacy(conn),
        blocklist(conn),
        properties(conn, abprops),
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
    let store = &conn.ctx.store;
    let doubtful =
        store.read(|tx| Ok::<_, StoreError>(tx.flag(Flag::Restored)? || tx.flag(Flag::UncleanStop)?));
    if !doubtful.await.unwrap_or_default() {
        return;
    }
    match messaging.prekeys.check_digest().await {
        Ok(DigestCheck::Unknown) => {}
        Ok(check) => {
            tracing::info!(?check, "our keys at the server, after a stop that was not clean");
            if let Err(error) = store.write(|tx| tx.set_flag(Flag::UncleanStop, false)).await {
                tracing::error!(%error, "the store failed");
            }
        }
        Err(error) => tracing::warn!(%error, "our keys at the server were not checked"),
    }
}

async fn own_devices(conn: &Conn, messaging: &Messaging) {
    let link = conn.ctx.store.read(|tx| tx.link()).await.ok().flatten();
    let Some(own) = link.and_then(|link| link.pn.parse::<Jid>().ok()) else { return };
    if let Err(error) = messaging.devices.lists(&[own.to_user()], false).await {
        tracing::warn!(%error, "the own device list was not asked for");
    }
}

/// Read receipts may be switched off.
async fn privacy(conn: &Conn) {
    let ctx = &conn.ctx;
    let limit = ctx.config.timeouts.iq;
    let settings = match ctx.questions.ask(&conn.link, privacy::query(), Repeat::Never, limit).await {
        Ok(answer) => privacy::parse(&answer),
        Err(error) => {
            tracing::debug!(%error, "the privacy settings were not read");
            return;
        }
    };
    let off = settings.iter().any(|(name, value)| name == "readreceipts" && value == "none");
    if let Err(error) = ctx.store.write(move |tx| tx.set_flag(Flag::ReadReceiptsOff, off)).await {
        tracing::error!(%error, "the store failed");
    }
}

/// Nobody who is blocked is written to: the list is asked for, and again whenever it changes (05d §5).
async fn blocklist(conn: &Conn) {
    let ctx = &conn.ctx;
    loop {
        let named = ctx.blocklist_named.notified();
        let known = ctx.store.read(|tx| tx.setting(BLOCKLIST)).await.unwrap_or_default();
        let known = known.and_then(|known| String::from_utf8(known.expose().to_vec()).ok());
        let question = blocklist::query(known.as_deref());
        let limit = ctx.config.timeouts.iq;
        match ctx.questions.ask(&conn.link, question, Repeat::Never, limit).await {
            Ok(answer) => {
                if let Some(list) = blocklist::answer(&answer) {
                    let kept = ctx.store.write(move |tx| {
                        limits::blocked(tx, &list.users)?;
                        tx.set_setting(BLOCKLIST, list.hash.as_deref().map(str::as_bytes))
                    });
                    if let Err(error) = kept.await {
                        tracing::error!(%error, "the store failed");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the list of blocked users was not read"),
        }
        named.await;
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
        conn.ctx.props_named.notified().await;
        props::fetch(conn, Ask::All).await;
    }
}
