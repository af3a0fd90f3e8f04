//! The transaction of a received message, as a client does it, on SQLite with `synchronous=FULL`: look whether the
//! ciphertext is known, load the session, decrypt, store the session, note hash and message, write the event, owe
//! the receipt. Alone; as a burst of 100, which a client takes in one transaction; and as 100 transactions that queue up
//! behind the writer and share commits.
//!
//! The figures are those of the disk under the temporary folder as much as ours.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that fails shall stop")]

mod common;

use std::sync::Arc;

use common::party::{NOW, Party, pair, text};
use criterion::{BatchSize, Criterion, Throughput};
use futures_util::future::join_all;
use palomar::crypto::sha256;
use palomar::signal::{Ciphertext, Guard, Receive, SessionRecord, SignalMessage};
use palomar::store::sqlite::{Options, SqliteAccounts, Writers};
use palomar::store::{
    AccountId, Accounts, DataDir, MessageKey, NewEvent, OwedReceipt, SecretBytes, Store, StoreError, Tx,
};

const CHAT: &str = "100000000007919@lid";
const ADDRESS: &str = "100000000007919_1.3";
const BURST: usize = 100;

/// A ciphertext on its way, with its message id.
struct Incoming {
    id: String,
    sent: Ciphertext,
}

fn incoming(peer: &mut Party, number: &mut u64) -> Incoming {
    *number += 1;
    Incoming { id: format!("3EB0{number:018X}"), sent: peer.send(&text()) }
}

/// What one transaction does.
fn receive(tx: &mut Tx<'_>, incoming: &Incoming) -> Result<(), StoreError> {
    let key = MessageKey::new(CHAT, CHAT, incoming.id.as_str());
    let hash = sha256(&incoming.sent.bytes);
    if tx.seen_hash(&hash)?.is_some() || tx.seen_message(&key)?.is_some() {
        panic!("every message of this bench is new");
    }
    let stored = tx.session(ADDRESS)?.unwrap();
    let mut record = SessionRecord::deserialize(stored.expose()).unwrap();
    let message = SignalMessage::parse(&incoming.sent.bytes).unwrap();
    let at = Receive { now: NOW, own_account: false };
    let (mut guard, mut rng) = (Guard::default(), common::rng());
    let opened = record.decrypt_message(&message, at, &mut guard, &mut rng).unwrap();
    tx.put_session(ADDRESS, &record.serialize())?;
    tx.mark_hash_seen(&hash, &key, NOW)?;
    tx.mark_message_seen(&key, None, NOW)?;
    let event = NewEvent {
        event_id: format!("message:{CHAT}:{CHAT}:{}", incoming.id),
        kind: "message".to_owned(),
        message: Some(key),
        payload: SecretBytes::new(opened.plaintext.to_vec()),
    };
    tx.push_event(&event, NOW)?;
    let ids = vec![incoming.id.clone()];
    tx.owe_receipt(&OwedReceipt { to: CHAT.to_owned(), ids, since: NOW, ..OwedReceipt::default() })?;
    Ok(())
}

/// One transaction for each batch, all at once.
async fn receive_all(store: &Store, batches: Vec<Vec<Incoming>>) {
    let work = |batch: Vec<Incoming>| {
        store.write(move |tx| batch.iter().try_for_each(|message| receive(tx, message)))
    };
    for done in join_all(batches.into_iter().map(work)).await {
        done.unwrap();
    }
}

fn main() {
    let mut criterion = common::criterion();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let writers = Arc::new(Writers::new().unwrap());
    let accounts = SqliteAccounts::new(DataDir::new(folder.path()), writers, Options::default()).unwrap();
    let store = accounts.create(&AccountId::new("alice").unwrap(), NOW).unwrap();
    let (mut peer, own) = pair(common::rng());
    let record = own.record.serialize();
    runtime.block_on(store.write(move |tx| tx.put_session(ADDRESS, &record))).unwrap();

    let mut number = 0;
    let mut bench = |c: &mut Criterion, name: &str, batches: usize, size: usize| {
        let mut group = c.benchmark_group("store");
        group.throughput(Throughput::Elements((batches * size) as u64));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let mut batch = || (0..size).map(|_| incoming(&mut peer, &mut number)).collect();
                    (0..batches).map(|_| batch()).collect()
                },
                |batches| runtime.block_on(receive_all(&store, batches)),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    };
    bench(&mut criterion, "receive_one", 1, 1);
    bench(&mut criterion, "receive_burst_100", 1, BURST);
    bench(&mut criterion, "receive_queued_100", BURST, 1);
    runtime.block_on(store.close()).unwrap();
    criterion.final_summary();
}
