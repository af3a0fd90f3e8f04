//! The walk over the bytes of one payload: what an official reader refuses (protocol 03b §4, rules 2, 4 and 6).

use crate::stanza::judge::{Finding, What};

use super::Payload;
use super::fields::{Raw, Undecodable, fields, take, varint};
use super::schema::{Field, Fields, Kind, Label, Scalar, Schema};

/// As deep as prost reads; deeper is undecodable.
const MAX_DEPTH: usize = 100;

/// Fields that the official writer puts on the wire even if they are unset (03b §4 rule 4).
const ALWAYS_WRITTEN: [(&str, &[u32]); 9] = [
    ("DeviceListMetadata", &[4, 5]),
    ("Message.InteractiveMessage.CarouselMessage", &[2]),
    ("Message.InteractiveMessage.CollectionMessage", &[3]),
    ("Message.InteractiveMessage.NativeFlowMessage", &[3]),
    ("Message.InteractiveMessage.ShopMessage", &[3]),
    ("Message.OrderMessage", &[12]),
    ("Message.InteractiveResponseMessage.NativeFlowResponseMessage", &[3]),
    ("LimitSharing", &[2]),
    ("ContextInfo.FeatureEligibilities", &[1, 2, 3, 4, 5]),
];

/// Fields of type `bytes` that hold another payload, which is judged along with the outer one.
const INSIDE: [(&str, u32, Payload); 3] = [
    ("ClientPayload.DevicePairingRegistrationData", 8, Payload::DeviceProps),
    ("ADVSignedDeviceIdentity", 1, Payload::DeviceIdentity),
    ("ADVSignedDeviceIdentityHMAC", 1, Payload::SignedDeviceIdentity),
];

