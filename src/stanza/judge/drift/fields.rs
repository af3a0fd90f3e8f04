//! Inside an opened message: field numbers that the schema lacks, and protocol types that nobody named. The bytes are
//! walked, since a decoder forgets what it does not know.

use std::ops::RangeInclusive;

use palomar_proto::edit::{Value, fields};

use super::unknown::{Kind, MAX_OF_ONE, Unknown};

/// Fields of `Message`.
const MESSAGE: [RangeInclusive<u32>; 15] = [
    1..=16,
    18..=18,
    22..=26,
    28..=31,
    35..=51,
    53..=56,
    58..=67,
    69..=72,
    74..=78,
    80..=80,
    82..=83,
    85..=88,
    90..=93,
    95..=107,
    109..=131,
];
/// Numbers inside these ranges that are not used.
const NOT_IN_MESSAGE: [u32; 1] = [112];
/// Fields of `ProtocolMessage`.
const PROTOCOL: [RangeInclusive<u32>; 3] = [1..=2, 4..=11, 14..=33];
/// Values of `ProtocolMessage.type`.
const PROTOCOL_TYPES: [RangeInclusive<u64>; 5] = [0..=0, 3..=11, 14..=14, 16..=32, 34..=37];

/// `deviceSentMessage`, and the field of the message in it.
const SENT_COPY: (u32, u32) = (31, 2);
/// `protocolMessage`, and the field of its type.
const PROTOCOL_MESSAGE: (u32, u32) = (12, 2);
/// Fields that wrap a message, which is their field 1.
const WRAPPERS: [u32; 28] = [
    37, 40, 53, 55, 58, 59, 62, 67, 74, 85, 87, 90, 91, 92, 93, 95, 96, 99, 100, 101, 103, 104, 106, 116,
    117, 118, 126, 131,
];
/// Wrappers in each other that are followed.
const MAX_DEPTH: usize = 4;

/// What in the bytes of a `Message` is unknown. Bytes that are no protobuf are somebody else's matter.
#[must_use]
pub fn in_message(bytes: &[u8]) -> Vec<Unknown> {
    let mut found = Vec::new();
    message(bytes, 0, &mut found);
    found.sort();
    found.dedup();
    found.truncate(MAX_OF_ONE);
    found
}

fn message(bytes: &[u8], depth: usize, found: &mut Vec<Unknown>) {
    for field in fields(bytes).map_while(Result::ok) {
        let number = field.number;
        let known = MESSAGE.iter().any(|range| range.contains(&number)) && !NOT_IN_MESSAGE.contains(&number);
        if !known {
            found.push(Unknown::new(Kind::Field, "Message", number.to_string()));
        }
        let Value::Bytes(inner) = field.value else { continue };
        if number == PROTOCOL_MESSAGE.0 {
            protocol(inner, found);
        }
        let wrapped = if number == SENT_COPY.0 {
            SENT_COPY.1
        } else if WRAPPERS.contains(&number) {
            1
        } else {
            continue;
        };
        for inside in fields(inner).map_while(Result::ok).filter(|field| field.number == wrapped) {
            if let Value::Bytes(inside) = inside.value
                && depth < MAX_DEPTH
            {
                message(inside, depth + 1, found);
            }
        }
    }
}

fn protocol(bytes: &[u8], found: &mut Vec<Unknown>) {
    for field in fields(bytes).map_while(Result::ok) {
        if !PROTOCOL.iter().any(|range| range.contains(&field.number)) {
            found.push(Unknown::new(Kind::Field, "ProtocolMessage", field.number.to_string()));
        }
        if let (true, Value::Varint(kind)) = (field.number == PROTOCOL_MESSAGE.1, field.value)
            && !PROTOCOL_TYPES.iter().any(|range| range.contains(&kind))
        {
            found.push(Unknown::code("ProtocolMessage.type", &kind.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palomar_proto::edit::set;

    fn named(bytes: &[u8]) -> Vec<String> {
        in_message(bytes).iter().map(|u| format!("{} {} {}", u.kind.name(), u.place, u.name)).collect()
    }

    #[test]
    fn drift_unknown_fields_and_types_are_found_through_the_wrappers() {
        let text = set(&[], &[1], Value::Bytes(b"Anna17")).unwrap();
        assert_eq!(named(&text), [""; 0]);
        let unknown = set(&text, &[4000], Value::Bytes(b"Anna17")).unwrap();
        assert_eq!(named(&unknown), ["field Message 4000"]);
        let wrapped = set(&[], &[31, 2], Value::Bytes(&unknown)).unwrap();
        assert_eq!(named(&wrapped), ["field Message 4000"]);
        let wrapped = set(&[], &[40, 1], Value::Bytes(&unknown)).unwrap();
        assert_eq!(named(&wrapped), ["field Message 4000"]);
        let protocol = set(&[], &[12, 2], Value::Varint(99)).unwrap();
        let protocol = set(&protocol, &[12, 77], Value::Varint(1)).unwrap();
        assert_eq!(named(&protocol), ["field ProtocolMessage 77", "code ProtocolMessage.type 99"]);
        assert_eq!(named(b"\xff\xff"), [""; 0]);
    }

    #[test]
    fn drift_the_known_fields_are_those_of_the_schema() {
        let schema = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/tests/data/schema.csv"));
        let of = |message: &str| -> Vec<u32> {
            let rows = schema.lines().map(|line| line.split(',').collect::<Vec<_>>());
            let mut numbers: Vec<u32> =
                rows.filter(|row| row[0] == message).map(|row| row[2].parse().unwrap()).collect();
            numbers.sort_unstable();
            numbers
        };
        let known = |ranges: &[RangeInclusive<u32>], not: &[u32]| -> Vec<u32> {
            ranges.iter().cloned().flatten().filter(|number| !not.contains(number)).collect()
        };
        assert_eq!(known(&MESSAGE, &NOT_IN_MESSAGE), of("Message"));
        assert_eq!(known(&PROTOCOL, &[]), of("Message.ProtocolMessage"));
        let wrappers: Vec<u32> = schema
            .lines()
            .filter(|line| line.starts_with("Message,") && line.contains(",Message.FutureProofMessage,"))
            .map(|line| line.split(',').nth(2).unwrap().parse().unwrap())
            .collect();
        assert_eq!(WRAPPERS.to_vec(), wrappers);
        let enums = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/tests/data/enums.csv"));
        let types: Vec<u64> = enums
            .lines()
            .filter_map(|line| line.strip_prefix("Message.ProtocolMessage.Type,"))
            .map(|rest| rest.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        let known: Vec<u64> = PROTOCOL_TYPES.iter().cloned().flatten().collect();
        assert_eq!(known, types);
    }
}
