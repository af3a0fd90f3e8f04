//! The participant hash (protocol 05a §4).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::crypto::sha256_parts;
use crate::wire::Jid;

/// `2:` and eight characters over a set of devices, whose order and repetitions don't matter.
#[must_use]
pub fn phash<'a>(devices: impl IntoIterator<Item = &'a Jid>) -> String {
    let forms: BTreeSet<String> = devices.into_iter().map(Jid::hash_form).collect();
    let parts: Vec<&[u8]> = forms.iter().map(String::as_bytes).collect();
    let [a, b, c, d, e, f, ..] = sha256_parts(&parts);
    format!("2:{}", STANDARD_NO_PAD.encode([a, b, c, d, e, f]))
}
