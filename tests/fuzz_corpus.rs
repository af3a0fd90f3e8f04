//! The committed fuzz corpus, replayed: what once was an interesting input stays handled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/checks.rs"]
mod checks;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            check(&std::fs::read(&path).unwrap());
            count += 1;
        }
    }
    println!("fuzz corpus {target}: {count} inputs");
    assert!(count > 0, "no corpus in {}", folder.display());
}

#[test]
fn the_corpus_of_frames_replays() {
    replay("frames", checks::frames);
}

#[test]
fn the_corpus_of_nodes_replays() {
    replay("nodes", checks::nodes);
}

#[test]
fn the_corpus_of_jids_replays() {
    replay("jid", checks::jid);
}
