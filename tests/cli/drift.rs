//! What the service sent that this build does not know, as a user of the command line sees it.

use std::time::Duration;

use palomar::wire::Node;
use serde_json::Value;

use crate::place::{NUMBER, OTHER, Place, code, link, simulator, stdout};

const CANARY: &str = "Canary7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_kept_between_commands_printed_saved_and_forgotten_without_a_value() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    link(&place, &simulator, "alice").await;
    let nothing = place.run_beside(&["doctor", "drift"]).await;
    assert!(code(&nothing) == 0 && stdout(&nothing).contains("nothing"), "{}", stdout(&nothing));

    for _ in 0..2 {
        let mut listening = place.start(&["--json", "listen", "alice"]);
        let online = simulator.admin().wait_online(NUMBER, 1, Duration::from_secs(20)).await.unwrap();
        let beam = Node::new("beam").attr("a", CANARY).text_bytes(CANARY);
        simulator.admin().inject(online, Node::new("ib").child(beam)).await;
        simulator.admin().send_text(OTHER, NUMBER, CANARY).await.unwrap();
        listening.event("message").await;
        listening.interrupt();
        assert_eq!(listening.exit().await, Some(130));
    }

    let printed = place.run_beside(&["doctor", "drift", "--json"]).await;
    let entry: Value = serde_json::from_str(&stdout(&printed)).unwrap();
    let shape =
        (entry["kind"].as_str(), entry["where"].as_str(), entry["name"].as_str(), entry["count"].as_u64());
    assert_eq!(shape, (Some("operation"), Some("ib"), Some("beam"), Some(2)));
    assert!(
        entry["first_seen"].as_i64() <= entry["last_seen"].as_i64() && entry["client_version"].is_string()
    );
    let file = place.folder.path().join("drift-report.json");
    let saved = place.run_beside(&["doctor", "drift", "--save", file.to_str().unwrap()]).await;
    assert_eq!(code(&saved), 0);
    let text = std::fs::read_to_string(&file).unwrap()
        + &std::fs::read_to_string(place.data().join("drift.json")).unwrap();
    for value in [CANARY, NUMBER, OTHER, "alice", "@"] {
        assert!(!text.contains(value) && !stdout(&printed).contains(value), "{value}: {text}");
    }
    let doctor = place.run_beside(&["doctor"]).await;
    assert!(stdout(&doctor).contains("1 shapes that this build does not know"), "{}", stdout(&doctor));
    assert_eq!(code(&place.run_beside(&["drift", "--clear"]).await), 0);
    assert_eq!(stdout(&place.run_beside(&["drift", "--json"]).await), "");
}
