//! usync: asking about users (05a §2). The query is built without id; the answer keeps what went wrong per protocol
//! and per user, because a partial answer is an answer.

use super::element::{Element, ErrorInfo, Malformed};
use crate::wire::{Jid, Node};

/// How the query is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The plain question.
    #[default]
    Query,
    /// Everything.
    Full,
    /// Changes of an address book.
    Delta,
}

/// What the query is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A person waits.
    Interactive,
    /// Nobody waits.
    Background,
    /// Before a message is sent.
    Message,
    /// After a notification.
    Notification,
    /// Before a call.
    Voip,
}

/// What is asked about each user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Device lists.
    Devices,
    /// The hidden id.
    Lid,
    /// Whether a phone number is registered; the answer may be asked for in the LID namespace.
    Contact {
        /// Answer with LIDs.
        lid: bool,
    },
    /// The about text.
    Status,
    /// The newer about text.
    TextStatus,
    /// The id of the profile picture.
    Picture,
    /// The verified name of a business.
    Business,
    /// The default timer.
    DisappearingMode,
    /// The user name.
    Username,
    /// The profile of a bot.
    Bot,
}

impl Protocol {
    /// The element of the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Lid => "lid",
            Self::Contact { .. } => "contact",
            Self::Status => "status",
            Self::TextStatus => "text_status",
            Self::Picture => "picture",
            Self::Business => "business",
            Self::DisappearingMode => "disappearing_mode",
            Self::Username => "username",
            Self::Bot => "bot",
        }
    }

    fn node(self) -> Node {
        let node = Node::new(self.name());
        match self {
            Self::Devices => node.attr("version", "2"),
            Self::Contact { lid: true } => node.attr("addressing_mode", "lid"),
            Self::Business => node.child(Node::new("verified_name")),
            Self::Bot => node.child(Node::new("profile").attr("v", "1")),
            _ => node,
        }
    }
}

/// What we hold of a user's devices, so that the answer may be short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Hash over the whole list, device 0 included, in the namespace asked.
    pub device_hash: String,
    /// The list's time.
    pub ts: u64,
    /// The newest time heard of.
    pub expected_ts: Option<u64>,
}

/// A user asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Bare PN or LID; none for a look-up by phone number.
    pub jid: Option<Jid>,
    /// The PN beside it.
    pub pn_jid: Option<Jid>,
    /// `+` and the digits of a phone number, for the contact protocol.
    pub phone: Option<String>,
    /// What we hold of the devices.
    pub known: Option<Known>,
    /// The LID we hold.
    pub lid: Option<Jid>,
    /// The contact's token, for the status protocol.
    pub tctoken: Option<Vec<u8>>,
}

impl User {
    /// A user by address.
    #[must_use]
    pub fn jid(jid: &Jid) -> Self {
        Self { jid: Some(jid.without_device()), ..Self::default() }
    }

    /// A user by phone number, `+` and digits.
    #[must_use]
    pub fn phone(e164: &str) -> Self {
        Self { phone: Some(e164.to_owned()), ..Self::default() }
    }

    fn node(&self) -> Node {
        let mut children = Vec::new();
        children.extend(self.phone.iter().map(|phone| Node::new("contact").text_bytes(phone)));
        children.extend(self.known.iter().map(|known| {
            Node::new("devices")
                .attr("device_hash", &known.device_hash)
                .attr("ts", known.ts)
                .opt_attr("expected_ts", known.expected_ts)
        }));
        children.extend(self.lid.iter().map(|lid| Node::new("lid").attr("jid", lid)));
        children.extend(self.tctoken.iter().map(|token| Node::new("tctoken").bytes(token.clone())));
        let user =
            Node::new("user").opt_attr("jid", self.jid.as_ref()).opt_attr("pn_jid", self.pn_jid.as_ref());
        if children.is_empty() { user } else { user.children(children) }
    }
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// How it is meant.
    pub mode: Mode,
    /// What it is for.
    pub context: Context,
    /// What is asked.
    pub protocols: Vec<Protocol>,
    /// About whom.
    pub users: Vec<User>,
}

