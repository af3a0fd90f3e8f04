//! Opening the ciphertexts of a message (protocol 05b §4, 04 §8, §10.3, §11.2). Each in a savepoint of its own: what
//! fails leaves no trace, what opened before it stays.

use crate::client::devices::own::is_lid_family;
use crate::client::devices::{address, devices_of, identity, mapping, session};
use crate::client::receive::env::{Effect, Env};
use crate::crypto::sha256;
use crate::signal::adv::verify::{self, DeviceIdentity};
use crate::signal::{
    Decrypted, IdentityKey, OpenedBy, PreKeySignalMessage, Receive, RetryReason, SenderKeyMessage,
    SignalError, SignalMessage,
};
use crate::stanza::message::{Enc, Incoming, Source};
use crate::stanza::outgoing::Cipher;
use crate::store::inbox::MessageKey;
use crate::store::{Device, DeviceList, StoreError, Tx};
use crate::wire::Jid;

/// Why a ciphertext was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
    /// The Signal layer's class.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// Nobody vouches for the device: reason 12.
    #[error("the device identity is missing or wrong")]
    Unvouched,
    /// The own phone has a new identity.
    #[error("the own phone has a new identity")]
    OwnPhoneChanged,
    /// The store failed: nothing counts.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotOpened {
    /// The reason in a retry receipt.
    pub(crate) fn reason(&self) -> Option<RetryReason> {
        match self {
            Self::Signal(error) => match error.answer() {
                crate::signal::Answer::Retry(reason) => reason,
                _ => None,
            },
            Self::Unvouched => Some(RetryReason::Identity),
            Self::OwnPhoneChanged | Self::Store(_) => None,
        }
    }
}

/// The hash by which a redelivery is recognised: of a `pkmsg` that of its inner message (04 §15.1).
pub(crate) fn hash(enc: &Enc<'_>) -> [u8; 32] {
    if enc.cipher == Some(Cipher::PreKeyMessage)
        && let Ok(message) = PreKeySignalMessage::parse(&enc.ciphertext)
    {
        return sha256(message.inner());
    }
    sha256(&enc.ciphertext)
}

/// Opens a `pkmsg` or `msg`: the padded text. A state of the PN that was not migrated is migrated once.
pub(crate) fn pairwise(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    enc: &Enc<'_>,
) -> Result<Vec<u8>, NotOpened> {
    let first = tx.savepoint(|tx| open(tx, env, message, source, enc));
    match first {
        Err(NotOpened::Signal(SignalError::NoSession | SignalError::BadMac))
            if enc.cipher == Some(Cipher::Message)
                && is_lid_family(&address::canonical(tx, &source.device)?)
                && mapping::migrate_known(tx, &source.device, env.now)? =>
        {
            tx.savepoint(|tx| open(tx, env, message, source, enc))
        }
        result => result,
    }
}

fn open(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    enc: &Enc<'_>,
) -> Result<Vec<u8>, NotOpened> {
    let device = address::canonical(tx, &source.device)?;
    let key = address::key(&device);
    let receive = Receive { now: env.now, own_account: source.from_me };
    let mut record = session::load(tx, &key)?;
    let guards = env.guards.clone();
    let opened = if enc.cipher == Some(Cipher::PreKeyMessage) {
        let parsed = PreKeySignalMessage::parse(&enc.ciphertext)?;
        let vouched = vouch(tx, &device, &parsed, message)?;
        let mut prekeys = session::StoredPreKeys::new(tx);
        let opened = guards.with(&key, |guard| {
            let local = env.own.local();
            record.decrypt_prekey_message(local, &parsed, &mut prekeys, receive, guard, &mut env.rng)
        });
        prekeys.check()?;
        let opened = opened?;
        if let (OpenedBy::New { .. }, Some(vouched)) = (opened.by, &vouched) {
            // Before the session is written: a new phone takes the sessions of its former companions along.
            vouched_by(tx, env, &device, vouched)?;
        }
        session::save(tx, &key, &record)?;
        first_of_session(tx, env, &device, &parsed, &opened, vouched)?;
        opened
    } else {
        let parsed = SignalMessage::parse(&enc.ciphertext)?;
        let opened =
            guards.with(&key, |guard| record.decrypt_message(&parsed, receive, guard, &mut env.rng))?;
        session::save(tx, &key, &record)?;
        opened
    };
    Ok(opened.plaintext.to_vec())
}

/// What a message that made a session changes besides: the prekey goes, the identity is taken over.
fn first_of_session(
    tx: &mut Tx<'_>,
    env: &mut Env,
    device: &Jid,
    message: &PreKeySignalMessage<'_>,
    opened: &Decrypted,
    vouched: Option<DeviceIdentity>,
) -> Result<(), NotOpened> {
    let OpenedBy::New { consumed_prekey } = opened.by else { return Ok(()) };
    if let Some(id) = consumed_prekey {
        tx.delete_prekey(id)?;
    }
    let seen = identity::saw(tx, &env.own, device, &opened.identity, message.registration_id(), env.now)?;
    if seen == identity::Seen::OwnPhoneChanged {
        return Err(NotOpened::OwnPhoneChanged);
    }
    if seen == identity::Seen::Changed && device.device() == 0 {
        env.effects.push(Effect::Reissue(device.to_user()));
    }
    if let Some(vouched) = vouched {
        learn_device(tx, device, &vouched)?;
    }
    Ok(())
}

