//! Standing still: the stop state in the store, and the event that tells a person (protocol 01 §17, §19). "Wipe"
//! means that the store is never used to connect again; whoever opened it moves it to the archive.

use crate::client::context::Shared;
use crate::client::event::Event;
use crate::client::state::Stop;
use crate::store::{StopState, StoreError, Tx};

/// Where the store keeps what the service said at the last stop.
const DETAILS: &str = "stop.details";

/// The stop state that stands, if it can be read; one that can't still stops.
pub(crate) fn load(tx: &Tx<'_>) -> Result<Option<Stop>, StoreError> {
    let state = tx.stop_state()?;
    let unreadable = || Stop::UnknownFailure { reason: None };
    Ok(state.map(|state| serde_json::from_str(&state.detail).unwrap_or_else(|_| unreadable())))
}

/// What the service said besides, to be shown: its texts and reasons, not the token of an appeal.
pub(crate) fn details(tx: &Tx<'_>) -> Result<Vec<(String, String)>, StoreError> {
    let kept = tx.setting(DETAILS)?;
    Ok(kept.and_then(|kept| serde_json::from_slice(kept.expose()).ok()).unwrap_or_default())
}

/// Stores a stop state and its event in one transaction. A stop that the user asked for needs no event.
pub(crate) async fn enter(
    shared: &Shared,
    stop: &Stop,
    details: Vec<(String, String)>,
) -> Result<(), StoreError> {
    let now = shared.clock.wall_ms();
    let record = StopState {
        kind: stop.name().to_owned(),
        // Every variant is plain data: writing it can't fail.
        detail: serde_json::to_string(stop).unwrap_or_default(),
        since: now,
    };
    let shown: Vec<&(String, String)> = details.iter().filter(|(key, _)| key != "appeal_token").collect();
    let shown = serde_json::to_vec(&shown).unwrap_or_default();
    let event = (*stop != Stop::UserStopped).then(|| Event::Stopped { why: stop.clone(), details, at: now });
    shared
        .store
        .write(move |tx| -> Result<(), StoreError> {
            tx.set_stop_state(Some(&record))?;
            tx.set_setting(DETAILS, Some(&shown))?;
            if let Some(event) = event {
                tx.push_event(&event.row(now), now)?;
            }
            Ok(())
        })
        .await?;
    shared.inbox.notify_waiters();
    Ok(())
}
