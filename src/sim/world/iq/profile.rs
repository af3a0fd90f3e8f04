//! About texts, pictures, the default timer, business profiles (09 §7.2). Pictures are kept and announced, but served by
//! nobody: the media host is not part of this.

use serde::{Deserialize, Serialize};

use super::{Origin, Refusal, Reply, text_of};
use crate::sim::world::{Account, Namespace, World};
use crate::wire::{Jid, Node};

/// A picture larger than this is refused.
const MAX_PICTURE: usize = 1 << 20;

/// The picture of an account or a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub id: String,
    /// JPEG.
    pub bytes: Vec<u8>,
}

impl World {
    pub(super) fn answer_profile(&mut self, origin: &Origin, iq: &Node, row: (&str, &str, &str)) -> Reply {
        match row {
            ("status", "set", "status") => self.set_about(origin, iq),
            ("status", "get", "privacy") => {
                let list = Node::new("list").attr("type", "contacts").attr("default", "true");
                Ok(vec![Node::new("privacy").child(list)])
            }
            ("status", "get", _) => Ok(self.abouts(iq)),
            ("disappearing_mode", "set", _) => self.set_default_timer(origin, iq),
            ("w:profile:picture", "get", _) => self.picture(origin, iq),
            ("w:profile:picture", "set", _) => self.set_picture(origin, iq),
            ("w:biz", "get", _) => Ok(vec![self.business_profiles(iq)]),
            _ => Ok(Vec::new()),
        }
    }

