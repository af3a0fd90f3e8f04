//! `signal-session.json`: scenarios between two parties, byte for byte, with the state after each step
//! (protocol 04 §21, §22 no. 4). The state is read from the stored form by a reader of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use common::vectors::{File, array, bytes, known_keys, name, number, opt_bytes, text};
use palomar::crypto::KeyPair;
use palomar::signal::{
    CiphertextType, Guard, Local, OpenedBy, PreKeyBundle, PreKeySignalMessage, PreKeys, Receive,
    SessionRecord, SignalError, SignalMessage, key33,
};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

const NOW: i64 = 1_700_000_000_000;

#[test]
fn vectors_signal_session() {
    let mut file = File::open("signal-session");
    for scenario in file.section("scenarios") {
        known_keys(&scenario, &["name", "parties", "steps"]);
        let mut parties: BTreeMap<String, Party> = scenario["parties"]
            .as_array()
            .unwrap()
            .iter()
            .map(|party| (text(party, "name").to_owned(), Party::new(party)))
            .collect();
        let mut sent = BTreeMap::new();
        for step in scenario["steps"].as_array().unwrap() {
            let place = format!("{} step {}", name(&scenario), step["i"]);
            known_keys(
                step,
                &[
                    "i",
                    "actor",
                    "peer",
                    "op",
                    "result",
                    "bundle",
                    "generated_private_keys",
                    "expect_error",
                    "message",
                    "plaintext",
                    "type",
                    "wire",
                    "counter",
                    "id",
                    "one_time_prekeys_left",
                    "state_after",
                ],
            );
            let party = parties.get_mut(text(step, "actor")).expect("an actor");
            run(party, step, &mut sent, &place);
            party.compare(step, &place);
        }
    }
    file.finish();
}

fn run(party: &mut Party, step: &Value, sent: &mut BTreeMap<String, Vec<u8>>, place: &str) {
    let before = party.record.serialize();
    let result = match text(step, "op") {
        "process_bundle" => party.process_bundle(step),
        "encrypt" => {
            let wire = party.encrypt(step, place);
            sent.insert(text(step, "message").to_owned(), wire);
            Ok(())
        }
        "decrypt" => {
            let wire = opt_bytes(step, "wire").unwrap_or_else(|| sent[text(step, "message")].clone());
            party.decrypt(step, &wire).map(|plaintext| {
                assert_eq!(hex::encode(plaintext), text(step, "plaintext"), "{place}");
            })
        }
        "delete_session" => {
            party.record = SessionRecord::default();
            Ok(())
        }
        "delete_one_time_prekey" => {
            party.one_time.remove(&u32::try_from(number(step, "id")).unwrap()).expect("that prekey");
            Ok(())
        }
        "note" => Ok(()),
        other => panic!("{place}: unknown op {other}"),
    };
    match text(step, "result") {
        "ok" => result.unwrap_or_else(|error| panic!("{place}: {error}")),
        "error" => {
            let error = result.expect_err(place);
            assert_eq!(error.class(), text(step, "expect_error"), "{place}");
            assert_eq!(party.record.serialize(), before, "{place}: an error changes nothing");
        }
        other => panic!("{place}: unknown result {other}"),
    }
    let stored = party.record.serialize();
    assert_eq!(SessionRecord::deserialize(&stored).expect(place).serialize(), stored, "{place}");
}

struct Party {
    identity: KeyPair,
    registration_id: u32,
    signed: BTreeMap<u32, KeyPair>,
    one_time: BTreeMap<u32, KeyPair>,
    record: SessionRecord,
    guard: Guard,
}

struct Keys<'a>(&'a Party);

impl PreKeys for Keys<'_> {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        self.0.signed.get(&id).cloned()
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        self.0.one_time.get(&id).cloned()
    }
}

impl Party {
    fn new(party: &Value) -> Self {
        known_keys(
            party,
            &[
                "name",
                "registration_id",
                "identity_private",
                "identity_public",
                "signed_prekey",
                "one_time_prekeys",
            ],
        );
        let pair = |key: &Value| {
            let pair = KeyPair::from_private(array(key, "private"));
            assert_eq!(pair.public().serialize(), array(key, "public"));
            (u32::try_from(number(key, "id")).unwrap(), pair)
        };
        Self {
            identity: KeyPair::from_private(array(party, "identity_private")),
            registration_id: u32::try_from(number(party, "registration_id")).unwrap(),
            signed: BTreeMap::from([pair(&party["signed_prekey"])]),
            one_time: party["one_time_prekeys"].as_array().unwrap().iter().map(pair).collect(),
            record: SessionRecord::default(),
            guard: Guard::default(),
        }
    }

