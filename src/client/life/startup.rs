//! From `<success>` to "ready": the order of protocol 01 §14.2, with the offline phase of §15.1. An error of a part
//! is reported and start-up goes on; only a dead connection stops it.

use std::time::Duration;

use futures_util::future::maybe_done;

use super::background;
use super::conn::{Conn, lock};
use super::connect::PREKEYS_MIN;
use super::end::End;
use super::offline::{Action, BATCH};
use super::props::{self, Ask};
use crate::client::iq::Repeat;
use crate::client::messaging::Messaging;
use crate::client::state::State;
use crate::stanza::success::Success;
use crate::stanza::{ib, iq};
use crate::store::{Flag, StoreError};

/// How often a missing end of the offline phase may cost a connection.
const DEAF_GAP: Duration = Duration::from_secs(3600);

/// Runs a login from its first stanza on. It ends only with the connection; after "ready" it waits.
pub(crate) async fn run(conn: &Conn, messaging: &Messaging, passive: bool) -> End {
    let Some(success) = first_success(conn).await else { return End::GaveUp("no first stanza within 60 s") };
    match begin(conn, &success).await {
        Ok(()) => {}
        Err(error) => return End::Store(error.to_string()),
    }
    let ctx = &conn.ctx;
    let due = if passive { due(conn).await } else { Due::default() };
    let mut upload = std::pin::pin!(maybe_done(upload(messaging, due)));
    let mut rest = std::pin::pin!(maybe_done(rest(conn, messaging, due)));
    if passive {
        let limit = ctx.config.timeouts.startup_work;
        tokio::select! {
            biased;
            _ = async { tokio::join!(&mut upload, &mut rest) } => {}
            () = ctx.clock.sleep(limit) => tracing::warn!("the work before the queue takes long"),
        }
    }
    let told = async {
        if passive {
            activate(conn).await;
        }
    };
    // In this order: what is asked again goes behind `<active/>`.
    let phases = async {
        let ((), end) = tokio::join!(biased; told, async {
            repeat_questions(conn).await;
            offline_phase(conn, messaging).await
        });
        end
    };
    let end = tokio::select! {
        biased;
        end = async {
            // Without keys at the server nobody new reaches us: "ready" waits for them.
            let (end, _) = tokio::join!(phases, async { if due.keyless { (&mut upload).await } });
            end
        } => end,
        never = async { (&mut rest).await; std::future::pending().await } => never,
    };
    if let Some(end) = end {
        return end;
    }
    if !conn.is_ready() {
        return std::future::pending().await;
    }
    messaging.became_ready().await;
    tokio::select! {
        biased;
        end = after_ready(conn) => end,
        never = async {
            tokio::join!(upload, rest, background::run(conn, messaging, success.abprops));
            std::future::pending().await
        } => never,
    }
}

/// Open questions of the connection before are written again.
async fn repeat_questions(conn: &Conn) {
    for plaintext in conn.ctx.questions.take_repeats() {
        // A connection that breaks here is noticed by its reader.
        let _ = conn.link.send_encoded(plaintext, true).await;
    }
}

async fn first_success(conn: &Conn) -> Option<Success> {
    let mut success = conn.success.subscribe();
    tokio::select! {
        biased;
        told = success.wait_for(Option::is_some) => told.ok().and_then(|told| told.clone()),
        () = conn.ctx.clock.sleep(conn.ctx.config.timeouts.first_stanza) => None,
    }
}

/// Steps 1 and 2.
async fn begin(conn: &Conn, success: &Success) -> Result<(), StoreError> {
    let ctx = &conn.ctx;
    if let Some(time) = success.server_time {
        ctx.note_server_time(time);
    }
    let (lid, now) = (success.lid.clone(), ctx.clock.wall_ms());
    let synced = ctx
        .store
        .write(move |tx| -> Result<bool, StoreError> {
            let mut login = tx.login()?;
            let again = login.last_success.is_some();
            login.last_success = Some(now);
            login.banned_until = None;
            tx.set_login(&login)?;
            if let (Some(lid), Some(mut link)) = (lid, tx.link()?)
                && link.lid.as_deref() != Some(lid.to_string().as_str())
            {
                if let Ok(pn) = link.pn.parse::<crate::wire::Jid>() {
                    tx.put_mapping(&pn.to_user().to_string(), &lid.to_user().to_string())?;
                }
                link.lid = Some(lid.to_string());
                tx.set_link(Some(&link))?;
            }
            Ok(again || !tx.flag(Flag::InitialSyncNeeded)?)
        })
        .await?;
    ctx.show(State::CatchingUp);
    if synced {
        // A connection that breaks here is noticed by its reader.
        let _ = conn.link.send(&ib::unified_session(ctx.unified_session())).await;
    }
    Ok(())
}

