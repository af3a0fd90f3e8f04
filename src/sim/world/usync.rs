//! Device lists, LIDs and contact look-ups by usync (09 §10.1).

use std::collections::BTreeSet;

use super::account::{Account, Namespace};
use super::iq::{Refusal, Reply, text_of};
use super::{Origin, World, restrict};
use crate::wire::{Jid, Node, Server};

/// Who a `<user>` of a request means.
struct Asked {
    /// The address of the answer.
    jid: Jid,
    /// The text of `<contact>`, echoed.
    contact: Option<String>,
    number: Option<String>,
    device_hash: Option<String>,
    /// The asker gets lists without key indexes.
    bare: bool,
}

impl World {
    pub(crate) fn usync(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let request = iq.find("usync").ok_or(Refusal::BAD_REQUEST)?;
        let query = request.find("query").ok_or(Refusal::BAD_REQUEST)?;
        let list = request.find("list").ok_or(Refusal::BAD_REQUEST)?;
        let resting = self.resting_protocols(origin, request);
        let rests = |tag: &str| resting.iter().find(|(protocol, _)| protocol == tag);
        let protocols: Vec<&Node> = query.nodes().collect();
        let answered: Vec<&Node> = protocols.iter().copied().filter(|p| rests(&p.tag).is_none()).collect();
        let by_lid =
            query.find("contact").is_some_and(|c| c.str("addressing_mode").as_deref() == Some("lid"));
        let asked = list.nodes().filter(|node| node.tag == "user").count();
        if self.judge_usync(origin, query.find("contact").is_some(), asked) {
            return Err(Refusal::RATE_OVERLIMIT);
        }
        let bare = self.is_crudely_served(origin);
        let mut seen = BTreeSet::new();
        let mut users = Vec::new();
        for user in list.nodes().filter(|node| node.tag == "user") {
            let Some(asked) = self.asked(user, bare) else { continue };
            if !seen.insert(asked.jid.clone()) {
                continue;
            }
            if let Some(number) = &asked.number {
                self.acquainted(&origin.device.number, number, Namespace::of(&asked.jid));
            }
            users.push(self.user(&asked, &answered, by_lid));
        }
        let result = Node::new("result").children(
            protocols
                .iter()
                .map(|p| match rests(&p.tag) {
                    Some((protocol, seconds)) => restrict::resting(protocol, *seconds),
                    None => Node::new(p.tag.clone()),
                })
                .collect::<Vec<_>>(),
        );
        let copied = |key: &'static str| request.str(key).map(std::borrow::Cow::into_owned);
        Ok(vec![
            Node::new("usync")
                .opt_attr("sid", copied("sid"))
                .attr("index", "0")
                .attr("last", "true")
                .opt_attr("mode", copied("mode"))
                .opt_attr("context", copied("context"))
                .child(result)
                .child(Node::new("list").children(users)),
        ])
    }

    fn asked(&self, user: &Node, bare: bool) -> Option<Asked> {
        let device_hash = user
            .find("devices")
            .and_then(|devices| devices.str("device_hash"))
            .map(std::borrow::Cow::into_owned);
        let contact = text_of(user, "contact");
        if let Some(jid) = user.jid("jid") {
            let number = self.resolve(&jid).map(|at| at.number);
            let jid =
                if *jid.server() == Server::CUs { Jid::pn(jid.user()).ok()? } else { jid.without_device() };
            return Some(Asked { jid, contact, number, device_hash, bare });
        }
        let text = contact?;
        let digits: String = text.split('@').next()?.chars().filter(char::is_ascii_digit).collect();
        let jid = Jid::pn(&digits).ok()?;
        let number = self.accounts.contains_key(&digits).then(|| digits.clone());
        Some(Asked { jid, contact: Some(text), number, device_hash, bare })
    }

    fn user(&self, asked: &Asked, protocols: &[&Node], by_lid: bool) -> Node {
        let account = asked.number.as_ref().and_then(|number| self.accounts.get(number));
        let switch = account.filter(|_| by_lid && asked.contact.is_some() && asked.jid.is_pn());
        let user = match switch {
            Some(account) => {
                Node::new("user").attr("jid", account.lid.clone()).attr("pn_jid", account.pn.clone())
            }
            None => Node::new("user").attr("jid", asked.jid.clone()),
        };
        let answers = protocols.iter().filter_map(|protocol| self.protocol(asked, account, protocol));
        user.children(answers.collect::<Vec<_>>())
    }

    fn protocol(&self, asked: &Asked, account: Option<&Account>, protocol: &Node) -> Option<Node> {
        let Some(account) = account else {
            return match &*protocol.tag {
                "devices" if asked.contact.is_none() => {
                    Some(Node::new("devices").child(Node::new("device-list")))
                }
                "contact" => {
                    let text = asked.contact.clone().unwrap_or_default();
                    Some(Node::new("contact").attr("type", "out").text_bytes(&text))
                }
                _ => None,
            };
        };
        match &*protocol.tag {
            "devices" => Some(self.devices(asked, account)),
            "lid" => asked.jid.is_pn().then(|| Node::new("lid").attr("val", account.lid.clone())),
            "contact" => {
                let text = asked.contact.clone().unwrap_or_default();
                Some(Node::new("contact").attr("type", "in").text_bytes(&text))
            }
            "status" => Some(self.about_node(account)),
            "disappearing_mode" => {
                let (duration, t) = account.default_timer;
                Some(Node::new("disappearing_mode").attr("duration", duration).attr("t", t))
            }
            "business" if !account.business => None,
            "picture" => {
                account.picture.as_ref().map(|picture| Node::new("picture").attr("id", picture.id.clone()))
            }
            _ => Some(Node::new(protocol.tag.clone())),
        }
    }

    /// `<devices>`: the list, and the phone's signed one as soon as a companion is listed.
    fn devices(&self, asked: &Asked, account: &Account) -> Node {
        let namespace = Namespace::of(&asked.jid);
        let listed = account.listed();
        let hash = account.device_hash(namespace);
        let known = self.config.usync_delta && asked.device_hash.as_deref() == Some(&*hash);
        let companions = listed.len() > 1;
        let devices = listed.into_iter().map(|(device, key_index)| {
            let key_index = key_index.filter(|_| !asked.bare);
            Node::new("device").attr("id", device).opt_attr("key-index", key_index)
        });
        let list = Node::new("device-list").attr("hash", hash).children(devices.collect::<Vec<_>>());
        let node = Node::new("devices");
        if asked.bare {
            return node.child(list);
        }
        let signed = super::notify::key_index_list(account, companions);
        if known { node.child(signed) } else { node.child(list).child(signed) }
    }
}
