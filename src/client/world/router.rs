//! What stands in the server's place: a key directory, device lists, routing with a queue per device, acks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Account, Device};
use crate::client::link::{Link, Order};
use crate::client::messaging::Messaging;
use crate::clock::Clock;
use crate::crypto::{KeyPair, os_rng, random_bytes};
use crate::signal::adv::Hosting;
use crate::signal::adv::key_index::KeyIndexList;
use crate::stanza::ack::ServerAck;
use crate::wire::{Arena, Jid, Node, decode, decode_node, encode};

/// A fault of the next message stanza.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Refuse it with this code.
    Refuse(u16),
    /// Refuse it with 429 for so many seconds.
    Throttle(u64),
    /// Deliver it, but never ack it.
    LoseAck,
    /// Ack it with a hash, as if devices had been missed.
    Phash,
    /// Ack it and say that the recipient's LID is stale.
    StaleLid,
}

/// A fault of the next question of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IqFault {
    /// Refuse it, with these seconds to wait if there are any.
    Refuse { code: u32, backoff: Option<u64> },
    /// Never answer it.
    Lose,
}

#[derive(Clone)]
pub(crate) struct Router(Arc<Mutex<Inner>>, Clock);

struct Inner {
    devices: BTreeMap<String, Entry>,
    accounts: Vec<AccountEntry>,
    faults: VecDeque<Fault>,
    /// By what the question holds: its namespace, or its child.
    iq_faults: Vec<(&'static str, IqFault)>,
    /// Numbers by which accounts are found, too.
    also_known_as: Vec<(String, Jid)>,
    /// Answers to usync that are kept back.
    held: Option<Vec<(String, Node)>>,
    /// Everything that devices sent, oldest first.
    log: Vec<(String, Node)>,
    /// (sender, id, target) already delivered.
    delivered: BTreeSet<(String, String, String)>,
}

struct AccountEntry {
    pn: Jid,
    lid: Jid,
    phone: KeyPair,
    hidden: BTreeSet<u16>,
    /// The time of its device list.
    ts: u64,
    /// The server answers for its number with an empty list.
    empty_by_number: bool,
}

#[derive(Default)]
struct Entry {
    pn: Option<Jid>,
    lid: Option<Jid>,
    adv: Vec<u8>,
    keys: Option<Node>,
    prekeys: VecDeque<Node>,
    online: Option<(u64, Arc<Messaging>)>,
    queue: Vec<Node>,
}

/// Whether a question has this namespace or this child.
fn is_about(iq: &Node, holds: &str) -> bool {
    iq.str("xmlns").is_some_and(|xmlns| xmlns == holds) || iq.find(holds).is_some()
}

fn hand_in(messaging: &Messaging, answer: &Node) {
    let bytes = encode(answer).unwrap();
    let mut arena = Arena::new();
    messaging.ctx.questions.answer(decode(&bytes, &mut arena).unwrap());
}

impl Router {
    pub(crate) fn new(clock: Clock) -> Self {
        let inner = Inner {
            devices: BTreeMap::new(),
            accounts: Vec::new(),
            faults: VecDeque::new(),
            iq_faults: Vec::new(),
            also_known_as: Vec::new(),
            held: None,
            log: Vec::new(),
            delivered: BTreeSet::new(),
        };
        Self(Arc::new(Mutex::new(inner)), clock)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn register(&self, account: &Account, number: u16, adv: Vec<u8>) {
        let mut inner = self.lock();
        if !inner.accounts.iter().any(|known| known.lid == account.lid) {
            inner.accounts.push(AccountEntry {
                pn: account.pn.clone(),
                lid: account.lid.clone(),
                phone: account.phone.clone(),
                hidden: BTreeSet::new(),
                ts: 1_760_000_000,
                empty_by_number: false,
            });
        }
        let (pn, lid) = (account.pn.with_device(number), account.lid.with_device(number));
        let entry = Entry { pn: Some(pn), lid: Some(lid.clone()), adv, ..Entry::default() };
        inner.devices.insert(lid.to_string(), entry);
    }

    pub(crate) fn has_keys(&self, lid: &Jid) -> bool {
        self.lock().devices.get(&lid.to_string()).is_some_and(|entry| entry.keys.is_some())
    }

    /// Leaves a device out of device lists, or shows it again.
    pub(crate) fn hide(&self, device: &Device, hidden: bool) {
        let mut inner = self.lock();
        let account = inner.accounts.iter_mut().find(|account| account.lid.same_user(&device.lid)).unwrap();
        if hidden {
            account.hidden.insert(device.lid.device());
        } else {
            account.hidden.remove(&device.lid.device());
        }
    }

    /// Changes what the server holds of the account of a device.
    fn account(&self, device: &Device, change: impl FnOnce(&mut AccountEntry)) {
        let mut inner = self.lock();
        change(inner.accounts.iter_mut().find(|account| account.lid.same_user(&device.lid)).unwrap());
    }

    /// The time of an account's device list.
    pub(crate) fn list_time(&self, device: &Device, ts: u64) {
        self.account(device, |account| account.ts = ts);
    }

    /// Device lists of an account are signed by somebody else from now on.
    pub(crate) fn forge(&self, device: &Device, by: &KeyPair) {
        self.account(device, |account| account.phone = by.clone());
    }

    /// The server answers for an account's number with an empty list.
    pub(crate) fn empty_by_number(&self, device: &Device) {
        self.account(device, |account| account.empty_by_number = true);
    }

    /// A contact check of this number finds the account.
    pub(crate) fn also_known_as(&self, digits: &str, account: &Account) {
        self.lock().also_known_as.push((digits.to_owned(), account.pn.clone()));
    }

    /// The next question that holds this (its namespace or its first child) goes wrong.
    pub(crate) fn iq_fault(&self, holds: &'static str, fault: IqFault) {
        self.lock().iq_faults.push((holds, fault));
    }

    /// Answers to usync are made, but kept back from now on.
    pub(crate) fn hold_usync(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// What was kept back is delivered.
    pub(crate) fn release_usync(&self) {
        let held = self.lock().held.take().unwrap_or_default();
        for (by, answer) in held {
            let online = self.lock().devices.get(&by).and_then(|entry| entry.online.clone());
            if let Some((_, messaging)) = online {
                hand_in(&messaging, &answer);
            }
        }
    }

    /// What a device asked that holds this (its namespace or its first child).
    pub(crate) fn asked(&self, device: &Device, holds: &str) -> Vec<Node> {
        self.sent(device, "iq").into_iter().filter(|iq| is_about(iq, holds)).collect()
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// What a device sent with this tag.
    pub(crate) fn sent(&self, device: &Device, tag: &str) -> Vec<Node> {
        let name = device.lid.to_string();
        let inner = self.lock();
        inner
            .log
            .iter()
            .filter(|(by, node)| *by == name && node.tag == tag)
            .map(|(_, node)| node.clone())
            .collect()
    }

    pub(crate) fn prekeys_left(&self, device: &Device) -> usize {
        self.lock().devices[&device.lid.to_string()].prekeys.len()
    }

    pub(crate) fn connect(&self, device: &Device) {
        let (link, mut orders) = Link::new();
        let name = device.lid.to_string();
        device.messaging.ctx.current.set(Some(link));
        let number = {
            let mut inner = self.lock();
            let entry = inner.devices.get_mut(&name).unwrap();
            let number = entry.online.as_ref().map_or(1, |(number, _)| number + 1);
            entry.online = Some((number, Arc::clone(&device.messaging)));
            number
        };
        let router = self.clone();
        let messaging = Arc::downgrade(&device.messaging);
        tokio::spawn(async move {
            while let Some(Order::Frame(frame)) = orders.recv().await {
                let Some(messaging) = messaging.upgrade() else { return };
                let node = decode_node(&frame.plaintext).unwrap();
                router.take(&name, node, &messaging).await;
            }
            if let Some(entry) = router.lock().devices.get_mut(&name)
                && entry.online.as_ref().is_some_and(|(online, _)| *online == number)
            {
                entry.online = None;
            }
        });
    }

    /// Delivers what waited.
    pub(crate) async fn flush(&self, device: &Device) {
        let queue = {
            let mut inner = self.lock();
            inner.devices.get_mut(&device.lid.to_string()).unwrap().queue.clone()
        };
        for node in queue {
            device.messaging.stanza(node.attr("offline", "1")).await;
        }
    }

    /// As [`flush`](Self::flush), the newest first.
    pub(crate) async fn flush_backwards(&self, device: &Device) {
        let queue = self.lock().devices[&device.lid.to_string()].queue.clone();
        for node in queue.into_iter().rev() {
            device.messaging.stanza(node.attr("offline", "1")).await;
        }
    }

    async fn take(&self, by: &str, node: Node, messaging: &Messaging) {
        self.lock().log.push((by.to_owned(), node.clone()));
        match node.tag.as_ref() {
            "iq" => self.iq(by, &node, messaging),
            "message" => self.message(by, &node, messaging).await,
            "receipt" => self.receipt(by, &node, messaging).await,
            "ack" => self.answered(by, &node),
            other => panic!("unexpected {other}"),
        }
    }

    fn iq(&self, by: &str, node: &Node, messaging: &Messaging) {
        let id = node.str("id").unwrap().into_owned();
        let fault = {
            let mut inner = self.lock();
            let at = inner.iq_faults.iter().position(|(holds, _)| is_about(node, holds));
            at.map(|at| inner.iq_faults.remove(at).1)
        };
        match fault {
            Some(IqFault::Lose) => return,
            Some(IqFault::Refuse { code, backoff }) => {
                let error =
                    Node::new("error").attr("code", code).attr("text", "no").opt_attr("backoff", backoff);
                return hand_in(
                    messaging,
                    &Node::new("iq").attr("type", "error").attr("id", id).child(error),
                );
            }
            None => {}
        }
        let result = match node.str("xmlns").unwrap().as_ref() {
            "usync" => self.usync(node),
            "encrypt" if node.str("type").unwrap() == "get" => self.fetch(node),
            "encrypt" => {
                let mut inner = self.lock();
                let entry = inner.devices.get_mut(by).unwrap();
                entry.prekeys.extend(node.find("list").unwrap().find_all("key").cloned());
                entry.keys = Some(node.clone());
                Node::new("iq")
            }
            "privacy" | "blocklist" => Node::new("iq"),
            "w:mex" => Self::mex(node),
            other => panic!("unexpected {other}"),
        };
        let result = result.attr("type", "result").attr("id", id);
        if is_about(node, "usync")
            && let Some(held) = &mut self.lock().held
        {
            held.push((by.to_owned(), result));
            return;
        }
        hand_in(messaging, &result);
    }

    /// Nothing is restricted.
    fn mex(node: &Node) -> Node {
        let timelock = node.find("query").unwrap().str("query_id").unwrap() == "23983697327930364";
        let answer = if timelock {
            r#"{"data":{"xwa2_fetch_account_reachout_timelock":{"is_active":false,"time_enforcement_ends":"","enforcement_type":null}}}"#
        } else {
            r#"{"data":null,"errors":[{"message":"x"}]}"#
        };
        Node::new("iq").child(Node::new("result").text_bytes(answer))
    }

    fn usync(&self, node: &Node) -> Node {
        let inner = self.lock();
        let users = node.find("usync").unwrap().find("list").unwrap().find_all("user").map(|user| {
            if let Some(contact) = user.find("contact") {
                let asked = String::from_utf8(contact.content_bytes().unwrap().into_owned()).unwrap();
                let digits = asked.trim_start_matches('+');
                let found = inner.also_known_as.iter().find(|(known, _)| known == digits).map(|(_, pn)| pn);
                let kind = if found.is_some() { "in" } else { "out" };
                let contact = Node::new("contact").attr("type", kind).text_bytes(&asked);
                return Node::new("user").opt_attr("jid", found).child(contact);
            }
            let jid = user.jid("jid").unwrap();
            let answer = Node::new("user").attr("jid", &jid);
            let Some(account) = inner.accounts.iter().find(|a| a.pn.same_user(&jid) || a.lid.same_user(&jid))
            else {
                return answer;
            };
            let shown = |entry: &&Entry| {
                let lid = entry.lid.as_ref().unwrap();
                lid.same_user(&account.lid) && !account.hidden.contains(&lid.device())
            };
            let ids: Vec<u16> = inner
                .devices
                .values()
                .filter(shown)
                .map(|entry| entry.lid.as_ref().unwrap().device())
                .collect();
            let list = ids.iter().map(|id| {
                Node::new("device").attr("id", *id).opt_attr("key-index", (*id != 0).then_some(*id))
            });
            let signed = KeyIndexList {
                raw_id: 5,
                timestamp: account.ts,
                current_index: 50,
                valid_indexes: ids.iter().map(|id| u32::from(*id)).collect(),
                account: Hosting::Plain,
            };
            let signed = signed.sign(&account.phone, true, &random_bytes(&mut os_rng()));
            let devices = Node::new("devices");
            let devices = if account.empty_by_number && jid.is_pn() {
                devices.child(Node::new("device-list"))
            } else {
                devices
                    .child(Node::new("device-list").children(list))
                    .child(Node::new("key-index-list").attr("ts", account.ts).bytes(signed))
            };
            answer.child(devices).child(Node::new("lid").attr("val", &account.lid))
        });
        let users: Vec<Node> = users.collect();
        Node::new("iq").child(Node::new("usync").child(Node::new("list").children(users)))
    }

    fn fetch(&self, node: &Node) -> Node {
        let mut inner = self.lock();
        let users = node.find("key").unwrap().find_all("user").map(|user| {
            let jid = user.jid("jid").unwrap();
            let answer = Node::new("user").attr("jid", jid.in_device_form());
            let entry = inner
                .devices
                .values_mut()
                .find(|entry| entry.lid.as_ref() == Some(&jid) || entry.pn.as_ref() == Some(&jid));
            let Some((entry, keys)) =
                entry.and_then(|entry| Some((entry.keys.clone()?, entry)).map(|(k, e)| (e, k)))
            else {
                return answer.child(Node::new("error").attr("code", "406").attr("text", "gone"));
            };
            let part = |tag: &str| keys.find(tag).unwrap().clone();
            let mut children = vec![part("registration"), part("type"), part("identity"), part("skey")];
            children.extend(entry.prekeys.pop_front());
            if jid.device() != 0 {
                children.push(Node::new("device-identity").bytes(entry.adv.clone()));
            }
            answer.children(children)
        });
        let users: Vec<Node> = users.collect();
        Node::new("iq").child(Node::new("list").children(users))
    }

    async fn message(&self, by: &str, node: &Node, messaging: &Messaging) {
        let (id, to) = (node.str("id").unwrap().into_owned(), node.jid("to").unwrap());
        let fault = self.lock().faults.pop_front();
        let mut ack = ServerAck {
            class: "message".to_owned(),
            id: id.clone(),
            from: Some(to.clone()),
            t: Some(u64::try_from(self.1.wall_s()).unwrap()),
            phash: None,
            server_id: None,
            addressing_mode: None,
            count: None,
            refresh_lid: false,
            read_receipts: None,
            error: None,
            backoff: None,
        };
        if let Some(Fault::Refuse(code)) = fault {
            ack.error = Some(code);
            return messaging.ack(ack);
        }
        if let Some(Fault::Throttle(seconds)) = fault {
            (ack.error, ack.backoff) = (Some(429), Some(seconds));
            return messaging.ack(ack);
        }
        if let Some(Fault::Phash) = fault {
            ack.phash = Some("2:AAAAAAAA".to_owned());
        }
        ack.refresh_lid = matches!(fault, Some(Fault::StaleLid));
        if !matches!(fault, Some(Fault::LoseAck)) {
            messaging.ack(ack);
        }
        let mut parts: Vec<(Jid, Node)> = Vec::new();
        if let Some(participants) = node.find("participants") {
            for target in participants.find_all("to") {
                parts.push((target.jid("jid").unwrap(), target.find("enc").unwrap().clone()));
            }
        } else {
            parts.push((to.clone(), node.find("enc").unwrap().clone()));
        }
        for (target, enc) in parts {
            self.deliver_message(by, node, &id, &to, &target, enc).await;
        }
    }

    async fn deliver_message(&self, by: &str, node: &Node, id: &str, to: &Jid, target: &Jid, enc: Node) {
        let stanza = {
            let mut inner = self.lock();
            let resend = enc.get("count").is_some();
            let first = inner.delivered.insert((by.to_owned(), id.to_owned(), target.to_string()));
            if !first && !resend {
                return;
            }
            let sender = inner.devices.get(by).unwrap();
            let (pn, lid) = (sender.pn.clone().unwrap(), sender.lid.clone().unwrap());
            let own = lid.same_user(target) || pn.same_user(target);
            let (from, other, key) = if to.is_lid() {
                (lid, pn.to_user(), "sender_pn")
            } else {
                (pn, lid.to_user(), "sender_lid")
            };
            let chat = node.jid("recipient").unwrap_or_else(|| to.clone());
            let pkmsg = enc.str("type").unwrap() == "pkmsg";
            let stanza = Node::new("message")
                .attr("from", from.in_device_form())
                .attr("id", id.to_owned())
                .attr("t", self.1.wall_s())
                .attr("type", node.str("type").unwrap().into_owned())
                .attr(key, other)
                .opt_attr("recipient", own.then_some(chat))
                .child(enc);
            match node.find("device-identity").filter(|_| pkmsg) {
                Some(identity) => stanza.child(identity.clone()),
                None => stanza,
            }
        };
        self.hand(target, stanza).await;
    }

    async fn receipt(&self, by: &str, node: &Node, messaging: &Messaging) {
        let to = node.jid("to").unwrap();
        let kind = node.str("type").map(|kind| kind.into_owned());
        let id = node.str("id").unwrap().into_owned();
        messaging.ack(ServerAck {
            class: "receipt".to_owned(),
            id: id.clone(),
            from: Some(to.clone()),
            t: None,
            phash: None,
            server_id: None,
            addressing_mode: None,
            count: None,
            refresh_lid: false,
            read_receipts: None,
            error: None,
            backoff: None,
        });
        if kind.as_deref() != Some("retry") {
            self.answered(by, node);
        }
        let (from, targets) = {
            let inner = self.lock();
            let sender = inner.devices.get(by).unwrap();
            let from = if to.is_lid() { sender.lid.clone() } else { sender.pn.clone() }.unwrap();
            let all = |entry: &&Entry| {
                entry.lid.as_ref().unwrap().same_user(&to) || entry.pn.as_ref().unwrap().same_user(&to)
            };
            let targets: Vec<Jid> = match kind.as_deref() {
                Some("retry") => vec![to.clone()],
                Some("sender" | "peer_msg") => Vec::new(),
                _ => inner.devices.values().filter(all).map(|entry| entry.lid.clone().unwrap()).collect(),
            };
            (from, targets)
        };
        let forwarded = Node {
            attrs: node.attrs.iter().filter(|(key, _)| key != "to" && key != "t").cloned().collect(),
            ..node.clone()
        };
        let forwarded = forwarded.attr("from", from.in_device_form()).attr("t", self.1.wall_s());
        for target in targets {
            self.hand(&target, forwarded.clone()).await;
        }
    }

    /// Queues a stanza for a device and delivers it if it is there.
    async fn hand(&self, target: &Jid, stanza: Node) {
        let online = {
            let mut inner = self.lock();
            let entry = inner
                .devices
                .values_mut()
                .find(|entry| entry.lid.as_ref() == Some(target) || entry.pn.as_ref() == Some(target));
            let Some(entry) = entry else { return };
            entry.queue.push(stanza.clone());
            entry.online.as_ref().map(|(_, messaging)| Arc::clone(messaging))
        };
        if let Some(messaging) = online {
            messaging.stanza(stanza).await;
        }
    }

    /// A device has answered stanzas: they leave its queue.
    fn answered(&self, by: &str, node: &Node) {
        let mut ids: Vec<String> = vec![node.str("id").unwrap().into_owned()];
        if let Some(list) = node.find("list") {
            ids.extend(list.find_all("item").map(|item| item.str("id").unwrap().into_owned()));
        }
        let mut inner = self.lock();
        let entry = inner.devices.get_mut(by).unwrap();
        let tag = if node.tag == "receipt" {
            "message".to_owned()
        } else {
            node.str("class").unwrap().into_owned()
        };
        entry.queue.retain(|queued| {
            let id = queued.str("id").unwrap().into_owned();
            !(queued.tag == tag && ids.contains(&id))
        });
    }

    /// How many stanzas a device has not answered.
    pub(crate) fn unanswered(&self, device: &Device) -> usize {
        self.lock().devices[&device.lid.to_string()].queue.len()
    }
}
