use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::crypto::KeyPair;
use crate::proto::{AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

struct Setup {
    account: KeyPair,
    companion: KeyPair,
    secret: AdvSecret,
    container: Vec<u8>,
}

fn setup(account_type: Hosting, device: Hosting) -> Setup {
    let rng = &mut ChaCha20Rng::seed_from_u64(5);
    let (account, companion) = (KeyPair::generate(rng), KeyPair::generate(rng));
    let secret = AdvSecret::generate(rng);
    let new = primary::NewDevice {
        raw_id: 77,
        timestamp: 1_786_000_000,
        key_index: 3,
        account: account_type,
        device,
    };
    let container = primary::issue(&new, companion.public(), &secret, &account, &[1; 64]);
    Setup { account, companion, secret, container }
}

fn check(setup: &Setup, container: &[u8]) -> Result<companion::Verified, AdvError> {
    companion::verify(container, &setup.secret, setup.companion.public(), None)
}

#[test]
fn both_roles_agree_in_all_four_hosting_forms() {
    for account in [Hosting::Plain, Hosting::Hosted] {
        for device in [Hosting::Plain, Hosting::Hosted] {
            let setup = setup(account, device);
            let verified = check(&setup, &setup.container).unwrap();
            assert_eq!((verified.details.key_index, verified.details.device), (3, device));
            let linked = verified.sign(&setup.companion, &[2; 64]);
            let offer = verify::Offer::parse(&setup.container).unwrap();
            let accepted = offer.accept(&linked.reply, setup.companion.public()).unwrap();
            assert_eq!(accepted.signed, linked.account);
            assert_eq!(accepted.account_key, *setup.account.public());
        }
    }
}

#[test]
fn flipping_any_bit_of_details_or_hmac_never_yields_success() {
    let setup = setup(Hosting::Plain, Hosting::Plain);
    let good = AdvSignedDeviceIdentityHmac::decode(&*setup.container).unwrap();
    for bit in 0..good.details.as_ref().unwrap().len() * 8 {
        let mut bad = good.clone();
        bad.details.as_mut().unwrap()[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(check(&setup, &bad.encode_to_vec()).unwrap_err(), AdvError::Hmac);
    }
    for bit in 0..256 {
        let mut bad = good.clone();
        bad.hmac.as_mut().unwrap()[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(check(&setup, &bad.encode_to_vec()).unwrap_err(), AdvError::Hmac);
    }
}

#[test]
fn changing_the_outer_account_type_to_or_from_hosted_never_yields_success() {
    let plain = setup(Hosting::Plain, Hosting::Plain);
    let mut changed = AdvSignedDeviceIdentityHmac::decode(&*plain.container).unwrap();
    changed.account_type = Some(1);
    assert_eq!(check(&plain, &changed.encode_to_vec()).unwrap_err(), AdvError::Hmac);
    let hosted = setup(Hosting::Hosted, Hosting::Plain);
    let mut changed = AdvSignedDeviceIdentityHmac::decode(&*hosted.container).unwrap();
    for other in [None, Some(0), Some(2)] {
        changed.account_type = other;
        assert_eq!(check(&hosted, &changed.encode_to_vec()).unwrap_err(), AdvError::Hmac);
    }
}

#[test]
fn container_with_an_hmac_of_wrong_length_is_an_hmac_mismatch() {
    let setup = setup(Hosting::Plain, Hosting::Plain);
    let mut bad = AdvSignedDeviceIdentityHmac::decode(&*setup.container).unwrap();
    bad.hmac.as_mut().unwrap().pop();
    assert_eq!(check(&setup, &bad.encode_to_vec()).unwrap_err(), AdvError::Hmac);
}

#[test]
fn an_account_key_other_than_the_one_of_the_code_pairing_is_a_signature_mismatch() {
    let setup = setup(Hosting::Plain, Hosting::Plain);
    let verify = |expected: &PublicKey| {
        companion::verify(&setup.container, &setup.secret, setup.companion.public(), Some(expected))
    };
    assert!(verify(setup.account.public()).is_ok());
    assert_eq!(verify(setup.companion.public()).unwrap_err(), AdvError::Signature);
}

#[test]
fn device_identity_with_or_without_account_key_is_checked_against_both_signatures() {
    let setup = setup(Hosting::Plain, Hosting::Plain);
    let linked = check(&setup, &setup.container).unwrap().sign(&setup.companion, &[2; 64]);
    let (identity, account) = (setup.companion.public(), setup.account.public());
    // With its own key, with the stored one, and without any.
    assert_eq!(verify::device(&linked.account, identity, None).unwrap().account_key, *account);
    let stored = verify::device(&linked.reply, identity, Some(account)).unwrap();
    assert_eq!(stored.signed, linked.account);
    assert_eq!(verify::device(&linked.reply, identity, None).unwrap_err(), AdvError::Signature);
    assert_eq!(verify::device(&linked.reply, identity, Some(identity)).unwrap_err(), AdvError::Signature);
    assert_eq!(verify::device(&linked.account, account, None).unwrap_err(), AdvError::Signature);
    for field in 0..2 {
        let mut bad = AdvSignedDeviceIdentity::decode(&*linked.account).unwrap();
        let signature = if field == 0 { &mut bad.account_signature } else { &mut bad.device_signature };
        signature.as_mut().unwrap()[5] ^= 1;
        let bad = bad.encode_to_vec();
        assert_eq!(verify::device(&bad, identity, None).unwrap_err(), AdvError::Signature);
    }
}

#[test]
fn a_contacts_hosted_device_signs_with_its_own_prefix() {
    let setup = setup(Hosting::Plain, Hosting::Hosted);
    let identity = setup.companion.public();
    let container = AdvSignedDeviceIdentityHmac::decode(&*setup.container).unwrap();
    let mut signed = AdvSignedDeviceIdentity::decode(&*container.details.unwrap()).unwrap();
    let details = signed.details.clone().unwrap();
    for (prefix, accepted) in [([6, 6], true), ([6, 1], false)] {
        let message = device_message(&prefix, &details, identity, setup.account.public());
        signed.device_signature =
            Some(crate::crypto::xeddsa::sign(&setup.companion, &message, &[3; 64]).to_vec());
        assert_eq!(verify::device(&signed.encode_to_vec(), identity, None).is_ok(), accepted);
    }
}

#[test]
fn a_reply_with_other_details_or_signature_is_refused_by_the_server() {
    let setup = setup(Hosting::Plain, Hosting::Plain);
    let linked = check(&setup, &setup.container).unwrap().sign(&setup.companion, &[2; 64]);
    let offer = verify::Offer::parse(&setup.container).unwrap();
    let mut reply = AdvSignedDeviceIdentity::decode(&*linked.reply).unwrap();
    reply.details.as_mut().unwrap()[1] ^= 1;
    let identity = setup.companion.public();
    assert_eq!(offer.accept(&reply.encode_to_vec(), identity).unwrap_err(), AdvError::Malformed);
    assert_eq!(offer.accept(&linked.reply, setup.account.public()).unwrap_err(), AdvError::Signature);
    // The account's key may stay in (whatsapp-rust leaves it there).
    assert!(offer.accept(&linked.account, identity).is_ok());
}

#[test]
fn key_index_list_keeps_valid_and_newer_indexes() {
    let list = key_index::KeyIndexList {
        raw_id: 1,
        timestamp: 2,
        current_index: 5,
        valid_indexes: vec![2, 5],
        account: Hosting::Plain,
    };
    let kept: Vec<u32> = (0..8).filter(|&index| list.keeps(index)).collect();
    assert_eq!(kept, [2, 5, 6, 7]);
}

#[test]
fn debug_of_the_secret_shows_nothing_of_it() {
    assert_eq!(format!("{:?}", AdvSecret::new([1; 32])), "AdvSecret(..)");
}

#[test]
fn a_container_for_another_companion_identity_fails_by_the_signature_alone() {
    let setup = setup(Hosting::Plain, Hosting::Plain);
    // Secret and HMAC are right: a verifier that ignores the answer of its signature check takes this one.
    let other = setup.account.public();
    let verdict = companion::verify(&setup.container, &setup.secret, other, None);
    assert_eq!(verdict.unwrap_err(), AdvError::Signature);
}