/// `<active/>`: the server may deliver.
async fn activate(conn: &Conn) {
    let ctx = &conn.ctx;
    conn.offline(|offline| offline.activated(ctx.clock.now()));
    let limit = ctx.config.timeouts.iq;
    if let Err(error) = ctx.questions.ask(&conn.link, iq::active(), Repeat::Never, limit).await {
        tracing::warn!(%error, "the server did not take <active/>");
    }
}

/// Step 5: asks until the end marker, or goes on without it.
async fn offline_phase(conn: &Conn, messaging: &Messaging) -> Option<End> {
    loop {
        let action = match next_action(conn, messaging).await {
            Some(action) => action,
            None => return None,
        };
        let sent = match action {
            Action::Wait => Ok(()),
            Action::Request => conn.link.send(&ib::offline_batch(BATCH)).await,
            // Nobody waits for this answer: the phase goes on by its signs.
            Action::Activate => conn.link.send(&iq::active().attr("id", conn.ctx.questions.id())).await,
            Action::GoOn { ask_again } => {
                if ask_again {
                    tracing::warn!("fewer offline stanzas came than announced");
                    let _ = conn.link.send(&ib::offline_batch(BATCH)).await;
                }
                return None;
            }
            Action::Reconnect => return Some(End::GaveUp("the offline queue did not end")),
        };
        if sent.is_err() {
            return Some(End::GaveUp("the connection broke"));
        }
    }
}

/// Waits for the next thing to do; `None` once the phase is over.
async fn next_action(conn: &Conn, messaging: &Messaging) -> Option<Action> {
    loop {
        let deadline = match &*lock(&conn.offline) {
            Some(offline) if !offline.is_over() => offline.deadline(messaging.waiting()),
            _ => return None,
        };
        let deadline = deadline?;
        tokio::select! {
            biased;
            () = conn.offline_moved.notified() => {}
            () = conn.ctx.clock.sleep_until(deadline) => {
                let now = conn.ctx.clock.now();
                let waiting = messaging.waiting();
                return lock(&conn.offline).as_mut().map(|offline| offline.poll(now, waiting));
            }
        }
    }
}

/// The guard against a phase that never ended: one more minute, then the connection is given up.
async fn after_ready(conn: &Conn) -> End {
    loop {
        let deadline = lock(&conn.offline).as_ref().and_then(|offline| offline.deadline(0));
        let Some(deadline) = deadline else { return std::future::pending().await };
        tokio::select! {
            biased;
            () = conn.offline_moved.notified() => {}
            () = conn.ctx.clock.sleep_until(deadline) => {
                let now = conn.ctx.clock.now();
                let action = lock(&conn.offline).as_mut().map(|offline| offline.poll(now, 0));
                if action == Some(Action::Reconnect) && conn.ctx.may_reconnect_deaf(DEAF_GAP) {
                    return End::GaveUp("the offline queue did not end");
                }
            }
        }
    }
}

/// The work before the queue (01 §14.1).
#[derive(Debug, Clone, Copy, Default)]
struct Due {
    prekeys: bool,
    /// The server holds no prekeys of this device at all, as far as we know.
    keyless: bool,
    properties: bool,
    receipts: bool,
}

async fn due(conn: &Conn) -> Due {
    let due = conn.ctx.store.read(|tx| {
        let keyless = tx.flag(Flag::ServerHasNoPrekeys)?;
        let prekeys = keyless || tx.prekey_count()? < PREKEYS_MIN;
        let (properties, receipts) = (tx.props()?.is_none(), tx.owed_receipt_count()? > 0);
        Ok::<_, StoreError>(Due { prekeys, keyless, properties, receipts })
    });
    due.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the store failed");
        Due::default()
    })
}

/// An error of one part does not hold up the others.
async fn upload(messaging: &Messaging, due: Due) {
    if due.prekeys
        && let Err(error) = messaging.prekeys.upload().await
    {
        tracing::warn!(%error, "the prekeys were not uploaded");
    }
}

async fn rest(conn: &Conn, messaging: &Messaging, due: Due) {
    let fetch = async {
        if due.properties {
            props::fetch(conn, Ask::Changed).await;
        }
    };
    let settle = async {
        if due.receipts
            && let Err(error) = messaging.send_owed_receipts().await
        {
            tracing::error!(%error, "the store failed");
        }
    };
    tokio::join!(fetch, settle);
}
