//! The phones' side of the seam: accounts are made here, calls go into phones, and what they say is worked off.

use std::collections::BTreeMap;

use super::account::{Account, Device, OutboxAck, OutboxItem, OutboxReceipt, OutboxRetry, Pairing};
use super::queue::Kind;
use super::tracked::{Log, Tracked};
use super::{DeviceRef, Namespace, Origin, World};
use crate::sim::config::{PhoneMode, Profile};
use crate::sim::phone;
use crate::sim::seam::{FromPhone, Phone, PhoneCommand, PhoneContext, PhoneError, PhoneEvent, PhoneSetup};
use crate::sim::seed;
use crate::wire::{Jid, JidError, Node};

/// Stanzas that one entry may move between server and phones, before it is called a loop.
const SETTLE_LIMIT: usize = 200_000;

/// What a new account is made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAccount {
    /// Digits; `1555` and seven digits when missing.
    pub number: Option<String>,
    /// The LID's user part; derived from seed and number when missing.
    pub lid: Option<String>,
    /// The push name; the number when missing.
    pub push_name: Option<String>,
    /// How many companions it may have.
    pub companions_max: Option<usize>,
    /// A business account.
    pub business: bool,
    /// Demands privacy tokens.
    pub restricted: bool,
    /// AB properties.
    pub abprops: BTreeMap<String, String>,
    /// Overrides the run's profile.
    pub profile: Option<Profile>,
    /// Whether the phone starts switched on; on when missing.
    pub phone_online: Option<bool>,
    /// How far the phone's clock is ahead, seconds.
    pub clock_offset_s: i64,
    /// The phone's platform; `android` when missing.
    pub platform: Option<String>,
}

impl NewAccount {
    /// What makes an account like this one again.
    pub(crate) fn again(account: &Account) -> Self {
        Self {
            number: Some(account.number.clone()),
            lid: Some(account.lid.user().to_owned()),
            push_name: Some(account.push_name.clone()),
            companions_max: Some(account.companions_max),
            business: account.business,
            restricted: account.restricted,
            abprops: account.abprops.clone(),
            profile: account.profile,
            phone_online: Some(account.phone_online),
            clock_offset_s: account.phone_clock_offset_s,
            platform: Some(account.platform.clone()),
        }
    }
}

/// An account that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewAccountError {
    /// Choose another number.
    #[error("the number {0} exists already")]
    Exists(String),
    /// Not an address.
    #[error(transparent)]
    Jid(#[from] JidError),
}

/// How an admin call to a phone ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Paired { jid: Jid },
    PairFailed { code: String, text: String },
    Sent { id: String, targets: Vec<Jid> },
    SendFailed { reason: String },
}

impl World {
    /// Makes an account with its phone; the phone uploads its keys.
    pub fn create_account(&mut self, new: NewAccount) -> Result<String, NewAccountError> {
        let number = match new.number {
            Some(number) => number,
            None => self.free_number(),
        };
        if self.accounts.contains_key(&number) {
            return Err(NewAccountError::Exists(number));
        }
        let pn = Jid::pn(&number)?;
        let lid_user = new.lid.unwrap_or_else(|| seed::lid_of(self.config.seed, &number));
        let lid = Jid::lid(&lid_user)?;
        let platform = new.platform.unwrap_or_else(|| "android".to_owned());
        let push_name = new.push_name.unwrap_or_else(|| format!("User {number}"));
        let setup = PhoneSetup {
            number: number.clone(),
            pn: pn.clone(),
            lid: lid.clone(),
            push_name: push_name.clone(),
            platform: platform.clone(),
        };
        let phone: Box<dyn Phone> = match self.config.phones {
            PhoneMode::Real => phone::new(setup),
            PhoneMode::Stub => Box::new(crate::sim::stub::StubPhone),
        };
        let account = Account {
            touched: true,
            number: number.clone(),
            pn,
            lid,
            push_name,
            about: "Hey there! I am using a simulator.".to_owned(),
            picture: None,
            default_timer: (0, 0),
            profile: new.profile,
            companions_max: new.companions_max.unwrap_or(self.config.companions_max),
            business: new.business,
            restricted: new.restricted,
            platform,
            abprops: new.abprops,
            privacy: BTreeMap::new(),
            blocked: Default::default(),
            ban: None,
            ban_until: None,
            phone: Tracked::new(phone),
            phone_rng: seed::stream(self.config.seed, "phone", &number),
            phone_online: new.phone_online.unwrap_or(true),
            phone_clock_offset_s: new.clock_offset_s,
            devices: BTreeMap::from([(0, Device::default())]),
            next_device: 1,
            key_index_list: None,
            contacts: BTreeMap::new(),
            inbox: Log::default(),
            outbox: Log::default(),
            code_hellos: Vec::new(),
            available: false,
            last_seen: 0,
            collections: BTreeMap::new(),
            tokens: BTreeMap::new(),
        };
        self.lids.insert(lid_user, number.clone());
        self.accounts.insert(account);
        self.with_phone(&number, |phone, context| phone.start(context));
        self.settle();
        Ok(number)
    }

