//! The index of an entry: a JSON array of strings, whose bytes are MACed and so must be the same on every device (protocol 06
//! §3).

/// The longest index in bytes that is read as one; a longer one counts as unparsable (protocol 06 §13).
const MAX_INDEX: usize = 16 * 1024;

/// The JSON text of an index: no white space, only what must be escaped is.
#[must_use]
pub fn index_json(parts: &[&str]) -> String {
    serde_json::Value::from(parts).to_string()
}

/// The parts of an index; `None` if it is no JSON array of at least one string. The MACs of such an entry count all the same.
#[must_use]
pub fn index_parts(json: &[u8]) -> Option<Vec<String>> {
    let text = Some(json).filter(|json| json.len() <= MAX_INDEX)?;
    serde_json::from_slice(text).ok().filter(|parts: &Vec<String>| !parts.is_empty())
}
