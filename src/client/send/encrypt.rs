//! One transaction of a send: ratchets, stanza bytes, targets, outbox state (protocol 04 S1, 05a §7).

use prost::Message as _;
use rand_chacha::ChaCha20Rng;

use crate::client::devices::own::Own;
use crate::client::devices::{address, session};
use crate::client::send::plan::Plan;
use crate::client::send::release::Times;
use crate::client::send::{timer, token};
use crate::crypto::sha256;
use crate::proto::Message;
use crate::proto::message::DeviceSentMessage;
use crate::signal::{CiphertextType, IdentityKey, addon::MessageSecret, padding, reporting};
use crate::stanza::content::{Content, classify};
use crate::stanza::outgoing::{Body, Cipher, Enc, Outgoing as Stanza, Target as To};
use crate::store::{Outgoing, OutgoingState, SecretBytes, StoreError, Target, Tx, UnixMillis};
use crate::wire::Jid;

/// Why nothing was encrypted. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEncrypted {
    /// No device of the recipient has a session.
    #[error("no device of the recipient could be encrypted for")]
    Nobody,
    /// The kept plaintext is no message, or its plaintext is gone.
    #[error("the message can't be read back")]
    BadMessage,
    /// A session begins, and there is no device identity to go beside it.
    #[error("the own device identity is missing")]
    NoIdentity,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is sent, in the forms that different devices get.
pub(crate) struct Sealed<'a> {
    content: Content,
    theirs: Vec<u8>,
    ours: Vec<u8>,
    row: &'a Outgoing,
}

impl<'a> Sealed<'a> {
    /// Pads both forms once. `chat` is what the copies for own devices name.
    pub(crate) fn new(row: &'a Outgoing, chat: &Jid, rng: &mut ChaCha20Rng) -> Result<Self, NotEncrypted> {
        let message = message_of(row)?;
        let content = classify(&message).ok_or(NotEncrypted::BadMessage)?;
        let copy = Message {
            message_context_info: message.message_context_info.clone(),
            device_sent_message: Some(Box::new(DeviceSentMessage {
                destination_jid: Some(chat.to_string()),
                message: Some(Box::new(message)),
                phash: None,
            })),
            ..Message::default()
        };
        let theirs = padding::pad(row.plaintext.expose(), rng);
        Ok(Self { content, theirs, ours: padding::pad(&copy.encode_to_vec(), rng), row })
    }

    /// Encrypts for one device. `None`: there is no session.
    pub(crate) fn enc(
        &self,
        tx: &mut Tx<'_>,
        device: &Jid,
        own_copy: bool,
        count: Option<u32>,
        now: UnixMillis,
    ) -> Result<Option<(Enc, Target)>, StoreError> {
        let key = address::key(&address::canonical(tx, device)?);
        let padded = if own_copy { &self.ours } else { &self.theirs };
        let Some((sent, identity)) = session::encrypt(tx, &key, padded, now)? else { return Ok(None) };
        let cipher = match sent.kind {
            CiphertextType::PreKey => Cipher::PreKeyMessage,
            CiphertextType::Message => Cipher::Message,
        };
        let enc = Enc {
            media: self.content.media,
            hide: self.content.hide,
            count,
            native_flow_name: self.content.native_flow_name.clone(),
            ..Enc::new(cipher, sent.bytes)
        };
        Ok(Some((enc, target(key, &identity))))
    }

    /// The stanza around the ciphertexts.
    pub(crate) fn stanza(
        &self,
        tx: &Tx<'_>,
        own: &Own,
        to: Jid,
        chat: &Jid,
        body: Body,
    ) -> Result<Stanza, NotEncrypted> {
        let mut stanza = Stanza::new(self.row.message_id.clone(), to, self.content.kind, body);
        stanza.edit = self.content.edit;
        stanza.meta = self.content.meta.iter().map(|(key, value)| (*key, (*value).into())).collect();
        stanza.reporting_token = self.reporting_token(own, chat);
        stanza.peer_recipient = address::other_form(tx, chat)?;
        if stanza.needs_device_identity() {
            if own.account.is_empty() {
                return Err(NotEncrypted::NoIdentity);
            }
            stanza.device_identity = Some(own.account.clone());
        }
        Ok(stanza)
    }

