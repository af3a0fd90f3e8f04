//! What must hold for any bytes that claim to be of the Signal layer (protocol 04 §22 no. 25): the four messages, stored
//! records, key bundles, ADV structures, and what stands inside an opened ciphertext. Used by the fuzz targets and by
//! the test that replays the corpus.

use std::sync::LazyLock;

use palomar::crypto::{KeyPair, PublicKey, sha256};
use palomar::proto::{self, Message};
use palomar::signal::adv::{AdvSecret, companion, key_index, verify};
use palomar::signal::{
    Ciphertext, CiphertextType, Guard, Local, PreKeyBundle, PreKeySignalMessage, PreKeys, Receive, SenderKey,
    SenderKeyDistribution, SenderKeyMessage, SenderKeyRecord, SessionRecord, SignalMessage, SignedPreKey,
    padding, reporting,
};
use palomar::stanza::content::{classify, unwrap};
use palomar::stanza::{prekeys, retry};
use palomar::wire::{Arena, decode};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const NOW: i64 = 1_760_000_000_000;

/// A device that has a session with a peer and one sender key of it.
struct Device {
    identity: KeyPair,
    signed: SignedPreKey,
    one_time: KeyPair,
    sessions: SessionRecord,
    sender_keys: SenderKeyRecord,
}

/// The same in every run, so that a corpus made once stays good.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let rng = &mut rng();
    let (identity, peer) = (KeyPair::generate(rng), KeyPair::generate(rng));
    let signed = SignedPreKey::generate(1, &identity, rng);
    let one_time = KeyPair::generate(rng);
    let mut device = Device {
        identity,
        signed,
        one_time,
        sessions: SessionRecord::default(),
        sender_keys: SenderKeyRecord::new(),
    };
    let mut theirs = SessionRecord::default();
    let local = Local { identity: &peer, registration_id: 7 };
    theirs.process_bundle(local, &device.bundle(), NOW, rng).expect("a good bundle");
    let first = theirs.encrypt(b"first", NOW).expect("a new session");
    assert!(device.open(&first), "the first message of the peer");
    let own = SenderKey::generate(rng);
    device.sender_keys.process(&own.distribution());
    device
});

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([3; 32])
}

impl PreKeys for &Device {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        (id == 1).then(|| self.signed.pair.clone())
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        (id == 1).then(|| self.one_time.clone())
    }
}

impl Device {
    fn bundle(&self) -> PreKeyBundle {
        let signed = (1, *self.signed.pair.public(), &self.signed.signature[..]);
        PreKeyBundle::new(5, *self.identity.public(), signed, Some((1, *self.one_time.public())))
            .expect("our own")
    }

    /// Opens a ciphertext; a refusal leaves the record as it was, byte for byte.
    fn open(&mut self, sent: &Ciphertext) -> bool {
        let before = self.sessions.serialize();
        let mut record = SessionRecord::deserialize(&before).expect("what we write, we read");
        let receive = Receive { now: NOW, own_account: false };
        let (mut guard, rng) = (Guard::default(), &mut rng());
        let opened = match sent.kind {
            CiphertextType::Message => SignalMessage::parse(&sent.bytes)
                .and_then(|message| record.decrypt_message(&message, receive, &mut guard, rng)),
            CiphertextType::PreKey => PreKeySignalMessage::parse(&sent.bytes).and_then(|message| {
                let local = Local { identity: &self.identity, registration_id: 5 };
                let mut keys = &*self;
                record.decrypt_prekey_message(local, &message, &mut keys, receive, &mut guard, rng)
            }),
        };
        if opened.is_err() {
            assert!(record.serialize() == before, "a refused message changed the record");
        }
        let good = opened.is_ok();
        self.sessions = record;
        good
    }

    fn fresh(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            signed: SignedPreKey {
                id: self.signed.id,
                pair: self.signed.pair.clone(),
                signature: self.signed.signature,
            },
            one_time: self.one_time.clone(),
            sessions: SessionRecord::deserialize(&self.sessions.serialize()).expect("what we write, we read"),
            sender_keys: SenderKeyRecord::deserialize(&self.sender_keys.serialize())
                .expect("what we write, we read"),
        }
    }
}

/// `signal_message`: `msg` (04 §4.2), parsed and tried on a session.
pub fn signal_message(data: &[u8]) {
    let Ok(message) = SignalMessage::parse(data) else { return };
    assert!(data.len() >= 62 && data[0] >> 4 == 3, "shorter than the smallest message, or another version");
    let _ = (message.counter(), message.ratchet_key());
    DEVICE.fresh().open(&Ciphertext { kind: CiphertextType::Message, bytes: data.to_vec() });
}

/// `prekey_message`: `pkmsg` (04 §4.3), parsed and tried on a record and its prekeys.
pub fn prekey_message(data: &[u8]) {
    let Ok(message) = PreKeySignalMessage::parse(data) else { return };
    assert!(SignalMessage::parse(message.inner()).is_ok(), "an inner message that is none");
    DEVICE.fresh().open(&Ciphertext { kind: CiphertextType::PreKey, bytes: data.to_vec() });
}

