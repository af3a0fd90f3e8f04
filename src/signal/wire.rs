//! The little of protobuf that the Signal messages need, read with the strictness of protocol 04 §4, and
//! written in ascending field order. The messages themselves live beside the code that uses them.

use super::SignalError;
use crate::crypto::PublicKey;

/// The version byte of every message: version 3, highest supported version 3 (04 §4.1).
pub(crate) const VERSION: u8 = 0x33;

/// The longest message that is looked at (04 §17).
pub(crate) const MAX_MESSAGE: usize = 2 * 1024 * 1024;

/// The length of a public key with its type byte.
pub(crate) const KEY_LENGTH: usize = 33;

/// Checks emptiness, the version byte and the total length, in this order, and yields what follows the
/// version byte.
pub(crate) fn versioned(bytes: &[u8], min_length: usize) -> Result<&[u8], SignalError> {
    let (version, rest) = bytes.split_first().ok_or(SignalError::Malformed)?;
    if version >> 4 != VERSION >> 4 || version & 0x0f < VERSION & 0x0f {
        return Err(SignalError::Version);
    }
    if bytes.len() < min_length || bytes.len() > MAX_MESSAGE {
        return Err(SignalError::Malformed);
    }
    Ok(rest)
}

/// A public key in the 33-byte form: length, type byte and order are checked (04 §2).
///
/// # Errors
/// [`SignalError::InvalidKey`].
pub fn key33(bytes: &[u8]) -> Result<PublicKey, SignalError> {
    checked(PublicKey::deserialize(bytes))
}

/// A public key in the bare form of stanzas and ADV, 32 bytes, under the same checks (04 §2).
///
/// # Errors
/// [`SignalError::InvalidKey`].
pub fn key32(bytes: &[u8]) -> Result<PublicKey, SignalError> {
    checked(PublicKey::from_slice(bytes))
}

pub(crate) fn checked(key: Option<PublicKey>) -> Result<PublicKey, SignalError> {
    key.filter(|key| !key.is_low_order()).ok_or(SignalError::InvalidKey)
}

/// The value of one field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits, which no known field has.
    Fixed,
}

impl<'a> Value<'a> {
    /// A `uint32`: of a longer varint the low 32 bits count.
    pub(crate) fn uint32(self) -> Result<u32, SignalError> {
        match self {
            #[allow(clippy::cast_possible_truncation, reason = "the specification takes the low 32 bits")]
            Self::Varint(value) => Ok(value as u32),
            _ => Err(SignalError::Malformed),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], SignalError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(SignalError::Malformed),
        }
    }
}

/// Walks over the fields of a protobuf; ends after the first error.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, SignalError> {
        let mut value = 0_u64;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or(SignalError::Malformed)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(7 * at).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(SignalError::Malformed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], SignalError> {
        let length = usize::try_from(length).map_err(|_| SignalError::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SignalError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), SignalError> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return Err(SignalError::Malformed);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(SignalError::Malformed),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), SignalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The number of bytes of a varint.
pub(crate) fn varint_length(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a `uint32` field, also when it is 0. `number` is below 16.
pub(crate) fn put_uint32(out: &mut Vec<u8>, number: u8, value: u32) {
    out.push(number << 3);
    put_varint(out, value as usize);
}

/// Appends a bytes field. `number` is below 16.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    put_length(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the head of a bytes field whose content the caller appends. `number` is below 16.
pub(crate) fn put_length(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(number << 3 | 2);
    put_varint(out, length);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, SignalError> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn a_varint_of_more_than_ten_bytes_is_malformed_and_of_ten_its_low_bits_count() {
        let mut long = vec![0x08];
        long.extend([0xff; 9]);
        long.push(0x01);
        assert_eq!(all(&long).unwrap()[0].1.uint32().unwrap(), u32::MAX);
        long.insert(1, 0x80);
        assert_eq!(all(&long).unwrap_err(), SignalError::Malformed);
    }

    #[test]
    fn wire_types_three_four_six_seven_and_field_zero_are_malformed() {
        for wire_type in [3, 4, 6, 7] {
            assert_eq!(all(&[9 << 3 | wire_type, 0, 0, 0, 0]).unwrap_err(), SignalError::Malformed);
        }
        assert_eq!(all(&[0, 1]).unwrap_err(), SignalError::Malformed);
        assert_eq!(all(&[0x0a, 2, 1]).unwrap_err(), SignalError::Malformed);
    }

    #[test]
    fn fixed_fields_are_skipped_by_their_length() {
        let bytes = [9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0, 9 << 3 | 5, 0, 0, 0, 0, 0x08, 7];
        assert_eq!(all(&bytes).unwrap()[2].1.uint32().unwrap(), 7);
    }

    #[test]
    fn lengths_of_varints_are_what_is_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 0xffff_ffff] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_length(value));
        }
    }

    #[test]
    fn type_byte_and_length_of_keys_are_enforced_at_the_parser() {
        let good = PublicKey([9; 32]).serialize();
        assert!(key33(&good).is_ok());
        assert_eq!(key33(&good[..32]), Err(SignalError::InvalidKey));
        assert_eq!(key33(&good[1..]), Err(SignalError::InvalidKey));
        assert_eq!(key33(&[&good[..], &[0]].concat()), Err(SignalError::InvalidKey));
        assert_eq!(key33(&[&[6], &good[1..]].concat()), Err(SignalError::InvalidKey));
        assert_eq!(key32(&[0; 32]), Err(SignalError::InvalidKey));
        assert_eq!(key32(&good), Err(SignalError::InvalidKey));
    }
}