impl Schema {
    /// What an official reader would refuse in the bytes of a payload, and which of its defaults are not written. The
    /// path of a finding is made of the names of fields, `/` between them, and empty for the payload itself. The same
    /// finding comes once, however often its fault is there.
    #[must_use]
    pub fn walk(&self, payload: Payload, bytes: &[u8]) -> Vec<Finding> {
        let mut walk = Walk { schema: self, op: payload.op(), findings: Vec::new() };
        walk.message(payload.message(), bytes, "", 0);
        walk.findings
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    op: String,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn find(&mut self, path: &str, what: What, want: impl Into<String>) {
        let finding = Finding {
            op: self.op.clone(),
            path: path.to_owned(),
            attr: String::new(),
            what,
            want: want.into(),
        };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn message(&mut self, name: &str, bytes: &[u8], path: &str, depth: usize) {
        let schema = self.schema;
        let Some(known) = schema.fields(name) else { return };
        let level = match fields(bytes) {
            Ok(level) if depth < MAX_DEPTH => level,
            Ok(_) | Err(Undecodable) => return self.find(path, What::Undecodable, "a protobuf"),
        };
        for (number, raw) in &level {
            // A newer client may know a field that the table lacks.
            if let Some(field) = known.get(number) {
                let path = join(path, &field.name);
                self.value(field, *raw, &path);
                if let Raw::Bytes(inner) = raw
                    && let Some((.., inside)) =
                        INSIDE.iter().find(|(of, at, _)| (*of, *at) == (name, *number))
                {
                    self.message(inside.message(), inner, &path, depth + 1);
                }
            }
        }
        self.sub_messages(known, &level, path, depth);
        self.absent(name, known, &level, path);
    }

    /// Sub-messages; those of a singular field are one message, in parts.
    fn sub_messages(&mut self, known: &Fields, level: &[(u32, Raw<'_>)], path: &str, depth: usize) {
        for (number, field) in known {
            let Kind::Message(name) = &field.kind else { continue };
            let bodies = level.iter().filter_map(|(at, raw)| match raw {
                Raw::Bytes(body) if at == number => Some(*body),
                _ => None,
            });
            let bodies: Vec<&[u8]> = bodies.collect();
            if bodies.is_empty() {
                continue;
            }
            let path = join(path, &field.name);
            if matches!(field.label, Label::Repeated { .. }) {
                bodies.iter().for_each(|body| self.message(name, body, &path, depth + 1));
            } else {
                self.message(name, &bodies.concat(), &path, depth + 1);
            }
        }
    }

    fn absent(&mut self, name: &str, known: &Fields, level: &[(u32, Raw<'_>)], path: &str) {
        let there = |number: u32| level.iter().any(|(at, _)| *at == number);
        for (number, field) in known.iter().filter(|(_, field)| field.label == Label::Required) {
            if !there(*number) {
                self.find(&join(path, &field.name), What::Required, "present");
            }
        }
        let always =
            ALWAYS_WRITTEN.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, numbers)| numbers);
        for number in always.iter().filter(|number| !there(**number)) {
            if let Some(field) = known.get(number) {
                self.find(&join(path, &field.name), What::Default, "written although unset");
            }
        }
    }

    fn value(&mut self, field: &Field, raw: Raw<'_>, path: &str) {
        let Kind::Scalar(scalar) = field.kind else {
            return match raw {
                Raw::Bytes(_) => {}
                _ => self.find(path, What::WireType, "a message"),
            };
        };
        let packable = !matches!(scalar, Scalar::Text | Scalar::Bytes);
        match (field.label, raw) {
            (Label::Repeated { packed: true }, Raw::Bytes(list)) => self.list(scalar, list, path),
            (Label::Repeated { packed: true }, raw) if matches_wire(scalar, raw) => {
                self.find(path, What::Packing, "packed");
            }
            (Label::Repeated { packed: false }, Raw::Bytes(_)) if packable => {
                self.find(path, What::Packing, "not packed");
            }
            (_, raw) if matches_wire(scalar, raw) => self.scalar(scalar, raw, path),
            _ => self.find(path, What::WireType, describe(scalar)),
        }
    }

    /// The values of a packed field.
    fn list(&mut self, scalar: Scalar, mut rest: &[u8], path: &str) {
        while !rest.is_empty() {
            let raw = match scalar {
                Scalar::Fixed32 => take(&mut rest, 4).map(|_| Raw::Fixed32),
                Scalar::Fixed64 => take(&mut rest, 8).map(|_| Raw::Fixed64),
                _ => varint(&mut rest).map(Raw::Varint),
            };
            match raw {
                Ok(raw) => self.scalar(scalar, raw, path),
                Err(Undecodable) => return self.find(path, What::Undecodable, "a packed list"),
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar, raw: Raw<'_>, path: &str) {
        match raw {
            Raw::Varint(number) if !in_range(scalar, number) => {
                self.find(path, What::Range, describe(scalar));
            }
            Raw::Bytes(text) if scalar == Scalar::Text && std::str::from_utf8(text).is_err() => {
                self.find(path, What::Undecodable, "UTF-8");
            }
            _ => {}
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn matches_wire(scalar: Scalar, raw: Raw<'_>) -> bool {
    match scalar {
        Scalar::Bool | Scalar::Int32 | Scalar::Uint32 | Scalar::Varint | Scalar::Sint32 => {
            matches!(raw, Raw::Varint(_))
        }
        Scalar::Fixed32 => raw == Raw::Fixed32,
        Scalar::Fixed64 => raw == Raw::Fixed64,
        Scalar::Text | Scalar::Bytes => matches!(raw, Raw::Bytes(_)),
    }
}

/// Negative 32-bit numbers are written as 64 bits.
fn in_range(scalar: Scalar, number: u64) -> bool {
    match scalar {
        Scalar::Bool => number <= 1,
        Scalar::Int32 => i32::try_from(number.cast_signed()).is_ok(),
        Scalar::Uint32 | Scalar::Sint32 => u32::try_from(number).is_ok(),
        _ => true,
    }
}

fn describe(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "0 or 1",
        Scalar::Int32 | Scalar::Sint32 => "a number of 32 bits with sign",
        Scalar::Uint32 => "a number of 32 bits without sign",
        Scalar::Varint => "a varint",
        Scalar::Fixed32 => "four bytes",
        Scalar::Fixed64 => "eight bytes",
        Scalar::Text => "a text",
        Scalar::Bytes => "bytes",
    }
}
