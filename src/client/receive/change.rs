//! What a message does to another one: an edit, a revoke, a reaction (protocol 05b §5). Which message it means, whether
//! its sender may do it, and how long it waits for a message that has not come.

use crate::client::devices::address;
use crate::client::event::{Change, Event, Target};
use crate::client::receive::env::{Effect, Env};
use crate::proto::message::ProtocolMessage;
use crate::proto::message::protocol_message::Type;
use crate::proto::{Message, MessageKey as Key};
use crate::stanza::message::{Chat, Incoming, Source};
use crate::store::inbox::MessageKey;
use crate::store::{Held, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// Edits later than this after the original change nothing, in seconds (05a §1).
const EDIT_WINDOW: i64 = 1200;

/// How long a change waits for a message of which there is no trace.
const UNKNOWN: UnixMillis = 60 * 1000;

/// How long it waits for one that has come and could not be read yet.
const ASKED_FOR: UnixMillis = 24 * 60 * 60 * 1000;

/// What a message changes; `None`: nothing.
pub(crate) fn of(env: &Env, source: &Source, message: &Message) -> Option<Change> {
    if let Some(reaction) = &message.reaction_message {
        let target = target(env, source, reaction.key.as_ref()?)?;
        return Some(Change::Reaction { target, text: reaction.text.clone().unwrap_or_default() });
    }
    if let Some(edited) = &message.edited_message {
        let inner = edited.message.as_ref()?.protocol_message.as_ref()?;
        return of_protocol(env, source, inner);
    }
    of_protocol(env, source, message.protocol_message.as_ref()?)
}

fn of_protocol(env: &Env, source: &Source, protocol: &ProtocolMessage) -> Option<Change> {
    let target = target(env, source, protocol.key.as_ref()?)?;
    match Type::try_from(protocol.r#type?).ok()? {
        Type::Revoke => Some(Change::Revoke(target)),
        Type::MessageEdit => Some(Change::Edit(target)),
        _ => None,
    }
}

/// The target of a change: the key is written from the view of who sends this message, and the chat is always that of
/// the stanza.
pub(crate) fn target(env: &Env, source: &Source, key: &Key) -> Option<Target> {
    let id = key.id.clone().filter(|id| !id.is_empty())?;
    let author = if key.from_me == Some(true) {
        source.sender.to_user()
    } else if let Some(participant) = key.participant.as_deref().filter(|jid| !jid.is_empty()) {
        participant.parse::<Jid>().ok()?.to_user()
    } else if source.kind != Chat::Direct {
        return None;
    } else if source.from_me {
        source.chat.to_user()
    } else {
        env.own.in_namespace_of(&source.chat).to_user()
    };
    Some(Target { author: author.to_string(), id })
}

/// Whether the change is one that its sender may make: an own message, or as an admin (who the server vouches for).
pub(crate) fn is_allowed(source: &Source, stanza: &Incoming<'_>, target: &Target) -> bool {
    let author = target.author.parse::<Jid>().ok();
    let own_message = author.is_some_and(|author| {
        author.same_user(&source.sender)
            || source.sender_alt.as_ref().is_some_and(|alt| author.same_user(alt))
    });
    own_message || (source.kind == Chat::Group && stanza.edit.as_deref() == Some("8"))
}

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is here; its server time, where that is known.
    Here(Option<i64>),
    /// It came, could not be read, and was asked for again.
    AskedFor,
    /// No trace.
    No,
}

/// The names under which a message may be known: both forms of the chat, both of its author.
fn names(tx: &Tx<'_>, chat: &Jid, author: &Jid, id: &str) -> Result<Vec<MessageKey>, StoreError> {
    let mut names = Vec::new();
    let chats = if chat.is_user() { address::both(tx, chat)? } else { vec![chat.clone()] };
    for author in address::both(tx, author)? {
        for chat in &chats {
            names.push(MessageKey::new(chat.to_string(), author.to_string(), id));
        }
    }
    Ok(names)
}

fn known(tx: &Tx<'_>, env: &Env, names: &[MessageKey], author: &Jid) -> Result<Known, StoreError> {
    for name in names {
        if let Some(seen) = tx.seen_message(name)? {
            return Ok(Known::Here(seen.sent));
        }
        if env.own.is_own(author)
            && let Some(row) = tx.outgoing_message(&name.chat, &name.id)?
        {
            return Ok(Known::Here(row.server_time));
        }
    }
    for name in names {
        if let Some(placeholder) = tx.placeholder(name)? {
            let comes = placeholder.count > 0 || placeholder.asked_phone;
            return Ok(if comes { Known::AskedFor } else { Known::Here(None) });
        }
    }
    Ok(Known::No)
}

/// Writes the event of a message with a change; it waits if the message that it changes has not come.
pub(crate) fn push(
    tx: &mut Tx<'_>,
    env: &mut Env,
    source: &Source,
    target: &Target,
    mut event: Event,
) -> Result<(), StoreError> {
    let Ok(author) = target.author.parse::<Jid>() else {
        return tx.push_event(&event.row(env.now), env.now).map(drop);
    };
    let names = names(tx, &source.chat, &author, &target.id)?;
    let wait = match known(tx, env, &names, &author)? {
        Known::Here(sent) => {
            judge_edit(&mut event, sent);
            None
        }
        Known::AskedFor => Some(ASKED_FOR),
        Known::No => Some(UNKNOWN),
    };
    let row = event.row(env.now);
    if let (Some(wait), Some(name)) = (wait, names.first())
        && tx.hold_event(name, &row, env.now.saturating_add(wait))?
    {
        env.effects.push(Effect::Held);
        return Ok(());
    }
    tx.push_event(&row, env.now).map(drop)
}

/// A message has come: what waited for it follows it. `sent`: its server time.
pub(crate) fn release(
    tx: &mut Tx<'_>,
    env: &Env,
    source: &Source,
    id: &str,
    sent: i64,
) -> Result<(), StoreError> {
    if tx.held_count()? == 0 {
        return Ok(());
    }
    for name in names(tx, &source.chat, &source.sender.to_user(), id)? {
        for held in tx.take_held(&name)? {
            match Event::read(held.payload.expose()) {
                Some(mut event) => {
                    judge_edit(&mut event, Some(sent));
                    tx.push_event(&event.row(env.now), env.now)?;
                }
                None => {
                    tx.push_event(&held.event(), env.now)?;
                }
            }
        }
    }
    Ok(())
}

/// What has waited long enough becomes an event all the same. When the next one has; `None` if none waits.
pub(crate) fn release_overdue(tx: &mut Tx<'_>, now: UnixMillis) -> Result<Option<UnixMillis>, StoreError> {
    for held in tx.take_overdue(now)? {
        tx.push_event(&Held::event(&held), now)?;
    }
    tx.next_overdue()
}

/// An edit of somebody else outside the window is shown, and changes nothing (05a §1).
fn judge_edit(event: &mut Event, sent: Option<i64>) {
    let Event::Message(message) = event else { return };
    let late = sent.is_some_and(|sent| message.timestamp.saturating_sub(sent) > EDIT_WINDOW);
    if late && !message.from_me && matches!(message.change, Some(Change::Edit(_))) {
        tracing::info!("an edit came too late and changes nothing");
        message.change = None;
    }
}
