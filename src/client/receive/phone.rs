//! What the own phone is asked for: messages that we could not read (protocol 05b §11). The request is written beside
//! the placeholder, in the same transaction; its answer is taken here. Sending it is the outbox's work.

use prost::Message as _;
use rand_core::Rng;

use crate::client::devices::address;
use crate::client::receive::content;
use crate::client::receive::env::{Effect, Env};
use crate::client::send::peer;
use crate::crypto::random_bytes;
use crate::proto::message::peer_data_operation_request_message::PlaceholderMessageResendRequest;
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{
    PeerDataOperationRequestMessage, PeerDataOperationRequestResponseMessage, PeerDataOperationRequestType,
    ProtocolMessage,
};
use crate::proto::{Message, MessageKey as Key, WebMessageInfo};
use crate::stanza::message::{Chat, Incoming, Own as OwnJids, Source};
use crate::stanza::message_id;
use crate::store::inbox::MessageKey;
use crate::store::{Enqueued, NewOutgoing, OutgoingState, SecretBytes, StoreError, Tx};
use crate::wire::{Content, Jid, NodeRef};

/// Older messages are not asked for, in seconds.
const MAX_AGE: i64 = 14 * 24 * 60 * 60;

/// When the phone is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// The sender was asked just now, and may be faster: in 3 to 5 s.
    Later,
    /// Nobody else is asked.
    Now,
}

/// Whether the phone may be asked for a message: not for old ones, nor for what no companion may see (05b §6, §11).
pub(crate) fn may_ask(env: &Env, message: &Incoming<'_>, source: &Source) -> bool {
    let old = message.t.and_then(|t| i64::try_from(t).ok()).is_some_and(|t| env.server_s - t > MAX_AGE);
    let withheld_for_good = message.encs.is_empty()
        && (message.bot_edit.is_some()
            || message.unavailable.as_ref().is_some_and(|unavailable| {
                let kind = unavailable.kind.as_deref().unwrap_or_default();
                let for_good = [
                    "view_once",
                    "view_once_unavailable_fanout",
                    "bot_unavailable_fanout",
                    "hosted_unavailable_fanout",
                ];
                unavailable.hosted || for_good.contains(&kind)
            }));
    let this_is_the_phone = env.own.pn.device() == 0;
    !(old || withheld_for_good || message.is_peer() || source.kind == Chat::Newsletter || this_is_the_phone)
}

/// The stanza without its ciphertexts, kept for the answer.
pub(crate) fn envelope(node: NodeRef<'_>) -> SecretBytes {
    let heavy = ["enc", "participants", "device-identity"];
    let mut kept = node.to_node();
    if let Content::Nodes(children) = &mut kept.content {
        children.retain(|child| !heavy.contains(&child.tag.as_ref()));
    }
    // What was decoded also encodes; without an envelope the answer's own data serve.
    SecretBytes::new(crate::wire::encode(&kept).unwrap_or_default())
}

/// Writes the request, once for each message; again only if it could not be sent.
pub(crate) fn ask(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
    when: When,
) -> Result<(), StoreError> {
    let in_group = matches!(source.kind, Chat::Group | Chat::Status | Chat::Broadcast);
    let wanted = Key {
        remote_jid: Some(address::canonical(tx, &source.chat)?.to_string()),
        from_me: Some(source.from_me),
        id: Some(message.id.clone()),
        participant: (in_group && !source.from_me).then(|| source.sender.to_user().to_string()),
    };
    let wait = match when {
        When::Later => 3000 + i64::try_from(env.rng.next_u64() % 2001).unwrap_or(0),
        When::Now => 0,
    };
    let seconds = u64::try_from(env.server_s).unwrap_or(0);
    let new = NewOutgoing {
        key: row_key(key),
        message_id: message_id::generate(Some(&env.own.pn), seconds, &random_bytes(&mut env.rng)),
        chat: env.own.pn.to_user().to_string(),
        kind: peer::KIND.to_owned(),
        plaintext: SecretBytes::new(request(wanted).encode_to_vec()),
        edit: None,
        campaign: false,
    };
    let mut row = match tx.enqueue(&new, env.now)? {
        Enqueued::New(row) => row,
        Enqueued::Known(row) if row.state == OutgoingState::Failed => row,
        Enqueued::Known(_) => return Ok(()),
    };
    row.state = OutgoingState::Queued;
    row.not_before = Some(env.now.saturating_add(wait));
    tx.put_outgoing(&row)?;
    env.effects.push(Effect::Outbox);
    Ok(())
}

