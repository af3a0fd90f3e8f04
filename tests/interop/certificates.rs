//! Every certificate defect of protocol 09 §4, against palomar, whatsmeow and zapo-js. Baileys checks no signature and is
//! no judge here.

use palomar::client::PairEvent;
use palomar::sim::CertMode;
use serde_json::json;

use super::foreign::{Foreign, Kind};
use super::ours::Ours;
use super::world::{PATIENCE, World};

/// Every mode that has a defect.
const DEFECTS: [CertMode; 10] = [
    CertMode::Expired,
    CertMode::Future,
    CertMode::WrongRoot,
    CertMode::LeafSig,
    CertMode::LeafKey,
    CertMode::LeafSerial,
    CertMode::InterSerial,
    CertMode::MissingLeaf,
    CertMode::ShortSig,
    CertMode::ReplayedGenuine,
];

/// The first thing that palomar says of a pairing.
async fn first_pair_event(ours: &Ours) -> PairEvent {
    let mut pairing = ours.client.pair().await.unwrap();
    tokio::time::timeout(PATIENCE, pairing.next()).await.expect("in time").expect("an event")
}

#[tokio::test(flavor = "multi_thread")]
async fn palomar_refuses_every_certificate_defect() {
    for defect in DEFECTS {
        let world = World::with(|config| config.cert = defect).await;
        let ours = Ours::new(&world).await;
        let event = first_pair_event(&ours).await;
        assert!(
            matches!(event, PairEvent::Closed { .. } | PairEvent::PairError { .. }),
            "{defect:?}: {event:?}"
        );
    }
    let world = World::new().await;
    let event = first_pair_event(&Ours::new(&world).await).await;
    assert!(matches!(event, PairEvent::QrCode { .. }), "a good chain: {event:?}");
}

/// A client that connects to a simulator with this defect must say that it failed.
async fn refuses(kind: Kind, defects: &[CertMode]) {
    for &defect in defects {
        let world = World::with(|config| config.cert = defect).await;
        let Some(mut foreign) = Foreign::start(kind, &world).await else { return };
        foreign.peer.command("connect", json!({})).await;
        let failed = foreign.peer.event("failed").await;
        println!("{kind:?}, {defect:?}: {}", failed["error"]);
        foreign.peer.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatsmeow_refuses_every_certificate_defect() {
    refuses(Kind::Whatsmeow, &DEFECTS).await;
}

/// It looks at no dates, and at no more of a wrong chain than its signatures and keys say.
#[tokio::test(flavor = "multi_thread")]
async fn zapo_refuses_a_wrong_root_and_every_other_chain_that_proves_nothing() {
    let blind = [CertMode::Expired, CertMode::Future];
    let seen: Vec<CertMode> = DEFECTS.into_iter().filter(|defect| !blind.contains(defect)).collect();
    refuses(Kind::Zapo, &seen).await;
    println!("DOES NOT COUNT: zapo-js 0.3.0 takes {blind:?}");
}
