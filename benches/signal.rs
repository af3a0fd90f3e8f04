//! Sessions and sender keys, with a text of 97 padded bytes.
#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]

mod common;

use common::party::{Party, pair, text};
use criterion::{BatchSize, Criterion};
use palomar::signal::{SenderKey, SenderKeyDistribution, SenderKeyRecord};

/// Message after message in one direction.
fn chain(c: &mut Criterion) {
    let text = text();
    let (mut a, _) = pair(common::rng());
    c.bench_function("signal/encrypt_in_chain", |bench| bench.iter(|| a.send(&text)));
    let (mut a, mut b) = pair(common::rng());
    c.bench_function("signal/decrypt_in_chain", |bench| {
        bench.iter_batched_ref(|| a.send(&text), |sent| b.receive(sent), BatchSize::SmallInput);
    });
}

/// A message and its answer: two messages, each with a turn of the ratchet.
fn ping_pong(c: &mut Criterion) {
    let text = text();
    let (mut a, mut b) = pair(common::rng());
    c.bench_function("signal/ping_pong", |bench| {
        bench.iter(|| {
            let ping = a.send(&text);
            b.receive(&ping);
            let pong = b.send(&text);
            a.receive(&pong)
        });
    });
}

/// The side that has fetched a bundle (its signature check included), and the side that gets the first message.
fn set_up(c: &mut Criterion) {
    let mut other = common::rng();
    other.set_stream(1);
    let (mut a, mut b) = (Party::new(common::rng()), Party::new(other));
    c.bench_function("signal/session_from_bundle", |bench| {
        bench.iter(|| a.begin(&b.bundle()));
    });
    let first = a.send(&text());
    c.bench_function("signal/session_from_first_message", |bench| {
        bench.iter(|| {
            b.record = Default::default();
            b.receive(&first)
        });
    });
}

fn sender_keys(c: &mut Criterion) {
    let (text, rng) = (text(), &mut common::rng());
    let mut own = SenderKey::generate(rng);
    c.bench_function("signal/sender_key_encrypt", |bench| {
        bench.iter(|| own.encrypt(&text, rng).unwrap());
    });
    let mut member = SenderKeyRecord::new();
    member.process(&SenderKeyDistribution::parse(&own.distribution().serialize()).unwrap());
    c.bench_function("signal/sender_key_decrypt", |bench| {
        bench.iter_batched_ref(
            || own.encrypt(&text, rng).unwrap(),
            |sent| member.decrypt(sent).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

fn main() {
    let mut criterion = common::criterion();
    chain(&mut criterion);
    ping_pong(&mut criterion);
    set_up(&mut criterion);
    sender_keys(&mut criterion);
    criterion.final_summary();
}
