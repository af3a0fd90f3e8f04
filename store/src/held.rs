//! Events that wait for another one: a change (edit, revoke, reaction) whose message has not come yet (05b §5). They
//! are durable like every event, and become events of the inbox when their message comes or when they have waited long
//! enough.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::Result;
use crate::inbox::{MessageKey, NewEvent};
use crate::rows::{Key, Range, Table};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

/// So many wait at most; what comes beyond does not wait.
pub const MAX_HELD: u64 = 512;

record! {
    /// An event that waits.
    #[derive(Debug, Clone)]
    pub struct Held {
        /// The message that it waits for.
        pub target: MessageKey,
        /// The event's stable id.
        pub event_id: String,
        /// Its kind.
        pub kind: String,
        /// The message it is about.
        pub message: Option<MessageKey>,
        /// Its content.
        pub payload: SecretBytes,
        /// It waits no longer than until then.
        pub until: UnixMillis,
    }
}

impl Held {
    /// The event, to be written to the inbox.
    #[must_use]
    pub fn event(&self) -> NewEvent {
        NewEvent {
            event_id: self.event_id.clone(),
            kind: self.kind.clone(),
            message: self.message.clone(),
            payload: self.payload.clone(),
        }
    }
}

impl Tx<'_> {
    /// Lets an event wait for a message. `false`: too many wait already, nothing was stored.
    ///
    /// # Errors
    /// The engine's.
    pub fn hold_event(&mut self, target: &MessageKey, event: &NewEvent, until: UnixMillis) -> Result<bool> {
        if self.held_count()? >= MAX_HELD {
            return Ok(false);
        }
        let held = Held {
            target: target.clone(),
            event_id: event.event_id.clone(),
            kind: event.kind.clone(),
            message: event.message.clone(),
            payload: event.payload.clone(),
            until,
        };
        self.store(Table::Held, &key(target, &event.event_id), &held)?;
        Ok(true)
    }

    /// Takes out what waits for a message, in the order of the event ids.
    ///
    /// # Errors
    /// The engine's.
    pub fn take_held(&mut self, target: &MessageKey) -> Result<Vec<Held>> {
        let range = Range::prefix(target.bytes());
        self.take_where(&range, |_| true)
    }

    /// Takes out what has waited long enough.
    ///
    /// # Errors
    /// The engine's.
    pub fn take_overdue(&mut self, now: UnixMillis) -> Result<Vec<Held>> {
        self.take_where(&Range::all(), |held| held.until <= now)
    }

    /// When the first of those that wait has waited long enough; `None` if none waits.
    ///
    /// # Errors
    /// The engine's.
    pub fn next_overdue(&self) -> Result<Option<UnixMillis>> {
        let rows = self.held(&Range::all())?;
        Ok(rows.iter().map(|(_, held)| held.until).min())
    }

    /// How many wait.
    ///
    /// # Errors
    /// The engine's.
    pub fn held_count(&self) -> Result<u64> {
        self.count(Table::Held, &Range::all())
    }

    fn held(&self, range: &Range) -> Result<Vec<(Vec<u8>, Held)>> {
        let most = usize::try_from(MAX_HELD).unwrap_or(usize::MAX);
        self.scan_records(Table::Held, range, most, IfCorrupt::Quarantine)
    }

    fn take_where(&mut self, range: &Range, wanted: impl Fn(&Held) -> bool) -> Result<Vec<Held>> {
        let mut taken = Vec::new();
        for (key, held) in self.held(range)? {
            if wanted(&held) {
                self.remove(Table::Held, &key)?;
                taken.push(held);
            }
        }
        Ok(taken)
    }
}

fn key(target: &MessageKey, event_id: &str) -> Vec<u8> {
    Key::new().text(&target.chat).text(&target.sender).text(&target.id).text(event_id).bytes()
}
