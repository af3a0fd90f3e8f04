//! A foreign client and the simulated phones: what fails here is the simulator's fault, not palomar's (protocol 09 §26).

use serde_json::json;

use super::install;
use super::world::{OURS, PATIENCE, THEIRS, World, pn};

#[tokio::test(flavor = "multi_thread")]
async fn baileys_links_to_a_phone_by_qr_and_talks_to_another() {
    let Some(installed) = install::baileys() else { return };
    let world = World::new().await;
    let mut baileys = world.baileys(&installed).await;
    world.link_by_qr(&mut baileys).await;

    let sent = baileys.command("send", json!({ "to": pn(OURS), "text": "from Baileys" })).await;
    let item = world.sim.admin().wait_text(OURS, "from Baileys", PATIENCE).await.unwrap();
    assert_eq!(item.id, sent["message_id"].as_str().unwrap());

    world.sim.admin().send_text(OURS, THEIRS, "to Baileys").await.unwrap();
    baileys.text("to Baileys").await;
    // Its own phone has the copy.
    world.sim.admin().wait_text(THEIRS, "from Baileys", PATIENCE).await.unwrap();
    baileys.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatsmeow_links_to_a_phone_by_qr_and_talks_to_another() {
    let Some(installed) = install::whatsmeow() else { return };
    let world = World::new().await;
    let mut whatsmeow = world.whatsmeow(&installed).await;
    world.link_by_qr(&mut whatsmeow).await;

    let sent = whatsmeow.command("send", json!({ "to": pn(OURS), "text": "from whatsmeow" })).await;
    let item = world.sim.admin().wait_text(OURS, "from whatsmeow", PATIENCE).await.unwrap();
    assert_eq!(item.id, sent["message_id"].as_str().unwrap());

    world.sim.admin().send_text(OURS, THEIRS, "to whatsmeow").await.unwrap();
    whatsmeow.text("to whatsmeow").await;
    world.sim.admin().wait_text(THEIRS, "from whatsmeow", PATIENCE).await.unwrap();
    whatsmeow.stop().await;
}
