//! The reporting token of a sent message (protocol 04 §13, 05a §13): a MAC over the parts of the message that an
//! abuse report may quote. How the stanza carries it is the caller's business.

use zeroize::Zeroize;

use super::addon::{Context, MessageSecret, Use};
use super::wire::put_varint;
use crate::crypto::hmac_sha256;

/// Wrapped messages inside each other beyond this number give no token.
const MAX_DEPTH: usize = 32;

/// What is kept of a field.
enum Keep {
    /// Its bytes as they are.
    Whole,
    /// The listed fields of the message in it.
    Fields(&'static [(u32, Keep)]),
    /// It is a `Message`, filtered with the whole list again.
    Message,
}

use Keep::{Fields, Message, Whole};

/// Context info.
const C: Keep = Fields(&[(21, Whole), (22, Whole)]);
/// A container with a wrapped message.
const WRAPPER: Keep = Fields(&[(1, Message)]);
/// A poll.
const POLL: Keep = Fields(&[
    (2, Whole),
    (3, Fields(&[(1, Whole), (2, Whole)])),
    (5, C),
    (8, Fields(&[(1, Whole), (2, Whole)])),
]);
/// A video, also the round one.
const VIDEO: Keep = Fields(&[(2, Whole), (6, Whole), (7, Whole), (13, Whole), (17, C), (20, Whole)]);

/// The fields of `Message`, ascending.
const MESSAGE: &[(u32, Keep)] = &[
    (1, Whole),
    (3, Fields(&[(2, Whole), (3, Whole), (8, Whole), (11, Whole), (17, C), (25, Whole)])),
    (4, Fields(&[(1, Whole), (16, Whole), (17, C)])),
    (5, Fields(&[(3, Whole), (4, Whole), (5, Whole), (16, Whole), (17, C)])),
    (6, Fields(&[(1, Whole), (17, C), (30, Whole)])),
    (7, Fields(&[(2, Whole), (7, Whole), (10, Whole), (17, C), (20, Whole)])),
    (8, Fields(&[(2, Whole), (7, Whole), (9, Whole), (17, C), (21, Whole)])),
    (9, VIDEO),
    (12, Fields(&[(1, Whole), (2, Whole), (14, Message), (15, Whole)])),
    (18, Fields(&[(6, Whole), (16, Whole), (17, C)])),
    (26, Fields(&[(4, Whole), (5, Whole), (8, Whole), (13, Whole), (17, C)])),
    (28, Fields(&[(1, Whole), (2, Whole), (4, Whole), (5, Whole), (6, Whole), (7, C)])),
    (37, WRAPPER),
    (49, POLL),
    (53, WRAPPER),
    (55, WRAPPER),
    (58, WRAPPER),
    (59, WRAPPER),
    (60, POLL),
    (64, POLL),
    (66, VIDEO),
    (74, WRAPPER),
    (87, WRAPPER),
    (88, Fields(&[(1, Whole), (2, Fields(&[(1, Whole)])), (3, C)])),
    (92, WRAPPER),
    (93, WRAPPER),
    (94, WRAPPER),
];

/// Kinds of message that get no token: reactions, votes, answers to events, kept messages (05a §13).
const EXCLUDED: [u32; 5] = [46, 50, 51, 56, 76];

/// The 16 bytes of the token, `None` if the message gets none: an excluded kind, nothing to quote, or malformed.
///
/// `message` is the unpadded serialized `Message`; `sender` is our own JID without device in the chat's
/// namespace, `chat` the chat's JID.
#[must_use]
pub fn token(
    secret: &MessageSecret,
    message_id: &str,
    sender: &str,
    chat: &str,
    message: &[u8],
) -> Option<[u8; 16]> {
    let content = content(message).filter(|content| !content.is_empty())?;
    if !is_reportable(message) {
        return None;
    }
    let context = Context { message_id, original_sender: sender, modification_sender: chat };
    let mut key = context.key(secret, Use::ReportToken);
    let mac = hmac_sha256(&key, &[&content]);
    key.zeroize();
    mac.first_chunk().copied()
}

/// Whether the kind of message is one that gets a token at all.
#[must_use]
pub fn is_reportable(message: &[u8]) -> bool {
    let mut rest = message;
    while !rest.is_empty() {
        match Field::read(&mut rest) {
            Some(field) if EXCLUDED.contains(&field.number) => return false,
            Some(_) => {}
            None => return false,
        }
    }
    true
}

/// The bytes over which the token is made; `None` if the message is malformed.
#[must_use]
pub fn content(message: &[u8]) -> Option<Vec<u8>> {
    filter(message, MESSAGE, 0)
}

fn filter(mut input: &[u8], list: &'static [(u32, Keep)], depth: usize) -> Option<Vec<u8>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut kept: Vec<(u32, Vec<u8>)> = Vec::new();
    while !input.is_empty() {
        let field = Field::read(&mut input)?;
        let Some((_, keep)) = list.iter().find(|(number, _)| *number == field.number) else { continue };
        let fields = match keep {
            Whole => {
                kept.push((field.number, field.all.to_vec()));
                continue;
            }
            Fields(fields) => fields,
            Message => MESSAGE,
        };
        let Some(value) = field.message else { continue };
        let content = filter(value, fields, depth + 1)?;
        if !content.is_empty() {
            let mut piece = Vec::with_capacity(content.len() + 8);
            put_varint(&mut piece, (field.number as usize) << 3 | 2);
            put_varint(&mut piece, content.len());
            piece.extend_from_slice(&content);
            kept.push((field.number, piece));
        }
    }
    kept.sort_by_key(|(number, _)| *number);
    Some(kept.into_iter().flat_map(|(_, piece)| piece).collect())
}

/// One field as it stands in the bytes.
struct Field<'a> {
    number: u32,
    /// Tag and value.
    all: &'a [u8],
    /// The value, if it is length-delimited.
    message: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    /// Takes a field off the front of `input`; `None` if it is malformed.
    fn read(input: &mut &'a [u8]) -> Option<Self> {
        let start = *input;
        let tag = varint(input)?;
        let number = u32::try_from(tag >> 3).ok().filter(|&number| number != 0)?;
        let message = match tag & 7 {
            0 => varint(input).map(|_| None),
            1 => take(input, 8).map(|_| None),
            2 => varint(input).and_then(|length| take(input, usize::try_from(length).ok()?)).map(Some),
            5 => take(input, 4).map(|_| None),
            _ => None,
        }?;
        Some(Self { number, all: start.get(..start.len() - input.len())?, message })
    }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

/// A varint of at most 64 bits.
fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let &[byte] = take(input, 1)? else { return None };
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_sorted_by_field_number_and_unlisted_fields_dropped() {
        // extendedTextMessage{text "b"}, field 99, conversation "a".
        let message = [0x32, 3, 0x0a, 1, b'b', 0x9a, 6, 1, 9, 0x0a, 1, b'a'];
        assert_eq!(content(&message).unwrap(), [0x0a, 1, b'a', 0x32, 3, 0x0a, 1, b'b']);
    }

