//! Who vouches for a companion that writes for the first time (protocol 04 §11.2, the table of `device-identity`).

use super::{Account, Device, World, linked};
use crate::client::devices::{address, devices_of};
use crate::client::event::Event;
use crate::crypto::{KeyPair, os_rng};
use crate::proto::Message;
use crate::store::StoreError;
use crate::wire::Node;

/// Two accounts: `a0` receives, `b1` is a companion that has a session with it and has not written yet.
async fn strangers(world: &World) -> (Device, Device, Account) {
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (_b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    // Nothing of b is known to a but the phone's identity.
    let (phone, key) = (b.phone.public().0.to_vec(), address::key(&b.lid));
    a0.edit(move |tx| tx.save_identity(&key, &phone, 1).map(drop)).await;
    b1.messaging.devices.sessions(std::slice::from_ref(&a0.lid)).await.unwrap();
    (a0, b1, b)
}

fn text(text: &str) -> Message {
    Message { conversation: Some(text.to_owned()), ..Message::default() }
}

/// The signed identity of `device`, by the phone of `account`.
async fn signed(account: &Account, device: &Device) -> Vec<u8> {
    let keys = device.store.read(|tx| tx.keys()).await.unwrap().unwrap();
    let identity = KeyPair::from_private(*keys.identity.private.expose());
    linked(account, &identity, device.lid.device(), &mut os_rng())
}

fn vouched(bytes: Vec<u8>) -> Node {
    Node::new("device-identity").bytes(bytes)
}

/// Sessions, identities and prekeys of a device.
async fn state(device: &Device) -> (usize, usize, u64) {
    let read = device.store.read(|tx| {
        Ok::<_, StoreError>((
            tx.session_addresses("")?.len(),
            tx.identity_addresses("")?.len(),
            tx.prekey_count()?,
        ))
    });
    read.await.unwrap()
}

/// The reasons of the retry receipts that a device has sent.
fn reasons(world: &World, device: &Device) -> Vec<String> {
    let receipts = world.router.sent(device, "receipt").into_iter();
    let retries = receipts.filter(|receipt| receipt.str("type").as_deref() == Some("retry"));
    retries.map(|receipt| receipt.find("retry").unwrap().str("error").unwrap().into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_18_a_wrong_and_a_missing_device_identity_are_refused_with_reason_12() {
    let world = World::new();
    let (a0, b1, b) = strangers(&world).await;
    let before = state(&a0).await;
    let enc = b1.seal(&a0, &text("unvouched")).await;
    assert_eq!(enc.str("type").unwrap(), "pkmsg");
    b1.says(&a0, "MISSING", enc).await;
    world.settle().await;
    let mut wrong = signed(&b, &b1).await;
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    let enc = b1.seal(&a0, &text("vouched for by nobody")).await;
    b1.says_with(&a0, "WRONG", enc, vouched(wrong)).await;
    world.settle().await;
    assert_eq!(reasons(&world, &a0), ["12", "12"]);
    assert_eq!((a0.texts().await.len(), state(&a0).await), (0, before), "nothing is committed");

    let enc = b1.seal(&a0, &text("vouched")).await;
    b1.says_with(&a0, "GOOD", enc, vouched(signed(&b, &b1).await)).await;
    world.settle().await;
    assert_eq!(a0.texts().await, ["vouched"]);
    // From now on the identity is known: it needs no check.
    let enc = b1.seal(&a0, &text("known")).await;
    b1.says(&a0, "KNOWN", enc).await;
    world.settle().await;
    assert_eq!(a0.texts().await, ["vouched", "known"]);
    assert_eq!(reasons(&world, &a0).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_18_a_vouched_device_that_the_record_lacks_is_added() {
    let world = World::new();
    let (a0, b1, b) = strangers(&world).await;
    world.router.hide(&b1, true);
    a0.messaging.devices.lists(std::slice::from_ref(&b.lid), true).await.unwrap();
    world.router.hide(&b1, false);
    let known = |device: &Device| {
        let (store, user) = (device.store.clone(), b.lid.clone());
        async move {
            let listed = store.read(move |tx| devices_of(tx, &user)).await.unwrap().unwrap();
            listed.iter().map(|jid| jid.device()).collect::<Vec<_>>()
        }
    };
    assert_eq!(known(&a0).await, [0]);
    let enc = b1.seal(&a0, &text("hello")).await;
    b1.says_with(&a0, "GOOD", enc, vouched(signed(&b, &b1).await)).await;
    world.settle().await;
    assert_eq!(known(&a0).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_18_another_account_key_is_a_changed_phone_and_never_silent() {
    let world = World::new();
    let (a0, b1, b) = strangers(&world).await;
    // A companion of the phone that was.
    let b2 = world.device(&b, 2).await;
    b2.messaging.send_text(&a0.lid, "of the old phone", "old").await.unwrap();
    world.settle().await;
    let other = Account { phone: KeyPair::generate(&mut os_rng()), ..world.account(2) };
    let enc = b1.seal(&a0, &text("of the new phone")).await;
    b1.says_with(&a0, "NEW", enc, vouched(signed(&other, &b1).await)).await;
    world.settle().await;
    assert_eq!(a0.texts().await, ["of the old phone", "of the new phone"]);
    let changed = |event: &&Event| matches!(event, Event::IdentityChanged { implicit: true, .. });
    assert_eq!(a0.events().await.iter().filter(changed).count(), 1);
    let (phone, first, second) = (address::key(&b.lid), address::key(&b1.lid), address::key(&b2.lid));
    let (identity, of_first, of_second, list) = {
        let user = b.lid.to_string();
        let read = a0.store.read(move |tx| {
            let identity = tx.identity(&phone)?.unwrap().key;
            Ok::<_, StoreError>((
                identity,
                tx.has_session(&first)?,
                tx.has_session(&second)?,
                tx.device_list(&user)?.is_some_and(|list| list.devices.iter().any(|d| d.id == 2)),
            ))
        });
        read.await.unwrap()
    };
    assert_eq!(identity, other.phone.public().0.to_vec(), "the phone's identity is the new one");
    assert!(of_first && !of_second, "the companions of the old phone are forgotten, the new one is not");
    assert!(!list || of_second, "the device list was asked for again");
}
