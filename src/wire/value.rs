//! Values on the wire: reading one at a position (03 §3, §5, §8), checking as it goes. Decoding walks values with a
//! [`Cursor`]; reading an attribute later walks the same bytes again through a [`ValueRef`].

use std::borrow::Cow;

use super::error::{DecodeError, DecodeErrorKind as Kind};
use super::jid::Jid;
use super::jid_parse;
use super::packed::{self, Alphabet};
use super::server::Server;
use super::token::{Token, text_of};

pub(super) mod tag {
    //! The tag bytes of 03 §3.
    pub const NULL: u8 = 0;
    pub const DICTIONARY_0: u8 = 236;
    pub const DICTIONARY_3: u8 = 239;
    pub const INTEROP_JID: u8 = 245;
    pub const FB_JID: u8 = 246;
    pub const AD_JID: u8 = 247;
    pub const LIST_8: u8 = 248;
    pub const LIST_16: u8 = 249;
    pub const JID_PAIR: u8 = 250;
    pub const HEX_8: u8 = 251;
    pub const BINARY_8: u8 = 252;
    pub const BINARY_20: u8 = 253;
    pub const BINARY_32: u8 = 254;
    pub const NIBBLE_8: u8 = 255;
}

/// A string value in whatever form it came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    Null,
    Token(u16),
    Raw(&'a [u8]),
    Packed { alphabet: Alphabet, odd: bool, packed: &'a [u8] },
}

impl<'a> Text<'a> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Token(_) => false,
            Self::Raw(bytes) => bytes.is_empty(),
            Self::Packed { packed, .. } => packed.is_empty(),
        }
    }

    /// The text, with U+FFFD for every maximal ill-formed part.
    pub(super) fn lossy(self) -> Cow<'a, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Token(number) => Cow::Borrowed(text_of(number)),
            Self::Raw(bytes) => String::from_utf8_lossy(bytes),
            Self::Packed { alphabet, odd, packed } => Cow::Owned(packed::unpack(alphabet, odd, packed)),
        }
    }

    /// What a user or server may not be: invalid UTF-8, or holding `@` or `:`.
    fn check_jid_part(self) -> Result<Self, Kind> {
        let text = match self {
            Self::Token(number) => text_of(number),
            Self::Raw(bytes) => std::str::from_utf8(bytes).map_err(|_| Kind::BadUtf8)?,
            Self::Null | Self::Packed { .. } => "",
        };
        if text.contains(['@', ':']) { Err(Kind::BadJid) } else { Ok(self) }
    }
}

/// The parts of a JID form.
#[derive(Debug, Clone, Copy)]
pub(super) struct JidParts<'a> {
    user: Text<'a>,
    server: JidServer<'a>,
    device: u16,
    integrator: u16,
}

#[derive(Debug, Clone, Copy)]
enum JidServer<'a> {
    Domain(u8),
    Msgr,
    Interop,
    Text(Text<'a>),
}

impl JidParts<'_> {
    pub(super) fn to_jid(self) -> Jid {
        let server = match self.server {
            JidServer::Domain(domain) => Server::of_domain(domain).unwrap_or(Server::Pn),
            JidServer::Msgr => Server::Msgr,
            JidServer::Interop => Server::Interop,
            JidServer::Text(text) => Server::from(&*text.lossy()),
        };
        let user = self.user.lossy();
        // A pair with server `interop` may carry the integrator in the user.
        if let (Server::Interop, JidServer::Text(_), Some((number, rest))) =
            (&server, self.server, user.split_once('-'))
            && let Some(integrator) = jid_parse::decimal(number).filter(|_| !rest.is_empty())
        {
            return Jid::raw(rest.into(), server, 0, integrator);
        }
        Jid::raw(user.into(), server, self.device, self.integrator)
    }

    /// As [`Self::to_jid`], keeping whether it was written in the AD form.
    pub(super) fn to_jid_as_written(self) -> Jid {
        let jid = self.to_jid();
        if matches!(self.server, JidServer::Domain(_)) { jid.written_as_ad() } else { jid }
    }
}