impl Query {
    /// The stanza, without id. `sid` is unique: from the counter of the ids of queries.
    #[must_use]
    pub fn build(&self, sid: &str) -> Node {
        let mode = match self.mode {
            Mode::Query => "query",
            Mode::Full => "full",
            Mode::Delta => "delta",
        };
        let context = match self.context {
            Context::Interactive => "interactive",
            Context::Background => "background",
            Context::Message => "message",
            Context::Notification => "notification",
            Context::Voip => "voip",
        };
        let usync = Node::new("usync")
            .attr("sid", sid.to_owned())
            .attr("index", "0")
            .attr("last", "true")
            .attr("mode", mode)
            .attr("context", context)
            .child(Node::new("query").children(self.protocols.iter().map(|protocol| protocol.node())))
            .child(Node::new("list").children(self.users.iter().map(User::node)));
        Node::new("iq").attr("to", Jid::service()).attr("xmlns", "usync").attr("type", "get").child(usync)
    }
}

/// What a protocol says about the whole query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The protocol's element.
    pub protocol: String,
    /// The answers are good for so many seconds.
    pub refresh: Option<u64>,
    /// It was refused: no such query before `backoff` is over; the other protocols' answers count.
    pub error: Option<ErrorInfo>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Per protocol.
    pub verdicts: Vec<Verdict>,
    /// Per user: some may be missing, reordered, or under their other address.
    pub users: Vec<UserAnswer>,
}

impl Answer {
    /// Reads an answer of `type="result"`.
    ///
    /// # Errors
    /// Without `<usync>`.
    pub fn parse<'n>(iq: impl Element<'n>) -> Result<Self, Malformed> {
        let usync = iq.need_child("usync")?;
        let verdict = |protocol: _| verdict(protocol);
        let verdicts =
            usync.child("result").map(|result| result.each().map(verdict).collect()).unwrap_or_default();
        let users = usync
            .child("list")
            .map(|list| list.each_of("user").filter_map(UserAnswer::parse).collect())
            .unwrap_or_default();
        Ok(Self { verdicts, users })
    }

    /// What a protocol said about the whole query.
    #[must_use]
    pub fn verdict(&self, protocol: Protocol) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.protocol == protocol.name())
    }

    /// The answer for a user under any of these addresses.
    #[must_use]
    pub fn user(&self, pn: Option<&Jid>, lid: Option<&Jid>) -> Option<&UserAnswer> {
        let is =
            |jid: &Jid| pn.is_some_and(|pn| jid.same_user(pn)) || lid.is_some_and(|lid| jid.same_user(lid));
        self.users
            .iter()
            .find(|user| user.jid.iter().chain(&user.pn_jid).chain(user.lid.iter().flatten()).any(is))
    }
}

fn verdict<'n>(protocol: impl Element<'n>) -> Verdict {
    Verdict {
        protocol: protocol.name().to_owned(),
        refresh: protocol.number("refresh"),
        error: ErrorInfo::of(protocol),
    }
}

/// Whether a phone number has an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It has.
    In,
    /// It has not.
    Out,
    /// It is no phone number.
    Invalid,
}

/// The contact protocol's word about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Whether there is an account.
    pub registered: Registered,
    /// What was asked, echoed.
    pub query: String,
    /// The user name.
    pub username: Option<String>,
}

/// What is said about one user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserAnswer {
    /// The address: as asked, or the other one.
    pub jid: Option<Jid>,
    /// The PN beside it.
    pub pn_jid: Option<Jid>,
    /// The LID protocol: `Some(None)`: the user has none.
    pub lid: Option<Option<Jid>>,
    /// The devices protocol; malformed: this user's devices failed.
    pub devices: Option<Result<Devices, Malformed>>,
    /// The contact protocol.
    pub contact: Option<Contact>,
    /// The about text: `None` inside is hidden or empty.
    pub status: Option<Option<String>>,
    /// The id of the picture.
    pub picture: Option<String>,
    /// The certificate of the verified name.
    pub verified_name: Option<Vec<u8>>,
    /// Default timer in seconds and when it was set.
    pub disappearing: Option<(u64, Option<u64>)>,
    /// The user name.
    pub username: Option<String>,
    /// Protocols that failed for this user.
    pub errors: Vec<(String, ErrorInfo)>,
}

