//! Group calls: each is done by a member's phone (09 §14, §21).

use super::Admin;
use super::types::{AdminError, GroupChange, GroupSettings};
use crate::sim::world::Namespace;
use crate::wire::{Jid, Node};

type Result<T> = std::result::Result<T, AdminError>;

impl Admin {
    /// Changes a group as the phone of `by`, its creator when missing; what the server answered of each participant.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`, or the name of the server's refusal.
    pub async fn change_group(
        &self,
        group: &str,
        by: Option<&str>,
        change: GroupChange,
    ) -> Result<Vec<serde_json::Value>> {
        let id = group.trim_end_matches("@g.us");
        let facts = self.shared.look(|world| world.group_facts(id));
        let (addressing, creator) =
            facts.ok_or_else(|| AdminError::new("not-found", format!("there is no group {group}")))?;
        let jid: Jid = self.address(&format!("{id}@g.us"))?;
        let mut answers = Vec::new();
        for (to, child) in self.requests(&jid, addressing, change)? {
            let iq = Node::new("iq").attr("xmlns", "w:g2").attr("type", "set").attr("to", to).child(child);
            answers.extend(self.ask_as_phone(by.unwrap_or(&creator), &iq)?);
        }
        let participants = answers.iter().flat_map(Node::nodes).filter(|node| node.tag == "participant");
        Ok(participants.map(shown).collect())
    }

    fn requests(&self, group: &Jid, addressing: Namespace, change: GroupChange) -> Result<Vec<(Jid, Node)>> {
        let to_group = |child: Node| (group.clone(), child);
        let members = |action: &'static str, numbers: Vec<String>| {
            let participants = numbers.iter().map(|number| {
                let jid = self.member(number, addressing)?;
                Ok(Node::new("participant").attr("jid", jid))
            });
            let participants = participants.collect::<Result<Vec<Node>>>()?;
            Ok(vec![to_group(Node::new(action).children(participants))])
        };
        match change {
            GroupChange::Add(numbers) => members("add", numbers),
            GroupChange::Remove(numbers) => members("remove", numbers),
            GroupChange::Promote(numbers) => members("promote", numbers),
            GroupChange::Demote(numbers) => members("demote", numbers),
            GroupChange::Leave => {
                let leave = Node::new("leave").child(Node::new("group").attr("id", group.clone()));
                Ok(vec![(Jid::server_only(crate::wire::Server::Group), leave)])
            }
            GroupChange::Subject(subject) => Ok(vec![to_group(Node::new("subject").text_bytes(&subject))]),
            GroupChange::Settings(settings) => {
                let held = self.shared.look(|world| world.description_id(group.user()));
                Ok(settings_children(settings, held).into_iter().map(to_group).collect())
            }
            GroupChange::Delete => Ok(vec![to_group(Node::new("delete"))]),
        }
    }

    fn member(&self, whom: &str, addressing: Namespace) -> Result<Jid> {
        let jid = self.address(whom)?;
        let found = self.shared.look(|world| {
            let at = world.resolve(&jid)?;
            Some(world.accounts.get(&at.number)?.jid(addressing, 0))
        });
        found.ok_or_else(|| AdminError::no_account(whom))
    }
}

fn settings_children(settings: GroupSettings, description_id: Option<String>) -> Vec<Node> {
    let flag = |value: Option<bool>, on: &'static str, off: &'static str| {
        value.map(|value| Node::new(if value { on } else { off }))
    };
    let ephemeral = settings.ephemeral_s.map(|seconds| match seconds {
        0 => Node::new("not_ephemeral"),
        seconds => Node::new("ephemeral").attr("expiration", seconds),
    });
    let approval = settings.approval.map(|on| {
        let join = Node::new("group_join").attr("state", if on { "on" } else { "off" });
        Node::new("membership_approval_mode").child(join)
    });
    let add_mode = settings.member_add_mode.map(|mode| Node::new("member_add_mode").text_bytes(&mode));
    let description = settings.description.map(|text| {
        let node = Node::new("description").opt_attr("prev", description_id);
        match text.as_str() {
            "" => node.attr("delete", "true"),
            text => node.child(Node::new("body").text_bytes(text)),
        }
    });
    [
        flag(settings.announce, "announcement", "not_announcement"),
        flag(settings.locked, "locked", "unlocked"),
        ephemeral,
        approval,
        add_mode,
        description,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A participant of an answer: its address, and the code where it was refused.
fn shown(participant: &Node) -> serde_json::Value {
    let fields =
        participant.attrs.iter().map(|(key, value)| (key.to_string(), value.text().into_owned().into()));
    serde_json::Value::Object(fields.collect())
}