    fn free_number(&mut self) -> String {
        loop {
            self.next_number += 1;
            let number = format!("1555{:07}", 1000 + self.next_number);
            if !self.accounts.contains_key(&number) {
                return number;
            }
        }
    }

    /// A number for the next admin call whose end is an event.
    pub fn new_op(&mut self) -> u64 {
        self.next_op += 1;
        self.next_op
    }

    /// Gives a phone an order. A phone that is off does nothing.
    pub fn command(&mut self, number: &str, command: PhoneCommand) -> Result<(), PhoneError> {
        let account = self.accounts.get(number);
        let account = account.ok_or_else(|| PhoneError::Unknown(format!("no account {number}")))?;
        let internal = matches!(command, PhoneCommand::CompanionGone { .. } | PhoneCommand::Reinstall);
        if !account.phone_online && !internal {
            return Err(PhoneError::PhoneOffline);
        }
        let result = self.with_phone(number, |phone, context| phone.command(context, command));
        self.settle();
        result.unwrap_or(Ok(()))
    }

    /// Switches a phone on or off; switched on, it gets what has waited.
    pub fn power(&mut self, number: &str, online: bool) {
        let Some(account) = self.accounts.get_mut(number) else { return };
        account.phone_online = online;
        if online {
            let waiting = account.devices.get_mut(&0).map(|device| device.queue.drain().collect::<Vec<_>>());
            let waiting = waiting.into_iter().flatten().map(|entry| (DeviceRef::new(number, 0), entry.node));
            self.phone_in.extend(waiting);
            self.welcome_new_devices(number);
        }
        self.settle();
    }

    /// Hands a stanza to a phone, now or when it is switched on.
    pub(crate) fn hand_to_phone(&mut self, number: &str, kind: Kind, node: Node) {
        let now = self.now_ms;
        let Some(account) = self.accounts.get_mut(number) else { return };
        if account.phone_online {
            self.phone_in.push_back((DeviceRef::new(number, 0), node));
        } else if let Some(device) = account.devices.get_mut(&0) {
            let id = node.str("id").unwrap_or_default().into_owned();
            device.queue.push(now, kind, &id, None, node);
        }
    }

    /// The answer to a phone's own IQ or stanza: never queued, since the phone was on when it asked.
    pub(crate) fn answer_phone(&mut self, at: &DeviceRef, node: Node) {
        self.phone_in.push_back((at.clone(), node));
    }

    /// Whether a device is run by the phone role: the phone itself, or a virtual companion.
    pub(crate) fn is_driven(&self, at: &DeviceRef) -> bool {
        at.device == 0 || self.device(at).is_some_and(|device| device.driven)
    }

    /// Hands a stanza to a device that the phone role runs. Virtual companions are always on.
    pub(crate) fn hand_to_driven(&mut self, at: &DeviceRef, kind: Kind, node: Node) {
        if at.device == 0 {
            self.hand_to_phone(&at.number, kind, node);
        } else {
            self.phone_in.push_back((at.clone(), node));
        }
    }

    /// Adds virtual companions (09 §21 `devices`); their numbers.
    pub(crate) fn add_virtual_devices(&mut self, number: &str, count: u16) -> Result<Vec<u16>, PhoneError> {
        let mut added = Vec::new();
        for _ in 0..count {
            let account = self.accounts.get_mut(number);
            let account = account.ok_or_else(|| PhoneError::Unknown(format!("no account {number}")))?;
            if account.companions().count() >= account.companions_max {
                return Err(PhoneError::CompanionLimit);
            }
            let device = account.next_device;
            account.next_device += 1;
            self.command(number, PhoneCommand::AddDevice { device })?;
            added.push(device);
        }
        Ok(added)
    }

