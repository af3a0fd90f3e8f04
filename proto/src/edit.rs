//! The shallow editor: changes some fields of an encoded message and copies every other byte, so that fields this
//! schema does not know survive a forward (protocol 03b §6).
//!
//! It knows tags and lengths, no types. Values inside copied fields are not looked at.

use std::borrow::Cow;

use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

/// The largest field number of protobuf.
const MAX_NUMBER: u64 = (1 << 29) - 1;

/// Why bytes could not be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The bytes end inside a field, or a varint is too long.
    #[error("the message is cut off or malformed")]
    Malformed,
    /// A field number of 0 or above 2^29−1, read or asked for.
    #[error("field number {0} does not exist")]
    Number(u64),
    /// Groups (wire types 3 and 4) and the unused wire types 6 and 7 are refused.
    #[error("wire type {0} is refused")]
    WireType(u8),
    /// A field on the path is there, but it is no sub-message.
    #[error("field {0} on the path is not a sub-message")]
    NotAMessage(u32),
    /// The path names no field.
    #[error("the path is empty")]
    EmptyPath,
}

/// The value of one encoded field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0: integers (negative ones sign-extended to 64 bits), booleans, enums.
    Varint(u64),
    /// Wire type 1: 64-bit fixed values and doubles, little-endian bits.
    Fixed64(u64),
    /// Wire type 2: strings, bytes, sub-messages, packed lists.
    Bytes(&'a [u8]),
    /// Wire type 5: 32-bit fixed values and floats, little-endian bits.
    Fixed32(u32),
}

/// One field of a message level as it stands in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Field number, 1 to 2^29−1.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// The whole field, tag included.
    pub raw: &'a [u8],
}

/// The fields of one message level, in their order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Scans one message level.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, EditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match read_field(self.rest) {
            Ok((field, rest)) => {
                self.rest = rest;
                Some(Ok(field))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

fn read_field(bytes: &[u8]) -> Result<(Field<'_>, &[u8]), EditError> {
    let mut rest = bytes;
    let tag = varint(&mut rest)?;
    let number = valid_number(tag >> 3)?;
    let value = match (tag & 7) as u8 {
        0 => Value::Varint(varint(&mut rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(fixed(&mut rest)?)),
        2 => {
            let len = usize::try_from(varint(&mut rest)?).map_err(|_| EditError::Malformed)?;
            let (body, after) = rest.split_at_checked(len).ok_or(EditError::Malformed)?;
            rest = after;
            Value::Bytes(body)
        }
        5 => Value::Fixed32(u32::from_le_bytes(fixed(&mut rest)?)),
        other => return Err(EditError::WireType(other)),
    };
    let (raw, _) = bytes.split_at_checked(bytes.len() - rest.len()).ok_or(EditError::Malformed)?;
    Ok((Field { number, value, raw }, rest))
}

fn varint(rest: &mut &[u8]) -> Result<u64, EditError> {
    decode_varint(rest).map_err(|_| EditError::Malformed)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], EditError> {
    let (value, after) = rest.split_first_chunk().ok_or(EditError::Malformed)?;
    *rest = after;
    Ok(*value)
}

fn valid_number(number: u64) -> Result<u32, EditError> {
    match u32::try_from(number) {
        Ok(valid) if (1..=MAX_NUMBER).contains(&number) => Ok(valid),
        _ => Err(EditError::Number(number)),
    }
}

/// The body of the sub-message or bytes at `path`, for example `[6, 17]`. Several occurrences of a sub-message on the
/// path are merged by concatenation, as decoders do; of the last one this is right for sub-messages only, so read
/// bytes and strings with [`last`]. `None` if a field on the path is absent.
pub fn sub_message<'a>(message: &'a [u8], path: &[u32]) -> Result<Option<Cow<'a, [u8]>>, EditError> {
    let mut level = Cow::Borrowed(message);
    for number in path {
        let next = match level {
            Cow::Borrowed(bytes) => merged(bytes, *number)?,
            Cow::Owned(bytes) => merged(&bytes, *number)?.map(|body| Cow::Owned(body.into_owned())),
        };
        match next {
            Some(body) => level = body,
            None => return Ok(None),
        }
    }
    Ok(Some(level))
}

