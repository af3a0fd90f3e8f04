//! The text of the pairing QR code, both ways (protocol 02 §4). When it is shown and renewed lives in `client`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::adv::AdvSecret;
use crate::crypto::PublicKey;
use crate::proto::device_props::PlatformType;

/// What stands before the parts.
pub const PREFIX: &str = "https://wa.me/settings/linked_devices#";

/// The kind of client, as one character in the QR code and in code pairing (`companion_platform_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientType {
    /// `0`; a server may refuse it.
    Unknown,
    /// `1`
    Chrome,
    /// `2`
    Edge,
    /// `3`
    Firefox,
    /// `4`
    Ie,
    /// `5`
    Opera,
    /// `6`
    Safari,
    /// `7`, the Electron desktop.
    Desktop,
    /// `8`
    Uwp,
    /// `9`
    OtherWeb,
    /// `c`
    MacOs,
    /// `d`, which is expected to be attested, as `e` and `f`.
    AndroidTablet,
    /// `e`
    AndroidPhone,
    /// `f`
    AndroidAmbiguous,
}

impl ClientType {
    const CHARS: [(Self, char); 14] = [
        (Self::Unknown, '0'),
        (Self::Chrome, '1'),
        (Self::Edge, '2'),
        (Self::Firefox, '3'),
        (Self::Ie, '4'),
        (Self::Opera, '5'),
        (Self::Safari, '6'),
        (Self::Desktop, '7'),
        (Self::Uwp, '8'),
        (Self::OtherWeb, '9'),
        (Self::MacOs, 'c'),
        (Self::AndroidTablet, 'd'),
        (Self::AndroidPhone, 'e'),
        (Self::AndroidAmbiguous, 'f'),
    ];

    /// The character.
    #[must_use]
    pub fn as_char(self) -> char {
        Self::CHARS.iter().find(|(kind, _)| *kind == self).map_or('0', |(_, char)| *char)
    }

    /// From the character; `None` for one that is not in the table.
    #[must_use]
    pub fn from_char(char: char) -> Option<Self> {
        Self::CHARS.iter().find(|(_, known)| *known == char).map(|(kind, _)| *kind)
    }

    /// The type that belongs to a platform of the device properties.
    #[must_use]
    pub fn from_platform(platform: PlatformType) -> Self {
        match platform {
            PlatformType::Chrome => Self::Chrome,
            PlatformType::Edge => Self::Edge,
            PlatformType::Firefox => Self::Firefox,
            PlatformType::Ie => Self::Ie,
            PlatformType::Opera => Self::Opera,
            PlatformType::Safari => Self::Safari,
            PlatformType::Desktop => Self::Desktop,
            PlatformType::Uwp => Self::Uwp,
            _ => Self::OtherWeb,
        }
    }
}

/// Why a text is no pairing QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// Fewer than four parts, or one of them is empty.
    #[error("the QR text has too few parts")]
    Parts,
    /// A part that must be the base64 of 32 bytes is not.
    #[error("{0} in the QR text is not the base64 of 32 bytes")]
    Key(&'static str),
}

/// What a pairing QR code says.
#[derive(Debug, Clone)]
pub struct Qr {
    /// The server's reference, opaque.
    pub reference: String,
    /// The companion's Noise key.
    pub noise: PublicKey,
    /// The companion's identity key.
    pub identity: PublicKey,
    /// The secret that binds the answer to this code.
    pub adv_secret: AdvSecret,
    /// The character of the kind of client; absent in the old form of four parts, and not checked.
    pub client_type: Option<char>,
}

impl Qr {
    /// The text in the newest form, with the URL. It holds a secret: show it, never log it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{PREFIX}{},{},{},{}",
            self.reference,
            STANDARD.encode(self.noise.as_bytes()),
            STANDARD.encode(self.identity.as_bytes()),
            STANDARD.encode(self.adv_secret.as_bytes()),
        );
        if let Some(kind) = self.client_type {
            text.push(',');
            text.push(kind);
        }
        text
    }

    /// Reads a text with or without the URL, with four parts or more; parts after the fifth are ignored.
    ///
    /// # Errors
    /// [`QrError`].
    pub fn parse(text: &str) -> Result<Self, QrError> {
        let mut parts = without_url(text.trim()).split(',');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or(QrError::Parts);
        let (reference, noise, identity, secret) = (next()?, next()?, next()?, next()?);
        Ok(Self {
            reference: reference.to_owned(),
            noise: PublicKey(key(noise, "the Noise key")?),
            identity: PublicKey(key(identity, "the identity key")?),
            adv_secret: AdvSecret::new(key(secret, "the secret")?),
            client_type: parts.next().and_then(|part| part.chars().next()),
        })
    }
}

fn without_url(text: &str) -> &str {
    match text.split_once('#') {
        Some((url, rest)) if url.starts_with("https://") || url.starts_with("http://") => rest,
        _ => text,
    }
}

fn key(part: &str, name: &'static str) -> Result<[u8; 32], QrError> {
    STANDARD.decode(part).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(QrError::Key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qr() -> Qr {
        Qr {
            reference: "2@ref/+=".to_owned(),
            noise: PublicKey([1; 32]),
            identity: PublicKey([2; 32]),
            adv_secret: AdvSecret::new([3; 32]),
            client_type: Some('1'),
        }
    }

    fn same(a: &Qr, b: &Qr) -> bool {
        a.reference == b.reference
            && a.noise == b.noise
            && a.identity == b.identity
            && a.adv_secret.as_bytes() == b.adv_secret.as_bytes()
    }

    #[test]
    fn parser_accepts_with_and_without_url_and_4_5_or_6_parts() {
        let text = qr().text();
        let bare = text.strip_prefix(PREFIX).unwrap();
        let four = bare.rsplit_once(',').unwrap().0;
        let six = format!("{bare},https://faq.whatsapp.com/r/ld");
        for text in [&text, bare, four, &format!("http://x.y/z#{four}"), &six] {
            assert!(same(&Qr::parse(text).unwrap(), &qr()), "{text}");
        }
        assert_eq!(Qr::parse(four).unwrap().client_type, None);
        assert_eq!(Qr::parse(&six).unwrap().client_type, Some('1'));
    }

    #[test]
    fn parser_rejects_wrong_lengths_and_missing_parts() {
        let key = STANDARD.encode([1; 32]);
        for (text, error) in [
            (String::new(), QrError::Parts),
            (format!("r,{key},{key}"), QrError::Parts),
            (format!(",{key},{key},{key}"), QrError::Parts),
            (format!("r,{key},,{key}"), QrError::Parts),
            (format!("r,{},{key},{key}", STANDARD.encode([1; 31])), QrError::Key("the Noise key")),
            (format!("r,{key},{},{key}", STANDARD.encode([1; 33])), QrError::Key("the identity key")),
            (format!("r,{key},{key},{}", &key[..43]), QrError::Key("the secret")),
        ] {
            assert_eq!(Qr::parse(&text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn every_client_type_has_its_own_character() {
        for (kind, char) in ClientType::CHARS {
            assert_eq!(ClientType::from_char(char), Some(kind));
            assert_eq!(kind.as_char(), char);
        }
    }
}
