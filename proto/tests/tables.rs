//! The compiled schema against the specification's tables (protocol 03b §10 no. 4): number, type, label, oneof, packing
//! and default of every field, number of every enum value. `data/` holds copies of the tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use palomar_proto::json::DESCRIPTORS;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

/// Top-level names left out with everything in them: other libraries' storage formats, a dead handshake, and opaque
/// data that nothing needs yet (03b §5).
const OMITTED: [&str; 16] = [
    "ChatRowOpaqueData",
    "Config",
    "DeviceConsistencyCodeMessage",
    "Field",
    "IdentityKeyPairStructure",
    "KeyExchangeMessage",
    "MsgOpaqueData",
    "MsgRowOpaqueData",
    "PreKeyRecordStructure",
    "QP",
    "RecordStructure",
    "SenderKeyRecordStructure",
    "SenderKeyStateStructure",
    "SessionStructure",
    "SignedPreKeyRecordStructure",
    "WebFeatures",
];

/// Left out like those, and so are the fields of its type.
const OMITTED_TYPE: &str = "UrlTrackingMap";

fn omitted(name: &str) -> bool {
    let top = name.split('.').next().unwrap();
    OMITTED.contains(&top) || top == OMITTED_TYPE
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

/// The rows of a table, quotes respected.
fn rows(table: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<_> = table.lines().map(cells).collect();
    rows.remove(0);
    rows
}

fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cells.last_mut().unwrap().push(other),
        }
    }
    cells
}

#[test]
fn descriptors_contain_every_row_of_the_schema_table() {
    let pool = pool();
    let mut seen = BTreeSet::new();
    let mut compared = 0;
    for row in rows(include_str!("data/schema.csv")) {
        let [message, field, number, kind, label, oneof, _source, options] = row.as_slice() else {
            panic!("not eight columns: {row:?}")
        };
        if omitted(message) || kind == OMITTED_TYPE || options.contains("gone-in-newer") {
            continue;
        }
        let found = pool.get_message_by_name(&format!("palomar.{message}")).expect(message);
        if field.is_empty() {
            continue;
        }
        let descriptor =
            found.get_field(number.parse().unwrap()).unwrap_or_else(|| panic!("{message}.{field}"));
        let label = if label == "required" { "optional" } else { label };
        let wanted = [field.as_str(), kind, label, &snake(oneof), &flags(options)].map(str::to_owned);
        assert_eq!(described(&descriptor), wanted, "{message}.{field}");
        seen.insert(format!("{message}.{number}"));
        compared += 1;
    }
    for message in pool.all_messages().filter(|message| !message.is_map_entry()) {
        for field in message.fields() {
            assert!(
                seen.contains(&format!("{}.{}", short(message.full_name()), field.number())),
                "{field:?}"
            );
        }
    }
    println!("{compared} fields compared");
}

/// Name, type, label, oneof, flags as the table writes them.
fn described(field: &FieldDescriptor) -> [String; 5] {
    let label = match field.cardinality() {
        _ if field.is_map() => "map",
        Cardinality::Optional => "optional",
        Cardinality::Required => "required",
        Cardinality::Repeated => "repeated",
    };
    let mut flags = BTreeSet::new();
    if field.is_packed() {
        flags.insert("packed".to_owned());
    }
    if let Some(default) = field.field_descriptor_proto().default_value.as_ref() {
        flags.insert(format!("default={default}"));
        assert!(!matches!(field.default_value(), Value::Message(_)));
    }
    let oneof = field.containing_oneof().map_or_else(String::new, |oneof| oneof.name().to_owned());
    let flags = flags.into_iter().collect::<Vec<_>>().join(" ");
    [field.json_name().to_owned(), type_name(&field.kind(), field.is_map()), label.to_owned(), oneof, flags]
}

fn type_name(kind: &Kind, map: bool) -> String {
    match kind {
        Kind::Message(entry) if map => {
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            format!("map<{},{}>", type_name(&key, false), type_name(&value, false))
        }
        Kind::Message(message) => short(message.full_name()),
        Kind::Enum(descriptor) => short(descriptor.full_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn flags(options: &str) -> String {
    let known = |option: &&str| *option == "packed" || option.starts_with("default=");
    options.split(' ').filter(known).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

fn short(full: &str) -> String {
    full.strip_prefix("palomar.").unwrap().to_owned()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn descriptors_contain_every_row_of_the_enum_table() {
    let mut wanted: BTreeMap<String, BTreeMap<String, i32>> = BTreeMap::new();
    for row in rows(include_str!("data/enums.csv")) {
        let [name, value, number, _source] = row.as_slice() else { panic!("not four columns: {row:?}") };
        if !omitted(name) {
            wanted.entry(name.clone()).or_default().insert(value.clone(), number.parse().unwrap());
        }
    }
    let values = |descriptor: &EnumDescriptor| {
        descriptor.values().map(|value| (value.name().to_owned(), value.number())).collect::<BTreeMap<_, _>>()
    };
    let compiled: BTreeMap<_, _> =
        pool().all_enums().map(|descriptor| (short(descriptor.full_name()), values(&descriptor))).collect();
    assert_eq!(compiled, wanted);
}

#[test]
fn every_omission_is_in_the_table_and_not_in_the_schema() {
    let top: BTreeSet<_> = rows(include_str!("data/schema.csv"))
        .into_iter()
        .map(|row| row[0].split('.').next().unwrap().to_owned())
        .collect();
    let compiled: BTreeSet<_> =
        pool().all_messages().map(|message: MessageDescriptor| short(message.full_name())).collect();
    for name in OMITTED.into_iter().chain([OMITTED_TYPE]) {
        assert!(top.contains(name), "{name} is not in the table");
        assert!(!compiled.contains(name), "{name} is in the schema");
    }
}