    fn set_about(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let text = text_of(iq, "status").unwrap_or_default();
        let account = self.accounts.get_mut(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        account.about.clone_from(&text);
        let set = Node::new("set").text_bytes(&text);
        for (observer, jid) in self.observers(&origin.device.number) {
            let notification = self.notification(jid, "status").child(set.clone());
            self.notify_account(&observer, None, notification);
        }
        Ok(Vec::new())
    }

    fn abouts(&self, iq: &Node) -> Vec<Node> {
        let container = iq.find("status");
        let users = container.into_iter().flat_map(Node::nodes).chain(iq.nodes().filter(|n| n.tag == "user"));
        let users: Vec<Jid> = users.filter_map(|user| user.jid("jid")).collect();
        let answers = users.into_iter().map(|jid| {
            let account = self.resolve(&jid).and_then(|at| self.accounts.get(&at.number));
            let status = match account {
                Some(account) => self.about_node(account),
                None => Node::new("status").attr("code", "404"),
            };
            Node::new("user").attr("jid", jid).child(status)
        });
        vec![Node::new("status").children(answers.collect::<Vec<_>>())]
    }

    /// `<status>` of an account: hidden ones are 401, empty ones 404.
    pub(crate) fn about_node(&self, account: &Account) -> Node {
        let hidden = account.privacy.get("status").is_some_and(|value| value == "none");
        match (hidden, account.about.is_empty()) {
            (true, _) => Node::new("status").attr("code", "401"),
            (false, true) => Node::new("status").attr("code", "404"),
            (false, false) => Node::new("status").attr("t", self.now_s()).text_bytes(&account.about),
        }
    }

    fn set_default_timer(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let timer = iq.find("disappearing_mode").and_then(|mode| mode.u64("duration"));
        let (duration, t) = (timer.ok_or(Refusal::BAD_REQUEST)?, self.now_s());
        let account = self.accounts.get_mut(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        account.default_timer = (duration, t);
        let mode = Node::new("disappearing_mode").attr("duration", duration).attr("t", t);
        self.notify_own(&origin.device, "account_sync", mode);
        Ok(Vec::new())
    }

    /// The picture of `target`, a user or a group; without it, of the asker.
    fn picture(&self, origin: &Origin, iq: &Node) -> Reply {
        let asked = iq.find("picture").ok_or(Refusal::BAD_REQUEST)?;
        let target = iq.jid("target").or_else(|| iq.jid("to").filter(|to| !to.is_server()));
        let own = self.accounts.get(&origin.device.number).map(|account| account.pn.clone());
        let target = target.or(own).ok_or(Refusal::BAD_REQUEST)?;
        let picture = if target.is_group() {
            let group = self.groups.get(target.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
            if !group.participants.contains_key(&origin.device.number) {
                return Err(Refusal::NOT_AUTHORIZED);
            }
            group.picture.as_ref()
        } else {
            let at = self.resolve(&target).ok_or(Refusal::ITEM_NOT_FOUND)?;
            let account = self.accounts.get(&at.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
            let token = asked.find("tctoken").or_else(|| iq.find("tctoken"));
            let hidden = account.privacy.get("profile").is_some_and(|value| value == "none");
            let foreign = at.number != origin.device.number;
            if foreign && (hidden || !self.may_reach(&origin.device.number, &at.number, token)) {
                return Err(Refusal::NOT_AUTHORIZED);
            }
            account.picture.as_ref()
        };
        let picture = picture.ok_or(Refusal::ITEM_NOT_FOUND)?;
        if asked.str("id").is_some_and(|held| held == picture.id) {
            return Ok(vec![Node::new("picture").attr("status", "304")]);
        }
        let kind = if asked.str("type").as_deref() == Some("preview") { "preview" } else { "image" };
        let path = format!("/v/t61.24694-24/{}.jpg?ccb=11-4", picture.id);
        let answer = Node::new("picture")
            .attr("id", picture.id.clone())
            .attr("type", kind)
            .attr("url", format!("https://mmg.whatsapp.net{path}"))
            .attr("direct_path", path);
        Ok(vec![answer])
    }

    fn set_picture(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let bytes = iq.find("picture").and_then(Node::content_bytes).map(std::borrow::Cow::into_owned);
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        if bytes.as_ref().is_some_and(|bytes| bytes.len() > MAX_PICTURE) {
            return Err(Refusal::NOT_ACCEPTABLE);
        }
        let picture = bytes.map(|bytes| Picture { id: self.next_id(), bytes });
        let id = picture.as_ref().map(|picture| picture.id.clone());
        match iq.jid("target").filter(Jid::is_group) {
            Some(group) => self.set_group_picture(origin, &group, picture)?,
            None => self.set_own_picture(origin, picture)?,
        }
        Ok(id.map(|id| Node::new("picture").attr("id", id)).into_iter().collect())
    }

    fn set_group_picture(
        &mut self,
        origin: &Origin,
        jid: &Jid,
        picture: Option<Picture>,
    ) -> Result<(), Refusal> {
        let number = &origin.device.number;
        let group = self.groups.get(jid.user()).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if !group.participants.contains_key(number) {
            return Err(Refusal::FORBIDDEN);
        }
        let members: Vec<String> = group.members().cloned().collect();
        let author = self.accounts.get(number).map(|account| account.jid(group.addressing, 0));
        let change = picture_change(jid.clone(), picture.as_ref()).opt_attr("author", author);
        if let Some(group) = self.groups.get_mut(jid.user()) {
            group.picture = picture;
        }
        for member in members {
            let notification = self.notification(jid.clone(), "picture").child(change.clone());
            self.notify_account(&member, None, notification);
        }
        Ok(())
    }

    /// Contacts and all own devices hear of it, the setting one included.
    fn set_own_picture(&mut self, origin: &Origin, picture: Option<Picture>) -> Result<(), Refusal> {
        let number = origin.device.number.clone();
        let account = self.accounts.get_mut(&number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        account.picture.clone_from(&picture);
        let own = account.jid(Namespace::Pn, 0);
        for (observer, jid) in self.observers(&number).into_iter().chain([(number.clone(), own)]) {
            let change = picture_change(jid.clone(), picture.as_ref());
            let notification = self.notification(jid, "picture").child(change);
            self.notify_account(&observer, None, notification);
        }
        Ok(())
    }

    /// Only business accounts have a profile.
    fn business_profiles(&self, iq: &Node) -> Node {
        let asked = iq.find("business_profile").into_iter().flat_map(|asked| asked.find_all("profile"));
        let profiles = asked.filter_map(|profile| profile.jid("jid")).filter_map(|jid| {
            let account = self.accounts.get(&self.resolve(&jid)?.number)?;
            account.business.then(|| Node::new("profile").attr("jid", jid))
        });
        Node::new("business_profile").children(profiles.collect::<Vec<_>>())
    }

    /// Whether an account may be reached by another: it is not restricted, or the other shows a token that it issued
    /// within 28 days (09 §18 no. 2).
    pub(crate) fn may_reach(&self, asker: &str, target: &str, token: Option<&Node>) -> bool {
        const VALID_MS: i64 = 28 * 86_400_000;
        let Some(account) = self.accounts.get(target).filter(|account| account.restricted) else {
            return true;
        };
        let shown = token.and_then(Node::content_bytes);
        asker == target
            || account.tokens.get(asker).is_some_and(|(issued, at)| {
                self.now_ms - at < VALID_MS && shown.as_deref() == Some(issued.as_slice())
            })
    }
}

fn picture_change(jid: Jid, picture: Option<&Picture>) -> Node {
    match picture {
        Some(picture) => Node::new("set").attr("jid", jid).attr("id", picture.id.clone()),
        None => Node::new("delete").attr("jid", jid),
    }
}
