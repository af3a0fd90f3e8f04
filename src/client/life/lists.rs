//! Settings of the account that the server keeps and we hold a copy of: privacy and blocklist (protocol 05d §5). Asked
//! for at every start-up, and again when the server says that they changed.

use super::conn::Conn;
use crate::client::iq::Repeat;
use crate::client::limits;
use crate::client::line::IqError;
use crate::stanza::{blocklist, privacy};
use crate::store::{Flag, StoreError};

/// Where the hash of the list of blocked users stands.
const BLOCKLIST: &str = "blocklist";

/// Why a copy was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRead {
    #[error(transparent)]
    Iq(#[from] IqError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the privacy settings: read receipts may be switched off.
pub(super) async fn privacy(conn: &Conn) -> Result<(), NotRead> {
    let ctx = &conn.ctx;
    let answer =
        ctx.questions.ask(&conn.link, privacy::query(), Repeat::Never, ctx.config.timeouts.iq).await?;
    let settings = privacy::parse(&answer);
    let off = settings.iter().any(|(name, value)| name == "readreceipts" && value == "none");
    Ok(ctx.store.write(move |tx| tx.set_flag(Flag::ReadReceiptsOff, off)).await?)
}

/// Nobody who is blocked is written to: reads the list, if it is another one than is held.
pub(super) async fn blocklist(conn: &Conn) -> Result<(), NotRead> {
    let ctx = &conn.ctx;
    let known = ctx.store.read(|tx| tx.setting(BLOCKLIST)).await?;
    let known = known.and_then(|known| String::from_utf8(known.expose().to_vec()).ok());
    let question = blocklist::query(known.as_deref());
    let answer = ctx.questions.ask(&conn.link, question, Repeat::Never, ctx.config.timeouts.iq).await?;
    let Some(list) = blocklist::answer(&answer) else { return Ok(()) };
    let kept = ctx.store.write(move |tx| -> Result<(), StoreError> {
        limits::blocked(tx, &list.users)?;
        tx.set_setting(BLOCKLIST, list.hash.as_deref().map(str::as_bytes))
    });
    Ok(kept.await?)
}
