//! A received `<message>`, inside the transaction of its batch: whose it is, opening it, what it says, and how the
//! server is answered (protocol 05b §2 to §9).

use crate::client::devices::{address, devices_of, mapping};
use crate::client::event::{Event, Unreadable};
use crate::client::limits;
use crate::client::receive::env::{AskAgain, Effect, Env};
use crate::client::receive::open::{self, NotOpened};
use crate::client::receive::phone::{self, When};
use crate::client::receive::{answer, bot, content};
use crate::proto::Message;
use crate::signal::{SenderKeyDistribution, SignalError, padding};
use crate::stanza::ack::{Answerable, Nack};
use crate::stanza::judge::drift;
use crate::stanza::message::{Chat, Enc, Incoming, Own as OwnJids, Source};
use crate::stanza::outgoing::Cipher;
use crate::store::inbox::MessageKey;
use crate::store::{Placeholder, StoreError, Tx};
use crate::wire::{Node, NodeRef};

/// Retry receipts are sent with the counts 1 to this.
const MAX_COUNT: u32 = 4;

/// A status older than this is not asked for again, in seconds.
const STATUS_AGE: i64 = 24 * 60 * 60;

/// What became of the ciphertexts of one stanza.
#[derive(Default)]
struct Outcome {
    /// The content was obtained, now or before.
    content: bool,
    /// Something opened that was no content (a distribution), or was opened before.
    opened: bool,
    /// A key that was used already, and nothing in the inbox.
    lost: bool,
    /// A good decrypt with a plaintext that is none: the bytes.
    undecodable: Option<Vec<u8>>,
    /// A good decrypt of a transport that is not ours.
    foreign: bool,
    /// The first failure that a resend can heal, and its ciphertext.
    failure: Option<(NotOpened, u32, [u8; 32])>,
    /// A bot's reply to a message whose secret is not known.
    no_secret: bool,
    /// What was obtained has no ticks.
    quiet: bool,
}

/// Handles a message.
pub(crate) fn handle(tx: &mut Tx<'_>, env: &mut Env, node: NodeRef<'_>) -> Result<(), StoreError> {
    let Ok(Some(answerable)) = Answerable::of(node) else {
        tracing::warn!("a message without id or sender can't be answered");
        return Ok(());
    };
    let own = env.own.clone();
    let jids = OwnJids { pn: &own.pn, lid: own.lid.as_ref() };
    let parsed = Incoming::parse(node, jids).and_then(|message| {
        let source = Source::of(&message, jids)?;
        Ok((message, source))
    });
    let (message, source) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            tracing::warn!(%error, "a message could not be read");
            env.send(answerable.nack(Some(&own.pn), Nack::Parsing));
            return Ok(());
        }
    };
    for (pn, lid) in source.mappings() {
        mapping::learn(tx, &pn, &lid, env.now)?;
    }
    if source.kind == Chat::Direct {
        notice_chat(tx, env, &message, &source, node)?;
    }
    let key = key_of(&message, &source);
    if source.kind == Chat::Newsletter || message.kind.as_deref() == Some("medianotify") {
        env.send(answerable.ack(Some(&own.pn)));
        return Ok(());
    }
    if message.encs.is_empty() {
        return without_content(tx, env, &answerable, &message, &source, &key, node);
    }
    let outcome = open_all(tx, env, &message, &source, &key)?;
    if outcome.opened {
        notice_device(tx, env, &source)?;
    }
    conclude(tx, env, &answerable, &message, &source, &key, outcome, node)
}

/// Somebody has written in this chat: it is no new one (05d §9.2).
fn notice_chat(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    node: NodeRef<'_>,
) -> Result<(), StoreError> {
    let chat = source.chat.to_user();
    if env.own.is_own(&chat) {
        return Ok(());
    }
    let sent = message.t.and_then(|t| i64::try_from(t).ok()).map_or(env.now, |t| env.times().wall(t));
    let at = sent.min(env.now);
    if source.from_me {
        return limits::wrote(tx, &chat, at);
    }
    if limits::heard(tx, &chat, node.str("verified_level").as_deref() == Some("high"), at)? {
        env.effects.push(Effect::Limits);
    }
    Ok(())
}

/// A device that the user's record lacks makes the record stale; its message counts all the same (05a §3).
fn notice_device(tx: &Tx<'_>, env: &mut Env, source: &Source) -> Result<(), StoreError> {
    let user = source.sender.to_user();
    let Some(listed) = devices_of(tx, &user)? else { return Ok(()) };
    if listed.iter().all(|known| known.device() != source.sender.device()) {
        env.effects.push(Effect::Refresh(user));
    }
    Ok(())
}

