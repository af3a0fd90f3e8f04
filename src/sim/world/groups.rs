//! Groups, as far as clients need them at start-up and for messages: create, query, list, members, leave, and the
//! fan-out (09 §14). Settings are `group_settings`; invites and communities answer "not implemented".

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::account::{Namespace, device_hash};
use super::checks::Objection;
use super::group_settings::Settings;
use super::iq::Picture;
use super::iq::{Refusal, Reply};
use super::router::{Incoming, Routed, copied_enc};
use super::{DeviceRef, Origin, World};
use crate::wire::{Jid, Node, Server};

/// Members of a group.
const MAX_MEMBERS: usize = 1024;

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Member,
    Admin,
    SuperAdmin,
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The user part of its address.
    pub id: String,
    pub subject: String,
    pub creator: String,
    pub created_s: i64,
    pub addressing: Namespace,
    pub participants: BTreeMap<String, Role>,
    pub version: u64,
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    pub picture: Option<Picture>,
    /// Deleted: asked for, it is 410.
    #[serde(default)]
    pub gone: bool,
}

impl Group {
    pub fn members(&self) -> impl Iterator<Item = &String> {
        self.participants.keys()
    }

    pub fn jid(&self) -> Jid {
        Jid::new(&self.id, Server::Group).unwrap_or_else(|_| Jid::server_only(Server::Group))
    }
}

impl World {
    pub(crate) fn group_iq(&mut self, origin: &Origin, iq: &Node, kind: &str, child: &str) -> Reply {
        let to = iq.jid("to").unwrap_or_else(|| Jid::server_only(Server::Group));
        match (kind, child) {
            ("set", "create") => self.create_group(origin, iq),
            ("get", "participating") => Ok(vec![self.participating(origin)]),
            ("get", "query") => self.query_group(origin, &to).map(|group| vec![group]),
            ("set", "add" | "remove") => self.change_members(origin, iq, &to, child),
            ("set", "promote" | "demote") => self.change_roles(origin, iq, &to, child),
            ("set", "leave") => self.leave_groups(origin, iq),
            ("set", "delete") => self.delete_group(origin, &to),
            (
                "set",
                "subject"
                | "description"
                | "locked"
                | "unlocked"
                | "announcement"
                | "not_announcement"
                | "ephemeral"
                | "not_ephemeral"
                | "member_add_mode"
                | "membership_approval_mode",
            ) => self.change_settings(origin, iq, &to, child),
            _ => Err(Refusal::NOT_IMPLEMENTED),
        }
    }

    fn create_group(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let create = iq.find("create").ok_or(Refusal::BAD_REQUEST)?;
        let subject = create.str("subject").unwrap_or_default().into_owned();
        let members: Vec<Jid> =
            create.find_all("participant").filter_map(|participant| participant.jid("jid")).collect();
        let members: Vec<String> =
            members.iter().filter_map(|jid| self.resolve(jid)).map(|at| at.number).collect();
        let addressing = if self.config.lid_only_groups { Namespace::Lid } else { Namespace::Pn };
        let id = self
            .new_group(&origin.device.number, subject, &members, addressing)
            .ok_or(Refusal::BAD_REQUEST)?;
        Ok(self.groups.get(&id).map(|group| self.group_node(group)).into_iter().collect())
    }

    /// Makes a group and tells its members; returns the user part of its address.
    pub(crate) fn new_group(
        &mut self,
        creator: &str,
        subject: String,
        members: &[String],
        addressing: Namespace,
    ) -> Option<String> {
        if members.len() >= MAX_MEMBERS || !self.accounts.contains_key(creator) {
            return None;
        }
        let digits: u64 = self.random::<8>().iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let id = format!("120363{:012}", digits % 1_000_000_000_000);
        let mut participants: BTreeMap<String, Role> = members
            .iter()
            .filter(|number| self.accounts.contains_key(*number))
            .map(|number| (number.clone(), Role::Member))
            .collect();
        participants.insert(creator.to_owned(), Role::SuperAdmin);
        let group = Group {
            id: id.clone(),
            subject,
            creator: creator.to_owned(),
            created_s: self.now_s(),
            addressing,
            participants,
            version: 1,
            settings: Settings::default(),
            picture: None,
            gone: false,
        };
        self.groups.insert(id.clone(), group);
        let everybody: Vec<String> = self.groups.get(&id)?.members().cloned().collect();
        self.tell_created(&id, creator, &everybody);
        Some(id)
    }

    /// `create` > `group` to those who became members.
    fn tell_created(&mut self, id: &str, actor: &str, numbers: &[String]) {
        let Some(group) = self.groups.get(id) else { return };
        let child = Node::new("create").attr("type", "new").child(self.group_node(group));
        self.tell_group(id, actor, numbers, child);
    }

