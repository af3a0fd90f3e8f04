//! How device 0 is written on the official client's wire: as a device (the AD form) at a few places, as a user (a pair)
//! everywhere else (protocol 03 §9).

use crate::wire::{Jid, Node};

/// The form of device 0 in one attribute of an outgoing operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceForm {
    /// A pair.
    User,
    /// AD.
    Device,
    /// AD if the element holds an `<enc>`.
    DeviceWithEnc,
    /// AD in the answer to an identity change, which can't be told from other answers without `type`.
    DeviceWithoutType,
}

impl DeviceForm {
    /// The form at a place of the table; `is_device` for the kind `device-jid` in rows that were read from the official
    /// client's stanza code.
    pub(super) fn of(op: &str, path: &str, attr: &str, is_device: bool) -> Self {
        match (op, path, attr) {
            ("message.status" | "message.broadcast", "message/participants/to", "jid") => Self::DeviceWithEnc,
            ("receipt.aggregate", "receipt", "participant") | ("receipt.retry", "receipt", "to") => {
                Self::Device
            }
            ("ack.notification", "ack", "to") => Self::DeviceWithoutType,
            ("call.reject", ..) => Self::User,
            _ if is_device => Self::Device,
            _ => Self::User,
        }
    }

    /// What the table asks for, if the address is written otherwise. Only device 0 of a server with devices has two
    /// forms; bots and the account of announcements have one.
    pub(super) fn objection(self, jid: &Jid, node: &Node) -> Option<&'static str> {
        let has_form = jid.in_device_form().is_device_form();
        if jid.device() != 0 {
            return None;
        }
        let wants = match self {
            _ if !has_form => false,
            Self::User => false,
            Self::Device => true,
            Self::DeviceWithEnc => node.find("enc").is_some(),
            Self::DeviceWithoutType if node.get("type").is_none() => return None,
            Self::DeviceWithoutType => false,
        };
        match (wants, jid.is_device_form()) {
            (true, false) => Some("device 0 in the device form"),
            (false, true) => Some("device 0 as a pair"),
            _ => None,
        }
    }
}
