//! Timers of chats whose messages disappear (05a §7): what goes into everything that is written there.

use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, Table};
use crate::store::{IfCorrupt, Tx};

record! {
    /// A chat's timer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ChatTimer {
        /// Seconds; 0: off.
        pub seconds: u32,
        /// When it was set, Unix seconds.
        pub set_at: i64,
    }
}

impl Tx<'_> {
    /// The timer of a chat (bare address); `None`: never set.
    ///
    /// # Errors
    /// The engine's.
    pub fn chat_timer(&self, chat: &str) -> Result<Option<ChatTimer>> {
        self.load(Table::ChatTimers, &Key::new().text(chat).bytes(), IfCorrupt::Delete)
    }

    /// Sets it, unless a younger setting is known. Whether it was taken.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_chat_timer(&mut self, chat: &str, timer: ChatTimer) -> Result<bool> {
        if self.chat_timer(chat)?.is_some_and(|known| known.set_at > timer.set_at) {
            return Ok(false);
        }
        self.store(Table::ChatTimers, &Key::new().text(chat).bytes(), &timer)?;
        Ok(true)
    }

    /// Forgets it; returns what it was.
    ///
    /// # Errors
    /// The engine's.
    pub fn forget_chat_timer(&mut self, chat: &str) -> Result<Option<ChatTimer>> {
        let known = self.chat_timer(chat)?;
        self.remove(Table::ChatTimers, &Key::new().text(chat).bytes())?;
        Ok(known)
    }
}
