//! What the sessions must prove (protocol 04 §22). A line's number stands at its test.

mod cost;
mod hostile;
mod limits;
mod merge;
mod ratchet;
mod sessions;

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::clock::UnixMillis;
use crate::crypto::KeyPair;

const NOW: UnixMillis = 1_700_000_000_000;
const DAY: UnixMillis = 24 * 60 * 60 * 1000;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A device with its keys and its record of one peer.
struct Party {
    identity: KeyPair,
    registration_id: u32,
    signed: BTreeMap<u32, SignedPreKey>,
    one_time: BTreeMap<u32, KeyPair>,
    record: SessionRecord,
    guard: Guard,
    now: UnixMillis,
    own_account: bool,
    rng: ChaCha20Rng,
}

struct Keys<'a> {
    signed: &'a BTreeMap<u32, SignedPreKey>,
    one_time: &'a BTreeMap<u32, KeyPair>,
    asked: usize,
}

impl PreKeys for Keys<'_> {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        self.asked += 1;
        self.signed.get(&id).map(|key| key.pair.clone())
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        self.asked += 1;
        self.one_time.get(&id).cloned()
    }
}

impl Party {
    fn new(seed: u64) -> Self {
        let mut rng = rng(seed);
        let identity = KeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(1, &identity, &mut rng);
        Self {
            registration_id: generate_registration_id(&mut rng),
            signed: BTreeMap::from([(1, signed)]),
            one_time: (1..=100).map(|id| (id, KeyPair::generate(&mut rng))).collect(),
            record: SessionRecord::default(),
            guard: Guard::default(),
            now: NOW,
            own_account: false,
            identity,
            rng,
        }
    }

    fn bundle(&self, one_time: Option<u32>) -> PreKeyBundle {
        let (id, signed) = self.signed.last_key_value().unwrap();
        PreKeyBundle::new(
            self.registration_id,
            *self.identity.public(),
            (*id, *signed.pair.public(), &signed.signature),
            one_time.map(|id| (id, *self.one_time[&id].public())),
        )
        .unwrap()
    }

    fn process(&mut self, bundle: &PreKeyBundle) {
        let local = Local { identity: &self.identity, registration_id: self.registration_id };
        self.record.process_bundle(local, bundle, self.now, &mut self.rng).unwrap();
    }

    fn send(&mut self, text: &[u8]) -> Ciphertext {
        self.record.encrypt(text, self.now).unwrap()
    }

    fn receive(&mut self, sent: &Ciphertext) -> Result<Decrypted, SignalError> {
        let receive = Receive { now: self.now, own_account: self.own_account };
        match sent.kind {
            CiphertextType::PreKey => {
                let message = PreKeySignalMessage::parse(&sent.bytes)?;
                let local = Local { identity: &self.identity, registration_id: self.registration_id };
                let mut keys = Keys { signed: &self.signed, one_time: &self.one_time, asked: 0 };
                let opened = self.record.decrypt_prekey_message(
                    local,
                    &message,
                    &mut keys,
                    receive,
                    &mut self.guard,
                    &mut self.rng,
                )?;
                if let OpenedBy::New { consumed_prekey } = opened.by {
                    consumed_prekey.map(|id| self.one_time.remove(&id));
                } else {
                    assert_eq!(keys.asked, 0, "a known session needs no prekey");
                }
                Ok(opened)
            }
            CiphertextType::Message => {
                let message = SignalMessage::parse(&sent.bytes)?;
                self.record.decrypt_message(&message, receive, &mut self.guard, &mut self.rng)
            }
        }
    }

    #[track_caller]
    fn opens(&mut self, sent: &Ciphertext, text: &[u8]) -> OpenedBy {
        let opened = self.receive(sent).unwrap();
        assert_eq!(&opened.plaintext[..], text);
        opened.by
    }

    /// An error, after which the record is as before.
    #[track_caller]
    fn refuses(&mut self, sent: &Ciphertext) -> SignalError {
        let before = self.record.serialize();
        let error = self.receive(sent).unwrap_err();
        assert_eq!(self.record.serialize(), before, "an error changes nothing");
        error
    }

    /// Moves the send chain on without sending.
    fn skip(&mut self, count: u32) {
        for _ in 0..count {
            self.send(b"never sent");
        }
    }
}

/// Two parties with a confirmed session: a has sent, b has answered.
fn pair(seed: u64) -> (Party, Party) {
    let (mut a, mut b) = (Party::new(seed), Party::new(seed + 1000));
    a.process(&b.bundle(Some(1)));
    let first = a.send(b"first");
    b.opens(&first, b"first");
    let answer = b.send(b"answer");
    a.opens(&answer, b"answer");
    (a, b)
}
