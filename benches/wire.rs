//! Encoding and decoding of three stanzas: the smallest usual one, a message to six devices, a group send that
//! distributes a sender key to 1,024 devices.
#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]

mod common;

use criterion::{BenchmarkId, Criterion, Throughput};
use palomar::crypto::random_bytes;
use palomar::wire::{Arena, Jid, Node, decode, encode_into};
use rand_core::CryptoRng;

fn lid(number: usize, device: u16) -> Jid {
    Jid::lid(&format!("{}", 100_000_000_000_000 + number * 7919)).unwrap().with_device(device)
}

fn receipt() -> Node {
    Node::new("receipt").attr("to", lid(1, 4)).attr("id", "3EB0C767D26A1B2E4A55F1").attr("type", "read")
}

/// One encrypted part for each device: 162 bytes of ciphertext, as a short text has.
fn participants(count: usize, rng: &mut impl CryptoRng) -> Node {
    let part = |number| {
        let ciphertext: [u8; 162] = random_bytes(rng);
        let enc = Node::new("enc").attr("v", "2").attr("type", "msg").bytes(ciphertext);
        Node::new("to").attr("jid", lid(number, (number % 4) as u16)).child(enc)
    };
    Node::new("participants").children((0..count).map(part))
}

fn message(rng: &mut impl CryptoRng) -> Node {
    Node::new("message")
        .attr("id", "3EB0C767D26A1B2E4A55F1")
        .attr("to", lid(1, 0))
        .attr("type", "text")
        .attr("peer_recipient_pn", Jid::pn("491700000000").unwrap())
        .child(participants(6, rng))
        .child(Node::new("device-identity").bytes(random_bytes::<180, _>(rng)))
        .child(Node::new("tctoken").bytes(random_bytes::<16, _>(rng)))
}

fn group_send(rng: &mut impl CryptoRng) -> Node {
    let to: Jid = "120363000000000001@g.us".parse().unwrap();
    let enc = Node::new("enc").attr("v", "2").attr("type", "skmsg").bytes(random_bytes::<250, _>(rng));
    Node::new("message")
        .attr("to", to)
        .attr("id", "3EB0C767D26A1B2E4A55F1")
        .attr("phash", "2:AAAAAAAA")
        .attr("type", "text")
        .attr("addressing_mode", "lid")
        .child(participants(1024, rng))
        .child(enc)
}

fn main() {
    let mut criterion = common::criterion();
    let rng = &mut common::rng();
    let stanzas = [("receipt", receipt()), ("message_6", message(rng)), ("group_send_1024", group_send(rng))];
    both_ways(&mut criterion, &stanzas);
    criterion.final_summary();
}

fn both_ways(c: &mut Criterion, stanzas: &[(&str, Node)]) {
    for (name, node) in stanzas {
        let mut bytes = Vec::new();
        encode_into(node, &mut bytes).unwrap();
        let mut group = c.benchmark_group("wire");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("encode", name), |b| {
            b.iter(|| {
                out.clear();
                encode_into(node, &mut out).unwrap();
                out.len()
            });
        });
        let mut arena = Arena::new();
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter(|| decode(&bytes, &mut arena).unwrap().tag().len());
        });
        group.finish();
    }
}
