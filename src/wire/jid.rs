//! JIDs: parts, equality, derived forms, canonical text (03 §12). Parsing is in `jid_parse.rs`, the binary forms in
//! `value.rs` and `encode.rs`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::error::JidError;
use super::jid_parse;
use super::server::{Devices, Server};

/// An address: user, server, device and (interop only) integrator.
///
/// A `Jid` that was built by this type's constructors or parsed is an address. One that came off the wire inside a
/// [`Value`](super::Value) may be a text that a peer mistook for an address; it keeps its parts and says so
/// ([`Jid::is_address`]). The typed readers (`NodeRef::jid`, `Node::jid`) give addresses only.
///
/// The device-form flag (03 §9) only changes how device 0 is written; equality, order and hash ignore it.
#[derive(Clone)]
pub struct Jid {
    user: Box<str>,
    server: Server,
    device: u16,
    integrator: u16,
    device_form: bool,
}

impl Jid {
    /// A user at a server, device 0.
    ///
    /// # Errors
    /// If the parts are no address by 03 §12. The user of a server-only JID is not empty text: see [`Jid::server_only`].
    pub fn new(user: &str, server: Server) -> Result<Self, JidError> {
        Self::from_parts(user, server, 0, 0)
    }

    /// A user by phone number: digits without `+`.
    ///
    /// # Errors
    /// As [`Jid::new`].
    pub fn pn(user: &str) -> Result<Self, JidError> {
        Self::new(user, Server::Pn)
    }

    /// A user by hidden id.
    ///
    /// # Errors
    /// As [`Jid::new`].
    pub fn lid(user: &str) -> Result<Self, JidError> {
        Self::new(user, Server::Lid)
    }

    /// All parts.
    ///
    /// # Errors
    /// If the parts are no address by 03 §12.
    pub fn from_parts(user: &str, server: Server, device: u16, integrator: u16) -> Result<Self, JidError> {
        if user.is_empty() {
            return Err(JidError::BadUser);
        }
        let jid = Self::raw(user.into(), server, device, integrator);
        jid_parse::check(&jid).map(|()| jid)
    }

    /// The parts as they are, checked by nobody.
    pub(super) fn raw(user: Box<str>, server: Server, device: u16, integrator: u16) -> Self {
        Self { user, server, device, integrator, device_form: false }
    }

    /// The server itself.
    #[must_use]
    pub fn server_only(server: Server) -> Self {
        Self::raw("".into(), server, 0, 0)
    }

    /// `s.whatsapp.net`, the service: `to` of most requests.
    #[must_use]
    pub fn service() -> Self {
        Self::server_only(Server::Pn)
    }

    /// `status@broadcast`.
    #[must_use]
    pub fn status() -> Self {
        Self::raw("status".into(), Server::Broadcast, 0, 0)
    }

    /// The user; empty for a server-only JID.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The device: 0 is the phone, or no device.
    #[must_use]
    pub fn device(&self) -> u16 {
        self.device
    }

    /// The service of an interop user, else 0.
    #[must_use]
    pub fn integrator(&self) -> u16 {
        self.integrator
    }

    /// The same user's other device. On a server without devices, or above its highest number, the result is no
    /// address and can't be encoded.
    #[must_use]
    pub fn with_device(&self, device: u16) -> Self {
        Self { device, device_form: false, ..self.clone() }
    }

    /// Device 0, the server kept.
    #[must_use]
    pub fn without_device(&self) -> Self {
        self.with_device(0)
    }

    /// Device 0 and the family's server: the identity of a chat or contact.
    #[must_use]
    pub fn to_user(&self) -> Self {
        Self { server: self.server.family().clone(), ..self.without_device() }
    }

    /// The same address, with device 0 written in the AD form (03 §9). Bots, the account of announcements
    /// (`0@s.whatsapp.net`), server-only JIDs and servers without that form stay as they are.
    #[must_use]
    pub fn in_device_form(&self) -> Self {
        let announcements = self.server == Server::Pn && &*self.user == "0";
        let has_form =
            self.server.domain().is_some() && !self.user.is_empty() && !self.is_bot() && !announcements;
        Self { device_form: has_form, ..self.clone() }
    }

    /// As it was written: in the AD form, whatever the address.
    pub(super) fn written_as_ad(self) -> Self {
        Self { device_form: true, ..self }
    }

    /// Whether device 0 is written in the AD form.
    #[must_use]
    pub fn is_device_form(&self) -> bool {
        self.device_form
    }

