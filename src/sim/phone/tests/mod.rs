//! Phones in a world with the real server between them.

mod chats;
mod companion;
mod devices;
mod groups;
mod linked;
mod pairing;
mod retries;

use crate::sim::config::SimConfig;
use crate::sim::seam::{InboxItem, PhoneCommand, PhoneContent, PhoneError};
use crate::sim::world::{NewAccount, OutboxItem, World};
use crate::wire::Jid;

/// The time at which every world begins.
const START: i64 = 1_786_000_000_000;

/// A strict world.
struct Sim(World);

impl Sim {
    fn new() -> Self {
        Self(World::new(SimConfig::in_memory(1, START), START))
    }

    fn account(&mut self) -> String {
        self.0.create_account(NewAccount::default()).unwrap()
    }

    fn accounts<const N: usize>(&mut self) -> [String; N] {
        std::array::from_fn(|_| self.account())
    }

    fn order(&mut self, number: &str, order: impl FnOnce(u64) -> PhoneCommand) -> Result<u64, PhoneError> {
        let op = self.0.new_op();
        self.0.command(number, order(op)).map(|()| op)
    }

    /// Sends content; the id of the message.
    fn say(&mut self, number: &str, to: &Jid, content: PhoneContent) -> String {
        let to = to.clone();
        self.order(number, |op| PhoneCommand::Send { op, to, content, id: None, device: 0 }).unwrap();
        self.outbox(number).last().unwrap().id.clone()
    }

    fn text(&mut self, number: &str, to: &Jid, text: &str) -> String {
        self.say(number, to, PhoneContent::Text(text.to_owned()))
    }

    fn pn(&self, number: &str) -> Jid {
        self.0.accounts.get(number).unwrap().pn.clone()
    }

    fn lid(&self, number: &str) -> Jid {
        self.0.accounts.get(number).unwrap().lid.clone()
    }

    fn inbox(&self, number: &str) -> &[InboxItem] {
        &self.0.accounts.get(number).unwrap().inbox
    }

    /// The texts that a phone could read, in order.
    fn texts(&self, number: &str) -> Vec<&str> {
        self.inbox(number)
            .iter()
            .filter(|item| item.decrypt_ok)
            .filter_map(|item| item.text.as_deref())
            .collect()
    }

    fn outbox(&self, number: &str) -> &[OutboxItem] {
        &self.0.accounts.get(number).unwrap().outbox
    }

    /// The types of the receipts for a phone's message.
    fn receipts(&self, number: &str, id: &str) -> Vec<&str> {
        let item = self.outbox(number).iter().find(|item| item.id == id).unwrap();
        item.receipts.iter().map(|receipt| receipt.kind.as_str()).collect()
    }

    fn assert_clean(&self) {
        let items = self.0.violations.items();
        assert!(items.is_empty(), "{items:?}");
    }
}
