//! Sealing and opening frames, and the whole XX handshake.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that fails shall stop")]

mod common;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use palomar::crypto::KeyPair;
use palomar::noise::{
    Answer, Certificate, CipherState, Initiator, Responder, ServerAnswer, Trust, issue_chain,
};

const SIZES: [usize; 4] = [64, 512, 4096, 65_536];
const NOW: u64 = 1_780_000_000;

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("noise/seal");
    for size in SIZES {
        let (plaintext, mut out) = (vec![7; size], Vec::new());
        let mut cipher = CipherState::new(&[1; 32]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                out.clear();
                cipher.seal_into(&plaintext, &mut out).unwrap();
                out.len()
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("noise/open");
    for size in SIZES {
        let plaintext = vec![7; size];
        let (mut seal, mut open) = (CipherState::new(&[1; 32]), CipherState::new(&[1; 32]));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_batched_ref(
                || {
                    let mut frame = Vec::new();
                    seal.seal_into(&plaintext, &mut frame).unwrap();
                    frame.drain(..3);
                    frame
                },
                |body| open.open(body).unwrap().len(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// All three messages, both sides, with fresh ephemeral keys and the check of the certificate chain.
fn handshake(c: &mut Criterion) {
    let rng = &mut common::rng();
    let [root, issuer, server, client] = std::array::from_fn(|_| KeyPair::generate(rng));
    let certificate = |serial, issuer_serial, key: &KeyPair| Certificate {
        serial,
        issuer_serial,
        key: *key.public(),
        not_before: NOW - 100,
        not_after: NOW + 100,
    };
    let (intermediate, leaf) = (certificate(3, 0, &issuer), certificate(7, 3, &server));
    let chain = issue_chain(&root, &issuer, &intermediate, &leaf, rng);
    let trust = Trust { root: *root.public(), now: NOW.cast_signed() };
    let payload = vec![7; 400];
    c.bench_function("noise/handshake_xx", |b| {
        b.iter(|| {
            let (initiator, hello) = Initiator::xx(&client, KeyPair::generate(rng)).unwrap();
            let responder = Responder::new(&server, KeyPair::generate(rng));
            let Answer::Wait { server_hello, next } = responder.read_client_hello(&hello, &chain).unwrap()
            else {
                panic!("XX waits for the ClientFinish")
            };
            let ServerAnswer::Verified(verified) =
                initiator.read_server_hello(&server_hello, &trust).unwrap()
            else {
                panic!("XX verifies the chain")
            };
            let established = verified.finish(&payload).unwrap();
            next.read_client_finish(&established.client_finish).unwrap().payload.len()
        });
    });
}

fn main() {
    let mut criterion = common::criterion();
    frames(&mut criterion);
    handshake(&mut criterion);
    criterion.final_summary();
}