    /// A user of the phone-number family (`s.whatsapp.net`, `c.us`, `hosted`).
    #[must_use]
    pub fn is_pn(&self) -> bool {
        *self.server.family() == Server::Pn && !self.user.is_empty()
    }

    /// A user of the hidden-id family (`lid`, `hosted.lid`).
    #[must_use]
    pub fn is_lid(&self) -> bool {
        *self.server.family() == Server::Lid && !self.user.is_empty()
    }

    /// A user by phone number or hidden id.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.is_pn() || self.is_lid()
    }

    /// A group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.server == Server::Group && !self.user.is_empty()
    }

    /// A broadcast list or the status.
    #[must_use]
    pub fn is_broadcast(&self) -> bool {
        self.server == Server::Broadcast && !self.user.is_empty()
    }

    /// `status@broadcast`.
    #[must_use]
    pub fn is_status(&self) -> bool {
        self.server == Server::Broadcast && &*self.user == "status"
    }

    /// A channel.
    #[must_use]
    pub fn is_newsletter(&self) -> bool {
        self.server == Server::Newsletter && !self.user.is_empty()
    }

    /// A bot: server `bot`, or one of the phone numbers `1313555dddd` and `131655500dd`.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        let digits = |rest: Option<&str>, count: usize| {
            rest.is_some_and(|rest| rest.len() == count && rest.bytes().all(|b| b.is_ascii_digit()))
        };
        match self.server {
            Server::Bot => !self.user.is_empty(),
            Server::Pn | Server::CUs => {
                digits(self.user.strip_prefix("1313555"), 4) || digits(self.user.strip_prefix("131655500"), 2)
            }
            _ => false,
        }
    }

    /// A server without a user.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.user.is_empty()
    }

    /// A hosted device, or the device number that only hosted devices have.
    #[must_use]
    pub fn is_hosted(&self) -> bool {
        matches!(self.server, Server::Hosted | Server::HostedLid)
    }

    /// Whether this passes the rules of 03 §12 for its server. Only a value off the wire or a wrong
    /// [`Jid::with_device`] can fail.
    #[must_use]
    pub fn is_address(&self) -> bool {
        jid_parse::check(self).is_ok()
    }

    /// Equal user, integrator and server family. A PN and its LID are not the same user here: only the mapping table
    /// joins them.
    #[must_use]
    pub fn same_user(&self, other: &Self) -> bool {
        self.user == other.user
            && self.integrator == other.integrator
            && self.server.family() == other.server.family()
    }

    /// `user.0:device@server`, the form of the participant hash.
    #[must_use]
    pub fn hash_form(&self) -> String {
        format!("{}.0:{}@{}", self.user, self.device, self.server)
    }

    /// The name of the Signal address, the device aside: `user`, or `user_D` with the domain byte of `lid`, `hosted`
    /// and `hosted.lid`. Servers that have no sessions give their text without device.
    #[must_use]
    pub fn signal_name(&self) -> String {
        match (&self.server, self.server.domain()) {
            (Server::CUs, _) | (_, Some(0)) => self.user.to_string(),
            (_, Some(domain)) => format!("{}_{domain}", self.user),
            (_, None) => self.without_device().to_string(),
        }
    }

    fn parts(&self) -> (&str, &Server, u16, u16) {
        (&self.user, &self.server, self.device, self.integrator)
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Jid {}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

/// The canonical text: `user[:device]@server`, server-only just the server, `integrator-user…@interop`.
impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.user.is_empty() {
            // Without the `@` an unknown server would not parse back.
            let at = if matches!(self.server, Server::Other(_)) { "@" } else { "" };
            return write!(f, "{at}{}", self.server);
        }
        if self.server == Server::Interop && (self.integrator != 0 || self.user.contains('-')) {
            write!(f, "{}-", self.integrator)?;
        }
        f.write_str(&self.user)?;
        if self.device != 0 {
            write!(f, ":{}", self.device)?;
        }
        write!(f, "@{}", self.server)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({self})")
    }
}

impl std::str::FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        jid_parse::parse(text)
    }
}

/// The highest device number of a server; `None` if it has no devices.
pub(super) fn max_device(server: &Server) -> Option<u16> {
    match server.devices() {
        Devices::None => None,
        Devices::Byte => Some(0xff),
        Devices::Word => Some(u16::MAX),
    }
}
