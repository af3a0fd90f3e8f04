//! One content a message: what an official receiver insists on (protocol 05a §7 rule 12).

use palomar_proto::edit::{EditError, Value, fields, sub_message};

use super::unwrap::MAX_DEPTH;

const SENDER_KEY_DISTRIBUTION: u32 = 2;
const DEVICE_SENT: u32 = 31;
const MESSAGE_CONTEXT_INFO: u32 = 35;

/// Fields of `Message` that hold another one in their field 1.
const WRAPPERS: [u32; 28] = [
    37, 40, 53, 55, 58, 59, 62, 67, 74, 85, 87, 90, 91, 92, 93, 95, 96, 99, 100, 101, 103, 104, 106, 116,
    117, 118, 126, 131,
];

/// Whether an encoded message has exactly one content field besides `messageContextInfo`, or one and a sender key
/// distribution, on every level inside wrappers. Fields unknown to this schema count, which is why it takes bytes. An
/// official receiver refuses anything else as invalid (nack 491).
///
/// # Errors
/// The bytes are not a message.
pub fn is_single_content(message: &[u8]) -> Result<bool, EditError> {
    overfull_level(message).map(|level| level.is_none())
}

/// Where [`is_single_content`] fails: the numbers of the fields that lead to the level with none or several contents.
///
/// # Errors
/// The bytes are not a message.
pub fn overfull_level(message: &[u8]) -> Result<Option<Vec<u32>>, EditError> {
    let (mut level, mut path) = (message.to_vec(), Vec::new());
    for _ in 0..=MAX_DEPTH {
        let Some((number, is_sub_message)) = single_field(&level)? else { return Ok(Some(path)) };
        let inner: &[u32] = match number {
            DEVICE_SENT => &[DEVICE_SENT, 2],
            wrapper if WRAPPERS.contains(&wrapper) && is_sub_message => &[wrapper, 1],
            _ => return Ok(None),
        };
        let Some(next) = sub_message(&level, inner)? else { return Ok(None) };
        level = next.into_owned();
        path.extend_from_slice(inner);
    }
    Ok(Some(path))
}

/// The one content field of a level and whether it may be a sub-message; `None`: there are none or several.
fn single_field(level: &[u8]) -> Result<Option<(u32, bool)>, EditError> {
    let (mut content, mut several, mut distribution) = (None, false, None);
    for field in fields(level) {
        let field = field?;
        let seen = (field.number, matches!(field.value, Value::Bytes(_)));
        match field.number {
            MESSAGE_CONTEXT_INFO => {}
            SENDER_KEY_DISTRIBUTION => distribution = Some(seen),
            number => {
                several |= content.is_some_and(|(other, _)| other != number);
                content = Some(seen);
            }
        }
    }
    Ok(if several { None } else { content.or(distribution) })
}
