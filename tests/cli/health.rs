//! `accounts health`: what the service limits, in words, and what `send` does under it.

use palomar::sim::Simulator;
use serde_json::{Value, json};

use crate::place::{Place, assert_no_violations, code, link, simulator, stderr, stdout};

const NUMBER: &str = "15550001111";

async fn restrict(simulator: &Simulator, change: Value) {
    simulator.admin().restrict(NUMBER, serde_json::from_value(change).unwrap()).await.unwrap();
}

/// The account hears what it is told.
async fn hears(place: &Place) {
    let mut listening = place.start(&["--json", "listen", "alice", "--keep"]);
    listening.event("restriction").await;
    listening.interrupt();
    assert_eq!(listening.exit().await, Some(130));
}

async fn health(place: &Place, more: &[&str]) -> String {
    let output = place.run_beside(&[&["accounts", "health", "alice"], more].concat()).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restriction_health_says_in_both_languages_what_holds_and_send_refuses_with_its_end() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    link(&place, &simulator, "alice").await;
    assert!(health(&place, &["--lang", "en"]).await.contains("nothing limits this account"));

    restrict(&simulator, json!({"timelock": {"type": "WEB_COMPANION_ONLY", "ends_in_s": 3600}})).await;
    hears(&place).await;
    let en = health(&place, &["--lang", "en"]).await;
    assert!(en.contains("new chats are locked [WEB_COMPANION_ONLY]: until 2"), "{en}");
    assert!(en.contains("a person has to act") && en.contains("health alice --clear"), "{en}");
    let es = health(&place, &["--lang", "es"]).await;
    assert!(es.contains("los chats nuevos están cerrados") && es.contains("qué hacer:"), "{es}");
    let machine: Value = serde_json::from_str(health(&place, &["--json"]).await.trim()).unwrap();
    assert_eq!(machine["standing"], "alarm");
    let signals: Vec<&str> =
        machine["signals"].as_array().unwrap().iter().map(|s| s["signal"].as_str().unwrap()).collect();
    assert_eq!(signals, ["companions", "timelock"]);

    let single = place.run_beside(&["send", "alice", "+15550002222", "hello"]).await;
    assert_eq!(code(&single), 5, "{}", stderr(&single));
    assert!(
        stderr(&single).contains("no new chats") && stderr(&single).contains("UTC"),
        "{}",
        stderr(&single)
    );
    let campaign = place.run_beside(&["send", "alice", "+15550002222", "hello", "--campaign"]).await;
    assert_eq!(code(&campaign), 5, "{}", stderr(&campaign));
    assert!(health(&place, &["--lang", "en"]).await.contains("waiting messages: 1"));

    assert!(health(&place, &["--lang", "es", "--clear"]).await.contains("confirmado"));
    assert!(health(&place, &["--lang", "en", "--clear"]).await.contains("there is nothing to clear"));
    assert_no_violations(&simulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restriction_health_follows_the_locale_and_knows_no_other_account() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    link(&place, &simulator, "alice").await;
    let spanish = |name: &str, value: &str| {
        let mut command = place.command(&["accounts", "health", "alice"]);
        stdout(&command.env(name, value).output().unwrap())
    };
    assert!(spanish("LANG", "es_AR.UTF-8").contains("nada limita esta cuenta"));
    assert!(spanish("LC_ALL", "es_ES.UTF-8").contains("nada limita esta cuenta"));
    assert!(spanish("LANG", "de_DE.UTF-8").contains("nothing limits this account"));
    assert_eq!(code(&place.run(&["accounts", "health", "bob"])), 2);
    assert_eq!(code(&place.run(&["accounts", "health", "alice", "--lang", "fr"])), 2);
}