    fn process_bundle(&mut self, step: &Value) -> Result<(), SignalError> {
        let bundle = &step["bundle"];
        known_keys(bundle, &["registration_id", "identity_key", "signed_prekey", "one_time_prekey"]);
        let signed = &bundle["signed_prekey"];
        let id = |key: &Value| u32::try_from(number(key, "id")).unwrap();
        let one_time = match &bundle["one_time_prekey"] {
            Value::Null => None,
            key => Some((id(key), key33(&bytes(key, "public"))?)),
        };
        let bundle = PreKeyBundle::new(
            u32::try_from(number(bundle, "registration_id")).unwrap(),
            key33(&bytes(bundle, "identity_key"))?,
            (id(signed), key33(&bytes(signed, "public"))?, &bytes(signed, "signature")),
            one_time,
        )?;
        let mut rng = Injected::new(step);
        let local = Local { identity: &self.identity, registration_id: self.registration_id };
        self.record.process_bundle(local, &bundle, NOW, &mut rng)?;
        rng.finish();
        Ok(())
    }

    fn encrypt(&mut self, step: &Value, place: &str) -> Vec<u8> {
        if let Some(counter) = step.get("counter").and_then(Value::as_u64) {
            while u64::from(self.send_index()) < counter {
                self.record.encrypt(b"anything", NOW).expect(place);
            }
        }
        let sent = self.record.encrypt(&bytes(step, "plaintext"), NOW).expect(place);
        assert_eq!(sent.kind.as_str(), text(step, "type"), "{place}");
        assert_eq!(hex::encode(&sent.bytes), text(step, "wire"), "{place}");
        sent.bytes
    }

    fn send_index(&self) -> u32 {
        let states = stored_sessions(&self.record.serialize());
        states[0].send.as_ref().unwrap().1
    }

    fn decrypt(&mut self, step: &Value, wire: &[u8]) -> Result<Vec<u8>, SignalError> {
        let receive = Receive { now: NOW, own_account: false };
        let mut rng = Injected::new(step);
        let mut guard = self.guard.clone();
        let mut record = self.record.clone();
        let result = match text(step, "type") {
            kind if kind == CiphertextType::PreKey.as_str() => {
                let message = PreKeySignalMessage::parse(wire)?;
                let local = Local { identity: &self.identity, registration_id: self.registration_id };
                record.decrypt_prekey_message(local, &message, &mut Keys(self), receive, &mut guard, &mut rng)
            }
            kind if kind == CiphertextType::Message.as_str() => {
                record.decrypt_message(&SignalMessage::parse(wire)?, receive, &mut guard, &mut rng)
            }
            other => panic!("unknown type {other}"),
        };
        (self.guard, self.record) = (guard, record);
        let opened = result?;
        rng.finish();
        if let OpenedBy::New { consumed_prekey: Some(id) } = opened.by {
            self.one_time.remove(&id);
        }
        Ok(opened.plaintext.to_vec())
    }

    fn compare(&self, step: &Value, place: &str) {
        if let Some(left) = step.get("one_time_prekeys_left") {
            let left: Vec<u64> = left.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
            let have: Vec<u64> = self.one_time.keys().map(|id| u64::from(*id)).collect();
            assert_eq!(have, left, "{place}");
        }
        let Some(states) = step.get("state_after").and_then(Value::as_array) else { return };
        let stored = stored_sessions(&self.record.serialize());
        assert_eq!(stored.len(), states.len(), "{place}");
        for state in states {
            known_keys(
                state,
                &[
                    "base_key",
                    "archived",
                    "root_key",
                    "pending_prekey",
                    "our_ratchet_public",
                    "their_ratchet_public",
                    "chains",
                ],
            );
            let base_key = bytes(state, "base_key");
            let session = stored.iter().find(|session| session.base_key[..] == base_key[1..]).expect(place);
            session.compare(state, place);
        }
    }
}

/// A session as the stored form has it.
struct Stored {
    base_key: [u8; 32],
    root_key: [u8; 32],
    ratchet_public: [u8; 32],
    send: Option<([u8; 32], u32)>,
    pending: bool,
    archived: bool,
    chains: Vec<Chain>,
}

