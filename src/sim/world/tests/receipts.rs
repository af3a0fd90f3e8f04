//! Receipts and retries on their way (09 §13).

use crate::sim::world::testing::{Companion, Lab};
use crate::wire::{Jid, Node};

struct Chat {
    lab: Lab,
    b: String,
    /// Two companions of one account.
    one: Companion,
    sibling: Companion,
    /// The reader, and a sibling of it.
    two: Companion,
    second: Companion,
}

impl Chat {
    fn new() -> Self {
        let mut lab = Lab::new();
        let (a, b) = (lab.account(), lab.account());
        let mut one = lab.companion(&a, 20);
        let mut sibling = lab.companion(&a, 20);
        let mut two = lab.companion(&b, 20);
        let mut second = lab.companion(&b, 20);
        for companion in [&mut one, &mut sibling, &mut two, &mut second] {
            companion.drain();
        }
        Self { lab, b, one, sibling, two, second }
    }

    /// `one` writes to `two`'s account; what `two` got.
    fn message(&mut self, id: &str) -> Node {
        let to = self.two.jid.clone().unwrap();
        let devices = [to.clone(), self.second.jid.clone().unwrap()];
        let message = self.one.message(id, &to.without_device(), &devices).attr("device_fanout", "false");
        self.one.send(&mut self.lab, message);
        self.one.take("ack");
        self.two.take("message")
    }
}

fn receipt(id: &str, to: &Jid, kind: Option<&'static str>) -> Node {
    Node::new("receipt").attr("id", id.to_owned()).attr("to", to.clone()).opt_attr("type", kind)
}

#[test]
fn a_delivery_receipt_reaches_every_device_of_the_author_with_the_readers_device() {
    let mut chat = Chat::new();
    let got = chat.message("M");
    chat.two.send(&mut chat.lab, receipt("M", &got.jid("from").unwrap(), None));
    let ack = chat.two.take("ack");
    assert_eq!((ack.str("class").as_deref(), ack.str("id").as_deref()), (Some("receipt"), Some("M")));
    for companion in [&mut chat.one, &mut chat.sibling] {
        let told = companion.take("receipt");
        assert_eq!(told.jid("from"), chat.two.jid);
        assert_eq!((told.get("type"), told.get("t").is_some(), told.get("to")), (None, true, None));
    }
    assert!(chat.second.drain().iter().all(|node| node.tag != "receipt"));
}

#[test]
fn a_read_receipt_also_reaches_the_readers_own_devices() {
    let mut chat = Chat::new();
    let got = chat.message("M");
    let read = receipt("M", &got.jid("from").unwrap(), Some("read")).attr("t", "1786000000123");
    chat.two.send(&mut chat.lab, read);
    let told = chat.one.take("receipt");
    assert_eq!((told.str("type").as_deref(), told.u64("t")), (Some("read"), Some(1_786_000_000)), "seconds");
    let own = chat.second.take("receipt");
    assert_eq!(own.jid("from"), chat.two.jid);
    assert_eq!(own.jid("recipient"), chat.one.jid.clone().map(|jid| jid.without_device()));
}

#[test]
fn with_read_receipts_off_the_author_hears_nothing() {
    let mut chat = Chat::new();
    let category = Node::new("category").attr("name", "readreceipts").attr("value", "none");
    chat.two.iq(&mut chat.lab, "privacy", "set", Node::new("privacy").child(category));
    let got = chat.message("M");
    chat.two.send(&mut chat.lab, receipt("M", &got.jid("from").unwrap(), Some("read")));
    assert!(chat.one.drain().iter().all(|node| node.tag != "receipt"));
    chat.second.take("receipt");
}

#[test]
fn a_retry_receipt_reaches_the_exact_device_and_lets_the_resend_through_once_per_request() {
    let mut chat = Chat::new();
    let got = chat.message("M");
    chat.two.drain();
    let from = got.jid("from").unwrap();
    let retry = Node::new("retry").attr("v", "1").attr("count", "1").attr("id", "M").attr("t", "1");
    let asked =
        receipt("M", &from, Some("retry")).child(retry).child(Node::new("registration").bytes([0, 0, 0, 1]));
    chat.two.send(&mut chat.lab, asked);
    let told = chat.one.take("receipt");
    assert_eq!(told.jid("from"), chat.two.jid);
    assert!(told.find("retry").is_some() && told.find("registration").is_some());
    assert!(chat.sibling.drain().iter().all(|node| node.tag != "receipt"));

    let device = chat.two.jid.clone().unwrap();
    let resend = Node::new("message")
        .attr("id", "M")
        .attr("to", device.clone())
        .attr("type", "text")
        .child(chat.one.enc(&device).attr("count", "1"))
        .child(Node::new("device-identity").bytes(chat.one.account.clone()));
    chat.one.send(&mut chat.lab, resend);
    let again = chat.two.take("message");
    assert_eq!(again.str("id").as_deref(), Some("M"));
    assert_eq!(again.find("enc").unwrap().str("count").as_deref(), Some("1"));
    assert_eq!(chat.lab.violations(), []);

    let wrapped = chat.one.message("M", &device.without_device(), &[device]);
    chat.one.send(&mut chat.lab, wrapped);
    let ack = chat.one.find(|node| node.tag == "ack" && node.get("error").is_some());
    assert_eq!(ack.u64("error"), Some(479));
    assert_eq!(chat.lab.violations(), [("retry-fanout".to_owned(), 1)]);
}

