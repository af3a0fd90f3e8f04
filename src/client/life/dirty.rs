//! `<dirty>` (protocol 01 §15): a domain is brought up to date, and only then called clean. What the client holds no
//! copy of has nothing to bring up to date; the application, which may hold one, is told.

use super::conn::{Conn, lock};
use super::lists;
use crate::client::devices::own::Own;
use crate::client::event::{Event, Notice};
use crate::client::iq::Repeat;
use crate::client::messaging::Messaging;
use crate::stanza::ib::{self, Dirty};

/// The parts of `account_sync`.
const PARTS: [&str; 5] = ["devices", "picture", "privacy", "blocklist", "notice"];

/// Works off what is told, in order, from the end of the offline delivery on.
pub(super) async fn run(conn: &Conn, messaging: &Messaging) {
    loop {
        let told = std::mem::take(&mut *lock(&conn.dirty));
        for domains in told {
            match resync(conn, messaging, &domains).await {
                Ok(()) => clean(conn, &domains).await,
                // Dirty it stays: the server says so again at the next login.
                Err(why) => tracing::warn!(why, "a stale domain could not be brought up to date"),
            }
        }
        conn.dirty_told.notified().await;
    }
}

async fn resync(conn: &Conn, messaging: &Messaging, domains: &[Dirty]) -> Result<(), String> {
    for domain in domains {
        if domain.kind == "account_sync" {
            account(conn, messaging, domain).await?;
        } else {
            tell(conn, domain, Vec::new()).await?;
        }
    }
    Ok(())
}

/// `account_sync`: its children name the parts, without a known one it is all of them.
async fn account(conn: &Conn, messaging: &Messaging, domain: &Dirty) -> Result<(), String> {
    let named: Vec<&str> =
        PARTS.into_iter().filter(|part| domain.parts.iter().any(|named| named == part)).collect();
    let parts = if named.is_empty() { PARTS.to_vec() } else { named };
    let mut foreign = Vec::new();
    for part in parts {
        match part {
            "devices" => devices(conn, messaging).await?,
            "privacy" => lists::privacy(conn).await.map_err(|error| error.to_string())?,
            "blocklist" => lists::blocklist(conn).await.map_err(|error| error.to_string())?,
            other => foreign.push(other.to_owned()),
        }
    }
    if foreign.is_empty() { Ok(()) } else { tell(conn, domain, foreign).await }
}

async fn devices(conn: &Conn, messaging: &Messaging) -> Result<(), String> {
    let own = conn.ctx.store.read(Own::load).await.map_err(|error| error.to_string())?;
    let Some(own) = own else { return Ok(()) };
    messaging.devices.lists(&[own.pn.to_user()], true).await.map_err(|error| error.to_string())?;
    Ok(())
}

async fn tell(conn: &Conn, domain: &Dirty, parts: Vec<String>) -> Result<(), String> {
    let notice = Notice {
        kind: "dirty".to_owned(),
        id: domain.timestamp.clone().unwrap_or_default(),
        from: domain.kind.clone(),
        stanza: serde_json::json!({ "type": domain.kind, "parts": parts }),
    };
    conn.ctx.publish(Event::Notice(notice)).await.map_err(|error| error.to_string())
}

/// One question for all domains of a bulletin, unknown ones too.
async fn clean(conn: &Conn, domains: &[Dirty]) {
    let limit = conn.ctx.config.timeouts.iq;
    if let Err(error) = conn.ctx.questions.ask(&conn.link, ib::clean(domains), Repeat::Never, limit).await {
        tracing::warn!(%error, "the server did not take that domains are clean");
    }
}
