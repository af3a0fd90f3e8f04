//! What only zapo-js can show: a foreign client that logs in by IK and checks the certificate chain against a root that it is
//! given. Its other rows stand beside those of the other clients.

use palomar::sim::IkMode;

use super::foreign::{Foreign, Kind};
use super::world::{OURS, PATIENCE, THEIRS, World, pn};

/// How the handshakes of the live connections went.
async fn handshakes(world: &World) -> Vec<Option<&'static str>> {
    world.sim.admin().connections().await.into_iter().map(|connection| connection.handshake).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn zapo_logs_in_again_by_ik() {
    for (mode, expected) in [(IkMode::Accept, "ik"), (IkMode::Fallback, "xx-fallback")] {
        let world = World::with(|config| config.ik = mode).await;
        let Some(foreign) = Foreign::linked(Kind::Zapo, &world).await else { return };
        let mut foreign = foreign.leave().await.back(&world).await;
        foreign.connect(&world).await;
        assert_eq!(handshakes(&world).await, [Some(expected)], "{mode:?}");
        foreign.send(&pn(OURS), "by IK").await;
        world.sim.admin().wait_text(OURS, "by IK", PATIENCE).await.unwrap();
        foreign.peer.stop().await;
    }
}

/// With phones: palomar itself sends nothing to groups yet, which is why no row has it at the other end.
#[tokio::test(flavor = "multi_thread")]
async fn zapo_group_text_goes_both_ways_with_a_phone() {
    let world = World::new().await;
    let Some(mut foreign) = Foreign::linked(Kind::Zapo, &world).await else { return };
    let group = world.sim.admin().create_group(OURS, "abroad", &[THEIRS.to_owned()], true).await.unwrap();
    foreign.send(&group, "to all").await;
    world.sim.admin().wait_text(OURS, "to all", PATIENCE).await.unwrap();
    world.sim.admin().send_text(OURS, &group, "from one of all").await.unwrap();
    foreign.text("from one of all").await;
    println!("DOES NOT COUNT: group text between palomar and zapo-js: palomar sends nothing to groups yet");
    foreign.peer.stop().await;
}
