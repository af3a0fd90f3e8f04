//! The flight recorder as a user of the command line meets it: record, compare, and files that are no recordings.

use crate::place::{NUMBER, OTHER, Place, code, link, simulator, stderr, stdout};

const CANARY: &str = "Canary7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorder_a_link_and_a_conversation_are_recorded_without_a_value_and_compare_clean() {
    let simulator = simulator().await;
    let mut place = Place::at(&simulator);
    let record = place.folder.path().join("first.jsonl");
    // The setting of the account: link, listen and send record without being told.
    place.environment =
        vec![("PALOMAR_ACCOUNTS_ALICE_RECORD".to_owned(), record.to_str().unwrap().to_owned())];
    link(&place, &simulator, "alice").await;
    simulator.admin().send_text(OTHER, NUMBER, CANARY).await.unwrap();
    let mut listening = place.start(&["--json", "listen", "alice"]);
    listening.event("message").await;
    listening.interrupt();
    assert_eq!(listening.exit().await, Some(130));
    let sent = place.run_beside(&["send", "alice", "+15550002222", CANARY]).await;
    assert_eq!(code(&sent), 0, "{}", stderr(&sent));

    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.lines().count() > 30, "{text}");
    for way in ["\"way\":\"in\"", "\"way\":\"out\"", "\"purpose\":\"registration\"", "\"purpose\":\"active\""]
    {
        assert!(text.contains(way), "{way}");
    }
    let lid = simulator.admin().account(NUMBER).await.unwrap().lid;
    for value in [CANARY, NUMBER, OTHER, lid.split('@').next().unwrap(), "s.whatsapp.net"] {
        assert!(!text.contains(value), "{value}: {text}");
    }
    let compared = place.run_beside(&["--json", "sim", "compare", record.to_str().unwrap()]).await;
    assert_eq!(code(&compared), 0, "{}", stdout(&compared));
    let last = stdout(&compared).lines().last().unwrap().to_owned();
    assert!(last.contains("\"differences\":0") && last.contains("\"connections\":4"), "{last}");
}

#[test]
fn recorder_a_cut_recording_says_how_far_it_was_read_and_a_foreign_one_is_refused_and_left_alone() {
    let place = Place::new();
    let file = place.folder.path().join("recording.jsonl");
    let path = file.to_str().unwrap();
    let whole = concat!(
        "{\"palomar\":\"recording\",\"format\":1,\"release\":\"0.1.0\",\"started\":1786000000}\n",
        "{\"event\":\"open\",\"conn\":1,\"ms\":0,\"purpose\":\"active\",\"client_version\":\"2.3000.1\"}\n",
        "{\"event\":\"stanza\",\"conn\":1,\"ms\":3,\"way\":\"in\",\"shape\":{\"t\":\"ib\",\"c\":[{\"t\":\"beam\"}]}}\n",
    );
    std::fs::write(&file, format!("{whole}{{\"event\":\"sta")).unwrap();
    let compared = place.run(&["sim", "compare", path]);
    assert_eq!(code(&compared), 1);
    let said = stdout(&compared);
    assert!(said.contains("the service sends what this build does not know: operation beam in ib"), "{said}");
    assert!(said.contains(&format!("read up to line 4, byte {}", whole.len())), "{said}");

    for foreign in ["", "GIF89a", "{}\n"] {
        std::fs::write(&file, foreign).unwrap();
        let compared = place.run(&["sim", "compare", path]);
        assert_eq!(
            (code(&compared), stderr(&compared).contains("not a recording")),
            (2, true),
            "{foreign:?}"
        );
    }
    drop(place.account("alice"));
    let listened = place.run(&["listen", "alice", "--record", path]);
    assert_eq!(
        (code(&listened), stderr(&listened).contains("something else")),
        (2, true),
        "{}",
        stderr(&listened)
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}\n");
}
