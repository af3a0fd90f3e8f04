//! Links from their beginning to their end (protocol 02 §16).

use std::sync::Arc;
use std::time::Duration;

use palomar::client::{PairEvent, State, Stop};
use palomar::sim::{Direction, NewAccount, TrafficFilter};
use palomar::store::{Flag, StoreError};
use palomar::wire::{Jid, Node};

use crate::faulty::Plan;
use crate::world::{ANNA, BERT, Device, World, within};

fn service(tag: &'static str, id: &'static str, kind: &'static str) -> Node {
    Node::new(tag).attr("from", Jid::service()).attr("type", kind).attr("id", id)
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_08_a_code_survives_a_second_pair_device_and_a_refresh() {
    let world = World::new().await;
    let device = world.device(1).await;
    let pairing = device.client.pair().await.unwrap();
    let code = within(pairing.code(ANNA, None)).await.unwrap();
    let connection = world.connection().await;
    let refs = (0..6).map(|at| Node::new("ref").bytes(format!("2@again{at}").into_bytes()));
    let again = service("iq", "again", "set").attr("xmlns", "md");
    let again = again.child(Node::new("pair-device").children(refs));
    world.sim.admin().inject(connection, again).await;
    let refresh = service("notification", "n1", "companion_reg_refresh").attr("t", "1786000000");
    let refresh = refresh.child(Node::new("companion_reg_refresh"));
    world.sim.admin().inject(connection, refresh).await;
    world.clock.sleep(Duration::from_secs(100)).await;
    world.sim.admin().enter_code(ANNA, &code).await.unwrap();
    within(device.client.ready()).await.unwrap();
}

/// Which part of a pairing's transaction is there.
async fn linked(device: &Device, number: &str) -> (bool, [bool; 4]) {
    let pn = format!("{number}@s.whatsapp.net");
    device
        .store
        .read(move |tx| {
            let parts = [
                tx.lid_of(&pn)?.is_some(),
                !tx.identity_addresses("")?.is_empty(),
                tx.flag(Flag::InitialSyncNeeded)?,
                tx.open_events(0, 100)?.iter().any(|event| event.kind == "linked"),
            ];
            Ok::<_, StoreError>((tx.link()?.is_some(), parts))
        })
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_10_killed_at_every_step_of_a_pairing_a_store_is_unpaired_or_fully_paired() {
    let world = World::new().await;
    let admin = world.sim.admin();
    let (mut rounds, mut half_way) = (0, 0);
    for steps in 0..200_u8 {
        let number = format!("1555100{steps:04}");
        let new = NewAccount { number: Some(number.clone()), ..NewAccount::default() };
        admin.create_account(new).await.unwrap();
        let plan = Arc::new(Plan::default());
        let mut device = world.device_failing(steps + 1, &plan).await;
        plan.fail_after(u64::from(steps));
        let mut success = false;
        if let Ok(mut pairing) = device.client.pair().await {
            while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(90), pairing.next()).await {
                match event {
                    PairEvent::QrCode { text, .. } => drop(admin.scan_qr(&number, &text).await),
                    PairEvent::PairSuccess { .. } => success = true,
                    _ => {}
                }
            }
        }
        world.clock.sleep(Duration::from_secs(5)).await;
        plan.heal();
        let (is_linked, parts) = linked(&device, &number).await;
        assert_eq!(parts, [is_linked; 4], "step {steps}: half a link");
        world.restart(&mut device).await;
        if is_linked {
            // The server knows it, or says at once that it does not.
            device.client.connect().await.unwrap();
            let end = device.becomes(|state| matches!(state, State::Ready | State::Stopped(_))).await;
            if end != State::Ready {
                assert!(matches!(end, State::Stopped(Stop::LoggedOut { .. })), "step {steps}: {end:?}");
                half_way += 1;
            }
        } else {
            world.link(&device, &number).await;
            within(device.client.ready()).await.unwrap();
        }
        rounds += 1;
        if success {
            break;
        }
    }
    println!("{rounds} kills, {half_way} between the store's commit and the reply");
    assert!((10..200).contains(&rounds), "{rounds} rounds");
    assert!(half_way > 0, "no kill hit the moment between commit and reply");
}

async fn number_of(device: &Device) -> u16 {
    let link = device.store.read(|tx| tx.link()).await.unwrap().unwrap();
    link.pn.parse::<Jid>().unwrap().device()
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_09_from_end_to_end_four_links_of_one_number_and_their_ends() {
    let world = World::new().await;
    let admin = world.sim.admin();
    let first = world.linked(ANNA, 1).await;
    world.clock.sleep(Duration::from_secs(10)).await;
    let keys = first.store.read(|tx| tx.app_state_key_count()).await.unwrap();
    assert!(keys > 0, "the phone shared its keys");
    assert!(first.open_events("history").await > 0, "and its history");
    // A contact that knows the number hears of the next device.
    first.client.send_text(&Jid::pn(BERT).unwrap(), "hello", "hello").await.unwrap();
    admin.wait_text(BERT, "hello", Duration::from_secs(30)).await.unwrap();
    let bert = world.linked(BERT, 9).await;
    bert.client.send_text(&Jid::pn(ANNA).unwrap(), "hello back", "back").await.unwrap();
    admin.wait_text(ANNA, "hello back", Duration::from_secs(30)).await.unwrap();
    let since = admin.cursor();

    let mut second = world.device(2).await;
    let pairing = second.client.pair().await.unwrap();
    let code = within(pairing.code(ANNA, None)).await.unwrap();
    admin.enter_code(ANNA, &code).await.unwrap();
    within(second.client.ready()).await.unwrap();
    world.clock.sleep(Duration::from_secs(10)).await;
    let filter = TrafficFilter { account: Some(BERT.to_owned()), since, ..TrafficFilter::default() };
    let told = admin.traffic(&filter).await;
    let told = told.iter().filter(|item| item.direction == Direction::Out && item.node.tag == "notification");
    assert!(told.filter(|item| item.node.str("type").as_deref() == Some("devices")).count() > 0);

    let (third, fourth) = (world.linked(ANNA, 3).await, world.linked(ANNA, 4).await);
    let fifth = world.device(5).await;
    let mut pairing = fifth.client.pair().await.unwrap();
    let Some(PairEvent::QrCode { text, .. }) = within(pairing.next()).await else { panic!("no code") };
    let refused = admin.scan_qr(ANNA, &text).await.unwrap_err();
    assert_eq!(refused.code, "companion-limit");
    pairing.cancel().await;

    // By the phone, online and offline.
    admin.unlink(ANNA, Some(number_of(&first).await)).await.unwrap();
    assert!(matches!(first.stops().await, Stop::LoggedOut { .. }));
    second.client.disconnect().await.unwrap();
    admin.unlink(ANNA, Some(number_of(&second).await)).await.unwrap();
    second.client.connect().await.unwrap();
    assert!(matches!(second.stops().await, Stop::LoggedOut { .. }));
    // By the client, online and offline.
    within(third.client.log_out()).await.unwrap();
    assert!(matches!(third.stops().await, Stop::LoggedOut { .. }));
    fourth.client.disconnect().await.unwrap();
    within(fourth.client.log_out()).await.unwrap();
    assert!(matches!(fourth.stops().await, Stop::LoggedOut { .. }));
    let left = admin.account(ANNA).await.unwrap().devices;
    assert_eq!(left.len(), 1, "only the one that could not tell the server is listed: {left:?}");

    // Linked anew: all keys are new.
    let keys = |device: &Device| {
        let store = device.store.clone();
        async move { store.read(|tx| tx.keys()).await.unwrap().unwrap() }
    };
    let before = keys(&second).await;
    world.archive(&mut second).await;
    world.link(&second, ANNA).await;
    within(second.client.ready()).await.unwrap();
    let after = keys(&second).await;
    assert_ne!(before.noise.public, after.noise.public);
    assert_ne!(before.identity.public, after.identity.public);
    assert_ne!(before.registration_id, after.registration_id);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_12_a_new_identity_of_the_own_phone_stops_the_account_and_a_person_resumes_it() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let state = |device: &Device| {
        let store = device.store.clone();
        async move {
            let read = store.read(|tx| {
                let keys = tx.keys()?.unwrap();
                let phone = tx.identity_addresses("")?;
                Ok::<_, StoreError>((keys.noise.public, keys.identity.public, tx.link()?.unwrap().pn, phone))
            });
            read.await.unwrap()
        }
    };
    let before = state(&device).await;
    let changed = Node::new("notification")
        .attr("from", Jid::pn(ANNA).unwrap())
        .attr("type", "encrypt")
        .attr("id", "n7")
        .attr("t", "1786000000")
        .child(Node::new("identity"));
    world.sim.admin().inject(world.connection().await, changed).await;
    assert_eq!(device.stops().await, Stop::PhoneIdentityChanged);
    let logins = world.logins().await;
    world.clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.logins().await, logins, "it is not dialled");
    assert_eq!(state(&device).await, before, "nothing of its own state is deleted");
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    let iqs = world.sent(ANNA, "iq").await;
    assert!(iqs.iter().all(|item| item.node.find("remove-companion-device").is_none()));
}
