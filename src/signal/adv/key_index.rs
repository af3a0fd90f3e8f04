//! The phone's signed list of the key indexes that are valid (protocol 02 §2, §6 step 5).

use prost::Message;

use super::{AdvError, Hosting};
use crate::crypto::{KeyPair, PublicKey, xeddsa};
use crate::proto::{AdvKeyIndexList, AdvSignedKeyIndexList};

const PREFIX: [u8; 2] = [6, 2];

/// The list, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIndexList {
    /// Random number of the account's installation.
    pub raw_id: u32,
    /// Unix seconds.
    pub timestamp: u64,
    /// The highest index used so far.
    pub current_index: u32,
    /// The indexes of the companions that are linked now.
    pub valid_indexes: Vec<u32>,
    /// Whether the account is hosted.
    pub account: Hosting,
}

impl KeyIndexList {
    /// Whether a device with this index is to be kept: it is valid, or newer than the list (02 §10 row 3).
    #[must_use]
    pub fn keeps(&self, key_index: u32) -> bool {
        key_index > self.current_index || self.valid_indexes.contains(&key_index)
    }

    /// Signs the list: the serialized `ADVSignedKeyIndexList`. `random64` must be fresh; `with_key` adds the
    /// account's key.
    #[must_use]
    pub fn sign(&self, account: &KeyPair, with_key: bool, random64: &[u8; 64]) -> Vec<u8> {
        let details = AdvKeyIndexList {
            raw_id: Some(self.raw_id),
            timestamp: Some(self.timestamp),
            current_index: Some(self.current_index),
            valid_indexes: self.valid_indexes.clone(),
            account_type: self.account.proto(),
        }
        .encode_to_vec();
        let signature = xeddsa::sign(account, &[&PREFIX, &details], random64);
        AdvSignedKeyIndexList {
            details: Some(details),
            account_signature: Some(signature.to_vec()),
            account_signature_key: with_key.then(|| account.public().as_bytes().to_vec()),
        }
        .encode_to_vec()
    }
}

/// Whether `signature` over the serialized list (`details`) is by the account's key.
#[must_use]
pub fn is_signed(account: &PublicKey, details: &[u8], signature: &[u8]) -> bool {
    xeddsa::verify(account, &[&PREFIX, details], signature)
}

/// A list whose signature is not checked yet.
#[derive(Debug, Clone)]
pub struct Signed {
    details: Vec<u8>,
    signature: Vec<u8>,
    key: Option<PublicKey>,
}

impl Signed {
    /// Reads a serialized `ADVSignedKeyIndexList`.
    ///
    /// # Errors
    /// [`AdvError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AdvError> {
        let signed = AdvSignedKeyIndexList::decode(bytes).map_err(|_| AdvError::Malformed)?;
        let key = match signed.account_signature_key.as_deref() {
            None | Some([]) => None,
            Some(key) => Some(PublicKey::from_slice(key).ok_or(AdvError::Malformed)?),
        };
        let (Some(details), Some(signature)) = (signed.details, signed.account_signature) else {
            return Err(AdvError::Malformed);
        };
        Ok(Self { details, signature, key })
    }

    /// The account's key, if the list carries it. It proves nothing by itself.
    #[must_use]
    pub fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// The exact bytes that are signed, prefix included.
    #[must_use]
    pub fn signed_message(&self) -> Vec<u8> {
        [&PREFIX[..], &self.details].concat()
    }

    /// Checks the signature by the account's key and yields the list.
    ///
    /// # Errors
    /// [`AdvError`].
    pub fn verify(&self, account: &PublicKey) -> Result<KeyIndexList, AdvError> {
        if !is_signed(account, &self.details, &self.signature) {
            return Err(AdvError::Signature);
        }
        self.unverified()
    }

    /// The list without any check of the signature, for a simulated server and for logs.
    ///
    /// # Errors
    /// [`AdvError::Malformed`].
    pub fn unverified(&self) -> Result<KeyIndexList, AdvError> {
        let list = AdvKeyIndexList::decode(&*self.details).map_err(|_| AdvError::Malformed)?;
        Ok(KeyIndexList {
            raw_id: list.raw_id.unwrap_or(0),
            timestamp: list.timestamp.unwrap_or(0),
            current_index: list.current_index.unwrap_or(0),
            valid_indexes: list.valid_indexes,
            account: Hosting::of(list.account_type),
        })
    }
}