/// Checks who vouches for the companion that sends a `pkmsg` (04 §11.2). A phone needs nobody.
fn vouch(
    tx: &Tx<'_>,
    device: &Jid,
    message: &PreKeySignalMessage<'_>,
    stanza: &Incoming<'_>,
) -> Result<Option<DeviceIdentity>, NotOpened> {
    if device.device() == 0 {
        return Ok(None);
    }
    let phone = identity::stored(tx, &address::canonical(tx, &device.to_user())?)?;
    let known = identity::stored(tx, device)? == Some(message.identity().0);
    match &stanza.device_identity {
        Some(bytes) => match verify::device(bytes, &message.identity().0, phone.as_ref()) {
            Ok(vouched) => Ok(Some(vouched)),
            Err(_) => Err(NotOpened::Unvouched),
        },
        None if known => Ok(None),
        None => Err(NotOpened::Unvouched),
    }
}

/// An account key that is not the stored identity of device 0 is a changed identity of the phone (04 §11.2).
fn vouched_by(tx: &mut Tx<'_>, env: &Env, device: &Jid, vouched: &DeviceIdentity) -> Result<(), NotOpened> {
    let phone = address::canonical(tx, &device.to_user())?;
    if identity::stored(tx, &phone)?.is_none_or(|known| known == vouched.account_key) {
        return Ok(());
    }
    let key = IdentityKey(vouched.account_key);
    match identity::saw(tx, &env.own, &phone, &key, 0, env.now)? {
        identity::Seen::OwnPhoneChanged => Err(NotOpened::OwnPhoneChanged),
        _ => Ok(()),
    }
}

/// A vouched companion that the list lacks is added; another installation resets the list.
fn learn_device(tx: &mut Tx<'_>, device: &Jid, vouched: &DeviceIdentity) -> Result<(), NotOpened> {
    let user = device.to_user();
    let Some(list) = tx.device_list(&user.to_string())? else { return Ok(()) };
    let details = &vouched.details;
    if list.raw_id.is_some() && details.raw_id.is_some() && list.raw_id != details.raw_id {
        tx.delete_device_list(&user.to_string())?;
        return Ok(());
    }
    if list.devices.iter().any(|known| known.id == device.device()) {
        return Ok(());
    }
    let mut devices = list.devices.clone();
    let hosted = device.is_hosted();
    devices.push(Device { id: device.device(), key_index: Some(details.key_index), hosted });
    tx.put_device_list(&DeviceList { devices, ..list })?;
    Ok(())
}

/// Opens a `skmsg`: the padded text. A key that stands under another device of the sender's user serves too.
pub(crate) fn group(tx: &mut Tx<'_>, source: &Source, enc: &Enc<'_>) -> Result<Vec<u8>, NotOpened> {
    let message = SenderKeyMessage::parse(&enc.ciphertext)?;
    let group = source.chat.to_string();
    for device in candidates(tx, &source.device)? {
        let key = address::key(&device);
        let mut record = mapping::sender_key(tx, &group, &key)?;
        if !record.knows(message.id()) {
            continue;
        }
        match record.open(&message) {
            Ok(padded) => {
                tx.put_sender_key(&group, &key, &record.serialize())?;
                return Ok(padded);
            }
            // Another device's key with the same id: the signature decides.
            Err(SignalError::BadSignature) if device.device() != source.device.device() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(SignalError::NoSenderKey.into())
}

/// The sender's device, then the user's others.
fn candidates(tx: &Tx<'_>, device: &Jid) -> Result<Vec<Jid>, StoreError> {
    let canonical = address::canonical(tx, device)?;
    let mut all = vec![canonical.clone()];
    let mut forms = vec![canonical.to_user()];
    forms.extend(address::other_form(tx, &canonical.to_user())?);
    for form in forms {
        let listed = devices_of(tx, &form)?.unwrap_or_default();
        for other in listed.into_iter().chain([form.with_device(device.device()), form.clone()]) {
            if !all.contains(&other) {
                all.push(other);
            }
        }
    }
    Ok(all)
}

/// Notes that a ciphertext was opened.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    env: &Env,
    enc: &Enc<'_>,
    message: &MessageKey,
) -> Result<(), StoreError> {
    if enc.cipher == Some(Cipher::PreKeyMessage)
        && let Ok(parsed) = PreKeySignalMessage::parse(&enc.ciphertext)
        && parsed.prekey_id().is_none()
    {
        let signed_prekey = parsed.signed_prekey_id();
        return tx.mark_replayable_hash_seen(&hash(enc), message, signed_prekey, env.now);
    }
    tx.mark_hash_seen(&hash(enc), message, env.now)
}
