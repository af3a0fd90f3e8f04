//! About texts, pictures, business profiles (09 §7.2), as far as they answer from little state.

use super::{Origin, Refusal, Reply, text_of};
use crate::sim::world::World;
use crate::wire::{Jid, Node};

impl World {
    pub(super) fn answer_profile(&mut self, origin: &Origin, iq: &Node, row: (&str, &str, &str)) -> Reply {
        match row {
            ("status", "set", "status") => self.set_about(origin, iq),
            ("status", "get", "privacy") => {
                let list = Node::new("list").attr("type", "contacts").attr("default", "true");
                Ok(vec![Node::new("privacy").child(list)])
            }
            ("status", "get", _) => Ok(self.abouts(iq)),
            ("w:profile:picture", "get", _) => Err(Refusal::ITEM_NOT_FOUND),
            ("w:profile:picture", "set", _) => {
                let id = self.next_id();
                Ok(if iq.find("picture").is_some() {
                    vec![Node::new("picture").attr("id", id)]
                } else {
                    Vec::new()
                })
            }
            ("w:biz", "get", _) => Ok(vec![Node::new("business_profile")]),
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
                Some(account) => {
                    Node::new("status").attr("t", self.now_s().to_string()).text_bytes(&account.about)
                }
                None => Node::new("status").attr("code", "404"),
            };
            Node::new("user").attr("jid", jid).child(status)
        });
        vec![Node::new("status").children(answers.collect::<Vec<_>>())]
    }
}
