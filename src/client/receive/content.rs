//! What an opened message says: wrappers off, protocol messages handled, an event for the application (protocol 05b §5).

use prost::Message as _;

use crate::client::devices::{mapping, metadata};
use crate::client::event::{Event, Received};
use crate::client::receive::env::Env;
use crate::client::receive::{change, phone, share};
use crate::client::send::{secret_of, settle, timer};
use crate::proto::Message;
use crate::proto::edit::{self, EditError};
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{AppStateSyncKeyShare, ProtocolMessage};
use crate::stanza::content::{classify, unwrap, unwrap_bytes};
use crate::stanza::message::{Chat, Incoming, Source};
use crate::store::inbox::MessageKey;
use crate::store::{Secret, SecretOf, StoreError, Tx};
use crate::wire::Jid;

/// A message, and the bytes that it was decoded from.
pub(crate) struct Opened<'b> {
    pub(crate) message: Message,
    pub(crate) bytes: &'b [u8],
}

/// Takes a decoded message. `true`: it had content, so that the message counts as obtained. `quiet` is set where it
/// is of a kind that has no ticks.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    env: &mut Env,
    stanza: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
    Opened { mut message, bytes }: Opened<'_>,
    quiet: &mut bool,
) -> Result<bool, StoreError> {
    let innermost = unwrap_bytes(bytes, &message).unwrap_or_default().into_owned();
    keep_secret(tx, env, key, &message)?;
    let sent_copy = message.device_sent_message.take();
    if let Some(copy) = sent_copy {
        if !source.from_me {
            tracing::warn!("a copy for own devices from somebody else is ignored");
            return Ok(false);
        }
        let Some(inner) = copy.message else { return Ok(false) };
        let outer = message.message_context_info.take();
        message = *inner;
        if message.message_context_info.is_none() {
            message.message_context_info = outer;
        }
        keep_secret(tx, env, key, &message)?;
    }
    if let Some(info) = &message.message_context_info {
        metadata::heard(tx, &env.own, source, info)?;
    }
    if source.kind == Chat::Direct {
        timer::notice(tx, &source.chat, &message, time(env, stanza))?;
    }
    message.sender_key_distribution_message = None;
    if let Some(protocol) = message.protocol_message.clone()
        && let Some(done) = protocol_message(tx, env, stanza, source, &protocol)?
    {
        return Ok(done);
    }
    // Too many wrappers: shown as it is.
    let inner = unwrap(&message).map_or(&message, |unwrapped| unwrapped.message);
    if is_bare(inner) {
        return Ok(false);
    }
    *quiet = is_quiet(inner);
    let timestamp = time(env, stanza);
    let change = change::of(env, source, inner);
    let target = change.as_ref().map(|change| change.target().clone());
    let event = Event::Message(Box::new(Received {
        chat: source.chat.to_string(),
        sender: source.sender.to_string(),
        sender_alt: source.sender_alt.as_ref().map(Jid::to_string),
        id: stanza.id.clone(),
        from_me: source.from_me,
        timestamp,
        push_name: stanza.push_name.clone(),
        offline: stanza.offline.is_some(),
        text: text(inner),
        change,
        message: whole(&innermost, inner).unwrap_or_else(|_| inner.encode_to_vec()),
    }));
    match target {
        Some(target) => change::push(tx, env, source, &target, event)?,
        None => {
            tx.push_event(&event.row(env.now), env.now)?;
        }
    }
    change::release(tx, env, source, &stanza.id, timestamp)?;
    Ok(true)
}