/// Chat, bare sender, id.
pub(crate) fn key_of(message: &Incoming<'_>, source: &Source) -> MessageKey {
    MessageKey::new(source.chat.to_string(), source.sender.to_user().to_string(), &message.id)
}

fn open_all(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
) -> Result<Outcome, StoreError> {
    let mut outcome = Outcome::default();
    let is_pairwise = |enc: &&Enc<'_>| matches!(enc.cipher, Some(Cipher::Message | Cipher::PreKeyMessage));
    let is_group = |enc: &&Enc<'_>| enc.cipher == Some(Cipher::SenderKey) && !enc.ciphertext.is_empty();
    for enc in message.encs.iter().filter(is_pairwise) {
        let opened = match seen(tx, enc)? {
            true => Err(None),
            false => open::pairwise(tx, env, message, source, enc).map_err(Some),
        };
        take(tx, env, message, source, key, enc, opened, &mut outcome)?;
    }
    // The resend of a failed distribution brings the key again: where nothing opened the group part need not be tried.
    let in_group = matches!(source.kind, Chat::Group | Chat::Status | Chat::Broadcast);
    if in_group && (outcome.failure.is_none() || outcome.opened) {
        for enc in message.encs.iter().filter(is_group) {
            let opened = match seen(tx, enc)? {
                true => Err(None),
                false => tx.savepoint(|tx| open::group(tx, source, enc)).map_err(Some),
            };
            take(tx, env, message, source, key, enc, opened, &mut outcome)?;
        }
    }
    for enc in message.encs.iter().filter(|enc| enc.cipher == Some(Cipher::MessageSecret)) {
        let opened = match seen(tx, enc)? {
            true => Err(None),
            false => match bot::open(tx, env, message, source, enc)? {
                bot::Opened::Text(text) => Ok(text),
                bot::Opened::NoSecret => {
                    outcome.no_secret = true;
                    continue;
                }
                bot::Opened::Bad => {
                    tracing::warn!("a bot's reply could not be opened");
                    continue;
                }
            },
        };
        take(tx, env, message, source, key, enc, opened, &mut outcome)?;
    }
    Ok(outcome)
}

fn seen(tx: &Tx<'_>, enc: &Enc<'_>) -> Result<bool, StoreError> {
    Ok(tx.seen_hash(&open::hash(enc))?.is_some())
}

/// Takes what opening a ciphertext gave: the padded text, a failure, or `None` where it was opened before.
#[allow(clippy::too_many_arguments, reason = "the parts of one step of one loop")]
fn take(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
    enc: &Enc<'_>,
    opened: Result<Vec<u8>, Option<NotOpened>>,
    outcome: &mut Outcome,
) -> Result<(), StoreError> {
    let padded = match opened {
        Ok(padded) => padded,
        Err(None) => {
            outcome.opened = true;
            outcome.content |= tx.seen_message(key)?.is_some();
            return Ok(());
        }
        Err(Some(NotOpened::Store(error))) => return Err(error),
        Err(Some(NotOpened::OwnPhoneChanged)) => {
            env.effects.push(Effect::OwnPhoneChanged);
            return Ok(());
        }
        Err(Some(NotOpened::Signal(SignalError::Duplicate))) => {
            match tx.seen_message(key)? {
                Some(_) => outcome.content = true,
                None => outcome.lost = true,
            }
            return Ok(());
        }
        Err(Some(error)) => {
            outcome.failure.get_or_insert((error, enc.count, open::hash(enc)));
            return Ok(());
        }
    };
    open::note(tx, env, enc, key)?;
    outcome.opened = true;
    // Version 3 is not padded and not ours; a bot's reply is never padded.
    if enc.version == Some(3) {
        outcome.foreign = true;
        return Ok(());
    }
    let plain = match enc.version {
        _ if enc.cipher == Some(Cipher::MessageSecret) => Some(padded.as_slice()),
        None | Some(2) => padding::unpad(&padded).ok(),
        _ => None,
    };
    env.unknown.extend(plain.map(drift::in_message).unwrap_or_default());
    let decoded = plain.and_then(|bytes| Some((crate::proto::decode::<Message>(bytes).ok()?, bytes)));
    let Some((decoded, bytes)) = decoded else {
        outcome.undecodable = Some(plain.unwrap_or(&padded).to_vec());
        return Ok(());
    };
    if matches!(enc.cipher, Some(Cipher::Message | Cipher::PreKeyMessage)) {
        distribution(tx, source, &decoded)?;
    }
    let opened = content::Opened { message: decoded, bytes };
    // A resend after the content came, or a second copy of it, changes nothing.
    if tx.seen_message(key)?.is_some() {
        outcome.content = true;
        return Ok(());
    }
    if content::take(tx, env, message, source, key, opened, &mut outcome.quiet)? {
        outcome.content = true;
        tx.mark_message_seen(key, Some(content::time(env, message)), env.now)?;
        tx.delete_placeholder(key)?;
        phone::not_needed(tx, key)?;
    }
    Ok(())
}

