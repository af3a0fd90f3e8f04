//! Settings, properties and everything that answers from little state (09 §7.1 second half, §7.2).

use super::{Origin, Refusal, Reply};
use crate::crypto::{sha256, sha256_parts};
use crate::sim::world::World;
use crate::wire::{Jid, Node};

/// The names of `privacy` get, with the value a new account has.
const PRIVACY: [(&str, &str); 10] = [
    ("last", "all"),
    ("online", "all"),
    ("profile", "all"),
    ("status", "all"),
    ("groupadd", "all"),
    ("readreceipts", "all"),
    ("calladd", "all"),
    ("messages", "all"),
    ("defense", "off"),
    ("stickers", "all"),
];

impl World {
    pub(super) fn answer_setting(&mut self, origin: &Origin, iq: &Node, row: (&str, &str, &str)) -> Reply {
        match row {
            ("abt" | "w", "get", "props") => self.props(origin, iq),
            ("privacy", "get", _) => Ok(vec![self.privacy(origin)]),
            ("privacy", "set", "privacy") => self.set_privacy(origin, iq),
            ("privacy", "set", "tokens") => self.issue_tokens(origin, iq),
            ("blocklist", "get", _) => Ok(self.blocklist(origin, iq)),
            ("blocklist", "set", "item") => self.block(origin, iq),
            ("urn:xmpp:whatsapp:dirty", "set", "clean") => self.clean(origin, iq),
            ("urn:xmpp:whatsapp:push", "get", "settings") => Ok(vec![Node::new("settings")]),
            ("urn:xmpp:whatsapp:push" | "tos" | "spam" | "w:stats", _, _) => Ok(Vec::new()),
            ("w:sync:app:state", "set", "sync") => self.sync_app_state(origin, iq),
            ("w:m", _, "media_conn") => Ok(vec![self.media_conn()]),
            ("w:mex", "get", "query") => self.mex(origin, iq),
            ("w:qr", _, _) => Err(Refusal::ITEM_NOT_FOUND),
            ("bot", "get", "bot") => {
                let section = Node::new("section").attr("type", "all");
                Ok(vec![Node::new("bot").child(section)])
            }
            ("status" | "w:profile:picture" | "disappearing_mode" | "w:biz" | "w:biz:catalog", _, _) => {
                self.answer_profile(origin, iq, row)
            }
            ("call" | "voip", _, _) => Err(Refusal::NOT_IMPLEMENTED),
            (xmlns, _, child) => self.unknown_iq(origin, xmlns, child),
        }
    }

    /// Properties, with the hash of 09 §18 no. 3; none where the asker has them.
    fn props(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let Some(account) = self.accounts.get(&origin.device.number) else {
            return Err(Refusal::ITEM_NOT_FOUND);
        };
        let sorted: String =
            account.abprops.iter().map(|(code, value)| format!("{code}={value}\n")).collect();
        let hash = hex::encode(sha256(sorted.as_bytes()).get(..4).unwrap_or_default());
        let known = iq.find("props").and_then(|props| props.str("hash")).is_some_and(|held| held == hash);
        let props = Node::new("props")
            .attr("protocol", "1")
            .attr("hash", hash)
            .attr("refresh", "86400")
            .attr("refresh_id", "1")
            .attr("ab_key", "sim");
        let children = account.abprops.iter().map(|(code, value)| {
            Node::new("prop").attr("config_code", code.clone()).attr("config_value", value.clone())
        });
        let props = if known { props } else { props.children(children.collect::<Vec<_>>()) };
        Ok(vec![props])
    }

    fn privacy(&self, origin: &Origin) -> Node {
        let set = self.accounts.get(&origin.device.number).map(|account| &account.privacy);
        let categories = PRIVACY.iter().map(|(name, default)| {
            let value = set.and_then(|set| set.get(*name)).cloned().unwrap_or_else(|| (*default).to_owned());
            Node::new("category").attr("name", *name).attr("value", value)
        });
        Node::new("privacy").children(categories.collect::<Vec<_>>())
    }