impl UserAnswer {
    /// `None`: neither an address nor a contact, so it is about nobody.
    fn parse<'n>(user: impl Element<'n>) -> Option<Self> {
        let mut answer = Self { jid: user.address("jid"), pn_jid: user.address("pn_jid"), ..Self::default() };
        for part in user.each() {
            if part.child("error").is_some() {
                answer.errors.extend(ErrorInfo::of(part).map(|error| (part.name().to_owned(), error)));
                continue;
            }
            match part.name() {
                "lid" => answer.lid = Some(part.address("val")),
                "devices" => answer.devices = Some(Devices::parse(part)),
                "contact" => answer.contact = parse_contact(part),
                "status" => answer.status = Some(part.content_str().filter(|text| !text.is_empty())),
                "picture" => answer.picture = part.text("id").map(|id| id.into_owned()),
                "business" => {
                    let name = part.child("verified_name");
                    answer.verified_name = name.and_then(Element::content).map(|bytes| bytes.into_owned());
                }
                "disappearing_mode" => {
                    answer.disappearing =
                        part.number("duration").map(|duration| (duration, part.number("t")));
                }
                "username" => answer.username = part.content_str(),
                _ => {}
            }
        }
        (answer.jid.is_some() || answer.contact.is_some()).then_some(answer)
    }
}

fn parse_contact<'n>(contact: impl Element<'n>) -> Option<Contact> {
    let registered = match &*contact.text("type")? {
        "in" => Registered::In,
        "out" => Registered::Out,
        _ => Registered::Invalid,
    };
    Some(Contact {
        registered,
        query: contact.content_str().unwrap_or_default(),
        username: contact.text("username").map(|name| name.into_owned()),
    })
}

/// A device in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its number; 0 is the phone.
    pub id: u16,
    /// Its key index; a good companion has one.
    pub key_index: Option<u32>,
    /// Whether it is hosted.
    pub hosted: bool,
}

/// The signed list beside a list of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIndexes {
    /// Its time.
    pub ts: u64,
    /// The newest time the server knows of.
    pub expected_ts: Option<u64>,
    /// `ADVSignedKeyIndexList`; `None`: no companions any more.
    pub signed: Option<Vec<u8>>,
}

impl KeyIndexes {
    /// Reads `<key-index-list>`.
    ///
    /// # Errors
    /// Without a time.
    pub fn parse<'n>(list: impl Element<'n>) -> Result<Self, Malformed> {
        Ok(Self {
            ts: list.number("ts").ok_or(Malformed("ts"))?,
            expected_ts: list.number("expected_ts"),
            signed: list.content().filter(|bytes| !bytes.is_empty()).map(|bytes| bytes.into_owned()),
        })
    }
}

/// The devices protocol's word about a user. What follows from it: `devices.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// The list; `None`: there is no `<device-list>`. An empty one is no answer.
    pub list: Option<Vec<Device>>,
    /// The hash that came with it.
    pub hash: Option<String>,
    /// The signed list.
    pub key_indexes: Option<KeyIndexes>,
}

impl Devices {
    fn parse<'n>(devices: impl Element<'n>) -> Result<Self, Malformed> {
        let list = devices.child("device-list");
        Ok(Self {
            list: list.map(|list| list.each_of("device").map(parse_device).collect()).transpose()?,
            hash: list.and_then(|list| list.text("hash")).map(|hash| hash.into_owned()),
            key_indexes: devices.child("key-index-list").map(KeyIndexes::parse).transpose()?,
        })
    }
}

fn parse_device<'n>(device: impl Element<'n>) -> Result<Device, Malformed> {
    Ok(Device {
        id: device.number("id").and_then(|id| u16::try_from(id).ok()).ok_or(Malformed("id"))?,
        key_index: parse_key_index(device)?,
        hosted: device.says("is_hosted", "true"),
    })
}

/// The key index of a `<device>`.
pub(super) fn parse_key_index<'n>(device: impl Element<'n>) -> Result<Option<u32>, Malformed> {
    match device.text("key-index") {
        None => Ok(None),
        Some(index) => index.parse().map(Some).map_err(|_| Malformed("key-index")),
    }
}