fn request(wanted: Key) -> Message {
    let wanted = PlaceholderMessageResendRequest { message_key: Some(wanted) };
    Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            r#type: Some(Type::PeerDataOperationRequestMessage as i32),
            peer_data_operation_request_message: Some(Box::new(PeerDataOperationRequestMessage {
                peer_data_operation_request_type: Some(
                    PeerDataOperationRequestType::PlaceholderMessageResend as i32,
                ),
                placeholder_message_resend_request: vec![wanted],
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Message::default()
    }
}

/// The idempotency key of the request for a message.
fn row_key(key: &MessageKey) -> String {
    format!("{} {} {} {}", peer::KIND, key.chat, key.sender, key.id)
}

/// The message that a request was for.
fn asked_for(row_key: &str) -> Option<MessageKey> {
    let mut parts = row_key.splitn(4, ' ').skip(1);
    Some(MessageKey::new(parts.next()?, parts.next()?, parts.next()?))
}

/// The message has come: a request that has not left is not needed any more.
pub(crate) fn not_needed(tx: &mut Tx<'_>, key: &MessageKey) -> Result<(), StoreError> {
    if let Some(mut row) = tx.outgoing(&row_key(key))?
        && row.state == OutgoingState::Queued
    {
        row.state = OutgoingState::Failed;
        row.detail = Some("the message came before the phone was asked".to_owned());
        tx.put_outgoing(&row)?;
    }
    Ok(())
}

/// Takes the phone's answer. The caller has checked that it is the own phone's.
pub(crate) fn answered(
    tx: &mut Tx<'_>,
    env: &mut Env,
    answer: &PeerDataOperationRequestResponseMessage,
) -> Result<(), StoreError> {
    let id = answer.stanza_id.as_deref().unwrap_or_default();
    let row = tx.outgoing_message(&env.own.pn.to_user().to_string(), id)?;
    let Some(key) = row.filter(|row| row.kind == peer::KIND).and_then(|row| asked_for(&row.key)) else {
        return Ok(());
    };
    for result in &answer.peer_data_operation_result {
        let found = result.placeholder_message_resend_response.as_ref();
        let bytes = found.and_then(|found| found.web_message_info_bytes.as_deref()).unwrap_or_default();
        match crate::proto::decode::<WebMessageInfo>(bytes) {
            Ok(info) => obtained(tx, env, &key, info)?,
            Err(_) => tracing::warn!("an answer of the own phone could not be read"),
        }
    }
    Ok(())
}

/// Delivers the content as the message that it is. Nothing happens if it came meanwhile, or if the phone has none.
fn obtained(
    tx: &mut Tx<'_>,
    env: &mut Env,
    key: &MessageKey,
    mut info: WebMessageInfo,
) -> Result<(), StoreError> {
    let Some(message) = info.message.take() else { return Ok(()) };
    let Some(placeholder) = tx.placeholder(key)? else { return Ok(()) };
    let Some(named) = info.key.as_deref().filter(|named| named.id.as_ref() == Some(&key.id)) else {
        tracing::warn!("the own phone answered with another message");
        return Ok(());
    };
    if tx.seen_message(key)?.is_some() {
        return Ok(());
    }
    let Ok(node) = crate::wire::decode_node(placeholder.envelope.expose()) else { return Ok(()) };
    let own = env.own.clone();
    let jids = OwnJids { pn: &own.pn, lid: own.lid.as_ref() };
    let Ok(stanza) = Incoming::parse(&node, jids) else { return Ok(()) };
    let Ok(source) = Source::of(&stanza, jids) else { return Ok(()) };
    let participant = info.participant.as_deref().or(named.participant.as_deref());
    let source = if is_of(tx, &source, named, participant)? {
        source
    } else {
        renamed(env, source, named, participant)
    };
    let mut quiet = false;
    let bytes = message.encode_to_vec();
    let opened = content::Opened { message: *message, bytes: &bytes };
    if content::take(tx, env, &stanza, &source, key, opened, &mut quiet)? {
        tx.mark_message_seen(key, Some(content::time(env, &stanza)), env.now)?;
        tx.delete_placeholder(key)?;
    }
    Ok(())
}

/// Whether the answer's key names the chat and the author of the stored stanza, in either namespace.
fn is_of(tx: &Tx<'_>, source: &Source, named: &Key, participant: Option<&str>) -> Result<bool, StoreError> {
    let same = |name: &str, known: &Jid| -> Result<bool, StoreError> {
        let Ok(jid) = name.parse::<Jid>() else { return Ok(false) };
        Ok(address::canonical(tx, &jid.to_user())?.same_user(&address::canonical(tx, &known.to_user())?))
    };
    let author = match participant {
        Some(participant) => same(participant, &source.sender)?,
        None => named.from_me.unwrap_or(false) == source.from_me,
    };
    Ok(author && same(named.remote_jid.as_deref().unwrap_or_default(), &source.chat)?)
}

/// The chat and the author as the answer has them.
fn renamed(env: &Env, source: Source, named: &Key, participant: Option<&str>) -> Source {
    let Some(chat) = named.remote_jid.as_deref().and_then(|jid| jid.parse::<Jid>().ok()) else {
        return source;
    };
    let from_me = named.from_me.unwrap_or(false);
    let sender = match participant.and_then(|jid| jid.parse::<Jid>().ok()) {
        Some(participant) => participant.to_user(),
        None if from_me => env.own.in_namespace_of(&chat).to_user(),
        None => chat.to_user(),
    };
    Source { device: sender.clone(), sender, chat, from_me, sender_alt: None, recipient_alt: None, ..source }
}
