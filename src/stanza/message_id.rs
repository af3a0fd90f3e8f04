//! Message ids (05a §1): making ours, and guessing whose client made another.

use crate::crypto::sha256;
use crate::wire::Jid;

/// What every id of the web form begins with.
const WEB: &str = "3EB0";

/// The longest id that is accepted.
const MAX_LEN: usize = 128;

/// A fresh id of the web form: 22 characters. `own` is the own PN; `random` is fresh for each id.
#[must_use]
pub fn generate(own: Option<&Jid>, unix_seconds: u64, random: &[u8; 16]) -> String {
    from_preimage(&preimage(own.map(Jid::user), unix_seconds, random))
}

/// What an id is the hash of: time, user with `@c.us` (both left out if unknown), randomness.
#[must_use]
pub fn preimage(user: Option<&str>, unix_seconds: u64, random: &[u8; 16]) -> Vec<u8> {
    let mut bytes = unix_seconds.to_be_bytes().to_vec();
    if let Some(user) = user {
        bytes.extend_from_slice(user.as_bytes());
        bytes.extend_from_slice(b"@c.us");
    }
    bytes.extend_from_slice(random);
    bytes
}

/// The id of a pre-image.
#[must_use]
pub fn from_preimage(preimage: &[u8]) -> String {
    let hash = sha256(preimage);
    let nine = hash.first_chunk::<9>().map(hex::encode_upper).unwrap_or_default();
    format!("{WEB}{nine}")
}

/// Whether an id is acceptable: 1 to 128 ASCII characters.
#[must_use]
pub fn is_acceptable(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_LEN && id.is_ascii()
}

/// Whose client an id looks like. A guess, never a base for a decision of security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// iPhone.
    Ios,
    /// A web client.
    Web,
    /// Android.
    Android,
    /// A desktop application.
    Desktop,
    /// No known form.
    Unknown,
}

impl Platform {
    /// The guess.
    #[must_use]
    pub fn of(id: &str) -> Self {
        match id.len() {
            20 if id.starts_with("3A") => Self::Ios,
            22 if id.starts_with("3E") => Self::Web,
            21 | 32 => Self::Android,
            _ if id.starts_with("3F") => Self::Desktop,
            18 => Self::Desktop,
            _ => Self::Unknown,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Web => "web",
            Self::Android => "android",
            Self::Desktop => "desktop",
            Self::Unknown => "unknown",
        }
    }
}
