//! What the admin side does to the world directly: kicks, bans, resets, deletions.

use super::phones::NewAccount;
use super::{Ban, DeviceRef, Namespace, Out, World};
use crate::sim::admin::Kick;
use crate::wire::{Jid, Node, Server};

impl World {
    /// Ends live connections of an account's companions; returns how many.
    pub(crate) fn kick(&mut self, number: &str, device: Option<u16>, how: Kick, code: Option<u16>) -> usize {
        let live: Vec<u64> = self
            .sessions()
            .filter(|(_, session)| session.device.number == number)
            .filter(|(_, session)| device.is_none_or(|device| session.device.device == device))
            .map(|(id, _)| id)
            .collect();
        for id in &live {
            match how {
                Kick::Close => self.end_with(*id, None, 0),
                Kick::Reset => self.out(*id, Out::Reset),
                Kick::Halfopen => self.out(*id, Out::HalfOpen),
                Kick::Xmlstreamend => self.end_with(*id, Some(Node::new("xmlstreamend")), 100),
                Kick::StreamError => {
                    let error = Node::new("stream:error").attr("code", code.unwrap_or(503));
                    self.end_with(*id, Some(error), 100);
                }
                Kick::Replaced => {
                    let conflict = Node::new("conflict").attr("type", "replaced");
                    self.end_with(*id, Some(Node::new("stream:error").child(conflict)), 100);
                }
            }
        }
        live.len()
    }

    /// Sets or lifts a ban; live connections are closed.
    pub(crate) fn ban(&mut self, number: &str, ban: Option<Ban>, stream_error: Option<u16>) {
        let banned = ban.is_some();
        if let Some(account) = self.accounts.get_mut(number) {
            account.ban = ban;
            account.ban_until = None;
        }
        if banned {
            let how = if stream_error.is_some() { Kick::StreamError } else { Kick::Close };
            self.kick(number, None, how, stream_error);
        }
    }

    pub(crate) fn delete_account(&mut self, number: &str) -> bool {
        let Some(account) = self.accounts.get(number) else { return false };
        let lid = account.lid.user().to_owned();
        let companions: Vec<u16> = account.companions().map(|(id, _)| id).collect();
        for device in companions {
            self.unlink(&DeviceRef::new(number, device));
        }
        self.settle();
        self.lids.remove(&lid);
        self.accounts.remove(number);
        self.groups.values_mut().for_each(|group| {
            group.participants.remove(number);
        });
        true
    }

    /// A new world with the same seed; with `keep_accounts` the same accounts without companions and history.
    pub(crate) fn reset(&mut self, keep_accounts: bool) {
        let live: Vec<u64> = self.connections.keys().copied().collect();
        live.into_iter().for_each(|id| self.end_with(id, None, 0));
        let kept: Vec<NewAccount> =
            self.accounts.values().filter(|_| keep_accounts).map(NewAccount::again).collect();
        let next_connection = self.next_connection;
        let mut fresh = Self::new(self.config.clone(), self.now_ms);
        fresh.next_connection = next_connection;
        fresh.shapes = super::Shapes::new(self.shapes.tables());
        fresh.connections = std::mem::take(&mut self.connections);
        fresh.accounts.replace(&self.accounts);
        fresh.starts = self.starts;
        fresh.held = self.held.take();
        *self = fresh;
        for account in kept {
            if let Err(error) = self.create_account(account) {
                tracing::error!("an account could not be kept: {error}");
            }
        }
    }

    /// `groups_dirty` to all devices of an account (09 §19).
    pub(crate) fn groups_dirty(&mut self, number: &str, groups: &[Jid]) {
        let groups = groups.iter().map(|group| Node::new("group").attr("jid", group.clone()));
        let dirty = Node::new("groups_dirty").children(groups.collect::<Vec<_>>());
        let notification = self.notification(Jid::server_only(Server::Group), "w:gp2").child(dirty);
        self.notify_account(number, None, notification);
    }

    /// A group as a member's phone makes it; its address as text.
    pub(crate) fn create_group_as(
        &mut self,
        creator: &str,
        subject: &str,
        members: &[String],
        lid: bool,
    ) -> Option<String> {
        let addressing = if lid { Namespace::Lid } else { Namespace::Pn };
        let id = self.new_group(creator, subject.to_owned(), members, addressing)?;
        Some(format!("{id}@g.us"))
    }
}