    fn set_privacy(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let category = iq.find("privacy").and_then(|privacy| privacy.find("category"));
        let category = category.ok_or(Refusal::BAD_REQUEST)?;
        let (Some(name), Some(value)) = (category.str("name"), category.str("value")) else {
            return Err(Refusal::BAD_REQUEST);
        };
        let (name, value) = (name.into_owned(), value.into_owned());
        let echo = Node::new("category").attr("name", name.clone()).attr("value", value.clone());
        let account = self.accounts.get_mut(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        account.privacy.insert(name, value);
        let privacy = Node::new("privacy").child(echo);
        self.notify_own(&origin.device, "account_sync", privacy.clone());
        Ok(vec![privacy])
    }

    /// The reading of the account's `readreceipts` setting (09 §13).
    pub(crate) fn hides_read_receipts(&self, number: &str) -> bool {
        let account = self.accounts.get(number);
        account.and_then(|account| account.privacy.get("readreceipts")).is_some_and(|value| value == "none")
    }

    /// A token for the target to use towards the issuer (09 §18 no. 2).
    fn issue_tokens(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let tokens = iq.find("tokens").ok_or(Refusal::BAD_REQUEST)?;
        let targets: Vec<Jid> = tokens.nodes().filter_map(|token| token.jid("jid")).collect();
        for jid in targets {
            let Some(target) = self.resolve(&jid) else { continue };
            let Some(issuer) = self.accounts.get(&origin.device.number) else { continue };
            let namespace = crate::sim::world::Namespace::of(&jid);
            let (from, lid) = (issuer.jid(namespace, 0), issuer.lid.clone());
            let Some(own) = self.accounts.get(&target.number).map(|account| account.jid(namespace, 0)) else {
                continue;
            };
            let value: [u8; 16] = self.random();
            let now = self.now_ms;
            if let Some(issuer) = self.accounts.get_mut(&origin.device.number) {
                issuer.tokens.insert(target.number.clone(), (value.to_vec(), now));
            }
            let token = Node::new("token")
                .attr("jid", own)
                .attr("t", self.now_s().to_string())
                .attr("type", "trusted_contact")
                .bytes(value);
            let notification = self
                .notification(from, "privacy_token")
                .attr("sender_lid", lid)
                .child(Node::new("tokens").child(token));
            self.notify_account(&target.number, None, notification);
        }
        Ok(Vec::new())
    }

    fn blocklist_hash(&self, number: &str) -> String {
        let blocked =
            self.accounts.get(number).map(|account| account.blocked.iter().cloned().collect::<String>());
        hex::encode(
            sha256_parts(&[b"blocklist", blocked.unwrap_or_default().as_bytes()])
                .get(..8)
                .unwrap_or_default(),
        )
    }

    fn blocklist(&self, origin: &Origin, iq: &Node) -> Vec<Node> {
        let hash = self.blocklist_hash(&origin.device.number);
        let held = iq.find("item").and_then(|item| item.str("dhash"));
        if held.is_some_and(|held| held == hash) {
            Vec::new()
        } else {
            vec![self.whole_blocklist(origin, hash)]
        }
    }

    fn whole_blocklist(&self, origin: &Origin, hash: String) -> Node {
        let blocked = self.accounts.get(&origin.device.number).map(|account| &account.blocked);
        let items = blocked.into_iter().flatten().filter_map(|lid| Jid::lid(lid).ok());
        let items = items.map(|lid| Node::new("item").attr("jid", lid));
        Node::new("list").attr("dhash", hash).children(items.collect::<Vec<_>>())
    }

    fn block(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let item = iq.find("item").ok_or(Refusal::BAD_REQUEST)?;
        let (Some(jid), Some(action)) = (item.jid("jid"), item.str("action")) else {
            return Err(Refusal::BAD_REQUEST);
        };
        let blocks = action == "block";
        let form_ok = jid.is_lid() && item.get("pn_jid").is_some();
        if blocks && !form_ok && self.is_strict(&origin.device.number) {
            return Err(Refusal::BAD_REQUEST);
        }
        let target = self.resolve(&jid).ok_or(Refusal::ITEM_NOT_FOUND)?;
        let lid = self.accounts.get(&target.number).map(|account| account.lid.user().to_owned());
        let before = self.blocklist_hash(&origin.device.number);
        let matched = item.str("dhash").is_some_and(|held| held == before);
        if let (Some(account), Some(lid)) = (self.accounts.get_mut(&origin.device.number), lid) {
            if blocks {
                account.blocked.insert(lid)
            } else {
                account.blocked.remove(&lid)
            };
        }
        let hash = self.blocklist_hash(&origin.device.number);
        let note = Node::new("blocklist")
            .attr("dhash", hash.clone())
            .attr("prev_dhash", before)
            .child(Node::new("item").attr("action", action.into_owned()).attr("jid", jid));
        self.notify_own(&origin.device, "account_sync", note);
        if matched {
            return Ok(vec![Node::new("list").attr("dhash", hash).attr("matched", "true")]);
        }
        let list = self.whole_blocklist(origin, hash).attr("matched", "false").attr("addressing_mode", "lid");
        Ok(vec![list])
    }

    fn clean(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let clean = iq.find("clean").ok_or(Refusal::BAD_REQUEST)?;
        let (kind, at) = (clean.str("type").map(std::borrow::Cow::into_owned), clean.u64("timestamp"));
        if let (Some(device), Some(kind)) = (self.device_mut(&origin.device), kind) {
            let matches = at.is_none() || device.dirty.get(&kind).map(|t| t.unsigned_abs()) == at;
            if matches {
                device.dirty.remove(&kind);
            }
        }
        Ok(Vec::new())
    }

    /// App state is stored by nobody yet: every collection is empty, pushes are numbered and announced.
    fn sync_app_state(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let sync = iq.find("sync").ok_or(Refusal::BAD_REQUEST)?;
        let mut answers = Vec::new();
        let mut changed = Vec::new();
        for collection in sync.nodes().filter(|child| child.tag == "collection") {
            let Some(name) = collection.str("name").map(std::borrow::Cow::into_owned) else { continue };
            let account = self.accounts.get_mut(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
            let version = account.collections.entry(name.clone()).or_default();
            if collection.find("patch").is_some() {
                *version += 1;
                changed.push(
                    Node::new("collection").attr("name", name.clone()).attr("version", version.to_string()),
                );
            }
            answers.push(Node::new("collection").attr("name", name).attr("version", version.to_string()));
        }
        for collection in changed {
            self.notify_own(&origin.device, "server_sync", collection);
        }
        Ok(vec![Node::new("sync").children(answers)])
    }

    fn media_conn(&self) -> Node {
        Node::new("media_conn")
            .attr("auth", "sim")
            .attr("ttl", "300")
            .attr("auth_ttl", "21600")
            .attr("max_buckets", "12")
    }
}
