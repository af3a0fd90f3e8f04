//! One record: its index and value under a key, sealed and opened (protocol 06 §4.1, §4.2).

use palomar_proto::{
    KeyId, SyncActionData, SyncdIndex, SyncdMutation, SyncdRecord, SyncdValue, syncd_mutation::SyncdOperation,
};
use prost::Message;
use zeroize::Zeroizing;

use super::{AppStateError, IndexMac, KeyRing, SyncKey, ValueMac};
use crate::crypto::{CbcOpen, CbcSeal, cbc_length, ct_eq, hmac_sha512_32, pkcs7_length};

/// IV before and MAC behind the ciphertext of a value.
const IV: usize = 16;
const MAC: usize = 32;

/// What a mutation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// The entry has this value from now on.
    Set,
    /// The entry is gone.
    Remove,
}

impl Operation {
    /// The byte that the value MAC covers.
    fn byte(self) -> u8 {
        match self {
            Self::Set => 1,
            Self::Remove => 2,
        }
    }

    /// The enum of the schema.
    fn wire(self) -> SyncdOperation {
        match self {
            Self::Set => SyncdOperation::Set,
            Self::Remove => SyncdOperation::Remove,
        }
    }
}

/// A record that was read and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What it does; SET in a snapshot.
    pub operation: Operation,
    /// The MAC of its index.
    pub index_mac: IndexMac,
    /// The MAC of its value.
    pub value_mac: ValueMac,
    /// The id of the key it stands under.
    pub key_id: Vec<u8>,
    /// Index (JSON text), value, and action version.
    pub data: SyncActionData,
    /// The bytes of `data` as its author wrote them, for re-encryption (protocol 06 §9.3).
    pub data_bytes: Vec<u8>,
}

/// A record whose structure is right and whose MACs are not checked yet.
pub(super) struct RawRecord<'a> {
    pub(super) operation: Operation,
    pub(super) index_mac: IndexMac,
    pub(super) value_mac: ValueMac,
    pub(super) key_id: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Checks the structure: key id, 32-byte index, a blob of IV, whole blocks and MAC.
    pub(super) fn read(operation: Operation, record: &'a SyncdRecord) -> Result<Self, AppStateError> {
        let read = || {
            let key_id = record.key_id.as_ref()?.id.as_deref().filter(|id| !id.is_empty())?;
            let index_mac = record.index.as_ref()?.blob.as_deref()?.try_into().ok()?;
            let blob = record.value.as_ref()?.blob.as_deref()?;
            let (sealed, value_mac) = blob.split_last_chunk::<MAC>()?;
            let ciphertext = sealed.len().checked_sub(IV)?;
            let whole = ciphertext > 0 && ciphertext.is_multiple_of(16);
            whole.then_some(Self { operation, index_mac, value_mac: *value_mac, key_id, sealed })
        };
        read().ok_or(AppStateError::Malformed)
    }

    /// The same for a mutation of a patch.
    pub(super) fn of_mutation(mutation: &'a SyncdMutation) -> Result<Self, AppStateError> {
        let operation = match mutation.operation.unwrap_or_default() {
            0 => Operation::Set,
            1 => Operation::Remove,
            other => return Err(AppStateError::UnknownOperation(other)),
        };
        Self::read(operation, mutation.record.as_ref().ok_or(AppStateError::Malformed)?)
    }

    /// Checks the MACs and decrypts.
    pub(super) fn open(&self, keys: &KeyRing) -> Result<Record, AppStateError> {
        let missing = || AppStateError::KeyMissing(vec![self.key_id.to_vec()]);
        let key = keys.get(self.key_id).ok_or_else(missing)?;
        let mac = value_mac(key, self.operation, self.key_id, self.sealed);
        if !ct_eq(&mac, &self.value_mac) {
            return Err(AppStateError::ValueMacMismatch);
        }
        let data_bytes = decrypt(key, self.sealed).ok_or(AppStateError::DecryptFailed)?;
        let data = SyncActionData::decode(&*data_bytes).map_err(|_| AppStateError::DecodeFailed)?;
        if !ct_eq(&key.index_mac(data.index.as_deref().unwrap_or_default()), &self.index_mac) {
            return Err(AppStateError::IndexMacMismatch);
        }
        Ok(Record {
            operation: self.operation,
            index_mac: self.index_mac,
            value_mac: self.value_mac,
            key_id: self.key_id.to_vec(),
            data,
            data_bytes,
        })
    }
}

fn value_mac(key: &SyncKey, operation: Operation, key_id: &[u8], sealed: &[u8]) -> ValueMac {
    let length = u8::try_from((key_id.len() + 1) % 256).unwrap_or_default();
    hmac_sha512_32(&key.value_mac, &[&[operation.byte()], key_id, sealed, &[0, 0, 0, 0, 0, 0, 0, length]])
}

fn decrypt(key: &SyncKey, sealed: &[u8]) -> Option<Vec<u8>> {
    let (iv, ciphertext) = sealed.split_first_chunk::<IV>()?;
    let mut text = ciphertext.to_vec();
    CbcOpen::new(&key.value_cipher, iv).blocks(&mut text).ok()?;
    let length = pkcs7_length(text.last_chunk::<16>()?).ok()?;
    text.truncate(text.len() - 16 + length);
    Some(text)
}

/// The IV of a record: 16 random bytes.
pub type RecordIv = [u8; 16];

/// A record that was built, with the MACs that the patch and the collection need.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedRecord {
    /// The mutation, its operation always written.
    pub mutation: SyncdMutation,
    /// The MAC of its index.
    pub index_mac: IndexMac,
    /// The MAC of its value.
    pub value_mac: ValueMac,
}

/// Seals one mutation: `data` are the bytes of a `SyncActionData`, which holds the index itself.
///
/// # Errors
/// [`AppStateError::DecodeFailed`] if `data` is none.
pub fn seal_record(
    key: &SyncKey,
    key_id: &[u8],
    operation: Operation,
    data: &[u8],
    iv: &RecordIv,
) -> Result<SealedRecord, AppStateError> {
    let index =
        SyncActionData::decode(data).map_err(|_| AppStateError::DecodeFailed)?.index.unwrap_or_default();
    let mut blob = Vec::with_capacity(IV + cbc_length(data.len()) + MAC);
    blob.extend_from_slice(iv);
    blob.extend_from_slice(&encrypt(key, iv, data));
    let value_mac = value_mac(key, operation, key_id, &blob);
    blob.extend_from_slice(&value_mac);
    let index_mac = key.index_mac(&index);
    let record = SyncdRecord {
        index: Some(SyncdIndex { blob: Some(index_mac.to_vec()) }),
        value: Some(SyncdValue { blob: Some(blob) }),
        key_id: Some(KeyId { id: Some(key_id.to_vec()) }),
    };
    let mutation = SyncdMutation { operation: Some(operation.wire() as i32), record: Some(record) };
    Ok(SealedRecord { mutation, index_mac, value_mac })
}

fn encrypt(key: &SyncKey, iv: &RecordIv, data: &[u8]) -> Vec<u8> {
    let pad = cbc_length(data.len()) - data.len();
    let mut text = Zeroizing::new(data.to_vec());
    text.resize(data.len() + pad, u8::try_from(pad).unwrap_or(16));
    // Whole blocks by construction.
    let _ = CbcSeal::new(&key.value_cipher, iv).blocks(&mut text);
    std::mem::take(&mut *text)
}
