//! Sender keys that come in groups: whose they are, what they outlive (protocol 04 §10.4, §11.4, §15 R1 and R6).

use prost::Message as _;

use super::{Device, World};
use crate::client::devices::address;
use crate::crypto::os_rng;
use crate::proto::Message;
use crate::proto::message::SenderKeyDistributionMessage;
use crate::signal::{SenderKey, padding};
use crate::wire::{Jid, Node};

const GROUP: &str = "120363000000000001@g.us";

fn distribution(key: &SenderKey, group: Option<&str>) -> Message {
    let sent = SenderKeyDistributionMessage {
        group_id: group.map(str::to_owned),
        axolotl_sender_key_distribution_message: Some(key.distribution().serialize().to_vec()),
    };
    Message { sender_key_distribution_message: Some(Box::new(sent)), ..Message::default() }
}

/// An `<enc>` for everybody in the group.
fn skmsg(key: &mut SenderKey, text: &str) -> Node {
    let text = Message { conversation: Some(text.to_owned()), ..Message::default() };
    let sealed = key.encrypt(&padding::pad_with(&text.encode_to_vec(), 2), &mut os_rng()).unwrap();
    Node::new("enc").attr("v", "2").attr("type", "skmsg").bytes(sealed)
}

/// A message in the group, as the server hands it on.
async fn said(world: &World, from: &Device, to: &Device, id: &str, encs: Vec<Node>) {
    let stanza = Node::new("message")
        .attr("from", GROUP.parse::<Jid>().unwrap())
        .attr("participant", from.lid.in_device_form())
        .attr("addressing_mode", "lid")
        .attr("id", id.to_owned())
        .attr("t", 1_760_000_000_u64)
        .attr("type", "text")
        .children(encs);
    to.messaging.stanza(stanza).await;
    world.settle().await;
}

/// Two phones with a confirmed session.
async fn talking(world: &World) -> (Device, Device) {
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    b0.messaging.send_text(&a0.lid, "answer", "answer").await.unwrap();
    world.settle().await;
    (a0, b0)
}

async fn holds_key(device: &Device, group: &str, of: &Device) -> bool {
    let (group, of) = (group.to_owned(), address::key(&of.lid));
    device.store.read(move |tx| tx.sender_key(&group, &of)).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_13_a_distribution_with_a_foreign_group_id_is_ignored() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let key = SenderKey::generate(&mut os_rng());
    let foreign = "120363000000000009@g.us";
    let enc = a0.seal(&b0, &distribution(&key, Some(foreign))).await;
    said(&world, &a0, &b0, "FOREIGN", vec![enc]).await;
    assert!(!holds_key(&b0, foreign, &a0).await && !holds_key(&b0, GROUP, &a0).await);
    // Named, empty and absent mean this chat.
    for (at, group) in [Some(GROUP), Some(""), None].into_iter().enumerate() {
        let mut key = SenderKey::generate(&mut os_rng());
        let enc = a0.seal(&b0, &distribution(&key, group)).await;
        said(&world, &a0, &b0, &format!("KEY{at}"), vec![enc, skmsg(&mut key, &format!("text {at}"))]).await;
    }
    assert_eq!(b0.texts().await, ["first", "text 0", "text 1", "text 2"]);
    // In a chat of two there is no sender key.
    let enc = a0.seal(&b0, &distribution(&key, None)).await;
    a0.says(&b0, "DIRECT", enc).await;
    world.settle().await;
    let chat = a0.lid.to_string();
    assert!(!holds_key(&b0, &chat, &a0).await);
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_19_of_a_skmsg_that_fails_beside_a_pkmsg_the_key_stays_and_the_resend_is_delivered() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let mut key = SenderKey::generate(&mut os_rng());
    let enc = a0.seal(&b0, &distribution(&key, Some(GROUP))).await;
    let good = skmsg(&mut key, "said once");
    let mut bytes = good.content_bytes().unwrap().into_owned();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let bad = Node::new("enc").attr("v", "2").attr("type", "skmsg").bytes(bytes);
    said(&world, &a0, &b0, "SAME", vec![enc, bad]).await;
    assert!(holds_key(&b0, GROUP, &a0).await, "what opened beside it stays");
    assert_eq!(b0.texts().await, ["first"]);
    let asked = world.router.sent(&b0, "receipt").into_iter();
    let asked: Vec<Node> = asked.filter(|receipt| receipt.str("type").as_deref() == Some("retry")).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].find("retry").unwrap().str("error").unwrap(), "2");
    let again = Node { attrs: good.attrs.clone(), ..good }.attr("count", "1");
    said(&world, &a0, &b0, "SAME", vec![again]).await;
    assert_eq!(b0.texts().await, ["first", "said once"]);
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_17_sender_keys_of_a_former_identity_open_until_the_first_distribution_of_the_new_one() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0, b1) = (world.device(&a, 0).await, world.device(&b, 0).await, world.device(&b, 1).await);
    b1.messaging.send_text(&a0.lid, "hello", "hello").await.unwrap();
    world.settle().await;
    let mut old = SenderKey::generate(&mut os_rng());
    let enc = b1.seal(&a0, &distribution(&old, None)).await;
    said(&world, &b1, &a0, "OLD1", vec![enc, skmsg(&mut old, "old 1")]).await;
    // We had given this device our own key: after a change it has to get it again.
    let device = address::key(&b1.lid);
    a0.edit(move |tx| tx.mark_distributed(GROUP, &[device], 7, 1)).await;

    // The companion is linked anew under the same number.
    let b1 = world.device(&b, 1).await;
    b1.messaging.prekeys.upload().await.unwrap();
    b1.messaging.send_text(&a0.lid, "new", "new").await.unwrap();
    world.settle().await;
    let device = address::key(&b1.lid);
    assert!(a0.store.read(move |tx| tx.distribution(GROUP, &device)).await.unwrap().is_none());
    said(&world, &b1, &a0, "OLD2", vec![skmsg(&mut old, "old 2")]).await;
    let mut new = SenderKey::generate(&mut os_rng());
    let enc = b1.seal(&a0, &distribution(&new, None)).await;
    said(&world, &b1, &a0, "NEW1", vec![enc, skmsg(&mut new, "new 1")]).await;
    said(&world, &b1, &a0, "OLD3", vec![skmsg(&mut old, "old 3")]).await;
    said(&world, &b1, &a0, "NEW2", vec![skmsg(&mut new, "new 2")]).await;
    assert_eq!(a0.texts().await, ["hello", "old 1", "new", "old 2", "new 1", "new 2"]);
}
