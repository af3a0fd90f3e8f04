//! Two devices with a Signal session between them.
#![allow(dead_code, reason = "each bench uses a part")]

use palomar::crypto::KeyPair;
use palomar::signal::{
    Ciphertext, CiphertextType, Guard, Local, PreKeyBundle, PreKeySignalMessage, PreKeys, Receive,
    SessionRecord, SignalMessage, SignedPreKey, padding,
};
use rand_chacha::ChaCha20Rng;

/// The time at which everything happens.
pub const NOW: i64 = 1_780_000_000_000;

const ONE_TIME: u32 = 5;

/// A padded text as long as a usual chat message.
pub fn text() -> Vec<u8> {
    padding::pad_with(&[b'a'; 90], 7)
}

/// A device.
pub struct Party {
    identity: KeyPair,
    signed: SignedPreKey,
    one_time: KeyPair,
    pub record: SessionRecord,
    guard: Guard,
    rng: ChaCha20Rng,
}

struct Keys<'a>(&'a SignedPreKey, &'a KeyPair);

impl PreKeys for Keys<'_> {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        (id == self.0.id).then(|| self.0.pair.clone())
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        (id == ONE_TIME).then(|| self.1.clone())
    }
}

impl Party {
    pub fn new(mut rng: ChaCha20Rng) -> Self {
        let identity = KeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(1, &identity, &mut rng);
        let one_time = KeyPair::generate(&mut rng);
        let (record, guard) = (SessionRecord::default(), Guard::default());
        Self { identity, signed, one_time, record, guard, rng }
    }

    /// What the server hands out of its keys, with the check of its signature.
    pub fn bundle(&self) -> PreKeyBundle {
        PreKeyBundle::new(
            77,
            *self.identity.public(),
            (self.signed.id, *self.signed.pair.public(), &self.signed.signature),
            Some((ONE_TIME, *self.one_time.public())),
        )
        .unwrap()
    }

    /// A new session of a bundle, in place of everything that was.
    pub fn begin(&mut self, bundle: &PreKeyBundle) {
        let local = Local { identity: &self.identity, registration_id: 78 };
        self.record = SessionRecord::from_bundle(local, bundle, NOW, &mut self.rng).unwrap();
    }

    pub fn send(&mut self, text: &[u8]) -> Ciphertext {
        self.record.encrypt(text, NOW).unwrap()
    }

    /// Parses and opens; the length of the text.
    pub fn receive(&mut self, sent: &Ciphertext) -> usize {
        let receive = Receive { now: NOW, own_account: false };
        let opened = match sent.kind {
            CiphertextType::PreKey => {
                let message = PreKeySignalMessage::parse(&sent.bytes).unwrap();
                let local = Local { identity: &self.identity, registration_id: 77 };
                let mut keys = Keys(&self.signed, &self.one_time);
                let (guard, rng) = (&mut self.guard, &mut self.rng);
                self.record.decrypt_prekey_message(local, &message, &mut keys, receive, guard, rng)
            }
            CiphertextType::Message => {
                let message = SignalMessage::parse(&sent.bytes).unwrap();
                self.record.decrypt_message(&message, receive, &mut self.guard, &mut self.rng)
            }
        };
        opened.unwrap().plaintext.len()
    }
}

/// Two devices whose session both have confirmed: what they send now is `msg`.
pub fn pair(rng: ChaCha20Rng) -> (Party, Party) {
    let mut other = rng.clone();
    other.set_stream(1);
    let (mut a, mut b) = (Party::new(rng), Party::new(other));
    a.begin(&b.bundle());
    let first = a.send(&text());
    b.receive(&first);
    let answer = b.send(&text());
    a.receive(&answer);
    (a, b)
}
