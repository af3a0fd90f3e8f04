//! The first thing that is done with a store that comes from a backup (protocol 04 §15 S8): in one transaction nothing
//! is left that could send with keys of before. Sessions still open what comes; nothing is sent on them.

use crate::client::devices::own::Own;
use crate::client::devices::{address, session};
use crate::client::prekeys::mint;
use crate::client::send::settle;
use crate::store::{Flag, OutgoingState, StoreError, Tx, UnixMillis};

use rand_core::CryptoRng;

/// Rows in memory at a time.
const PAGE: usize = 256;

/// A send that is older was left to the caller long ago (05a §12).
const OLD: UnixMillis = 24 * 60 * 60 * 1000;

/// Settles the mark of a restored store; nothing happens without it.
pub(crate) fn settle<R: CryptoRng + ?Sized>(
    tx: &mut Tx<'_>,
    now: UnixMillis,
    rng: &mut R,
) -> Result<(), StoreError> {
    if !tx.flag(Flag::Restored)? {
        return Ok(());
    }
    let Some(own) = Own::load(tx)? else { return Ok(()) };
    tracing::warn!("the store comes from a backup: sessions, sender keys and prekeys are made anew");
    retire_sessions(tx, now)?;
    rebuild_outbox(tx, now)?;
    let addresses: Vec<String> =
        [Some(&own.pn), own.lid.as_ref()].into_iter().flatten().map(address::key).collect();
    tx.settle_restored(&addresses)?;
    let fresh = mint::signed(tx, &own, now, rng)?;
    tx.set_signed_prekey(&fresh)
}

fn retire_sessions(tx: &mut Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = tx.sessions_after(after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for address in &page {
            let mut record = session::load(tx, address)?;
            if record.retire_all(now) {
                session::save(tx, address, &record)?;
            }
        }
    }
}

/// What was encrypted is encrypted anew under the same message id; what is old is given up.
fn rebuild_outbox(tx: &mut Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = tx.open_outgoing(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        for mut row in page.into_iter().filter(|row| row.state == OutgoingState::Encrypted) {
            if now.saturating_sub(row.encrypted_at.unwrap_or(row.created_at)) > OLD {
                settle::give_up(tx, &mut row, now)?;
                continue;
            }
            row.state = OutgoingState::Queued;
            row.stanza = None;
            row.encrypted_at = None;
            tx.put_outgoing(&row)?;
        }
    }
}
