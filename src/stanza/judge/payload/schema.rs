//! The schema as data: reading `schema.csv` and `enums.csv` (protocol 03b §1), and what one field looks like.

use std::collections::{BTreeMap, BTreeSet};

use crate::stanza::judge::table::{TableError, error};

use super::Payload;

/// The built-in schema: messages and their fields.
const SCHEMA: &str = include_str!("schema.csv");
/// The built-in schema: names of enums.
const ENUMS: &str = include_str!("enums.csv");

const SCHEMA_HEADER: &str = "message,field,number,type,label,oneof,source,options";
const ENUMS_HEADER: &str = "enum,value_name,number,source";

/// The largest field number of protobuf.
const MAX_NUMBER: u32 = (1 << 29) - 1;

/// How a value lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    /// Signed, 32 bits, sign-extended; enums are written like this too.
    Int32,
    Uint32,
    /// Any varint.
    Varint,
    Sint32,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    /// The full name of a message.
    Message(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Optional,
    Required,
    Repeated { packed: bool },
}

/// One row of the schema.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) label: Label,
}

/// The fields of a message by their number.
pub(super) type Fields = BTreeMap<u32, Field>;

/// The wire schema of the payloads, as the official client has it.
#[derive(Debug)]
pub struct Schema {
    messages: BTreeMap<String, Fields>,
}

impl Schema {
    /// The schema that is built in.
    ///
    /// # Errors
    /// [`TableError`] never for the tables of a release: a test reads them.
    pub fn built_in() -> Result<Self, TableError> {
        Self::parse(SCHEMA, ENUMS)
    }

    /// The texts of the built-in tables, for whoever replaces only one of them: schema, enums.
    #[must_use]
    pub fn built_in_texts() -> (&'static str, &'static str) {
        (SCHEMA, ENUMS)
    }

    /// Reads the two tables.
    ///
    /// # Errors
    /// [`TableError`] names the first line and column that can't be read; it is a line of `schema`, unless `schema`
    /// alone could be read ([`parse_enums`] tells beforehand).
    pub fn parse(schema: &str, enums: &str) -> Result<Self, TableError> {
        let enums = parse_enums(enums)?;
        let rows = rows(schema, SCHEMA_HEADER, "message")?;
        let names: BTreeSet<&str> = rows.iter().filter_map(|(_, row)| row.first().copied()).collect();
        let mut messages: BTreeMap<String, Fields> = BTreeMap::new();
        for (line, row) in &rows {
            let [message, field, number, kind, label, _oneof, _source, options] = row[..] else {
                return Err(error(*line, "options", format!("{} columns instead of 8", row.len())));
            };
            if message.is_empty() {
                return Err(error(*line, "message", "empty"));
            }
            let fields = messages.entry(message.to_owned()).or_default();
            if options.split(' ').any(|option| option == "empty") {
                continue;
            }
            let number = number
                .parse()
                .ok()
                .filter(|number| (1..=MAX_NUMBER).contains(number))
                .ok_or_else(|| error(*line, "number", format!("{number:?} is no field number")))?;
            let gone = options.split(' ').any(|option| option == "gone-in-newer");
            let known = kind_of(kind, &names, &enums).map_err(|why| error(*line, "type", why))?;
            let label = label_of(label, options).map_err(|why| error(*line, "label", why))?;
            let row = Field { name: field.to_owned(), kind: known, label };
            // A number that a newer release gave to another field belongs to that one.
            if !gone || !fields.contains_key(&number) {
                fields.insert(number, row);
            }
            if let Some(entry) = map_entry(kind, *line, &names, &enums)? {
                messages.insert(kind.to_owned(), entry);
            }
        }
        match Payload::ALL.into_iter().find(|payload| !messages.contains_key(payload.message())) {
            Some(missing) => Err(error(1, "message", format!("there is no message {}", missing.message()))),
            None => Ok(Self { messages }),
        }
    }

