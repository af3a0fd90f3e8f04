//! 1:1 messages both ways, receipts, edits, reactions.

use super::*;

#[test]
fn texts_go_both_ways_in_both_namespaces_with_delivery_receipts() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    for (round, address) in [Sim::pn, Sim::lid, Sim::pn, Sim::lid].into_iter().enumerate() {
        for (from, to) in [(&a, &b), (&b, &a)] {
            for i in 0..3 {
                let text = format!("{round} {i} from {from}");
                let jid = address(sim, to);
                let id = sim.text(from, &jid, &text);
                let got = sim.inbox(to).last().unwrap();
                assert_eq!((got.text.as_deref(), got.decrypt_ok, &got.id), (Some(&*text), true, &id));
                assert_eq!((&*got.kind, got.own_copy, got.device), ("conversation", false, 0));
                assert_eq!(sim.receipts(from, &id), ["delivered"]);
                let sent = sim.outbox(from).last().unwrap();
                assert_eq!(sent.ack.as_ref().unwrap().error, None);
                assert_eq!(sent.targets, [jid.to_string()]);
            }
        }
    }
    assert_eq!(sim.inbox(&a).len() + sim.inbox(&b).len(), 24);
    sim.assert_clean();
}

#[test]
fn the_first_message_is_a_pkmsg_and_the_answer_makes_it_a_msg() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, to_a) = (sim.pn(&b), sim.pn(&a));
    sim.text(&a, &to_b, "1");
    sim.text(&a, &to_b, "2");
    sim.text(&b, &to_a, "3");
    sim.text(&a, &to_b, "4");
    let kinds = |number: &str| sim.inbox(number).iter().map(|item| item.enc_type.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&b), ["pkmsg", "pkmsg", "msg"]);
    assert_eq!(kinds(&a), ["msg"]);
}

#[test]
fn a_phone_that_was_off_gets_what_waited() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let to_b = sim.pn(&b);
    sim.0.power(&b, false);
    let id = sim.text(&a, &to_b, "later");
    assert!(sim.inbox(&b).is_empty() && sim.receipts(&a, &id).is_empty());
    let to_a = sim.pn(&a);
    let order = sim.order(&b, |op| PhoneCommand::Send {
        op,
        to: to_a,
        content: PhoneContent::Text("no".to_owned()),
        id: None,
        device: 0,
    });
    assert_eq!(order, Err(PhoneError::PhoneOffline));
    sim.0.power(&b, true);
    assert_eq!(sim.texts(&b), ["later"]);
    assert_eq!(sim.receipts(&a, &id), ["delivered"]);
}

#[test]
fn reactions_edits_and_revokes_name_their_target() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, to_a) = (sim.lid(&b), sim.lid(&a));
    let id = sim.text(&a, &to_b, "first");
    let reaction = sim.say(&b, &to_a, PhoneContent::React { id: id.clone(), emoji: "👍".to_owned() });
    sim.say(&a, &to_b, PhoneContent::Edit { id: id.clone(), text: "second".to_owned() });
    sim.say(&a, &to_b, PhoneContent::Revoke { id: id.clone(), author: None });
    assert_eq!(sim.texts(&a), ["👍"]);
    assert_eq!(sim.receipts(&b, &reaction), ["inactive"]);
    let kinds: Vec<&str> = sim.inbox(&b).iter().map(|item| item.kind.as_str()).collect();
    assert_eq!(kinds, ["conversation", "protocolMessage", "protocolMessage"]);
    let shown = |at: usize| crate::proto::json::to_json("Message", &sim.inbox(&b)[at].message).unwrap();
    assert_eq!(shown(1)["protocolMessage"]["key"]["id"], *id);
    assert_eq!(shown(1)["protocolMessage"]["type"], "MESSAGE_EDIT");
    assert_eq!(shown(2)["protocolMessage"]["key"]["fromMe"], true);
    assert_eq!(shown(2)["protocolMessage"]["type"], "REVOKE");
    let reacted = crate::proto::json::to_json("Message", &sim.inbox(&a)[0].message).unwrap();
    assert_eq!(reacted["reactionMessage"]["key"]["fromMe"], false);
    let to = to_a.clone();
    let order = sim.order(&b, |op| PhoneCommand::Send {
        op,
        to,
        content: PhoneContent::Edit { id, text: "not mine".to_owned() },
        id: None,
        device: 0,
    });
    assert!(matches!(order, Err(PhoneError::Unknown(_))));
    sim.assert_clean();
}

#[test]
fn read_and_played_receipts_go_out_on_command() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, chat) = (sim.pn(&b), sim.pn(&a));
    let ids = vec![sim.text(&a, &to_b, "1"), sim.text(&a, &to_b, "2")];
    for kind in ["read", "played"] {
        let order = PhoneCommand::Receipt {
            ids: ids.clone(),
            chat: chat.clone(),
            kind: kind.to_owned(),
            participant: None,
        };
        sim.0.command(&b, order).unwrap();
    }
    for id in &ids {
        assert_eq!(sim.receipts(&a, id), ["delivered", "read", "played"]);
    }
    let unknown = PhoneCommand::Receipt { ids, chat, kind: "eaten".to_owned(), participant: None };
    assert!(matches!(sim.0.command(&b, unknown), Err(PhoneError::Unknown(_))));
}

#[test]
fn a_message_to_nobody_fails() {
    let sim = &mut Sim::new();
    let a = sim.account();
    for to in ["4912345678@s.whatsapp.net", "100000000000001@lid"] {
        let to: Jid = to.parse().unwrap();
        let op = sim
            .order(&a, |op| PhoneCommand::Send {
                op,
                to,
                content: PhoneContent::Text("x".to_owned()),
                id: None,
                device: 0,
            })
            .unwrap();
        let outcome = format!("{:?}", sim.0.ops.get(&op));
        assert!(outcome.contains("SendFailed"), "{outcome}");
    }
}

#[test]
fn the_same_seed_gives_the_same_keys_ids_and_ciphertexts() {
    let run = || {
        let sim = &mut Sim::new();
        let [a, b] = sim.accounts();
        let to_b = sim.pn(&b);
        sim.text(&a, &to_b, "once");
        let state = sim.0.accounts.values().map(|account| account.phone.snapshot()).collect::<Vec<_>>();
        (sim.inbox(&b).to_vec(), state)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_restored_world_goes_on_where_it_stopped() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (to_b, to_a) = (sim.pn(&b), sim.lid(&a));
    let id = sim.text(&a, &to_b, "before");
    sim.text(&b, &to_a, "answer");
    let group = sim.group(&a, &[&b], false);
    sim.text(&a, &group, "group before");
    let sim = &mut Sim(sim.0.reopened());
    sim.text(&a, &to_b, "after");
    sim.text(&b, &to_a, "after too");
    sim.text(&a, &group, "group after");
    sim.say(&a, &to_b, PhoneContent::Edit { id, text: "edited".to_owned() });
    assert_eq!(sim.texts(&b), ["before", "group before", "after", "group after", "edited"]);
    assert_eq!(sim.texts(&a), ["answer", "after too"]);
    sim.assert_clean();
}
