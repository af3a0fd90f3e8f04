//! Output, exit codes, what is said when something is wrong.

use std::path::Path;

use serde_json::Value;

use crate::place::{NUMBER, OTHER, Place, assert_no_violations, code, link, simulator, stderr, stdout};

#[test]
fn an_empty_data_folder_has_no_accounts() {
    let place = Place::new();
    let output = place.run(&["accounts"]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("palomar link ID"));
    assert_eq!(stdout(&place.run(&["accounts", "--json"])), "");
    let doctor = stdout(&place.command(&["--proxy", "http://127.0.0.1:1", "doctor"]).output().unwrap());
    assert!(doctor.contains("no data folder yet"), "{doctor}");
    for command in [&["listen", "nobody"][..], &["send", "nobody", "+15557654321", "hello"], &["drift"]] {
        place.run(command);
    }
    assert!(!place.data().exists(), "looking makes nothing");
}

#[test]
fn wrong_usage_and_configuration_is_2_and_names_the_field() {
    let place = Place::new();
    let cases: [(&[&str], &str); 6] = [
        (&["--server", "ws://127.0.0.1:1/ws/chat", "accounts"], "--root-key"),
        (&["--proxy", "ftp://x", "accounts"], "proxy"),
        (&["--log", "what=ever=", "accounts"], "log"),
        (&["listen", "../x"], "account id"),
        (&["listen", "nobody"], "there is no account nobody"),
        (&["no-such-command"], "no-such-command"),
    ];
    for (arguments, field) in cases {
        let output = place.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(field), "{arguments:?}: {}", stderr(&output));
    }
    let output = place.run(&["--json", "no-such-command"]);
    let error: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((code(&output), error["error"]["exit"].as_u64()), (2, Some(2)), "{error}");
    let output = place.command(&["accounts"]).env("PALOMAR_SERVR", "x").output().unwrap();
    assert_eq!((code(&output), stderr(&output).contains("PALOMAR_SERVR")), (2, true));
}

#[test]
fn no_phone_is_linked_with_an_old_client_version_unless_forced() {
    let mut place = Place::new();
    // Whatever goes wrong here, nothing leaves this machine.
    place.environment = vec![("PALOMAR_PROXY".to_owned(), "http://127.0.0.1:1".to_owned())];
    let old = ["--client-version", "2.3000.1021018791", "link", "alice", "--rounds", "1"];
    let output = place.run(&old);
    assert_eq!(code(&output), 6, "{}", stderr(&output));
    assert!(stderr(&output).contains("--force-version") && stderr(&output).contains("client_revision"));
    assert!(!place.data().exists(), "nothing was made");
    let forced = place.run(&[&old[..], &["--force-version"]].concat());
    assert_eq!(code(&forced), 3, "{}", stderr(&forced));
    let doctor = stdout(&place.run(&["--client-version", "2.3000.1021018791", "doctor"]));
    assert!(doctor.contains("days old") && doctor.contains("refuses to link"), "{doctor}");
}

#[test]
fn an_account_that_another_process_has_is_4_and_names_it() {
    let place = Place::new();
    let _open = place.account("alice");
    let output = place.run(&["listen", "alice"]);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains(&format!("process {}", std::process::id())), "{}", stderr(&output));
    let listed = place.run(&["accounts"]);
    assert_eq!((code(&listed), stdout(&listed).contains("in use")), (0, true));
}