#[test]
fn in_strict_an_own_copy_stays_until_its_sender_receipt() {
    let mut chat = Chat::new();
    let to = chat.lab.world.accounts[&chat.b].pn.clone();
    let own = chat.sibling.jid.clone().unwrap();
    let message = chat.one.message("M", &to, std::slice::from_ref(&own)).attr("device_fanout", "false");
    chat.one.send(&mut chat.lab, message);
    let copy = chat.sibling.take("message");
    assert_eq!(copy.jid("recipient"), Some(to.clone()));
    let from = copy.jid("from").unwrap();
    let waits = |chat: &Chat| {
        let at = chat.lab.world.resolve(&own).unwrap();
        chat.lab.world.device(&at).unwrap().queue.iter().any(|entry| entry.id == "M")
    };
    let ack = Node::new("ack").attr("class", "message").attr("id", "M").attr("to", from.clone());
    chat.sibling.send(&mut chat.lab, ack);
    assert!(waits(&chat), "a bare ack leaves it");
    // Baileys writes no `to` for these.
    let sender = Node::new("receipt").attr("id", "M").attr("type", "sender").attr("recipient", to);
    chat.sibling.send(&mut chat.lab, sender);
    assert!(!waits(&chat));
}

#[test]
fn presence_and_typing_go_to_those_who_watch() {
    let mut chat = Chat::new();
    let to = chat.lab.world.accounts[&chat.b].pn.clone();
    let subscribe = Node::new("presence").attr("type", "subscribe").attr("to", to.clone());
    chat.one.send(&mut chat.lab, subscribe);
    let state = chat.one.take("presence");
    assert_eq!(
        (state.str("type").as_deref(), state.str("last").as_deref()),
        (Some("unavailable"), Some("none"))
    );
    let me = chat.one.jid.clone().unwrap().without_device();
    let typing = Node::new("chatstate").attr("to", me).child(Node::new("composing"));
    chat.two.send(&mut chat.lab, typing.clone());
    assert!(chat.one.drain().is_empty(), "dropped while unavailable");
    chat.two.send(&mut chat.lab, Node::new("presence").attr("type", "available").attr("name", "Bea"));
    assert_eq!(chat.one.take("presence").get("type"), None);
    chat.two.send(&mut chat.lab, typing);
    let shown = chat.one.take("chatstate");
    assert_eq!((shown.jid("from"), shown.nodes().count()), (Some(to), 1));
    chat.two.disconnect(&mut chat.lab);
    assert_eq!(chat.one.take("presence").str("type").as_deref(), Some("unavailable"));
}

#[test]
fn with_a_time_to_live_fresh_chat_states_come_at_the_login_and_old_ones_never() {
    let mut lab = Lab::with(|config| config.chatstate_ttl_s = 3);
    let (a, b) = (lab.account(), lab.account());
    let (mut one, mut two) = (lab.companion(&a, 20), lab.companion(&b, 20));
    two.disconnect(&mut lab);
    one.send(&mut lab, Node::new("presence").attr("type", "available"));
    let state =
        |state: &'static str| Node::new("chatstate").attr("to", Jid::pn(&b).unwrap()).child(Node::new(state));
    one.send(&mut lab, state("paused"));
    lab.later(2000);
    one.send(&mut lab, state("composing"));
    lab.later(2000);
    two.login(&mut lab, false);
    lab.later(600);
    let states: Vec<Node> = two.drain().into_iter().filter(|node| node.tag == "chatstate").collect();
    assert_eq!(states.len(), 1);
    assert!(states[0].find("composing").is_some());
}

#[test]
fn group_receipts_of_several_members_are_merged_where_that_is_configured() {
    let mut lab = Lab::with(|config| config.group_receipts = true);
    let numbers: Vec<String> = (0..3).map(|_| lab.account()).collect();
    let mut members: Vec<_> = numbers.iter().map(|number| lab.companion(number, 20)).collect();
    let group: Jid =
        lab.world.create_group_as(&numbers[0], "We", &numbers[1..], false).unwrap().parse().unwrap();
    members[0].drain();
    for reader in 1..3 {
        let author = members[0].jid.clone().unwrap();
        let read = receipt("M", &group, Some("read")).attr("participant", author);
        members[reader].send(&mut lab, read);
    }
    lab.later(500);
    let merged = members[0].take("receipt");
    assert_eq!((merged.jid("from"), merged.str("type").as_deref()), (Some(group), Some("read")));
    let users: Vec<Jid> =
        merged.find("participants").unwrap().find_all("user").map(|user| user.jid("jid").unwrap()).collect();
    assert_eq!(users, [Jid::pn(&numbers[1]).unwrap(), Jid::pn(&numbers[2]).unwrap()]);
    assert!(members[0].drain().iter().all(|node| node.tag != "receipt"), "one stanza");
}
