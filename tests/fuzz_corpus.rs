//! The committed fuzz corpus, replayed: what once was an interesting input stays handled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../fuzz/checks.rs"]
mod checks;
#[path = "../fuzz/signal_checks.rs"]
mod signal_checks;

use std::sync::LazyLock;

use proptest::prelude::*;

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

#[test]
fn the_corpus_of_pairwise_messages_replays() {
    replay("signal_message", signal_checks::signal_message);
    replay("prekey_message", signal_checks::prekey_message);
}

#[test]
fn the_corpus_of_sender_keys_and_their_messages_replays() {
    replay("sender_key_message", signal_checks::sender_key_message);
    replay("distribution", signal_checks::distribution);
}

#[test]
fn the_corpus_of_stored_records_replays() {
    replay("records", signal_checks::records);
}

#[test]
fn the_corpus_of_key_bundles_and_device_identities_replays() {
    replay("bundles", signal_checks::bundles);
    replay("adv", signal_checks::adv);
}

#[test]
fn the_corpus_of_message_contents_replays() {
    replay("content", signal_checks::content);
}

proptest! {
    #[test]
    fn whatever_decodes_is_stable_over_encode_and_decode(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut input = which.get(&NODES).clone();
        for (at, byte) in edits {
            if !input.is_empty() {
                let at = at.index(input.len());
                input[at] = byte;
            }
        }
        checks::nodes(&input);
    }
}

/// The corpus of nodes.
static NODES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/nodes");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect()
});