#[test]
fn a_damaged_store_is_7_and_left_as_it_is() {
    let place = Place::new();
    drop(place.account("alice"));
    let file = place.data().join("accounts/alice/store.db");
    std::fs::write(&file, b"not a database").unwrap();
    for arguments in [&["accounts"][..], &["listen", "alice"]] {
        let output = place.run(arguments);
        assert_eq!(code(&output), 7, "{}", stderr(&output));
        assert!(stderr(&output).contains("left untouched"));
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"not a database");
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let output = Place::new().run(&["--json", "listen", "nobody"]);
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((value["error"]["exit"].as_u64(), code(&output)), (Some(2), 2));
    assert!(value["error"]["next"].as_str().unwrap().contains("link"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_a_simulator_good_and_says_what_is_missing_where_it_is_not() {
    let simulator = simulator().await;
    let mut place = Place::at(&simulator);
    let output = place.run_beside(&["doctor"]).await;
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));

    let ca = place.folder.path().join("ca.pem");
    std::fs::write(&ca, simulator.ca_pem()).unwrap();
    place.server[1] = simulator.chat_tls_url().unwrap();
    let output = place.run_beside(&["doctor"]).await;
    assert_eq!((code(&output), stdout(&output).contains("--ca")), (1, true), "{}", stdout(&output));
    let output = place.run_beside(&["--ca", ca.to_str().unwrap(), "doctor"]).await;
    assert_eq!(code(&output), 0, "{}", stdout(&output));

    simulator.stop().await.unwrap();
    let output = place.run_beside(&["--ca", ca.to_str().unwrap(), "--json", "doctor"]).await;
    let last = stdout(&output).lines().last().unwrap().to_owned();
    assert_eq!((code(&output), last.contains("chat URL")), (1, true), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_by_qr_and_lists_the_account() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    link(&place, &simulator, "alice").await;
    let output = place.run_beside(&["--json", "accounts"]).await;
    let listed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((listed["id"].as_str(), listed["state"].as_str()), (Some("alice"), Some("linked")));
    let again = place.run_beside(&["link", "alice"]).await;
    assert_eq!((code(&again), stderr(&again).contains("linked already")), (2, true));
    assert_no_violations(&simulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_by_code() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    let mut linking = place.start(&["--json", "link", "alice", "--code", "+1 555 000 1111"]);
    let shown = linking.event("code").await;
    simulator.admin().enter_code(NUMBER, shown["code"].as_str().unwrap()).await.unwrap();
    linking.event("ready").await;
    assert_eq!(linking.exit().await, Some(0));
    assert_no_violations(&simulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_qr_goes_to_files_that_only_the_owner_can_read() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    let (svg, png) = (place.folder.path().join("qr.svg"), place.folder.path().join("qr.png"));
    let mut linking = place.start(&[
        "--json",
        "link",
        "alice",
        "--svg",
        svg.to_str().unwrap(),
        "--png",
        png.to_str().unwrap(),
    ]);
    linking.event("qr").await;
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<svg"));
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    private(&svg);
    private(&png);
}

#[cfg(unix)]
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(not(unix))]
fn private(_path: &Path) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_the_phone_removed_is_6_and_link_archives_it() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    link(&place, &simulator, "alice").await;
    simulator.admin().unlink(NUMBER, None).await.unwrap();
    let output = place.run_beside(&["listen", "alice"]).await;
    assert_eq!((code(&output), stderr(&output).contains("logged out")), (6, true), "{}", stderr(&output));
    let mut linking = place.start(&["--json", "link", "alice"]);
    assert!(linking.event("archived").await["archive"].as_str().unwrap().starts_with("alice-"));
    linking.event("qr").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_and_listens() {
    let simulator = simulator().await;
    let place = Place::at(&simulator);
    link(&place, &simulator, "alice").await;
    for attempt in ["first", "again"] {
        let output =
            place.run_beside(&["--json", "send", "alice", "+15550002222", "hello", "--key", "k1"]).await;
        let sent: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
        assert_eq!((code(&output), sent["event"].as_str()), (0, Some("sent")), "{attempt}: {sent}");
    }
    let within = std::time::Duration::from_secs(10);
    simulator.admin().wait_text(OTHER, "hello", within).await.unwrap();
    let inbox = simulator.admin().inbox(OTHER, 0).await.unwrap();
    assert_eq!(inbox.len(), 1, "the same key sends once");

    simulator.admin().send_text(OTHER, NUMBER, "hello yourself").await.unwrap();
    let mut listening = place.start(&["--json", "listen", "alice"]);
    let message = listening.event("message").await;
    assert_eq!(message["text"], "hello yourself");
    assert_no_violations(&simulator).await;
}

#[test]
fn the_demo_goes_as_it_must() {
    let output = Place::new().run(&["--json", "demo"]);
    let last = stdout(&output).lines().last().unwrap_or_default().to_owned();
    let total: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(code(&output), 0, "{}", stdout(&output));
    assert_eq!(stderr(&output), "", "progress is for terminals");
    assert_eq!(
        (&total["violations"], &total["unlike"], &total["lost"], &total["duplicated"]),
        (&0.into(), &0.into(), &0.into(), &0.into())
    );
    assert_eq!((total["sent"].as_u64(), total["received"].as_u64()), (Some(10), Some(10)));
    assert!(total["seconds"].as_f64().unwrap() < 30.0);
}

#[test]
fn sim_deviations_prints_each_with_its_reason_as_text_json_and_page() {
    let place = Place::new();
    let list = palomar::stanza::judge::Deviations::built_in().unwrap();
    let text = stdout(&place.run(&["sim", "deviations"]));
    let json = stdout(&place.run(&["--json", "sim", "deviations"]));
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), list.iter().count());
    for (deviation, line) in list.iter().zip(&lines) {
        assert!(text.contains(&deviation.reason) && text.contains(&deviation.op), "{text}");
        assert_eq!(
            (line["op"].as_str(), line["reason"].as_str()),
            (Some(&*deviation.op), Some(&*deviation.reason))
        );
    }
    assert_eq!(stdout(&place.run(&["sim", "deviations", "--markdown"])), list.to_markdown());
}

#[test]
fn judge_line_18_a_bad_table_stops_sim_run_and_is_named_with_line_and_column() {
    let place = Place::new();
    let begin =
        include_str!("../../src/stanza/judge/stanzas.csv").lines().take(4).collect::<Vec<_>>().join("\n");
    std::fs::write(place.folder.path().join("bad.csv"), format!("{begin}\nout,a,a,,nodes,,,1,1,,,built\n"))
        .unwrap();
    for (option, file, words) in [
        ("--stanza-table", "bad.csv", "line 5, column kind"),
        ("--schema-table", "bad.csv", "line 1, column message"),
        ("--enum-table", "bad.csv", "line 1, column enum"),
        ("--stanza-table", "absent.csv", "absent.csv"),
    ] {
        let output = place.run(&["sim", "run", "--any-ports", option, file]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{option} {file}");
        assert!(said.contains(file) && said.contains(words), "{option}: {said}");
        assert!(said.contains("leave the option out"), "{said}");
    }
}