    pub(super) fn tell_group(&mut self, id: &str, actor: &str, numbers: &[String], child: Node) {
        let Some(group) = self.groups.get(id) else { return };
        let (jid, addressing) = (group.jid(), group.addressing);
        let Some(account) = self.accounts.get(actor) else { return };
        let (participant, other) = (account.jid(addressing, 0), account.jid(addressing.other(), 0));
        let name = account.push_name.clone();
        let key = if addressing == Namespace::Lid { "participant_pn" } else { "participant_lid" };
        for number in numbers {
            let notification = self
                .notification(jid.clone(), "w:gp2")
                .attr("participant", participant.clone())
                .attr(key, other.clone())
                .attr("notify", name.clone())
                .attr("addressing_mode", addressing.word())
                .child(child.clone());
            self.notify_account(number, None, notification);
        }
    }

    pub(super) fn group_node(&self, group: &Group) -> Node {
        let creator = self.accounts.get(&group.creator);
        let subject_owner =
            self.accounts.get(group.settings.subject_owner.as_ref().unwrap_or(&group.creator));
        let participants = group.participants.iter().filter_map(|(number, role)| {
            let account = self.accounts.get(number)?;
            let key = if group.addressing == Namespace::Lid { "phone_number" } else { "lid" };
            let role = match role {
                Role::Member => None,
                Role::Admin => Some("admin"),
                Role::SuperAdmin => Some("superadmin"),
            };
            Some(
                Node::new("participant")
                    .attr("jid", account.jid(group.addressing, 0))
                    .attr(key, account.jid(group.addressing.other(), 0))
                    .opt_attr("type", role),
            )
        });
        Node::new("group")
            .attr("id", group.id.clone())
            .attr("subject", group.subject.clone())
            .attr("s_t", group.settings.subject_time.unwrap_or(group.created_s))
            .opt_attr("s_o", subject_owner.map(|account| account.jid(group.addressing, 0)))
            .attr("creation", group.created_s)
            .opt_attr("creator", creator.map(|account| account.jid(group.addressing, 0)))
            .attr("size", group.participants.len())
            .attr("addressing_mode", group.addressing.word())
            .attr("a_v_id", group.settings.version)
            .attr("p_v_id", group.version)
            .children(participants.collect::<Vec<_>>())
            .children(self.setting_nodes(group))
    }

    /// The addresses of an account's groups, as text.
    pub(crate) fn groups_of(&self, number: &str) -> Vec<String> {
        let own = self.groups.values().filter(|group| group.participants.contains_key(number));
        own.map(|group| group.jid().to_string()).collect()
    }

    fn participating(&self, origin: &Origin) -> Node {
        let own = self.groups.values().filter(|group| group.participants.contains_key(&origin.device.number));
        Node::new("groups").children(own.map(|group| self.group_node(group)).collect::<Vec<_>>())
    }

