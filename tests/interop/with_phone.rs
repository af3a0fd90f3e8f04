//! A foreign client and the simulated phones: what fails here is the simulator's fault, not palomar's (protocol 09 §26).

use super::foreign::{Foreign, Kind, rows};
use super::world::{OURS, PATIENCE, THEIRS, World, pn};

rows! {
    pairs_by_qr => baileys_pairs_by_qr, whatsmeow_pairs_by_qr, zapo_pairs_by_qr;
    pairs_by_code => baileys_pairs_by_code, whatsmeow_pairs_by_code, zapo_pairs_by_code;
    logs_in_again_after_a_restart =>
        baileys_logs_in_again_after_a_restart, whatsmeow_logs_in_again_after_a_restart, zapo_logs_in_again;
    talks_to_a_phone => baileys_talks_to_a_phone, whatsmeow_talks_to_a_phone, zapo_talks_to_a_phone;
    is_unlinked_by_its_phone => baileys_is_unlinked_by_its_phone, whatsmeow_is_unlinked_by_its_phone,
        zapo_is_unlinked_by_its_phone;
    logs_out => baileys_logs_out, whatsmeow_logs_out, zapo_logs_out;
}

async fn pairs_by_qr(kind: Kind) {
    let world = World::new().await;
    let Some(foreign) = Foreign::linked(kind, &world).await else { return };
    let account = world.sim.admin().account(THEIRS).await.unwrap();
    assert_eq!(account.devices.len(), 1);
    assert!(account.devices[0].prekeys > Some(0), "no prekeys were uploaded");
    foreign.peer.stop().await;
}

async fn pairs_by_code(kind: Kind) {
    let world = World::new().await;
    let Some(mut foreign) = Foreign::start(kind, &world).await else { return };
    foreign.link_by_code(&world).await;
    assert_eq!(world.sim.admin().account(THEIRS).await.unwrap().devices.len(), 1);
    foreign.peer.stop().await;
}

async fn logs_in_again_after_a_restart(kind: Kind) {
    let world = World::new().await;
    let Some(foreign) = Foreign::linked(kind, &world).await else { return };
    let mut foreign = foreign.leave().await.back(&world).await;
    foreign.connect(&world).await;
    foreign.send(&pn(OURS), "still here").await;
    world.sim.admin().wait_text(OURS, "still here", PATIENCE).await.unwrap();
    foreign.peer.stop().await;
}

async fn talks_to_a_phone(kind: Kind) {
    let world = World::new().await;
    let Some(mut foreign) = Foreign::linked(kind, &world).await else { return };

    let id = foreign.send(&pn(OURS), "from abroad").await;
    let item = world.sim.admin().wait_text(OURS, "from abroad", PATIENCE).await.unwrap();
    assert_eq!(item.id, id);
    // Its own phone has the copy.
    world.sim.admin().wait_text(THEIRS, "from abroad", PATIENCE).await.unwrap();

    world.sim.admin().send_text(OURS, THEIRS, "to abroad").await.unwrap();
    foreign.text("to abroad").await;
    // The phone answers within the millisecond. Baileys forgets a receipt that is there before its own event of the message;
    // with palomar at the other end both clients prove delivery.
    if kind != Kind::Baileys {
        foreign.delivered(&id).await;
    }
    foreign.peer.stop().await;
}

async fn is_unlinked_by_its_phone(kind: Kind) {
    let world = World::new().await;
    let Some(mut foreign) = Foreign::linked(kind, &world).await else { return };
    world.sim.admin().unlink(THEIRS, Some(1)).await.unwrap();
    foreign.logged_out().await;
    assert!(world.sim.admin().account(THEIRS).await.unwrap().devices.is_empty());
    foreign.peer.stop().await;
}

async fn logs_out(kind: Kind) {
    let world = World::new().await;
    let Some(mut foreign) = Foreign::linked(kind, &world).await else { return };
    foreign.peer.command("logout", serde_json::Value::Null).await;
    let gone = async {
        while !world.sim.admin().account(THEIRS).await.unwrap().devices.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the device is still listed");
    foreign.peer.stop().await;
}