/// Kinds that have no ticks (05b §8).
fn is_quiet(message: &Message) -> bool {
    let label = message.protocol_message.as_ref().and_then(|protocol| protocol.r#type)
        == Some(Type::GroupMemberLabelChange as i32);
    label
        || message.reaction_message.is_some()
        || message.enc_reaction_message.is_some()
        || message.enc_comment_message.is_some()
        || message.enc_event_response_message.is_some()
        || message.keep_in_chat_message.is_some()
        || message.message_history_bundle.is_some()
        || message.message_history_notice.is_some()
}

/// The server's time of a message, Unix seconds; without one, now.
pub(crate) fn time(env: &Env, stanza: &Incoming<'_>) -> i64 {
    stanza.t.and_then(|t| i64::try_from(t).ok()).unwrap_or(env.server_s)
}

/// The content as it was sent, with every field that this version does not know (03b §6): without what came along for
/// the group, and with the context that an own device put around its copy.
fn whole(bytes: &[u8], inner: &Message) -> Result<Vec<u8>, EditError> {
    const DISTRIBUTION: u32 = 2;
    const CONTEXT: u32 = 35;
    let mut bytes = edit::remove(bytes, &[DISTRIBUTION])?;
    if let (None, Some(context)) = (edit::last(&bytes, CONTEXT)?, &inner.message_context_info) {
        bytes = edit::set(&bytes, &[CONTEXT], edit::Value::Bytes(&context.encode_to_vec()))?;
    }
    Ok(bytes)
}

/// The secret by which add-ons of the message are read.
fn keep_secret(tx: &mut Tx<'_>, env: &Env, key: &MessageKey, message: &Message) -> Result<(), StoreError> {
    let secret = message.message_context_info.as_ref().and_then(|info| info.message_secret.as_deref());
    match secret.and_then(|secret| <[u8; 32]>::try_from(secret).ok()) {
        Some(secret) => {
            let copied = message.device_sent_message.as_ref().and_then(|copy| copy.message.as_deref());
            let content = classify(copied.unwrap_or(message));
            let of = content.map_or(SecretOf::Message, |content| secret_of(content.kind));
            tx.put_message_secret(key, &Secret::new(secret), of, env.now)
        }
        None => Ok(()),
    }
}

/// Nothing but a context.
fn is_bare(message: &Message) -> bool {
    let bare = Message { message_context_info: None, ..message.clone() };
    bare.encoded_len() == 0
}

/// The plain text of a message that is one.
fn text(message: &Message) -> Option<String> {
    let extended = message.extended_text_message.as_ref().and_then(|text| text.text.clone());
    message.conversation.clone().or(extended)
}

/// Protocol messages. `None`: it goes to the application as a message; else whether it counts as content.
fn protocol_message(
    tx: &mut Tx<'_>,
    env: &mut Env,
    stanza: &Incoming<'_>,
    source: &Source,
    protocol: &ProtocolMessage,
) -> Result<Option<bool>, StoreError> {
    let Some(kind) = protocol.r#type.and_then(|kind| Type::try_from(kind).ok()) else { return Ok(None) };
    let from_phone = source.from_me && source.device.device() == 0;
    match kind {
        Type::Revoke | Type::MessageEdit => {
            let allowed = protocol
                .key
                .as_ref()
                .and_then(|key| change::target(env, source, key))
                .is_some_and(|target| change::is_allowed(source, stanza, &target));
            let id = protocol.key.as_ref().and_then(|key| key.id.as_deref());
            if let (true, true, Type::Revoke, Some(id)) = (allowed, source.from_me, kind, id) {
                settle::revoked(tx, &source.chat, id)?;
            }
            // Somebody else's message is not theirs to change: nothing happens.
            Ok(if allowed { None } else { Some(true) })
        }
        Type::HistorySyncNotification => {
            if let (true, Some(notification)) = (from_phone, &protocol.history_sync_notification) {
                let event =
                    Event::History { notification: notification.encode_to_vec(), id: stanza.id.clone() };
                tx.push_event(&event.row(env.now), env.now)?;
            }
            Ok(Some(true))
        }
        Type::AppStateSyncKeyShare => {
            if let (true, Some(share)) = (source.from_me, &protocol.app_state_sync_key_share) {
                keep_keys(tx, share)?;
            }
            Ok(Some(true))
        }
        Type::LidMigrationMappingSync => {
            if source.from_me {
                learn_mappings(tx, env, protocol)?;
            }
            Ok(Some(true))
        }
        Type::PeerDataOperationRequestResponseMessage => {
            if let (true, Some(answer)) = (from_phone, &protocol.peer_data_operation_request_response_message)
            {
                phone::answered(tx, env, answer)?;
            }
            Ok(Some(true))
        }
        Type::AppStateSyncKeyRequest => {
            if let (true, Some(asked)) = (source.from_me, &protocol.app_state_sync_key_request) {
                share::answer(tx, env, stanza, source, asked)?;
            }
            Ok(Some(true))
        }
        // Between own devices, or for bots: nothing for the application, whoever sent them.
        Type::PeerDataOperationRequestMessage
        | Type::InitialSecurityNotificationSettingSync
        | Type::AppStateFatalExceptionNotification
        | Type::EphemeralSyncResponse
        | Type::MediaNotifyMessage
        | Type::RequestWelcomeMessage
        | Type::BotFeedbackMessage
        | Type::BotMemuOnboardingMessage => Ok(Some(true)),
        _ => Ok(None),
    }
}

/// The keys of app state; an entry without key data says that the sender has none.
fn keep_keys(tx: &mut Tx<'_>, share: &AppStateSyncKeyShare) -> Result<(), StoreError> {
    for key in &share.keys {
        let id = key.key_id.as_ref().and_then(|id| id.key_id.as_deref()).unwrap_or_default();
        let Some(data) = &key.key_data else { continue };
        if !id.is_empty() && data.key_data.as_deref().is_some_and(|data| !data.is_empty()) {
            tx.put_app_state_key(id, &data.encode_to_vec())?;
        }
    }
    Ok(())
}

/// The phone's list of who has which LID (05a §8).
fn learn_mappings(tx: &mut Tx<'_>, env: &Env, protocol: &ProtocolMessage) -> Result<(), StoreError> {
    let Some(sync) = &protocol.lid_migration_mapping_sync_message else { return Ok(()) };
    let bytes = sync.encoded_mapping_payload.as_deref().unwrap_or_default();
    let Ok(payload) = crate::proto::decode::<crate::proto::LidMigrationMappingSyncPayload>(bytes) else {
        return Ok(());
    };
    for pair in &payload.pn_to_lid_mappings {
        let lid = [pair.latest_lid, pair.assigned_lid].into_iter().flatten().find(|lid| *lid != 0);
        let (Some(pn), Some(lid)) = (pair.pn.filter(|pn| *pn != 0), lid) else { continue };
        if let (Ok(pn), Ok(lid)) = (Jid::pn(&pn.to_string()), Jid::lid(&lid.to_string())) {
            mapping::learn(tx, &pn, &lid, env.now)?;
        }
    }
    if payload.chat_db_migration_timestamp.is_some_and(|at| at > 0)
        && let Some(mut link) = tx.link()?
        && !link.lid_migrated
    {
        link.lid_migrated = true;
        tx.set_link(Some(&link))?;
    }
    Ok(())
}