/// A sender key for this chat, authenticated by the pairwise session (04 §10.4).
fn distribution(tx: &mut Tx<'_>, source: &Source, message: &Message) -> Result<(), StoreError> {
    let Some(sent) = &message.sender_key_distribution_message else { return Ok(()) };
    let group = source.chat.to_string();
    let named = sent.group_id.as_deref().filter(|id| !id.is_empty());
    let in_group = matches!(source.kind, Chat::Group | Chat::Status | Chat::Broadcast);
    if !in_group || named.is_some_and(|named| named != group) {
        tracing::warn!("a sender key for another chat is ignored");
        return Ok(());
    }
    let bytes = sent.axolotl_sender_key_distribution_message.as_deref().unwrap_or_default();
    let Ok(parsed) = SenderKeyDistribution::parse(bytes) else {
        tracing::warn!("a sender key could not be read");
        return Ok(());
    };
    let device = address::key(&address::canonical(tx, &source.device)?);
    if tx.sender_key_is_stale(&group, &device)? {
        // The first one under the new identity drops those of the former one (04 §11.4).
        tx.delete_sender_key(&group, &device)?;
    }
    let mut record = mapping::sender_key(tx, &group, &device)?;
    record.process(&parsed);
    tx.put_sender_key(&group, &device, &record.serialize())
}

/// The server withheld the content, or there is none (05b §6).
fn without_content(
    tx: &mut Tx<'_>,
    env: &mut Env,
    answerable: &Answerable,
    message: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
    node: NodeRef<'_>,
) -> Result<(), StoreError> {
    let known = tx.seen_message(key)?.is_some() || tx.placeholder(key)?.is_some();
    if !message.is_peer() && !known {
        let why = message.unavailable.as_ref().and_then(|unavailable| unavailable.kind.clone());
        unreadable(tx, env, message, source, &why.unwrap_or_else(|| "no content".to_owned()), Vec::new())?;
        let asks = phone::may_ask(env, message, source);
        tx.put_placeholder(&Placeholder {
            message: key.clone(),
            count: 0,
            hash: None,
            receipt_acked: true,
            asked_phone: asks,
            envelope: phone::envelope(node),
            created_at: env.now,
        })?;
        if asks {
            phone::ask(tx, env, message, source, key, When::Now)?;
        }
    }
    close(env, answerable, message, source);
    Ok(())
}

/// Answers the server where nothing was obtained: own copies are closed by a `sender` receipt, all else by an ack.
fn close(env: &mut Env, answerable: &Answerable, message: &Incoming<'_>, source: &Source) {
    let node = closing(env, answerable, message, source);
    env.send(node);
}

fn closing(env: &Env, answerable: &Answerable, message: &Incoming<'_>, source: &Source) -> Node {
    let own_copy = source.from_me && message.recipient.is_some() && !message.is_peer();
    let receipt = own_copy.then(|| answer::success(message, source, false, env.silent)).flatten();
    receipt.and_then(|receipt| receipt.build()).unwrap_or_else(|| answerable.ack(Some(&env.own.pn)))
}

fn unreadable(
    tx: &mut Tx<'_>,
    env: &Env,
    message: &Incoming<'_>,
    source: &Source,
    reason: &str,
    content: Vec<u8>,
) -> Result<(), StoreError> {
    let event = Event::Undecryptable(Unreadable {
        chat: source.chat.to_string(),
        sender: source.sender.to_string(),
        id: message.id.clone(),
        timestamp: message.t.and_then(|t| i64::try_from(t).ok()).unwrap_or(env.server_s),
        reason: reason.to_owned(),
        content,
    });
    tx.push_event(&event.row(env.now), env.now).map(drop)
}

