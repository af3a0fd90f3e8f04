//! What is remembered of a user's chat besides its messages: whether anybody wrote in it, and what limits it (05d §9.2).
//! By the user's address.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, KeyParts, Order, Range, Table};
use crate::store::{IfCorrupt, Tx};

record! {
    /// What is known of a chat.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ChatFacts {
        /// When the user last wrote.
        pub heard_at: Option<UnixMillis>,
        /// When the server last took a message of the own account in it, of any device.
        pub written_at: Option<UnixMillis>,
        /// The own account has blocked the user.
        pub blocked: bool,
        /// The user is a business that the service has verified as a large one.
        pub large_business: bool,
        /// Messages to it are refused until then.
        pub refused_until: Option<UnixMillis>,
        /// Since when they are.
        pub refused_at: Option<UnixMillis>,
        /// When it last cost one of a limited number of chats.
        pub counted_at: Option<UnixMillis>,
    }
}

impl Tx<'_> {
    /// What is known of a user's chat.
    ///
    /// # Errors
    /// The engine's.
    pub fn chat_facts(&self, user: &str) -> Result<ChatFacts> {
        let row = self.load(Table::Chats, &Key::new().text(user).bytes(), IfCorrupt::Delete)?;
        Ok(row.unwrap_or_default())
    }

    /// Stores it; an empty record is deleted.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_chat_facts(&mut self, user: &str, facts: &ChatFacts) -> Result<()> {
        let key = Key::new().text(user).bytes();
        if *facts == ChatFacts::default() {
            return self.remove(Table::Chats, &key).map(drop);
        }
        self.store(Table::Chats, &key, facts)
    }

    /// Users with a record, in order, behind `after` (`""`: from the first).
    ///
    /// # Errors
    /// The engine's.
    pub fn users_with_facts(&self, after: &str, limit: usize) -> Result<Vec<String>> {
        let range =
            if after.is_empty() { Range::all() } else { Range::after(Key::new().text(after).bytes()) };
        let rows = self.scan(Table::Chats, &range, Order::Ascending, limit)?;
        Ok(rows.iter().filter_map(|(key, _)| KeyParts::new(key).text()).collect())
    }
}
