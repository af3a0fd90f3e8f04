//! Palomar and a foreign client, each linked to an account of its own, through the simulator. Palomar is judged strictly:
//! every row ends with zero violations of its account.

use palomar::client::event::ReceiptKind;
use palomar::client::{LogOut, State, Stop};

use super::foreign::{Foreign, Kind, rows};
use super::ours::Ours;
use super::world::{OURS, THEIRS, World, pn};

rows! {
    text_goes_both_ways_with_palomar =>
        baileys_text_goes_both_ways_with_palomar, whatsmeow_text_goes_both_ways_with_palomar,
        zapo_text_goes_both_ways_with_palomar;
    receipts_go_both_ways_with_palomar =>
        baileys_receipts_go_both_ways_with_palomar, whatsmeow_receipts_go_both_ways_with_palomar,
        zapo_receipts_go_both_ways_with_palomar;
    what_palomar_sent_while_it_was_offline_arrives =>
        baileys_gets_what_palomar_sent_while_it_was_offline, whatsmeow_gets_what_palomar_sent_while_it_was_offline,
        zapo_gets_what_palomar_sent_while_it_was_offline;
    palomar_gets_what_it_sent_while_palomar_was_offline =>
        baileys_reaches_palomar_that_was_offline, whatsmeow_reaches_palomar_that_was_offline,
        zapo_reaches_palomar_that_was_offline;
    palomar_lost_its_sessions => baileys_talks_on_after_palomar_lost_its_sessions,
        whatsmeow_talks_on_after_palomar_lost_its_sessions, zapo_talks_on_after_palomar_lost_its_sessions;
    it_lost_its_sessions => baileys_lost_its_sessions_and_talks_on_with_palomar,
        whatsmeow_lost_its_sessions_and_talks_on_with_palomar, zapo_lost_its_sessions_and_talks_on_with_palomar;
    palomar_goes_on_after_a_restart => baileys_talks_on_with_palomar_after_a_restart,
        whatsmeow_talks_on_with_palomar_after_a_restart, zapo_talks_on_with_palomar_after_a_restart;
    the_other_side_of_a_log_out => baileys_and_palomar_log_out, whatsmeow_and_palomar_log_out,
        zapo_and_palomar_log_out;
}

async fn pair(kind: Kind) -> Option<(World, Ours, Foreign)> {
    let world = World::new().await;
    let foreign = Foreign::linked(kind, &world).await?;
    let ours = Ours::linked(&world).await;
    Some((world, ours, foreign))
}

async fn end(world: World, foreign: Foreign) {
    let violations = world.sim.admin().violations().await.of(OURS);
    assert_eq!(violations.total(), 0, "{violations:#?}");
    foreign.peer.stop().await;
}

async fn text_goes_both_ways_with_palomar(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    for round in 0..3 {
        let text = format!("to it {round}");
        ours.send(&pn(THEIRS), &text).await;
        foreign.text(&text).await;
        let text = format!("from it {round}");
        let id = foreign.send(&pn(OURS), &text).await;
        let message = ours.text(&text).await;
        assert_eq!((message.id, message.from_me), (id, false));
    }
    end(world, foreign).await;
}

async fn receipts_go_both_ways_with_palomar(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    let id = ours.send(&pn(THEIRS), "read me").await;
    let message = foreign.text("read me").await;
    ours.receipt(&id, ReceiptKind::Delivered).await;
    foreign.read(&message).await;
    ours.receipt(&id, ReceiptKind::Read).await;

    let id = foreign.send(&pn(OURS), "and me").await;
    let message = ours.text("and me").await;
    foreign.delivered(&id).await;
    ours.read(&message).await;
    foreign.was_read(&id).await;
    end(world, foreign).await;
}

async fn what_palomar_sent_while_it_was_offline_arrives(kind: Kind) {
    let Some((world, ours, mut foreign)) = pair(kind).await else { return };
    ours.send(&pn(THEIRS), "before").await;
    foreign.text("before").await;
    let away = foreign.leave().await;
    for n in 0..3 {
        ours.send(&pn(THEIRS), &format!("while away {n}")).await;
    }
    let mut foreign = away.back(&world).await;
    foreign.connect(&world).await;
    for n in 0..3 {
        foreign.text(&format!("while away {n}")).await;
    }
    end(world, foreign).await;
}

async fn palomar_gets_what_it_sent_while_palomar_was_offline(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    foreign.send(&pn(OURS), "before").await;
    ours.text("before").await;
    ours.client.disconnect().await.unwrap();
    for n in 0..3 {
        foreign.send(&pn(OURS), &format!("while away {n}")).await;
    }
    ours.client.connect().await.unwrap();
    for n in 0..3 {
        let message = ours.text(&format!("while away {n}")).await;
        assert!(message.offline, "{message:?}");
    }
    end(world, foreign).await;
}

async fn palomar_lost_its_sessions(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    ours.send(&pn(THEIRS), "before").await;
    foreign.text("before").await;
    foreign.send(&pn(OURS), "answer").await;
    ours.text("answer").await;
    assert!(ours.forget_sessions().await > 0);
    // It can't be read at first; a retry receipt brings it once more.
    foreign.send(&pn(OURS), "once more").await;
    ours.text("once more").await;
    ours.send(&pn(THEIRS), "after").await;
    foreign.text("after").await;
    end(world, foreign).await;
}

async fn it_lost_its_sessions(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    ours.send(&pn(THEIRS), "before").await;
    foreign.text("before").await;
    foreign.send(&pn(OURS), "answer").await;
    ours.text("answer").await;
    let mut foreign = foreign.leave().await.back(&world).await;
    let reply = foreign.peer.command("forget_sessions", serde_json::Value::Null).await;
    // zapo's store does not say how many it had.
    assert!(kind == Kind::Zapo || reply["removed"].as_u64() > Some(0), "{reply}");
    foreign.connect(&world).await;
    ours.send(&pn(THEIRS), "once more").await;
    foreign.text("once more").await;
    foreign.send(&pn(OURS), "after").await;
    ours.text("after").await;
    end(world, foreign).await;
}

async fn palomar_goes_on_after_a_restart(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    foreign.send(&pn(OURS), "before").await;
    ours.text("before").await;
    let mut ours = ours.restart(&world).await;
    foreign.send(&pn(OURS), "after").await;
    ours.text("after").await;
    ours.send(&pn(THEIRS), "still here").await;
    foreign.text("still here").await;
    end(world, foreign).await;
}

async fn the_other_side_of_a_log_out(kind: Kind) {
    let Some((world, mut ours, mut foreign)) = pair(kind).await else { return };
    // The foreign client's phone unlinks it: palomar's next message reaches the phone alone.
    world.sim.admin().unlink(THEIRS, Some(1)).await.unwrap();
    foreign.logged_out().await;
    ours.send(&pn(THEIRS), "to the phone").await;
    world.sim.admin().wait_text(THEIRS, "to the phone", super::world::PATIENCE).await.unwrap();
    // Our phone unlinks us: the account stands still as logged out, and does not come back by itself.
    world.sim.admin().unlink(OURS, Some(1)).await.unwrap();
    let stopped = ours.stopped().await;
    assert!(
        matches!(stopped, State::Stopped(Stop::LoggedOut { reason: LogOut::DeviceRemoved, .. })),
        "{stopped:?}"
    );
    ours.event("stop", |event| matches!(event, palomar::client::Event::Stopped { .. }).then_some(())).await;
    end(world, foreign).await;
}
