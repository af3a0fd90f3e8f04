//! What we send: a durable outbox, fan-out to every device, the server's word on it, and resends (protocol 05a, 05b §10).

pub(crate) mod acks;
mod edit;
pub(crate) mod encrypt;
mod missed;
mod outbox;
mod outcome;
pub(crate) mod pace;
pub(crate) mod peer;
mod plan;
mod prepare;
mod read;
pub(crate) mod release;
mod resend;
pub(crate) mod settle;
pub(crate) mod timer;
pub(crate) mod token;
mod word;
pub(crate) mod wrong;

pub use outcome::{Accepted, Refusal, SendError, SendOptions, SendOutcome};
pub use pace::Pacing;

pub(crate) use outbox::Outbox;

use prost::Message as _;

use crate::client::devices::own::Own;
use crate::client::messaging::Messaging;
use crate::client::send::release::Refused;
use crate::crypto::random_bytes;
use crate::proto::Message;
use crate::proto::message::protocol_message::Type;
use crate::signal::reporting;
use crate::stanza::content::{Kind, classify, is_single_content};
use crate::stanza::message_id;
use crate::store::inbox::MessageKey;
use crate::store::{
    Enqueued, NewOutgoing, Outgoing, OutgoingState, Secret, SecretBytes, SecretOf, StoreError, Tx, UnixMillis,
};
use crate::wire::Jid;

impl Messaging {
    /// Accepts a text for a user. The same key never sends twice, also across restarts.
    pub(crate) async fn send_text(&self, to: &Jid, text: &str, key: &str) -> Result<Accepted, SendError> {
        let message = Message { conversation: Some(text.to_owned()), ..Message::default() };
        self.send(to, message, key).await
    }

    /// Accepts a message for a user that a person asked for.
    pub(crate) async fn send(&self, to: &Jid, message: Message, key: &str) -> Result<Accepted, SendError> {
        self.send_with(to, message, key, SendOptions::default()).await
    }

    /// Accepts a message for a user. The same key never sends twice, also across restarts.
    pub(crate) async fn send_with(
        &self,
        to: &Jid,
        mut message: Message,
        key: &str,
        options: SendOptions,
    ) -> Result<Accepted, SendError> {
        if !to.is_user() || to.device() != 0 || to.user().is_empty() {
            return Err(SendError::BadRecipient(to.to_string()));
        }
        let content = classify(&message).ok_or(SendError::BadContent)?;
        let (mut rng, now) = (self.ctx.chance.fork(), self.ctx.clock.wall_ms());
        let secret = add_secret(&mut message, &mut rng);
        if !is_single_content(&message.encode_to_vec()).unwrap_or(false) {
            return Err(SendError::BadContent);
        }
        let server_s = self.ctx.server_ms() / 1000;
        let seconds = u64::try_from(server_s).unwrap_or(0);
        let random = random_bytes(&mut rng);
        let (to, key) = (to.clone(), key.to_owned());
        let enqueued = self
            .ctx
            .store
            .write(move |tx| {
                let own = Own::load(tx)?.ok_or(SendError::NotLinked)?;
                let chat = plan::chat(tx, &own, &to)?;
                if tx.outgoing(&key)?.is_none()
                    && let Some(edited) = edit::edited(&message)
                    && !edit::is_open(tx, &own, &chat, edited, server_s)?
                {
                    return Err(SendError::TooLateToEdit);
                }
                let new = NewOutgoing {
                    key,
                    message_id: message_id::generate(Some(&own.pn), seconds, &random),
                    chat: chat.to_string(),
                    kind: content.kind.as_str().to_owned(),
                    plaintext: SecretBytes::new(message.encode_to_vec()),
                    edit: content.edit.map(|edit| edit.as_str().to_owned()),
                    campaign: options.campaign,
                };
                let enqueued = tx.enqueue(&new, now)?;
                if let Enqueued::New(_) = &enqueued {
                    timer::notice(tx, &chat, &message, server_s)?;
                    if let Some(revoked) = revoked_id(&message) {
                        settle::revoked(tx, &chat, &revoked)?;
                    }
                }
                if let (Enqueued::New(row), Some(secret)) = (&enqueued, secret) {
                    let sender = own.in_namespace_of(&chat).to_user().to_string();
                    let message = MessageKey::new(&row.chat, sender, &row.message_id);
                    tx.put_message_secret(&message, &Secret::new(secret), secret_of(content.kind), now)?;
                }
                Ok::<_, SendError>(enqueued)
            })
            .await?;
        self.outbox.wake();
        let known = matches!(enqueued, Enqueued::Known(_));
        Ok(Accepted { message_id: enqueued.row().message_id.clone(), known })
    }

