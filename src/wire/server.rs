//! The right side of a JID: which namespace an address belongs to (03 §13).

use std::fmt;

/// The server of a JID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// `s.whatsapp.net`: users by phone number; without user, the service itself.
    Pn,
    /// `lid`: users by hidden id.
    Lid,
    /// `hosted`: a business device hosted by Meta, by phone number.
    Hosted,
    /// `hosted.lid`: the same by hidden id.
    HostedLid,
    /// `c.us`: the old name of `s.whatsapp.net`.
    CUs,
    /// `g.us`: groups and communities.
    Group,
    /// `broadcast`: broadcast lists and `status@broadcast`.
    Broadcast,
    /// `newsletter`: channels.
    Newsletter,
    /// `bot`: AI bots.
    Bot,
    /// `call`: call signalling.
    Call,
    /// `msgr`: Messenger users.
    Msgr,
    /// `interop`: users of other services.
    Interop,
    /// Any other, kept and passed on. Never one of the names above (use [`Server::from`]).
    Other(Box<str>),
}

/// How the device numbers of a server's users look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Devices {
    None,
    /// Up to 255, with the historical agent in the text.
    Byte,
    /// Up to 65,535.
    Word,
}

impl Server {
    const KNOWN: [Self; 12] = [
        Self::Pn,
        Self::Lid,
        Self::Hosted,
        Self::HostedLid,
        Self::CUs,
        Self::Group,
        Self::Broadcast,
        Self::Newsletter,
        Self::Bot,
        Self::Call,
        Self::Msgr,
        Self::Interop,
    ];

    /// The text of the server.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pn => "s.whatsapp.net",
            Self::Lid => "lid",
            Self::Hosted => "hosted",
            Self::HostedLid => "hosted.lid",
            Self::CUs => "c.us",
            Self::Group => "g.us",
            Self::Broadcast => "broadcast",
            Self::Newsletter => "newsletter",
            Self::Bot => "bot",
            Self::Call => "call",
            Self::Msgr => "msgr",
            Self::Interop => "interop",
            Self::Other(text) => text,
        }
    }

    /// The server of this text if it is one of 03 §13.
    #[must_use]
    pub fn known(text: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|server| server.as_str() == text)
    }

    pub(super) fn devices(&self) -> Devices {
        match self {
            Self::Pn | Self::Lid | Self::Hosted | Self::HostedLid | Self::CUs => Devices::Byte,
            Self::Msgr | Self::Interop => Devices::Word,
            _ => Devices::None,
        }
    }

    /// The domain byte of the AD form, for the servers that have it (03 §8).
    pub(super) fn domain(&self) -> Option<u8> {
        match self {
            Self::Pn => Some(0),
            Self::Lid => Some(1),
            Self::Hosted => Some(128),
            Self::HostedLid => Some(129),
            _ => None,
        }
    }

    /// The server that a domain byte stands for.
    pub(super) fn of_domain(domain: u8) -> Option<Self> {
        match domain {
            0 => Some(Self::Pn),
            1 => Some(Self::Lid),
            129 => Some(Self::HostedLid),
            128.. if domain.is_multiple_of(2) => Some(Self::Hosted),
            _ => None,
        }
    }

    /// The server whose namespace of users this one belongs to (03 §12, families).
    pub(super) fn family(&self) -> &Self {
        match self {
            Self::CUs | Self::Hosted => &Self::Pn,
            Self::HostedLid => &Self::Lid,
            other => other,
        }
    }
}

impl From<&str> for Server {
    /// The known server of this text, else [`Server::Other`].
    fn from(text: &str) -> Self {
        Self::known(text).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