    fn query_group(&self, origin: &Origin, to: &Jid) -> Result<Node, Refusal> {
        let group = self.groups.get(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if group.gone {
            return Err(Refusal::GONE);
        }
        if !group.participants.contains_key(&origin.device.number) {
            return Err(Refusal::FORBIDDEN);
        }
        Ok(self.group_node(group))
    }

    fn change_members(&mut self, origin: &Origin, iq: &Node, to: &Jid, action: &str) -> Reply {
        let change = iq.find(action).ok_or(Refusal::BAD_REQUEST)?;
        let asked: Vec<Jid> = change.find_all("participant").filter_map(|node| node.jid("jid")).collect();
        let group = self.groups.get(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        let admin = group.participants.get(&origin.device.number).is_some_and(|role| *role != Role::Member);
        if !admin {
            return Err(Refusal::FORBIDDEN);
        }
        let before: Vec<String> = group.members().cloned().collect();
        let (mut answers, mut changed) = (Vec::new(), Vec::new());
        for jid in asked {
            let participant = Node::new("participant").attr("jid", jid.clone());
            let known = self.resolve(&jid).filter(|at| self.accounts.contains_key(&at.number));
            let Some(at) = known else {
                answers.push(participant.attr("error", "404"));
                continue;
            };
            let Some(group) = self.groups.get_mut(to.user()) else { continue };
            let done = match action {
                "add" if !group.participants.contains_key(&at.number) => {
                    group.participants.insert(at.number.clone(), Role::Member);
                    true
                }
                "remove" => group.participants.remove(&at.number).is_some(),
                _ => false,
            };
            if done {
                group.version += 1;
                changed.push((at.number, jid));
                answers.push(participant.attr("type", "200"));
            } else {
                answers.push(participant.attr("error", if action == "add" { "409" } else { "404" }));
            }
        }
        self.tell_members_changed(to, &origin.device.number, action, &before, &changed);
        Ok(vec![Node::new(action.to_owned()).children(answers)])
    }

    pub(super) fn tell_members_changed(
        &mut self,
        to: &Jid,
        actor: &str,
        action: &str,
        before: &[String],
        changed: &[(String, Jid)],
    ) {
        if changed.is_empty() {
            return;
        }
        let version = self.groups.get(to.user()).map(|group| group.version).unwrap_or_default();
        let participants = changed.iter().map(|(_, jid)| Node::new("participant").attr("jid", jid.clone()));
        let child = Node::new(action.to_owned())
            .attr("prev_v_id", version.saturating_sub(changed.len() as u64))
            .attr("v_id", version)
            .children(participants.collect::<Vec<_>>());
        self.tell_group(to.user(), actor, before, child);
        if action == "add" {
            let added: Vec<String> = changed.iter().map(|(number, _)| number.clone()).collect();
            self.tell_created(to.user(), actor, &added);
        }
    }

    fn leave_groups(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let leave = iq.find("leave").ok_or(Refusal::BAD_REQUEST)?;
        let groups: Vec<Jid> = leave.find_all("group").filter_map(|group| group.jid("id")).collect();
        let mut answers = Vec::new();
        for jid in groups {
            let Some(group) = self.groups.get_mut(jid.user()) else { continue };
            let before: Vec<String> = group.members().cloned().collect();
            if group.participants.remove(&origin.device.number).is_some() {
                group.version += 1;
                let addressing = group.addressing;
                let own = self.device_jid(&DeviceRef::new(&origin.device.number, 0), addressing);
                let changed: Vec<(String, Jid)> =
                    own.map(|own| (origin.device.number.clone(), own)).into_iter().collect();
                self.tell_members_changed(&jid, &origin.device.number, "remove", &before, &changed);
            }
            answers.push(Node::new("group").attr("id", jid));
        }
        Ok(vec![Node::new("leave").children(answers)])
    }

    /// Checks 9 and 10, then every device of every member but the sender (09 §14).
    pub(crate) fn route_group(
        &mut self,
        origin: &Origin,
        incoming: &Incoming<'_>,
    ) -> Result<Routed, Objection> {
        let Some(group) = self.groups.get(incoming.to.user()) else {
            return Err(Objection::new(404, "", ""));
        };
        if !group.participants.contains_key(&origin.device.number) {
            return Err(Objection::new(403, "", ""));
        }
        let role = group.participants.get(&origin.device.number);
        if group.settings.announcement && role == Some(&Role::Member) {
            return Err(Objection::new(405, "", ""));
        }
        let mode = incoming.node.str("addressing_mode");
        if mode.is_some_and(|mode| mode != group.addressing.word()) {
            return Err(Objection::new(421, "", ""));
        }
        let addressing = group.addressing;
        let devices: BTreeSet<DeviceRef> = group
            .members()
            .filter_map(|number| self.accounts.get(number))
            .flat_map(|account| {
                account.listed().into_iter().map(|(id, _)| DeviceRef::new(&account.number, id))
            })
            .collect();
        let mut targets: BTreeMap<DeviceRef, Vec<Node>> = BTreeMap::new();
        for copy in &incoming.copies {
            let named = copy.to.as_ref().and_then(|jid| self.resolve(jid));
            if let Some(device) = named.filter(|device| devices.contains(device) && *device != origin.device)
            {
                targets.entry(device).or_default().push(copied_enc(copy.enc));
            }
        }
        let empty = |enc: &Node| enc.content_bytes().is_none_or(|bytes| bytes.is_empty());
        let common: Vec<Node> = incoming
            .copies
            .iter()
            .filter(|copy| copy.to.is_none() && !empty(copy.enc))
            .map(|copy| copied_enc(copy.enc))
            .collect();
        if !common.is_empty() {
            for device in devices.iter().filter(|device| **device != origin.device) {
                targets.entry(device.clone()).or_default().extend(common.iter().cloned());
            }
        }
        let shown = incoming.node.str("phash").map(std::borrow::Cow::into_owned);
        let hash = device_hash(devices.iter().filter_map(|device| self.device_jid(device, addressing)));
        let judged = incoming.node.str("device_fanout").as_deref() != Some("false");
        let phash = shown.filter(|shown| judged && *shown != hash).map(|_| hash);
        Ok(Routed { targets, phash })
    }
}
