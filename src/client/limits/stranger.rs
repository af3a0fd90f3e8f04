//! What the service thinks of a stranger who wrote first: asked for by the application, one user at a time.

use std::time::Duration;

use super::chat;
use crate::client::iq::Repeat;
use crate::client::line::IqError;
use crate::client::messaging::Messaging;
use crate::stanza::mex::MexError;
use crate::stanza::restrictions::Stranger;
use crate::store::StoreError;
use crate::wire::Jid;

/// Nobody waits longer for an opinion.
const PATIENCE: Duration = Duration::from_millis(600);

/// There is no opinion.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StrangerError {
    /// The user has not written, or the account has written to the user: nothing is asked.
    #[error("the user is no stranger who wrote first")]
    NoStranger,
    /// The question failed.
    #[error(transparent)]
    Iq(#[from] IqError),
    /// The server has none.
    #[error(transparent)]
    Mex(#[from] MexError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Messaging {
    pub(crate) async fn stranger(&self, user: &Jid) -> Result<Stranger, StrangerError> {
        let asked = user.to_user();
        let facts = self.ctx.store.read(move |tx| chat::facts(tx, &asked)).await?;
        if facts.heard_at.is_none() || facts.written_at.is_some() {
            return Err(StrangerError::NoStranger);
        }
        let answer = self.ctx.ask(Stranger::query(user), Repeat::Never, PATIENCE).await?;
        Ok(Stranger::answer(&answer)?)
    }
}