/// Any value but a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item<'a> {
    Text(Text<'a>),
    Jid(JidParts<'a>),
}

/// A position in the bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(self.truncated())?;
        self.at += 1;
        Ok(byte)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(self.truncated())?;
        self.at += len;
        Ok(taken)
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub fn truncated(&self) -> DecodeError {
        Kind::Truncated.at(self.bytes.len())
    }

    /// A value: string or JID.
    #[inline]
    pub fn item(&mut self) -> Result<Item<'a>, DecodeError> {
        let start = self.at;
        let first = self.u8()?;
        match self.string(first, start)? {
            Some(text) => Ok(Item::Text(text)),
            None => self.jid(first).map(Item::Jid).map_err(|kind| kind.or_at(start)),
        }
    }

    /// A string value; a JID form gives `jid`.
    #[inline]
    pub fn text(&mut self, jid: Kind) -> Result<Text<'a>, DecodeError> {
        let start = self.at;
        let first = self.u8()?;
        self.string(first, start)?.ok_or(jid.at(start))
    }

    /// The string that begins with the byte `first` at `start`; `None` if that is the tag of a JID form.
    #[inline]
    fn string(&mut self, first: u8, start: usize) -> Result<Option<Text<'a>>, DecodeError> {
        let text = match first {
            tag::NULL => Text::Null,
            1..tag::DICTIONARY_0 => Text::Token(u16::from(first)),
            tag::DICTIONARY_0..=tag::DICTIONARY_3 => {
                let table = u16::from(first - tag::DICTIONARY_0) + 1;
                Text::Token((table << 8) | u16::from(self.u8()?))
            }
            tag::BINARY_8 => {
                let len = usize::from(self.u8()?);
                Text::Raw(self.take(len)?)
            }
            tag::BINARY_20 => {
                let [a, b, c] = [self.u8()? & 0x0f, self.u8()?, self.u8()?];
                Text::Raw(self.take(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))?)
            }
            tag::BINARY_32 => {
                let len = u32::from_be_bytes([self.u8()?, self.u8()?, self.u8()?, self.u8()?]);
                Text::Raw(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            tag::NIBBLE_8 => self.packed(Alphabet::Nibble, start)?,
            tag::HEX_8 => self.packed(Alphabet::Hex, start)?,
            tag::INTEROP_JID | tag::FB_JID | tag::AD_JID | tag::JID_PAIR => return Ok(None),
            _ => return Err(Kind::BadToken.at(start)),
        };
        Ok(Some(text))
    }

    fn packed(&mut self, alphabet: Alphabet, start: usize) -> Result<Text<'a>, DecodeError> {
        let header = self.u8()?;
        let odd = header & 0x80 != 0;
        let packed = self.take(usize::from(header & 0x7f))?;
        packed::check(alphabet, odd, packed).map_err(|kind| kind.at(start))?;
        Ok(Text::Packed { alphabet, odd, packed })
    }

    /// The JID form behind its tag byte `form`.
    fn jid(&mut self, form: u8) -> Result<JidParts<'a>, Located> {
        match form {
            tag::AD_JID => {
                let (domain, device) = (self.u8()?, u16::from(self.u8()?));
                let user = self.user()?;
                if Server::of_domain(domain).is_none() {
                    return Err(Kind::BadJid.into());
                }
                Ok(JidParts { user, server: JidServer::Domain(domain), device, integrator: 0 })
            }
            tag::FB_JID => {
                let (user, device) = (self.user()?, self.u16()?);
                if self.jid_part()?.lossy() != Server::Msgr.as_str() {
                    return Err(Kind::BadJid.into());
                }
                Ok(JidParts { user, server: JidServer::Msgr, device, integrator: 0 })
            }
            tag::INTEROP_JID => {
                let (user, device, integrator) = (self.user()?, self.u16()?, self.u16()?);
                // The server value may be there or not; whatever else follows is somebody else's.
                let mut ahead = *self;
                if ahead.text(Kind::BadJid).is_ok_and(|text| text.lossy() == Server::Interop.as_str()) {
                    *self = ahead;
                }
                Ok(JidParts { user, server: JidServer::Interop, device, integrator })
            }
            _ => {
                let (user, server) = (self.jid_part()?, self.jid_part()?);
                if server.is_empty() {
                    return Err(Kind::BadJid.into());
                }
                Ok(JidParts { user, server: JidServer::Text(server), device: 0, integrator: 0 })
            }
        }
    }

    fn user(&mut self) -> Result<Text<'a>, Located> {
        let user = self.jid_part()?;
        if user.is_empty() { Err(Kind::BadJid.into()) } else { Ok(user) }
    }

    fn jid_part(&mut self) -> Result<Text<'a>, Located> {
        let start = self.at;
        let text = self.text(Kind::BadJid)?;
        text.check_jid_part().map_err(|kind| kind.at(start).into())
    }
}