    /// What became of the send with this key; waits until that is known. `None`: there is no such send.
    pub(crate) async fn outcome(&self, key: &str) -> Result<Option<SendOutcome>, SendError> {
        let mut settled = self.outbox.settled();
        loop {
            settled.borrow_and_update();
            let wanted = key.to_owned();
            let row = self.ctx.store.read(move |tx| tx.outgoing(&wanted)).await?;
            let Some(row) = row else { return Ok(None) };
            if let Some(outcome) = outcome::of(&row) {
                return Ok(Some(outcome));
            }
            if settled.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl Messaging {
    /// Takes back a send that has not been encrypted yet; `false`: it is too late, or there is none.
    pub(crate) async fn cancel(&self, key: &str) -> Result<bool, SendError> {
        let (key, now) = (key.to_owned(), self.ctx.clock.wall_ms());
        let taken_back = self.ctx.store.write(move |tx| match tx.outgoing(&key)? {
            Some(mut row) => cancelled(tx, &mut row, now),
            None => Ok(false),
        });
        let taken_back = taken_back.await?;
        self.told();
        Ok(taken_back)
    }

    /// Takes back every send that has not been encrypted yet; returns how many.
    pub(crate) async fn cancel_all(&self) -> Result<u64, SendError> {
        let (mut after, mut count) = (0, 0);
        loop {
            let now = self.ctx.clock.wall_ms();
            let page = self.ctx.store.write(move |tx| {
                let rows = tx.open_outgoing(after, CANCELLED)?;
                let last = rows.last().map(|row| row.seq);
                let mut count = 0;
                for mut row in rows {
                    count += u64::from(!peer::is_peer(&row) && cancelled(tx, &mut row, now)?);
                }
                Ok::<_, StoreError>((last, count))
            });
            let (last, here) = page.await?;
            count += here;
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        self.told();
        Ok(count)
    }

    /// Sends a message again whose outcome is not known: with its id, encrypted anew. `false`: its outcome is known, or
    /// there is no such send, or its content is no longer kept.
    pub(crate) async fn send_unknown_again(&self, key: &str) -> Result<bool, SendError> {
        let key = key.to_owned();
        let again = self.ctx.store.write(move |tx| match tx.outgoing(&key)? {
            Some(mut row) if row.state == OutgoingState::Unknown && !row.plaintext.is_empty() => {
                settle::requeue(tx, &mut row)?;
                Ok::<_, StoreError>(true)
            }
            _ => Ok(false),
        });
        let again = again.await?;
        self.outbox.wake();
        Ok(again)
    }

    /// Rows have come to their end outside of the worker.
    fn told(&self) {
        self.outbox.settle();
        self.outbox.wake();
        self.ctx.inbox.notify_waiters();
    }
}

/// Sends that are taken back in one transaction.
const CANCELLED: usize = 256;

fn cancelled(tx: &mut Tx<'_>, row: &mut Outgoing, now: UnixMillis) -> Result<bool, StoreError> {
    if row.state != OutgoingState::Queued {
        return Ok(false);
    }
    let detail = "it was taken back before it left".to_owned();
    settle::refuse(tx, row, &Refused { why: Refusal::Cancelled, detail, until: None }, now)?;
    Ok(true)
}

/// How long the secret of a message of this kind is kept (04 §12.1).
pub(crate) fn secret_of(kind: Kind) -> SecretOf {
    match kind {
        Kind::Poll | Kind::Event => SecretOf::PollOrEvent,
        Kind::Text | Kind::Media | Kind::Reaction => SecretOf::Message,
    }
}

/// The id of the message that this one revokes.
fn revoked_id(message: &Message) -> Option<String> {
    let protocol = message.protocol_message.as_ref()?;
    let is_revoke = protocol.r#type == Some(Type::Revoke as i32);
    protocol.key.as_ref().filter(|_| is_revoke)?.id.clone()
}

/// A message secret for kinds that get a reporting token or that add-ons may refer to (05a §7 rule 8).
fn add_secret(message: &mut Message, rng: &mut rand_chacha::ChaCha20Rng) -> Option<[u8; 32]> {
    let there = message.message_context_info.as_ref().and_then(|info| info.message_secret.as_deref());
    if let Some(there) = there {
        return there.try_into().ok();
    }
    // Of the protocol messages only the one that sets a timer has one.
    let kind = message.protocol_message.as_ref().map(|protocol| protocol.r#type);
    let is_timer = kind == Some(Some(Type::EphemeralSetting as i32));
    if !is_timer && (kind.is_some() || !reporting::is_reportable(&message.encode_to_vec())) {
        return None;
    }
    let secret = random_bytes(rng);
    message.message_context_info.get_or_insert_default().message_secret = Some(secret.to_vec());
    Some(secret)
}
