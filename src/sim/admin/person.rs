//! What else a person does with a phone: profile, calls, keys of the app state (09 §21). Not: messages and links, which
//! are `calls`.

use super::Admin;
use super::types::{AdminError, ProfileChange};
use crate::crypto::random_bytes;
use crate::sim::seam::PhoneCommand;
use crate::sim::world::Namespace;
use crate::wire::{Jid, Node};

type Result<T> = std::result::Result<T, AdminError>;

impl Admin {
    /// Changes what others see of an account, as a person does on the phone: own devices and contacts are told.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`, or what the server answers; what came before the error stays changed.
    pub async fn change_profile(&self, number: &str, change: ProfileChange) -> Result<()> {
        let block = |blocked: bool, whom: &[String]| {
            let items = whom.iter().map(|whom| self.block_item(whom, blocked));
            items.collect::<Result<Vec<Node>>>()
        };
        let mut asked: Vec<(&'static str, Option<Node>)> = Vec::new();
        asked.extend(change.about.map(|about| ("status", Some(Node::new("status").text_bytes(&about)))));
        asked.extend(change.picture.map(|picture| {
            let picture = picture.map(|bytes| Node::new("picture").attr("type", "image").bytes(bytes));
            ("w:profile:picture", picture)
        }));
        asked.extend(change.privacy.into_iter().map(|(name, value)| {
            let category = Node::new("category").attr("name", name).attr("value", value);
            ("privacy", Some(Node::new("privacy").child(category)))
        }));
        let items = [block(true, &change.block)?, block(false, &change.unblock)?].concat();
        asked.extend(items.into_iter().map(|item| ("blocklist", Some(item))));
        asked.extend(change.default_timer_s.map(|duration| {
            ("disappearing_mode", Some(Node::new("disappearing_mode").attr("duration", duration)))
        }));
        for (xmlns, child) in asked {
            let iq = Node::new("iq").attr("xmlns", xmlns).attr("type", "set").attr("to", Jid::service());
            self.ask_as_phone(number, &iq.children(child))?;
        }
        Ok(())
    }

    fn block_item(&self, whom: &str, blocked: bool) -> Result<Node> {
        let jid = self.address(whom)?;
        let found = self.shared.look(|world| {
            let at = world.resolve(&jid)?;
            let account = world.accounts.get(&at.number)?;
            Some((account.jid(Namespace::Lid, 0), account.jid(Namespace::Pn, 0)))
        });
        let (lid, pn) = found.ok_or_else(|| AdminError::no_account(whom))?;
        let action = if blocked { "block" } else { "unblock" };
        Ok(Node::new("item").attr("action", action).attr("jid", lid).attr("pn_jid", pn))
    }

    /// An IQ as the account's phone asks it; the children of the answer.
    pub(super) fn ask_as_phone(&self, number: &str, iq: &Node) -> Result<Vec<Node>> {
        self.shared.with(|world| world.ask_as_phone(number, iq))?.map_err(AdminError::refused)
    }

    /// The phone makes a new key of the app state and shares it with all companions.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn rotate_appstate_key(&self, number: &str) -> Result<()> {
        self.simple(number, PhoneCommand::RotateAppKey)
    }

    /// The phone calls, or ends a call; the call's id.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn call(
        &self,
        number: &str,
        to: &str,
        (action, call_id): (&str, Option<String>),
        video: bool,
        reason: Option<String>,
    ) -> Result<String> {
        let to = self.address(to)?;
        // 18 to 32 hexadecimal digits (03 §13).
        let fresh = || self.shared.with(|world| hex::encode_upper(random_bytes::<16, _>(world.chance())));
        let call_id = call_id.unwrap_or_else(fresh);
        let (id, action) = (call_id.clone(), action.to_owned());
        self.simple(number, PhoneCommand::Call { to, call_id: id, action, video, reason })?;
        Ok(call_id)
    }

    /// Tells an account's devices that what they know of these groups is old.
    ///
    /// # Errors
    /// `not-found`, `bad-address`.
    pub async fn groups_dirty(&self, number: &str, groups: &[String]) -> Result<()> {
        self.known(number)?;
        let groups = groups.iter().map(|group| self.address(group)).collect::<Result<Vec<Jid>>>()?;
        self.shared.with(|world| world.groups_dirty(number, &groups));
        Ok(())
    }
}