/// `sender_key_message`: `skmsg` (04 §4.4), parsed and tried on a sender key.
pub fn sender_key_message(data: &[u8]) {
    let Ok(message) = SenderKeyMessage::parse(data) else { return };
    let mut record = DEVICE.fresh().sender_keys;
    let before = record.serialize();
    if record.open(&message).is_err() {
        assert!(record.serialize() == before, "a refused message changed the record");
    }
}

/// `distribution`: a sender key (04 §4.5), parsed, written again and taken into a record.
pub fn distribution(data: &[u8]) {
    let Ok(sent) = SenderKeyDistribution::parse(data) else { return };
    let again = SenderKeyDistribution::parse(&sent.serialize()).expect("what we write, we read");
    assert!(again.serialize() == sent.serialize(), "a second writing differs");
    let mut record = DEVICE.fresh().sender_keys;
    record.process(&sent);
    let stored = record.serialize();
    assert!(SenderKeyRecord::deserialize(&stored).expect("what we write, we read").serialize() == stored);
}

/// `records`: any body behind a right version and before a right checksum; the first byte names the kind of record.
pub fn records(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            let mut stored = [&[1], body].concat();
            let mut crc = flate2::Crc::new();
            crc.update(&stored);
            stored.extend(crc.sum().to_le_bytes());
            let Ok(mut record) = SessionRecord::deserialize(&stored) else { return };
            let written = record.serialize();
            let again = SessionRecord::deserialize(&written).expect("what we write, we read");
            assert!(again.serialize() == written, "a second writing differs");
            let _ = record.encrypt(b"text", NOW);
            record.retire_all(NOW);
            assert!(SessionRecord::deserialize(&record.serialize()).is_ok());
        }
        1 => {
            let stored = with_hash(b'R', body);
            let Ok(record) = SenderKeyRecord::deserialize(&stored) else { return };
            assert!(*record.serialize() == stored, "a record is written otherwise than it was read");
        }
        _ => {
            let stored = with_hash(b'S', body);
            let Ok(mut key) = SenderKey::deserialize(&stored) else { return };
            // A private key is clamped when it is read, so the first writing may differ from what was read.
            let written = key.serialize();
            let again = SenderKey::deserialize(&written).expect("what we write, we read");
            assert!(again.serialize() == written, "a second writing differs");
            let _ = (key.encrypt(b"text", &mut rng()), key.distribution());
        }
    }
}

fn with_hash(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut stored = [&[1, kind], body].concat();
    let sum = sha256(&stored);
    stored.extend(&sum[..8]);
    stored
}

/// `bundles`: a stanza with key material: answers to a fetch, retry receipts, digests, identities (05a §5, 05b §9).
pub fn bundles(data: &[u8]) {
    let mut arena = Arena::new();
    let Ok(root) = decode(data, &mut arena) else { return };
    let _ = (prekeys::parse_identities(root), prekeys::parse_count(root), prekeys::Digest::parse(root));
    let asked = retry::Received::parse(root).ok().and_then(|asked| asked.keys?.ok());
    let fetched =
        prekeys::parse_fetched(root).unwrap_or_default().into_iter().filter_map(|(_, bundle)| bundle.ok());
    for bundle in fetched.chain(asked) {
        let signed = &bundle.signed_prekey;
        let good = PreKeyBundle::new(
            bundle.registration_id,
            PublicKey(bundle.identity),
            (signed.id, PublicKey(signed.public), &signed.signature),
            bundle.prekey.map(|key| (key.id, PublicKey(key.public))),
        );
        if let Ok(good) = good {
            let local = Local { identity: &DEVICE.identity, registration_id: 5 };
            let _ = SessionRecord::default().process_bundle(local, &good, NOW, &mut rng());
        }
        if let Some(identity) = bundle.device_identity {
            adv(&identity);
        }
    }
}

/// `adv`: device identities, their containers and key index lists (02 §2).
pub fn adv(data: &[u8]) {
    let key = DEVICE.identity.public();
    assert!(
        companion::verify(data, &AdvSecret::new([1; 32]), key, None).is_err(),
        "a container nobody has made"
    );
    let _ = (verify::device(data, key, Some(key)), verify::device(data, key, None));
    if let Ok(offer) = verify::Offer::parse(data) {
        let _ = offer.accept(data, key);
    }
    if let Ok(list) = key_index::Signed::parse(data) {
        let _ = (list.verify(key), list.unverified().map(|list| list.keeps(3)));
    }
}

/// `content`: the padded plaintext of an `<enc>`: unpadding, the protobuf, what it is, what of it is reported.
pub fn content(data: &[u8]) {
    let plain = padding::unpad(data).unwrap_or(data);
    let _ = (reporting::content(plain), reporting::is_reportable(plain));
    let Ok(message) = proto::decode::<Message>(plain) else { return };
    let _ = (classify(&message), unwrap(&message).map(|inner| inner.message.conversation.is_some()));
}