    /// The fields of a message; none for a name that is not there, so that nothing in it is known.
    pub(super) fn fields(&self, message: &str) -> Option<&Fields> {
        self.messages.get(message)
    }
}

/// Reads the table of enums: their names.
///
/// # Errors
/// [`TableError`] names the first line and column that can't be read.
pub fn parse_enums(text: &str) -> Result<BTreeSet<&str>, TableError> {
    let mut names = BTreeSet::new();
    for (line, row) in rows(text, ENUMS_HEADER, "enum")? {
        let [name, value, number, _source] = row[..] else {
            return Err(error(line, "source", format!("{} columns instead of 4", row.len())));
        };
        if name.is_empty() || value.is_empty() {
            return Err(error(line, if name.is_empty() { "enum" } else { "value_name" }, "empty"));
        }
        if number.parse::<i32>().is_err() {
            return Err(error(line, "number", format!("{number:?} is no number")));
        }
        names.insert(name);
    }
    Ok(names)
}

/// The rows behind the header with their line numbers, split into cells; a cell may stand in quotes.
fn rows<'t>(
    text: &'t str,
    header: &str,
    first: &'static str,
) -> Result<Vec<(usize, Vec<&'t str>)>, TableError> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    if lines.next().map(|(_, line)| line) != Some(header) {
        return Err(error(1, first, format!("the header must be {header}")));
    }
    Ok(lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| (number, cells(line))).collect())
}

fn cells(mut line: &str) -> Vec<&str> {
    let mut cells = Vec::with_capacity(8);
    loop {
        let quoted = line.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (cell, rest) = match quoted {
            Some((cell, rest)) => (cell, rest),
            None => line.split_at(line.find(',').unwrap_or(line.len())),
        };
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(next) => line = next,
            None => return cells,
        }
    }
}

fn kind_of(kind: &str, messages: &BTreeSet<&str>, enums: &BTreeSet<&str>) -> Result<Kind, String> {
    Ok(Kind::Scalar(match kind {
        "bool" => Scalar::Bool,
        "int32" => Scalar::Int32,
        "uint32" => Scalar::Uint32,
        "int64" | "uint64" | "sint64" => Scalar::Varint,
        "sint32" => Scalar::Sint32,
        "fixed32" | "sfixed32" | "float" => Scalar::Fixed32,
        "fixed64" | "sfixed64" | "double" => Scalar::Fixed64,
        "string" => Scalar::Text,
        "bytes" => Scalar::Bytes,
        map if map.starts_with("map<") => return Ok(Kind::Message(map.to_owned())),
        name if messages.contains(name) => return Ok(Kind::Message(name.to_owned())),
        name if enums.contains(name) => Scalar::Int32,
        other => return Err(format!("{other:?} is no scalar, no message and no enum")),
    }))
}

fn label_of(label: &str, options: &str) -> Result<Label, String> {
    let packed = options.split(' ').any(|option| option == "packed");
    match label {
        "optional" => Ok(Label::Optional),
        "required" => Ok(Label::Required),
        "repeated" => Ok(Label::Repeated { packed }),
        "map" => Ok(Label::Repeated { packed: false }),
        other => Err(format!("{other:?} is no label")),
    }
}

/// The entry message that a map stands for: key 1, value 2.
fn map_entry(
    kind: &str,
    line: usize,
    messages: &BTreeSet<&str>,
    enums: &BTreeSet<&str>,
) -> Result<Option<Fields>, TableError> {
    let Some(inside) = kind.strip_prefix("map<") else { return Ok(None) };
    let pair = inside.strip_suffix('>').and_then(|inside| inside.split_once(','));
    let (key, value) = pair.ok_or_else(|| error(line, "type", format!("{kind:?} is no map")))?;
    let mut fields = Fields::new();
    for (number, name, kind) in [(1, "key", key), (2, "value", value)] {
        let kind = kind_of(kind.trim(), messages, enums).map_err(|why| error(line, "type", why))?;
        fields.insert(number, Field { name: name.to_owned(), kind, label: Label::Optional });
    }
    Ok(Some(fields))
}