    #[test]
    fn a_wrapped_message_is_filtered_with_the_whole_list() {
        // ephemeral-like wrapper 37{1: Message{conversation "a", 99: "x"}}.
        let message = [0xaa, 2, 9, 0x0a, 7, 0x0a, 1, b'a', 0x9a, 6, 1, b'x'];
        assert_eq!(content(&message).unwrap(), [0xaa, 2, 5, 0x0a, 3, 0x0a, 1, b'a']);
    }

    #[test]
    fn malformed_messages_get_no_token() {
        let long_varint = [&[0x08][..], &[0xff; 9], &[2]].concat();
        for bad in [&[0x0a, 5, 1][..], &[0x0b], &[0x0e, 0], &[0x00, 0], &long_varint] {
            assert_eq!(content(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_listed_message_field_of_another_wire_type_is_skipped() {
        assert!(content(&[0x30, 1]).unwrap().is_empty());
    }

    #[test]
    fn messages_nested_too_deep_get_no_token() {
        let mut message = vec![0x0a, 1, b'a'];
        for _ in 0..40 {
            let mut inner = vec![0x0a];
            put_varint(&mut inner, message.len());
            inner.append(&mut message);
            message = vec![0xaa, 2];
            put_varint(&mut message, inner.len());
            message.append(&mut inner);
        }
        assert_eq!(content(&message), None);
    }
}
