//! What a group's admins change: subject, description, roles, switches, its end (09 §14). Not: members, which are
//! `groups`.

use serde::{Deserialize, Serialize};

use super::account::Namespace;
use super::groups::{Group, Role};
use super::iq::{Refusal, Reply, text_of};
use super::{DeviceRef, Origin, World};
use crate::wire::{Jid, Node};

/// The switches of a group; every one is off in a new group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub announcement: bool,
    pub locked: bool,
    /// Seconds; 0 is off.
    pub ephemeral: u64,
    pub approval: bool,
    /// `all_member_add` or `admin_add`, once set.
    pub member_add_mode: Option<String>,
    pub description: Option<Description>,
    pub subject_owner: Option<String>,
    pub subject_time: Option<i64>,
    /// Changes of the announcement setting.
    pub version: u64,
}

/// A group's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    pub id: String,
    pub body: String,
    pub t: i64,
    /// The number of who wrote it.
    pub by: String,
}

impl World {
    /// One change of a group's settings. The child names it.
    pub(super) fn change_settings(&mut self, origin: &Origin, iq: &Node, to: &Jid, child: &str) -> Reply {
        let group = self.groups.get(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        let role = *group.participants.get(&origin.device.number).ok_or(Refusal::FORBIDDEN)?;
        let open = matches!(child, "subject" | "description" | "ephemeral" | "not_ephemeral");
        if role == Role::Member && (!open || group.settings.locked) {
            return Err(Refusal::FORBIDDEN);
        }
        let request = iq.find(child).ok_or(Refusal::BAD_REQUEST)?;
        let note = match child {
            "subject" => self.set_subject(origin, to, request)?,
            "description" => self.set_description(origin, to, request)?,
            _ => self.set_switch(to, child, request)?,
        };
        let members: Vec<String> =
            self.groups.get(to.user()).map(|group| group.members().cloned().collect()).unwrap_or_default();
        self.tell_group(to.user(), &origin.device.number, &members, note);
        Ok(Vec::new())
    }

    fn set_subject(&mut self, origin: &Origin, to: &Jid, request: &Node) -> Result<Node, Refusal> {
        const LONGEST: usize = 100;
        let subject = request.content_text().unwrap_or_default().into_owned();
        if subject.is_empty() || subject.chars().count() > LONGEST {
            return Err(Refusal::NOT_ACCEPTABLE);
        }
        let now = self.now_s();
        let group = self.groups.get_mut(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        group.subject.clone_from(&subject);
        group.settings.subject_owner = Some(origin.device.number.clone());
        group.settings.subject_time = Some(now);
        let addressing = group.addressing;
        let owner = self.device_jid(&DeviceRef::new(&origin.device.number, 0), addressing);
        Ok(Node::new("subject").attr("subject", subject).opt_attr("s_o", owner).attr("s_t", now))
    }

    fn set_description(&mut self, origin: &Origin, to: &Jid, request: &Node) -> Result<Node, Refusal> {
        let id = request.str("id").map(std::borrow::Cow::into_owned).unwrap_or_else(|| self.next_id());
        let prev = request.str("prev").map(std::borrow::Cow::into_owned);
        let deleted = request.str("delete").as_deref() == Some("true");
        let body = text_of(request, "body").unwrap_or_default();
        let t = self.now_s();
        let group = self.groups.get_mut(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        let held = group.settings.description.as_ref().map(|description| description.id.clone());
        if prev != held {
            return Err(Refusal::CONFLICT);
        }
        let note = Node::new("description").attr("id", id.clone());
        if deleted {
            group.settings.description = None;
            return Ok(note.attr("delete", "true"));
        }
        let note = note.child(Node::new("body").text_bytes(&body));
        group.settings.description = Some(Description { id, body, t, by: origin.device.number.clone() });
        Ok(note)
    }

    fn set_switch(&mut self, to: &Jid, child: &str, request: &Node) -> Result<Node, Refusal> {
        let group = self.groups.get_mut(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        let settings = &mut group.settings;
        let note = Node::new(child.to_owned());
        Ok(match child {
            "locked" | "unlocked" => {
                settings.locked = child == "locked";
                note
            }
            "announcement" | "not_announcement" => {
                settings.announcement = child == "announcement";
                settings.version += 1;
                note.attr("v_id", settings.version)
            }
            "ephemeral" => {
                settings.ephemeral = request.u64("expiration").ok_or(Refusal::BAD_REQUEST)?;
                note.attr("expiration", settings.ephemeral)
            }
            "not_ephemeral" => {
                settings.ephemeral = 0;
                note
            }
            "member_add_mode" => {
                let mode = request.content_text().unwrap_or_default().into_owned();
                if !matches!(&*mode, "all_member_add" | "admin_add") {
                    return Err(Refusal::BAD_REQUEST);
                }
                settings.member_add_mode = Some(mode.clone());
                note.text_bytes(&mode)
            }
            "membership_approval_mode" => {
                let join = request.find("group_join").and_then(|join| join.str("state"));
                settings.approval = join.ok_or(Refusal::BAD_REQUEST)? == "on";
                let state = if settings.approval { "on" } else { "off" };
                note.child(Node::new("group_join").attr("state", state))
            }
            _ => return Err(Refusal::NOT_IMPLEMENTED),
        })
    }

    /// `promote`, `demote`: only admins, and never the creator.
    pub(super) fn change_roles(&mut self, origin: &Origin, iq: &Node, to: &Jid, action: &str) -> Reply {
        let change = iq.find(action).ok_or(Refusal::BAD_REQUEST)?;
        let group = self.groups.get(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if group.participants.get(&origin.device.number).is_none_or(|role| *role == Role::Member) {
            return Err(Refusal::FORBIDDEN);
        }
        let members: Vec<String> = group.members().cloned().collect();
        let (wanted, was) = match action {
            "promote" => (Role::Admin, Role::Member),
            _ => (Role::Member, Role::Admin),
        };
        let (mut answers, mut changed) = (Vec::new(), Vec::new());
        for jid in change.find_all("participant").filter_map(|node| node.jid("jid")) {
            let at = self.resolve(&jid);
            let group = self.groups.get_mut(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
            let role = at.as_ref().and_then(|at| group.participants.get_mut(&at.number));
            let participant = Node::new("participant").attr("jid", jid.clone());
            match (role, at) {
                (Some(role), Some(at)) if *role == was || *role == wanted => {
                    *role = wanted;
                    group.version += 1;
                    changed.push((at.number, jid));
                    answers.push(participant.attr("type", "200"));
                }
                (Some(_), _) => answers.push(participant.attr("error", "403")),
                (None, _) => answers.push(participant.attr("error", "404")),
            }
        }
        self.tell_members_changed(to, &origin.device.number, action, &members, &changed);
        Ok(vec![Node::new(action.to_owned()).children(answers)])
    }

    /// The group is no more; its creator alone may end it.
    pub(super) fn delete_group(&mut self, origin: &Origin, to: &Jid) -> Reply {
        let group = self.groups.get(to.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if group.creator != origin.device.number {
            return Err(Refusal::FORBIDDEN);
        }
        let members: Vec<String> = group.members().cloned().collect();
        let note = Node::new("delete").attr("reason", "deleted");
        self.tell_group(to.user(), &origin.device.number, &members, note);
        if let Some(group) = self.groups.get_mut(to.user()) {
            group.participants.clear();
            group.gone = true;
        }
        Ok(Vec::new())
    }

    /// The children of `<group>` for what is switched on (09 §14).
    pub(super) fn setting_nodes(&self, group: &Group) -> Vec<Node> {
        let settings = &group.settings;
        let flag = |on: bool, tag: &'static str| on.then(|| Node::new(tag));
        let ephemeral =
            (settings.ephemeral > 0).then(|| Node::new("ephemeral").attr("expiration", settings.ephemeral));
        let approval = settings.approval.then(|| {
            Node::new("membership_approval_mode").child(Node::new("group_join").attr("state", "on"))
        });
        let add_mode =
            settings.member_add_mode.as_ref().map(|mode| Node::new("member_add_mode").text_bytes(mode));
        let description = settings.description.as_ref().map(|description| {
            let author = self.accounts.get(&description.by).map(|by| by.jid(group.addressing, 0));
            Node::new("description")
                .attr("id", description.id.clone())
                .attr("t", description.t)
                .opt_attr("participant", author)
                .child(Node::new("body").text_bytes(&description.body))
        });
        [
            flag(settings.announcement, "announcement"),
            flag(settings.locked, "locked"),
            ephemeral,
            approval,
            add_mode,
            description,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// A group as its members see it, as JSON (09 §21).
    pub(crate) fn group_json(&self, group: &Group) -> serde_json::Value {
        let text = |node: &Node| {
            let attrs =
                node.attrs.iter().map(|(key, value)| (key.to_string(), value.text().into_owned().into()));
            serde_json::Value::Object(attrs.collect())
        };
        let node = self.group_node(group);
        let mut shown = text(&node);
        let participants: Vec<_> = node.find_all("participant").map(text).collect();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("jid".to_owned(), group.jid().to_string().into());
            fields.insert("participants".to_owned(), participants.into());
            for child in node.nodes().filter(|child| child.tag != "participant") {
                let value = match (&*child.tag, child.str("expiration")) {
                    ("description", _) => {
                        let mut value = text(child);
                        if let Some(fields) = value.as_object_mut() {
                            fields.insert("body".to_owned(), text_of(child, "body").into());
                        }
                        value
                    }
                    ("member_add_mode", _) => child.content_text().map(|text| text.into_owned()).into(),
                    (_, Some(expiration)) => expiration.into_owned().into(),
                    _ => true.into(),
                };
                fields.insert(child.tag.to_string(), value);
            }
        }
        shown
    }

    /// All groups that exist, or the one of this address.
    pub(crate) fn groups_json(&self, jid: Option<&str>) -> Vec<serde_json::Value> {
        let wanted = jid.map(|jid| jid.trim_end_matches("@g.us"));
        let groups = self.groups.values().filter(|group| !group.gone);
        groups
            .filter(|group| wanted.is_none_or(|id| id == group.id))
            .map(|group| self.group_json(group))
            .collect()
    }

    /// What a new description must name as the one before.
    pub(crate) fn description_id(&self, id: &str) -> Option<String> {
        self.groups.get(id)?.settings.description.as_ref().map(|description| description.id.clone())
    }

    /// The namespace of a group, and its creator's number.
    pub(crate) fn group_facts(&self, id: &str) -> Option<(Namespace, String)> {
        let group = self.groups.get(id).filter(|group| !group.gone)?;
        Some((group.addressing, group.creator.clone()))
    }
}
