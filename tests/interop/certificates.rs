//! Every certificate defect of protocol 09 §4, against palomar and against whatsmeow. Baileys checks no signature and is no
//! judge here.

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

#[tokio::test(flavor = "multi_thread")]
async fn whatsmeow_refuses_every_certificate_defect() {
    for defect in DEFECTS {
        let world = World::with(|config| config.cert = defect).await;
        let Some(mut whatsmeow) = Foreign::start(Kind::Whatsmeow, &world).await else { return };
        whatsmeow.peer.command("connect", json!({})).await;
        let failed = whatsmeow.peer.event("failed").await;
        println!("{defect:?}: {}", failed["error"]);
        whatsmeow.peer.stop().await;
    }
}
