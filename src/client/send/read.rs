//! Read and played receipts (protocol 05b §8): owed from the moment the user has read, until the server has acked them.

use crate::client::messaging::{Job, Messaging};
use crate::stanza::receipt::{Kind, MAX_IDS, Receipt};
use crate::store::{Flag, OwedReceipt, StoreError};
use crate::wire::Jid;

/// Owed receipts that are sent in one go.
const MANY: usize = 256;

impl Messaging {
    /// The user has read (or played) messages of one author in one chat.
    pub(crate) async fn mark_read(
        &self,
        chat: &Jid,
        author: &Jid,
        ids: Vec<String>,
        played: bool,
    ) -> Result<(), StoreError> {
        let now = self.ctx.clock.wall_ms();
        let (chat, author) = (chat.clone(), author.to_user());
        self.ctx
            .store
            .write(move |tx| {
                // Not in groups, where it is always told.
                let personal = chat.is_user() || chat.is_status();
                let quietly = personal && tx.flag(Flag::ReadReceiptsOff)?;
                let kind = match (played, quietly) {
                    (false, false) => Kind::Read,
                    (false, true) => Kind::ReadSelf,
                    (true, false) => Kind::Played,
                    (true, true) => Kind::PlayedSelf,
                };
                for ids in ids.chunks(MAX_IDS) {
                    tx.owe_receipt(&OwedReceipt {
                        kind: kind.name().unwrap_or_default().to_owned(),
                        to: chat.to_string(),
                        ids: ids.to_vec(),
                        participant: (!chat.is_user()).then(|| author.to_string()),
                        recipient: None,
                        // Milliseconds for chats, seconds for status (05b §8).
                        t: Some(if chat.is_status() { now / 1000 } else { now }),
                        since: now,
                    })?;
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        self.job(Job::OwedReceipts).await;
        Ok(())
    }

    /// Sends what is owed; what is not acked stays owed for the next connection.
    pub(crate) async fn send_owed_receipts(&self) -> Result<(), StoreError> {
        let _alone = self.telling.lock().await;
        let owed = self.ctx.store.read(|tx| tx.owed_receipts(MANY)).await?;
        for (seq, owed) in owed {
            let Some(receipt) = receipt_of(&owed) else {
                self.ctx.store.write(move |tx| tx.settle_receipt(seq).map(drop)).await?;
                continue;
            };
            let (Some(first), Some(node)) = (owed.ids.first(), receipt.build()) else { continue };
            let waiter = self.acks.expect("receipt", first);
            if self.ctx.send_node(node).await.is_err() {
                return Ok(());
            }
            let Ok(ack) = waiter.wait(&self.ctx.clock).await else { return Ok(()) };
            self.ctx
                .store
                .write(move |tx| {
                    if let Some(setting) = ack.read_receipts.as_deref() {
                        tx.set_flag(Flag::ReadReceiptsOff, setting == "none")?;
                    }
                    tx.settle_receipt(seq)
                })
                .await?;
        }
        Ok(())
    }
}

fn receipt_of(owed: &OwedReceipt) -> Option<Receipt> {
    let kinds = [Kind::Read, Kind::ReadSelf, Kind::Played, Kind::PlayedSelf];
    let kind = kinds.into_iter().find(|kind| kind.name() == Some(&owed.kind))?;
    Some(Receipt {
        participant: owed.participant.as_deref().and_then(|jid| jid.parse().ok()),
        t: owed.t.and_then(|t| u64::try_from(t).ok()),
        ..Receipt::new(kind, owed.to.parse().ok()?, owed.ids.clone())
    })
}
