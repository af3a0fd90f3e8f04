//! Group messages: distribution, rotation, membership.

use super::*;
use crate::sim::world::Namespace;
use crate::wire::Node;

impl Sim {
    pub(super) fn group(&mut self, creator: &str, members: &[&str], lid: bool) -> Jid {
        let members: Vec<String> = members.iter().map(|number| (*number).to_owned()).collect();
        let mode = if lid { Namespace::Lid } else { Namespace::Pn };
        let id = self.0.new_group(creator, "friends".to_owned(), &members, mode).unwrap();
        self.0.settle();
        Jid::new(&id, crate::wire::Server::Group).unwrap()
    }

    /// The creator's phone adds or removes a member.
    fn change(&mut self, by: &str, group: &Jid, action: &'static str, member: &Jid) {
        let child = Node::new(action).child(Node::new("participant").attr("jid", member));
        let iq = Node::new("iq")
            .attr("to", group)
            .attr("id", "change")
            .attr("xmlns", "w:g2")
            .attr("type", "set")
            .child(child);
        self.0.with_phone(by, |_, context| context.send(iq));
        self.0.settle();
    }

    fn targets(&self, number: &str) -> usize {
        self.outbox(number).last().unwrap().targets.len()
    }
}

#[test]
fn group_texts_reach_every_member_in_both_addressing_modes() {
    for lid in [false, true] {
        let sim = &mut Sim::new();
        let [a, b, c] = sim.accounts();
        let group = sim.group(&a, &[&b, &c], lid);
        sim.text(&a, &group, "1");
        sim.text(&b, &group, "2");
        let id = sim.text(&a, &group, "3");
        assert_eq!(sim.texts(&a), ["2"]);
        assert_eq!(sim.texts(&b), ["1", "3"]);
        assert_eq!(sim.texts(&c), ["1", "2", "3"]);
        let got = sim.inbox(&c).last().unwrap();
        assert_eq!((&*got.enc_type, &got.chat), ("skmsg", &group.to_string()));
        assert_eq!(sim.receipts(&a, &id), ["delivered", "delivered"]);
        sim.assert_clean();
    }
}

#[test]
fn a_joining_member_reads_what_comes_and_a_removed_one_means_a_new_key() {
    let sim = &mut Sim::new();
    let [a, b, c] = sim.accounts();
    let group = sim.group(&a, &[&b], false);
    sim.text(&a, &group, "1");
    let member = sim.pn(&c);
    sim.change(&a, &group, "add", &member);
    sim.text(&a, &group, "2");
    assert_eq!((sim.texts(&b), sim.texts(&c)), (vec!["1", "2"], vec!["2"]));
    let key_id = |sim: &Sim| sim.0.accounts.get(&a).unwrap().phone.snapshot()["groups"][0]["key"].clone();
    let before = key_id(sim).as_str().unwrap()[4..12].to_owned();
    sim.change(&a, &group, "remove", &member);
    sim.text(&a, &group, "3");
    let after = key_id(sim).as_str().unwrap()[4..12].to_owned();
    assert_ne!(before, after, "the sender key's id changes");
    assert_eq!((sim.texts(&b), sim.texts(&c)), (vec!["1", "2", "3"], vec!["2"]));
    assert_eq!(sim.targets(&a), 1);
    sim.assert_clean();
}

#[test]
fn a_member_who_lost_everything_gets_the_message_and_the_key_again() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let group = sim.group(&a, &[&b], false);
    sim.text(&a, &group, "1");
    sim.0.reinstall(&b);
    sim.text(&a, &group, "2");
    sim.text(&a, &group, "3");
    assert_eq!(sim.texts(&b), ["1", "2", "3"]);
    sim.assert_clean();
}
