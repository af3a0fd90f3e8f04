//! Retry receipts both ways, who is entitled to a resend (05b §9, §10).

use super::*;

#[test]
fn a_lost_session_is_made_again_by_a_retry_with_keys() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, to_a) = (sim.pn(&b), sim.pn(&a));
    sim.text(&a, &to_b, "1");
    sim.text(&b, &to_a, "2");
    sim.0.command(&b, PhoneCommand::DropSession { device: to_a.clone() }).unwrap();
    let id = sim.text(&a, &to_b, "3");
    assert_eq!(sim.texts(&b), ["1", "3"]);
    let items: Vec<(bool, &str)> =
        sim.inbox(&b).iter().map(|item| (item.decrypt_ok, item.enc_type.as_str())).collect();
    assert_eq!(items, [(true, "pkmsg"), (false, "msg"), (true, "pkmsg")]);
    let sent = sim.outbox(&a).iter().find(|item| item.id == id).unwrap();
    let counts: Vec<u32> = sent.retries.iter().map(|retry| retry.count).collect();
    assert_eq!(counts, [1, 2], "the first retry has no keys and asks in vain, the second brings them");
    assert_eq!(sim.receipts(&a, &id), ["delivered"]);
    sim.text(&b, &to_a, "4");
    assert_eq!(sim.texts(&a), ["2", "4"]);
}

#[test]
fn a_reinstalled_phone_asks_again_and_its_peers_learn_the_new_identity() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, to_a) = (sim.lid(&b), sim.lid(&a));
    sim.text(&a, &to_b, "1");
    sim.text(&b, &to_a, "2");
    sim.0.reinstall(&b);
    sim.text(&a, &to_b, "3");
    sim.text(&b, &to_a, "4");
    sim.text(&a, &to_b, "5");
    assert_eq!(sim.texts(&b), ["1", "3", "5"]);
    assert_eq!(sim.texts(&a), ["2", "4"]);
    sim.assert_clean();
}

#[test]
fn a_message_under_the_session_of_the_lost_installation_is_recovered() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, to_a) = (sim.pn(&b), sim.pn(&a));
    sim.text(&a, &to_b, "1");
    sim.text(&b, &to_a, "2");
    // The old session's message waits at the server while the phone is set up anew.
    sim.0.power(&b, false);
    sim.text(&a, &to_b, "3");
    sim.0.reinstall(&b);
    sim.0.power(&b, true);
    assert_eq!(sim.texts(&b), ["1", "3"]);
}

#[test]
fn an_ordered_retry_is_answered_only_while_the_message_is_not_confirmed() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, chat) = (sim.pn(&b), sim.pn(&a));
    let id = sim.text(&a, &to_b, "1");
    let order =
        PhoneCommand::Receipt { ids: vec![id.clone()], chat, kind: "retry".to_owned(), participant: None };
    sim.0.command(&b, order).unwrap();
    let sent = sim.outbox(&a).iter().find(|item| item.id == id).unwrap();
    assert_eq!(sent.retries.len(), 1);
    assert_eq!(sim.inbox(&b).len(), 1, "it has said that it has the message");
}