    fn reporting_token(&self, own: &Own, chat: &Jid) -> Option<[u8; 16]> {
        let message = message_of(self.row).ok()?;
        let secret = message.message_context_info?.message_secret?;
        let secret = MessageSecret::from_slice(&secret)?;
        let sender = own.in_namespace_of(chat).to_user().to_string();
        let plaintext = self.row.plaintext.expose();
        reporting::token(&secret, &self.row.message_id, &sender, &chat.to_string(), plaintext)
    }
}

fn message_of(row: &Outgoing) -> Result<Message, NotEncrypted> {
    if row.plaintext.is_empty() {
        return Err(NotEncrypted::BadMessage);
    }
    Message::decode(row.plaintext.expose()).map_err(|_| NotEncrypted::BadMessage)
}

fn target(device: String, identity: &IdentityKey) -> Target {
    Target { device, identity: fingerprint(identity), confirmed: false, group_only: false }
}

/// What stands for an identity key in the list of targets.
pub(crate) fn fingerprint(identity: &IdentityKey) -> Vec<u8> {
    sha256(identity.as_bytes()).first_chunk::<8>().map(|eight| eight.to_vec()).unwrap_or_default()
}

/// Encrypts a row for every device of the plan and writes everything that has to be durable before it leaves. Returns
/// the encoded stanza.
pub(crate) fn fan_out(
    tx: &mut Tx<'_>,
    own: &Own,
    row: &mut Outgoing,
    plan: &Plan,
    times: Times,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<u8>, NotEncrypted> {
    let now = times.now;
    timer::apply(tx, &plan.chat, row)?;
    let kept = row.clone();
    let sealed = Sealed::new(&kept, &plan.chat, rng)?;
    let (to, targets) = encrypt_all(tx, &sealed, plan, now)?;
    let reached = |device: &Jid| to.iter().any(|to| to.jid == *device);
    let nobody = if plan.to_self { to.is_empty() } else { !plan.theirs.iter().any(reached) };
    if nobody {
        return Err(NotEncrypted::Nobody);
    }
    row.phone_missed = plan.theirs.iter().any(|device| device.device() == 0 && !reached(device));
    let body = Body::Fanout { targets: to, common: None };
    let mut stanza = sealed.stanza(tx, own, plan.chat.clone(), &plan.chat, body)?;
    stanza.contact_token = token::beside(tx, own, &plan.chat, times.server_s)?;
    let bytes = encode(&stanza.build())?;
    row.stanza = Some(SecretBytes::new(bytes.clone()));
    row.state = OutgoingState::Encrypted;
    row.encrypted_at = Some(now);
    row.last_attempt_at = Some(now);
    row.attempts = row.attempts.saturating_add(1);
    tx.put_outgoing(row)?;
    tx.put_targets(&row.chat, &row.message_id, &targets)?;
    Ok(bytes)
}

/// Encrypts for the devices that have a session.
pub(crate) fn encrypt_all(
    tx: &mut Tx<'_>,
    sealed: &Sealed<'_>,
    plan: &Plan,
    now: UnixMillis,
) -> Result<(Vec<To>, Vec<Target>), StoreError> {
    let (mut to, mut targets) = (Vec::new(), Vec::new());
    let theirs = plan.theirs.iter().map(|device| (device, false));
    for (device, own_copy) in theirs.chain(plan.ours.iter().map(|device| (device, true))) {
        if let Some((enc, target)) = sealed.enc(tx, device, own_copy, None, now)? {
            to.push(To { jid: device.clone(), enc: Some(enc) });
            targets.push(target);
        }
    }
    Ok((to, targets))
}

/// A stanza of ours always encodes; if not, it is our mistake and nothing is sent.
pub(crate) fn encode(stanza: &crate::wire::Node) -> Result<Vec<u8>, NotEncrypted> {
    crate::wire::encode(stanza).map_err(|_| NotEncrypted::BadMessage)
}