struct Chain {
    ratchet_key: [u8; 32],
    key: [u8; 32],
    next: u32,
    skipped: Vec<u32>,
}

impl Stored {
    fn compare(&self, state: &Value, place: &str) {
        assert_eq!(state["archived"].as_bool().unwrap(), self.archived, "{place}");
        assert_eq!(state["pending_prekey"].as_bool().unwrap(), self.pending, "{place}");
        assert_eq!(text(state, "root_key"), hex::encode(self.root_key), "{place}");
        assert_eq!(text(state, "our_ratchet_public")[2..], hex::encode(self.ratchet_public), "{place}");
        if let Some(newest) = self.chains.last() {
            assert_eq!(text(state, "their_ratchet_public")[2..], hex::encode(newest.ratchet_key), "{place}");
        }
        let chains = state["chains"].as_array().unwrap();
        assert_eq!(chains.len(), self.chains.len() + usize::from(self.send.is_some()), "{place}");
        for chain in chains {
            known_keys(chain, &["ratchet_public", "direction", "next_index", "chain_key", "skipped"]);
            let public = &bytes(chain, "ratchet_public")[1..];
            let (key, next, skipped) = match text(chain, "direction") {
                "send" => {
                    assert_eq!(public, self.ratchet_public, "{place}");
                    let (key, next) = self.send.unwrap();
                    (key, next, Vec::new())
                }
                "receive" => {
                    let found = self.chains.iter().find(|have| have.ratchet_key == public).expect(place);
                    (found.key, found.next, found.skipped.clone())
                }
                other => panic!("unknown direction {other}"),
            };
            assert_eq!(number(chain, "next_index"), u64::from(next), "{place}");
            if let Some(expected) = opt_bytes(chain, "chain_key") {
                assert_eq!(hex::encode(expected), hex::encode(key), "{place}");
            }
            let expected: Vec<u64> =
                chain["skipped"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap()).collect();
            assert_eq!(
                expected,
                skipped.iter().map(|index| u64::from(*index)).collect::<Vec<_>>(),
                "{place}"
            );
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("the stored form is long enough");
        self.0 = rest;
        *taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
}

fn stored_sessions(record: &[u8]) -> Vec<Stored> {
    let mut reader = Reader(&record[1..record.len() - 4]);
    let [current] = reader.array();
    let mut sessions: Vec<_> = (0..current).map(|_| stored_session(&mut reader, false)).collect();
    let [archived] = reader.array();
    sessions.extend((0..archived).map(|_| stored_session(&mut reader, true)));
    assert!(reader.0.is_empty());
    sessions
}

fn stored_session(reader: &mut Reader<'_>, archived: bool) -> Stored {
    let base_key = reader.array();
    reader.array::<72>();
    let root_key = reader.array();
    reader.array::<32>();
    let ratchet_public = reader.array();
    reader.u32();
    let [flags] = reader.array();
    let send = (flags & 1 != 0).then(|| (reader.array(), reader.u32()));
    let pending = flags & 2 != 0;
    if pending {
        reader.array::<12>();
    }
    if flags & 4 != 0 {
        reader.u32();
    }
    if flags & 8 != 0 {
        reader.array::<8>();
    }
    let [count] = reader.array();
    let chains = (0..count)
        .map(|_| {
            let (ratchet_key, key, next) = (reader.array(), reader.array(), reader.u32());
            let skipped = u16::from_le_bytes(reader.array());
            let skipped = (0..skipped)
                .map(|_| {
                    let index = reader.u32();
                    reader.array::<32>();
                    index
                })
                .collect();
            Chain { ratchet_key, key, next, skipped }
        })
        .collect();
    Stored { base_key, root_key, ratchet_public, send, pending, archived, chains }
}

/// Gives the private keys of a step, in order; asking for more fails the test.
struct Injected(VecDeque<u8>);

impl Injected {
    fn new(step: &Value) -> Self {
        let keys = step.get("generated_private_keys").and_then(Value::as_array);
        let keys = keys.into_iter().flatten().map(|key| hex::decode(key.as_str().unwrap()).unwrap());
        Self(keys.flatten().collect())
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "keys were not drawn");
    }
}

impl TryRng for Injected {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("only keys are drawn");
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("only keys are drawn");
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        to.iter_mut()
            .for_each(|byte| *byte = self.0.pop_front().expect("a key was drawn that no step names"));
        Ok(())
    }
}

impl TryCryptoRng for Injected {}