/// The last occurrence of a field at this level: the value a decoder takes for a scalar.
pub fn last(message: &[u8], number: u32) -> Result<Option<Value<'_>>, EditError> {
    let mut found = None;
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            found = Some(field.value);
        }
    }
    Ok(found)
}

/// All occurrences of a sub-message, concatenated.
fn merged(message: &[u8], number: u32) -> Result<Option<Cow<'_, [u8]>>, EditError> {
    let mut found: Option<Cow<'_, [u8]>> = None;
    for field in fields(message) {
        let field = field?;
        if field.number != number {
            continue;
        }
        let Value::Bytes(body) = field.value else { return Err(EditError::NotAMessage(number)) };
        match &mut found {
            None => found = Some(Cow::Borrowed(body)),
            Some(before) => before.to_mut().extend_from_slice(body),
        }
    }
    Ok(found)
}

/// Sets the field at `path` (numbers from the outermost message on, for example `[6, 17, 22]`) and removes its former
/// occurrences. Sub-messages missing on the path are created. Copied fields keep their order; the new field, and every
/// sub-message rewritten on the way, go to the end of their level.
pub fn set(message: &[u8], path: &[u32], value: Value<'_>) -> Result<Vec<u8>, EditError> {
    let (number, parents) = path.split_last().ok_or(EditError::EmptyPath)?;
    replace(message, parents, &[(*number, Some(value))])
}

/// Removes all occurrences of the field at `path`. Where a sub-message on the path is absent nothing changes.
pub fn remove(message: &[u8], path: &[u32]) -> Result<Vec<u8>, EditError> {
    let (number, parents) = path.split_last().ok_or(EditError::EmptyPath)?;
    replace(message, parents, &[(*number, None)])
}

/// Several changes in the sub-message at `parents` (empty: the message itself): each number is removed, and appended
/// with the value if there is one, in the order given. See [`set`].
pub fn replace(
    message: &[u8],
    parents: &[u32],
    changes: &[(u32, Option<Value<'_>>)],
) -> Result<Vec<u8>, EditError> {
    for (number, _) in changes {
        valid_number(u64::from(*number))?;
    }
    let Some((parent, inner)) = parents.split_first() else { return replace_here(message, changes) };
    valid_number(u64::from(*parent))?;
    let body = match merged(message, *parent)? {
        Some(body) => body,
        None if changes.iter().all(|(_, value)| value.is_none()) => return copy_without(message, &[]),
        None => Cow::Borrowed(&[][..]),
    };
    let body = replace(&body, inner, changes)?;
    replace_here(message, &[(*parent, Some(Value::Bytes(&body)))])
}

fn replace_here(message: &[u8], changes: &[(u32, Option<Value<'_>>)]) -> Result<Vec<u8>, EditError> {
    let mut out = copy_without(message, changes)?;
    for (number, value) in changes {
        if let Some(value) = value {
            append(&mut out, *number, *value);
        }
    }
    Ok(out)
}

fn copy_without(message: &[u8], changes: &[(u32, Option<Value<'_>>)]) -> Result<Vec<u8>, EditError> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        let field = field?;
        if changes.iter().all(|(number, _)| *number != field.number) {
            out.extend_from_slice(field.raw);
        }
    }
    Ok(out)
}

fn append(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    let tag = |wire: u64| (u64::from(number) << 3) | wire;
    match value {
        Value::Varint(value) => {
            encode_varint(tag(0), out);
            encode_varint(value, out);
        }
        Value::Fixed64(value) => {
            encode_varint(tag(1), out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Bytes(value) => {
            let len = value.len() as u64;
            out.reserve(encoded_len_varint(tag(2)) + encoded_len_varint(len) + value.len());
            encode_varint(tag(2), out);
            encode_varint(len, out);
            out.extend_from_slice(value);
        }
        Value::Fixed32(value) => {
            encode_varint(tag(5), out);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}
