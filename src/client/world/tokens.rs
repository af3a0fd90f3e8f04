//! Contact tokens (protocol 05d §6, 05a §13).

use super::{Device, IqFault, World};
use crate::client::send::token;
use crate::proto::Message;
use crate::proto::message::ProtocolMessage;
use crate::proto::message::protocol_message::Type;
use crate::stanza::contact_token::cstoken;
use crate::store::ContactToken;
use crate::wire::{Jid, Node};

const WEEK: i64 = 604_800;

fn issued(world: &World, device: &Device) -> Vec<Node> {
    let asked = world.router.asked(device, "tokens").into_iter();
    asked.map(|iq| iq.find("tokens").unwrap().find("token").unwrap().clone()).collect()
}

async fn held(device: &Device, contact: &Jid) -> ContactToken {
    let contact = contact.clone();
    device.store.read(move |tx| tx.contact_token(&token::name(tx, &contact)?)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_issued_exactly_once_in_a_bucket_under_fifty_sends_at_once() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let sends = (0..50).map(|at| {
        let (messaging, to) = (std::sync::Arc::clone(&a0.messaging), b.pn.clone());
        tokio::spawn(async move {
            messaging.issue_token(to.clone(), token::Issue::Fresh).await.unwrap();
            messaging.send_text(&to, "text", &at.to_string()).await.unwrap();
        })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap();
    }
    world.settle().await;
    assert_eq!(world.router.sent(&a0, "message").len(), 50);
    let first = issued(&world, &a0);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].jid("jid").unwrap(), b.pn.to_user(), "the number, unless the server wants the LID");
    // The next bucket.
    tokio::time::sleep(std::time::Duration::from_secs(WEEK.unsigned_abs())).await;
    a0.messaging.send_text(&b.pn, "later", "later").await.unwrap();
    world.settle().await;
    assert_eq!(issued(&world, &a0).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_server_did_not_take_is_issued_with_the_next_message() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.iq_fault("tokens", IqFault::Refuse { code: 503, backoff: None });
    for key in ["first", "second", "third"] {
        a0.messaging.send_text(&b.pn, "text", key).await.unwrap();
        world.settle().await;
    }
    assert_eq!(issued(&world, &a0).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_token_goes_out_with_protocol_messages_to_ourselves_or_with_retries() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let _b0 = world.device(&b, 0).await;
    let timer = Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            r#type: Some(Type::EphemeralSetting as i32),
            ephemeral_expiration: Some(0),
            ..Default::default()
        })),
        ..Message::default()
    };
    a0.messaging.send(&b.pn, timer, "timer").await.unwrap();
    a0.messaging.send_text(&a.lid, "note", "note").await.unwrap();
    world.settle().await;
    assert_eq!(world.router.sent(&a0, "message").len(), 2);
    assert!(issued(&world, &a0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_an_identity_change_the_token_is_issued_again_with_its_old_time_also_after_a_crash() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b.pn, "text", "text").await.unwrap();
    world.settle().await;
    let t = held(&a0, &b.lid).await.issued_t.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    let changed = |id: &'static str| {
        Node::new("notification")
            .attr("from", b0.lid.to_user())
            .attr("id", id)
            .attr("type", "encrypt")
            .attr("t", "1")
            .child(Node::new("identity"))
    };
    world.router.iq_fault("tokens", IqFault::Lose);
    a0.messaging.stanza(changed("first")).await;
    world.settle().await;
    assert_eq!(issued(&world, &a0).len(), 2);
    // The process ends before the answer; the next one gives what is owed.
    let (store, pn, lid) = a0.stop();
    let a0 = world.start(store, pn, lid).await;
    world.settle().await;
    let tokens = issued(&world, &a0);
    assert_eq!(tokens.len(), 3);
    assert!(tokens.iter().all(|token| token.u64("t") == Some(t.unsigned_abs())));
    assert!(!held(&a0, &b.lid).await.reissue);
    // An expired one is not given again.
    let name = b.lid.to_string();
    a0.edit(move |tx| {
        let stored = tx.contact_token(&name)?;
        tx.put_contact_token(&name, &ContactToken { issued_t: Some(t - 5 * WEEK), ..stored })
    })
    .await;
    let contact = b.lid.clone();
    a0.messaging.issue_token(contact, token::Issue::Again).await.unwrap();
    assert_eq!(issued(&world, &a0).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_held_token_goes_beside_the_message_else_a_computed_one_where_the_server_wants_it() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let now_s = a0.messaging.ctx.clock.wall_s();
    let beside = |key: &'static str| {
        let (world, a0, b) = (&world, &a0, &b);
        async move {
            a0.messaging.send_text(&b.pn, "text", key).await.unwrap();
            world.settle().await;
            let sent = world.router.sent(a0, "message").pop().unwrap();
            let bytes =
                |tag: &str| sent.find(tag).and_then(|node| node.content_bytes().map(|b| b.into_owned()));
            (bytes("tctoken"), bytes("cstoken"))
        }
    };
    assert_eq!(beside("none").await, (None, None));
    a0.edit(|tx| tx.set_nct_salt(Some(&[7; 16]))).await;
    assert_eq!(beside("switched off").await, (None, None));
    a0.edit(|tx| {
        let values = vec![(24941, "1".to_owned())];
        tx.set_props(&crate::store::Props { values, ..Default::default() })
    })
    .await;
    let computed = cstoken(&[7; 16], &b.lid).to_vec();
    assert_eq!(beside("computed").await, (None, Some(computed)));
    let name = b.lid.to_string();
    a0.edit(move |tx| {
        let stored = tx.contact_token(&name)?;
        tx.put_contact_token(&name, &ContactToken { token: Some(vec![9; 8]), t: Some(now_s), ..stored })
    })
    .await;
    assert_eq!(beside("held").await, (Some(vec![9; 8]), None));
}

#[tokio::test(start_paused = true)]
async fn expired_tokens_are_pruned_and_a_number_that_gets_a_lid_takes_its_token_along() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let now_s = a0.messaging.ctx.clock.wall_s();
    let (pn, lid) = (Jid::pn("15559998888").unwrap(), Jid::lid("7777").unwrap());
    let (from, to) = (pn.to_string(), lid.to_string());
    a0.edit(move |tx| {
        let token =
            ContactToken { token: Some(vec![1]), t: Some(now_s), issued_t: Some(now_s - 1), reissue: true };
        tx.put_contact_token(&from, &token)?;
        tx.put_contact_token(
            &to,
            &ContactToken { token: Some(vec![2]), t: Some(now_s - 9), ..Default::default() },
        )?;
        tx.put_contact_token(
            "old@lid",
            &ContactToken { token: Some(vec![3]), t: Some(now_s - 5 * WEEK), ..Default::default() },
        )
    })
    .await;
    let (one, other) = (pn.clone(), lid.clone());
    a0.edit(move |tx| crate::client::devices::mapping::learn(tx, &one, &other, 5)).await;
    a0.edit(move |tx| token::prune(tx, now_s)).await;
    let names = a0.store.read(|tx| tx.contacts_with_tokens(None, 10)).await.unwrap();
    assert_eq!(names, ["7777@lid"]);
    let joined = held(&a0, &lid).await;
    assert_eq!((joined.token, joined.issued_t, joined.reissue), (Some(vec![1]), Some(now_s - 1), true));
}