    pub(crate) fn with_phone<R>(
        &mut self,
        number: &str,
        call: impl FnOnce(&mut dyn Phone, &mut PhoneContext<'_>) -> R,
    ) -> Option<R> {
        let account = self.accounts.get_mut(number)?;
        let mut out = Vec::new();
        let mut context = PhoneContext {
            now_ms: self.now_ms,
            clock_offset_s: account.phone_clock_offset_s,
            rng: &mut account.phone_rng,
            out: &mut out,
        };
        let result = call(account.phone.as_mut(), &mut context);
        self.phone_out.extend(out.into_iter().map(|said| (number.to_owned(), said)));
        Some(result)
    }

    /// Works off everything that phones and server have to say to each other.
    pub(crate) fn settle(&mut self) {
        for _ in 0..SETTLE_LIMIT {
            if let Some((number, said)) = self.phone_out.pop_front() {
                match said {
                    FromPhone::Stanza(node) => {
                        let origin = Origin { device: DeviceRef::new(&number, 0), connection: None };
                        self.device_stanza(&origin, &node);
                    }
                    FromPhone::StanzaOf { device, stanza } => {
                        let origin = Origin { device: DeviceRef::new(&number, device), connection: None };
                        self.device_stanza(&origin, &stanza);
                    }
                    FromPhone::Event(event) => self.phone_event(&number, event),
                }
            } else if let Some((at, node)) = self.phone_in.pop_front() {
                self.with_phone(&at.number, |phone, context| match at.device {
                    0 => phone.receive(context, &node),
                    device => phone.receive_for(context, device, &node),
                });
            } else {
                return;
            }
        }
        tracing::error!("server and phones do not come to rest; what they still had to say is dropped");
        self.phone_in.clear();
        self.phone_out.clear();
    }

    fn phone_event(&mut self, number: &str, event: PhoneEvent) {
        let now = self.now_s();
        let Some(account) = self.accounts.get_mut(number) else { return };
        let outbox = |account: &mut Account, id: &str, change: &mut dyn FnMut(&mut OutboxItem)| {
            account.outbox.update_last(|item| item.id == id, change);
        };
        match event {
            PhoneEvent::Paired { op, jid } => {
                self.ops.insert(op, Outcome::Paired { jid });
            }
            PhoneEvent::PairFailed { op, code, text } => {
                self.ops.insert(op, Outcome::PairFailed { code, text });
            }
            PhoneEvent::VirtualDevice {
                device,
                registration,
                identity,
                key_index,
                signed_identity,
                account_key,
            } => {
                let pairing = Pairing {
                    noise: [0; 32],
                    registration,
                    identity,
                    key_index,
                    signed_identity,
                    account_key,
                    os: "virtual".to_owned(),
                    platform_type: 0,
                    paired_ms: self.now_ms,
                };
                let added =
                    Device { pairing: Some(pairing), driven: true, welcomed: true, ..Device::default() };
                account.devices.insert(device, added);
            }
            PhoneEvent::Sent { op, id, to, targets } => {
                account.outbox.push(OutboxItem {
                    id: id.clone(),
                    to: to.to_string(),
                    t: now,
                    targets: targets.iter().map(Jid::to_string).collect(),
                    ack: None,
                    receipts: Vec::new(),
                    retries: Vec::new(),
                });
                self.ops.insert(op, Outcome::Sent { id, targets });
            }
            PhoneEvent::SendFailed { op, reason } => {
                self.ops.insert(op, Outcome::SendFailed { reason });
            }
            PhoneEvent::Inbox(item) => {
                let read = item.text.clone().filter(|_| item.device != 0 && !item.own_copy);
                let author = item.from.clone();
                account.inbox.push(*item);
                let author = author.parse().ok().and_then(|jid: Jid| self.resolve(&jid));
                if let (Some(text), Some(author)) = (read, author) {
                    self.judge_text(&author.number, number, &text);
                }
            }
            PhoneEvent::Opened(opened) => self.judge_opened(number, *opened),
            PhoneEvent::Acked { id, error } => outbox(account, &id, &mut |item| {
                item.ack = Some(OutboxAck { t: now, error: error.clone() });
            }),
            PhoneEvent::Receipt { id, device, kind } => outbox(account, &id, &mut |item| {
                item.receipts.push(OutboxReceipt { device: device.to_string(), kind: kind.clone(), t: now });
            }),
            PhoneEvent::Retry { id, device, count } => outbox(account, &id, &mut |item| {
                item.retries.push(OutboxRetry { device: device.to_string(), count, t: now });
            }),
            PhoneEvent::Violation { device, code, detail } => {
                if let Some(device) = self.resolve(&device) {
                    let connection = self.device(&device).and_then(|device| device.connection).unwrap_or(0);
                    self.fault(&Origin { device, connection: Some(connection) }, code, detail);
                }
            }
        }
    }

    /// The device has keys: from now on it is listed, and the phone may welcome it.
    pub(crate) fn device_ready(&mut self, at: &DeviceRef) {
        if at.device != 0 && self.is_driven(at) {
            self.notify_device_change(at, super::notify::Change::Add);
        } else if at.device != 0 {
            self.welcome_new_devices(&at.number);
        }
    }

    /// §20 row 3, for every companion that has logged in, is active and has keys.
    pub(crate) fn welcome_new_devices(&mut self, number: &str) {
        let Some(account) = self.accounts.get(number) else { return };
        if !account.phone_online {
            return;
        }
        let due: Vec<u16> = account
            .companions()
            .filter(|(_, device)| !device.welcomed && device.keys.is_some())
            .filter(|(_, device)| {
                let session = device.connection.and_then(|id| self.session(id));
                session.is_some_and(|session| session.active)
            })
            .map(|(id, _)| id)
            .collect();
        for device in due {
            let at = DeviceRef::new(number, device);
            if let Some(device) = self.device_mut(&at) {
                device.welcomed = true;
            }
            self.with_phone(number, |phone, context| phone.welcome(context, device));
            self.settle();
            self.notify_device_change(&at, super::notify::Change::Add);
        }
    }

    /// Remembers that two accounts share a chat, and in which form `observer` addressed the other last.
    pub(crate) fn acquainted(&mut self, observer: &str, other: &str, namespace: Namespace) {
        if observer == other {
            return;
        }
        if let Some(account) = self.accounts.get_mut(observer) {
            account.contacts.insert(other.to_owned(), namespace);
        }
    }
}