/// An error inside a JID form: with its own place, or at the form's.
enum Located {
    There(DecodeError),
    Here(Kind),
}

impl Located {
    fn or_at(self, offset: usize) -> DecodeError {
        match self {
            Self::There(error) => error,
            Self::Here(kind) => kind.at(offset),
        }
    }
}

impl From<DecodeError> for Located {
    fn from(error: DecodeError) -> Self {
        Self::There(error)
    }
}

impl From<Kind> for Located {
    fn from(kind: Kind) -> Self {
        Self::Here(kind)
    }
}

/// A value of a decoded frame: an attribute's, or a node's content.
#[derive(Clone, Copy)]
pub struct ValueRef<'a>(Item<'a>);

impl<'a> ValueRef<'a> {
    /// The value at an offset that the decoder has walked over.
    pub(super) fn at(bytes: &'a [u8], offset: u32) -> Self {
        let mut cursor = Cursor { bytes, at: offset as usize };
        Self(cursor.item().unwrap_or(Item::Text(Text::Null)))
    }

    pub(super) fn item(self) -> Item<'a> {
        self.0
    }

    /// The value as text, whatever form it came in: a JID gives its canonical text, invalid UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        match self.0 {
            Item::Text(text) => text.lossy(),
            Item::Jid(parts) => Cow::Owned(parts.to_jid().to_string()),
        }
    }

    /// The value as an address: a JID form, or a text that parses as one. `None` also for a JID form that is no
    /// address by 03 §12.
    #[must_use]
    pub fn jid(self) -> Option<Jid> {
        match self.0 {
            Item::Text(text) => text.lossy().parse().ok(),
            Item::Jid(parts) => Some(parts.to_jid()).filter(Jid::is_address),
        }
    }

    /// The value as a decimal number.
    #[must_use]
    pub fn u64(self) -> Option<u64> {
        match self.0 {
            Item::Text(text) => number(&text.lossy()),
            Item::Jid(_) => None,
        }
    }

    /// The value as a word of the dictionary, in whatever form it was spelled.
    #[must_use]
    pub fn token(self) -> Option<Token> {
        match self.0 {
            Item::Text(Text::Token(number)) => Token::new(number),
            Item::Text(text) => Token::find(&text.lossy()),
            Item::Jid(_) => None,
        }
    }

    /// The value as bytes: raw bytes as they are, text as its UTF-8 bytes.
    #[must_use]
    pub fn bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Item::Text(Text::Raw(bytes)) => Cow::Borrowed(bytes),
            _ => match self.text() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        }
    }

    /// Whether it came as a JID form.
    #[must_use]
    pub fn is_jid_form(self) -> bool {
        matches!(self.0, Item::Jid(_))
    }
}

/// A decimal number: digits only.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}
