//! Decoding with an error text that may be logged.

/// The longest text of a decode error, in bytes (protocol 03b §7).
const MAX_TEXT: usize = 200;

/// Bytes are no message of that type. The text names messages and fields only, never their values, and is short even
/// where the message was a hundred levels deep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {message}: {text}")]
pub struct DecodeError {
    message: &'static str,
    text: String,
}

/// Decodes a message; the bytes are not kept.
///
/// # Errors
/// What prost refuses: cut off or unbalanced bytes, wrong wire types, strings that are not UTF-8, more than 100 levels.
pub fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| {
        let full = std::any::type_name::<M>();
        let message = full.rsplit("::").next().unwrap_or(full);
        DecodeError { message, text: cut(&error.to_string()) }
    })
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut short = text.get(..end).unwrap_or_default().to_owned();
    if end < text.len() {
        short.push('…');
    }
    short
}
