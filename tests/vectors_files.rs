//! Every file of vectors is read by a test, or stands here as not run because its chapter is not built yet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

/// Files that a `vectors_…` test reads.
const READ: [&str; 15] = [
    "appstate",
    "binary-xml",
    "fingerprint",
    "jid",
    "media",
    "message-secret",
    "messaging",
    "noise",
    "padding",
    "pairing-code",
    "pairing-qr",
    "schema",
    "sender-key",
    "signal-session",
    "xeddsa",
];

/// Files whose chapter is not built yet.
const NOT_RUN: [&str; 1] = ["history-sync"];

#[test]
fn vectors_of_every_file_are_read_or_printed_as_not_run() {
    let mut unknown = Vec::new();
    for entry in std::fs::read_dir(common::vectors::folder()).expect("the folder of vectors") {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".json") else { continue };
        if NOT_RUN.contains(&name) {
            println!("vectors {name}.json: not run, its chapter is not built yet");
        } else if !READ.contains(&name) {
            unknown.push(name.to_owned());
        }
    }
    assert!(unknown.is_empty(), "files of vectors that no test knows: {unknown:?}");
}
