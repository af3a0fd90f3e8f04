//! The participant hash over a set of devices (05a §4), and the contact hash of device notifications (05a §3).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::crypto::{md5, sha256};
use crate::wire::Jid;

/// `2:` and eight characters over the devices, in any order; a device named twice counts once.
#[must_use]
pub fn phash<'j>(devices: impl IntoIterator<Item = &'j Jid>) -> String {
    let forms: BTreeSet<String> = devices.into_iter().map(Jid::hash_form).collect();
    let mut joined = String::new();
    joined.extend(forms);
    let hash = sha256(joined.as_bytes());
    format!("2:{}", hash.first_chunk::<6>().map(|six| STANDARD_NO_PAD.encode(six)).unwrap_or_default())
}

/// Four characters that name a contact in `<update hash>` of a device notification.
#[must_use]
pub fn contact_hash(contact: &Jid) -> String {
    let hash = md5(format!("{}WA_ADD_NOTIF", contact.user()).as_bytes());
    hash.first_chunk::<3>().map(|three| STANDARD.encode(three)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_hash_is_the_one_of_the_specification() {
        assert_eq!(contact_hash(&Jid::lid("100000000000001").unwrap()), "s7oK");
    }

    #[test]
    fn a_repeated_device_counts_once() {
        let device = Jid::lid("5").unwrap();
        assert_eq!(phash([&device, &device]), phash([&device]));
    }
}