/// How the server is answered.
#[allow(clippy::too_many_arguments, reason = "the parts of one decision")]
fn conclude(
    tx: &mut Tx<'_>,
    env: &mut Env,
    answerable: &Answerable,
    message: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
    outcome: Outcome,
    node: NodeRef<'_>,
) -> Result<(), StoreError> {
    if env.effects.iter().any(|effect| matches!(effect, Effect::OwnPhoneChanged)) {
        // The account stops; what is not answered comes again.
        return Ok(());
    }
    if let Some((error, count, hash)) = outcome.failure
        && !outcome.content
    {
        return ask_again(tx, env, answerable, message, source, key, &error, count, hash, node);
    }
    // A hidden one that is lost is no loss to a person, but a reaction or a vote is.
    let counts = matches!(message.kind.as_deref(), Some("reaction" | "poll"));
    let hide = message.encs.iter().any(|enc| enc.hide) && !counts;
    if outcome.content || outcome.opened && outcome.undecodable.is_none() && !outcome.foreign {
        match answer::success(message, source, outcome.quiet, env.silent) {
            Some(receipt) => env.effects.push(Effect::Receipt(receipt)),
            None => env.send(answerable.ack(Some(&env.own.pn))),
        }
    } else if let Some(bytes) = outcome.undecodable {
        unreadable(tx, env, message, source, "not a message", bytes)?;
        env.send(answerable.nack(Some(&env.own.pn), Nack::InvalidProtobuf));
    } else if outcome.no_secret {
        env.send(answerable.nack(Some(&env.own.pn), Nack::MissingMessageSecret));
    } else if outcome.lost {
        tracing::warn!("the content of a message is lost: its key was used before");
        match answer::success(message, source, false, env.silent).filter(|_| hide) {
            Some(receipt) => env.effects.push(Effect::Receipt(receipt)),
            None => env.send(answerable.nack(Some(&env.own.pn), Nack::OldCounter)),
        }
    } else {
        close(env, answerable, message, source);
    }
    Ok(())
}

/// Asks the sender to encrypt again (05b §9).
#[allow(clippy::too_many_arguments, reason = "the parts of one decision")]
fn ask_again(
    tx: &mut Tx<'_>,
    env: &mut Env,
    answerable: &Answerable,
    message: &Incoming<'_>,
    source: &Source,
    key: &MessageKey,
    error: &NotOpened,
    count: u32,
    hash: [u8; 32],
    node: NodeRef<'_>,
) -> Result<(), StoreError> {
    let old_status = source.kind == Chat::Status
        && message.t.and_then(|t| i64::try_from(t).ok()).is_some_and(|t| env.server_s - t > STATUS_AGE);
    // The own phone may have been faster than the sender.
    let obtained = tx.seen_message(key)?.is_some();
    if old_status || obtained || answer::is_bot_elsewhere(source) {
        close(env, answerable, message, source);
        return Ok(());
    }
    let old = tx.placeholder(key)?;
    let again = old.as_ref().filter(|old| old.hash == Some(hash));
    if again.is_some_and(|old| old.receipt_acked) {
        // The request is safe at the server: only the message itself is still to be closed.
        close(env, answerable, message, source);
        return Ok(());
    }
    let n = match again {
        Some(old) => old.count,
        None => old.as_ref().map_or(0, |old| old.count).max(count).saturating_add(1),
    };
    if !message.encs.iter().all(|enc| enc.hide) {
        unreadable(tx, env, message, source, &error.to_string(), Vec::new())?;
    }
    let given_up = n > MAX_COUNT;
    let asked = old.as_ref().is_some_and(|old| old.asked_phone);
    let asks = (n == 1 || given_up) && !asked && phone::may_ask(env, message, source);
    tx.put_placeholder(&Placeholder {
        message: key.clone(),
        count: n,
        hash: Some(hash),
        receipt_acked: given_up,
        asked_phone: asked || asks,
        envelope: phone::envelope(node),
        created_at: old.map_or(env.now, |old| old.created_at),
    })?;
    if asks {
        let when = if given_up { When::Now } else { When::Later };
        phone::ask(tx, env, message, source, key, when)?;
    }
    if given_up {
        close(env, answerable, message, source);
        return Ok(());
    }
    let retry = answer::retry(tx, env, message, source, n, error.reason())?;
    env.effects.push(Effect::Retry(Box::new(AskAgain {
        retry: retry.build(),
        id: message.id.clone(),
        message: key.clone(),
        answer: closing(env, answerable, message, source),
    })));
    Ok(())
}
