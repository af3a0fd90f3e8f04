//! Phones with several companions, virtual ones among them.

use super::*;

impl Sim {
    fn text_as(&mut self, number: &str, device: u16, to: &Jid, text: &str) -> String {
        let (to, content) = (to.clone(), PhoneContent::Text(text.to_owned()));
        self.order(number, |op| PhoneCommand::Send { op, to, content, id: None, device }).unwrap();
        self.outbox(number).last().unwrap().id.clone()
    }
}

#[test]
fn virtual_companions_are_listed_signed_and_get_and_send_messages() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    assert_eq!(sim.0.add_virtual_devices(&a, 2).unwrap(), [1, 2]);
    assert_eq!(sim.0.add_virtual_devices(&b, 1).unwrap(), [1]);
    assert_eq!(sim.key_index_list(&a).valid_indexes, [1, 2]);
    let (to_a, to_b) = (sim.pn(&a), sim.lid(&b));
    let id = sim.text(&b, &to_a, "to three devices and a sibling");
    assert_eq!(sim.outbox(&b).last().unwrap().targets.len(), 4);
    let mut receipts = sim.receipts(&b, &id);
    receipts.sort_unstable();
    assert_eq!(receipts, ["delivered", "delivered", "delivered", "sender"]);
    for (device, text) in [(1, "from one"), (2, "from two"), (1, "from one again")] {
        let id = sim.text_as(&a, device, &to_b, text);
        let got = sim.inbox(&b).last().unwrap();
        assert_eq!((got.text.as_deref(), got.device, &got.id), (Some(text), device, &id));
        let copy = sim.inbox(&a).last().unwrap();
        assert!(copy.own_copy && copy.text.as_deref() == Some(text));
    }
    sim.assert_clean();
}

#[test]
fn virtual_companions_take_part_in_groups_and_recover_after_a_reinstall_of_a_contact() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    sim.0.add_virtual_devices(&a, 1).unwrap();
    let group = sim.group(&a, &[&b], true);
    sim.text_as(&a, 1, &group, "1");
    sim.text(&b, &group, "2");
    sim.0.reinstall(&b);
    sim.text_as(&a, 1, &group, "3");
    assert_eq!(sim.texts(&b), ["1", "3"]);
    assert_eq!(sim.texts(&a), ["1", "2", "3"]);
    sim.assert_clean();
}

#[test]
fn virtual_companions_survive_a_restart_and_go_when_they_are_unlinked() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    sim.0.add_virtual_devices(&a, 2).unwrap();
    let to_b = sim.pn(&b);
    sim.text_as(&a, 1, &to_b, "before");
    let sim = &mut Sim(sim.0.reopened());
    sim.text_as(&a, 1, &to_b, "after");
    assert_eq!(sim.texts(&b), ["before", "after"]);
    sim.0.command(&a, PhoneCommand::Unlink { device: Some(1) }).unwrap();
    assert_eq!(sim.key_index_list(&a).valid_indexes, [2]);
    let (to, content) = (to_b.clone(), PhoneContent::Text("gone".to_owned()));
    let order = sim.order(&a, |op| PhoneCommand::Send { op, to, content, id: None, device: 1 });
    assert!(matches!(order, Err(PhoneError::Unknown(_))));
    let to_a = sim.pn(&a);
    sim.text(&b, &to_a, "to two");
    assert_eq!(sim.outbox(&b).last().unwrap().targets.len(), 2);
    assert_eq!(sim.0.add_virtual_devices(&a, 4), Err(PhoneError::CompanionLimit));
    sim.assert_clean();
}
