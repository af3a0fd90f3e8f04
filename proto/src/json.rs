//! Messages as JSON by their descriptors, exact in presence: a key that is there is present, also with 0 or "".
//!
//! Field names in camelCase; bytes as `{"hex": "…"}`; 64-bit integers as decimal strings; other numbers and booleans as
//! such; floats that are no number as `"NaN"`, `"Infinity"`, `"-Infinity"`; enums by value name, unknown numbers as
//! numbers. Unknown fields are not shown. An empty list means absent. For vectors and the simulator, not for hot code.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _,
    Value as Proto,
};
use serde_json::{Map, Number, Value, json};

/// Deeper JSON is refused, as deeper messages are.
const MAX_DEPTH: usize = 100;

/// The compiled schema: a serialised `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());

/// Why a message could not be turned into or made from JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The schema has no message of this full name.
    #[error("no message is called {0}")]
    UnknownType(String),
    /// The bytes are no such message.
    #[error("the bytes are not a valid {0}")]
    Decode(String),
    /// The message has no field of this name.
    #[error("{0} has no field {1}")]
    UnknownField(String, String),
    /// A value has the wrong shape or is out of range for its field.
    #[error("field {0} wants {1}")]
    Value(String, &'static str),
    /// More than 100 levels.
    #[error("the JSON is nested too deeply")]
    TooDeep,
}

/// Decodes `bytes` as the message of that full schema name (`Message.ImageMessage`) and shows it as JSON.
///
/// # Errors
/// Unknown name, undecodable bytes.
pub fn to_json(type_name: &str, bytes: &[u8]) -> Result<Value, JsonError> {
    let message = DynamicMessage::decode(descriptor(type_name)?, bytes)
        .map_err(|_| JsonError::Decode(type_name.to_owned()))?;
    Ok(show_message(&message))
}

/// Builds the message of that full schema name from JSON and encodes it, fields in ascending order.
///
/// # Errors
/// Unknown name or field, a value that does not fit its field.
pub fn from_json(type_name: &str, value: &Value) -> Result<Vec<u8>, JsonError> {
    Ok(read_message(descriptor(type_name)?, type_name, value, 0)?.encode_to_vec())
}

fn descriptor(type_name: &str) -> Result<MessageDescriptor, JsonError> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(&format!("palomar.{type_name}")))
        .ok_or_else(|| JsonError::UnknownType(type_name.to_owned()))
}

fn show_message(message: &DynamicMessage) -> Value {
    let fields =
        message.fields().map(|(field, value)| (field.json_name().to_owned(), show(&field.kind(), value)));
    Value::Object(fields.collect())
}

fn show(kind: &Kind, value: &Proto) -> Value {
    match value {
        Proto::Bool(value) => json!(value),
        Proto::I32(value) => json!(value),
        Proto::U32(value) => json!(value),
        Proto::I64(value) => json!(value.to_string()),
        Proto::U64(value) => json!(value.to_string()),
        Proto::F32(value) => show_float(f64::from(*value)),
        Proto::F64(value) => show_float(*value),
        Proto::String(value) => json!(value),
        Proto::Bytes(value) => json!({ "hex": hex::encode(value) }),
        Proto::EnumNumber(number) => {
            let known = kind.as_enum().and_then(|descriptor| descriptor.get_value(*number));
            known.map_or_else(|| json!(number), |value| json!(value.name()))
        }
        Proto::Message(value) => show_message(value),
        Proto::List(values) => values.iter().map(|value| show(kind, value)).collect(),
        Proto::Map(values) => {
            let kind = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
            let mut entries: Vec<_> = values.iter().map(|(key, value)| (show_key(key), value)).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let kind = kind.unwrap_or(Kind::String);
            Value::Object(entries.into_iter().map(|(key, value)| (key, show(&kind, value))).collect())
        }
    }
}

fn show_float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => json!("NaN"),
        None if value > 0.0 => json!("Infinity"),
        None => json!("-Infinity"),
    }
}

fn show_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn read_message(
    descriptor: MessageDescriptor,
    name: &str,
    value: &Value,
    depth: usize,
) -> Result<DynamicMessage, JsonError> {
    if depth >= MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    let object = value.as_object().ok_or_else(|| JsonError::Value(name.to_owned(), "an object"))?;
    let mut message = DynamicMessage::new(descriptor);
    for (key, value) in object {
        let field = message.descriptor().get_field_by_json_name(key);
        let field = field.ok_or_else(|| JsonError::UnknownField(name.to_owned(), key.clone()))?;
        let value = if field.is_map() {
            read_map(&field, value, depth)?
        } else if field.is_list() {
            let items = value.as_array().ok_or_else(|| JsonError::Value(key.clone(), "a list"))?;
            Proto::List(
                items
                    .iter()
                    .map(|item| read(&field, &field.kind(), item, depth))
                    .collect::<Result<_, _>>()?,
            )
        } else {
            read(&field, &field.kind(), value, depth)?
        };
        message.set_field(&field, value);
    }
    Ok(message)
}

fn read_map(field: &FieldDescriptor, value: &Value, depth: usize) -> Result<Proto, JsonError> {
    let wrong = || JsonError::Value(field.json_name().to_owned(), "an object of keys and values");
    let kind = field.kind();
    let entry = kind.as_message().ok_or_else(wrong)?;
    let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    let read_entry = |(key, value): (&String, &Value)| {
        let key = match key_kind {
            Kind::String => MapKey::String(key.clone()),
            Kind::Uint32 => MapKey::U32(key.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        Ok((key, read(field, &value_kind, value, depth)?))
    };
    let object: &Map<String, Value> = value.as_object().ok_or_else(wrong)?;
    Ok(Proto::Map(object.iter().map(read_entry).collect::<Result<_, _>>()?))
}

fn read(field: &FieldDescriptor, kind: &Kind, value: &Value, depth: usize) -> Result<Proto, JsonError> {
    let (found, wanted) = match kind {
        Kind::Message(descriptor) => {
            let name = descriptor.full_name().trim_start_matches("palomar.");
            return Ok(Proto::Message(read_message(descriptor.clone(), name, value, depth + 1)?));
        }
        Kind::Enum(descriptor) => {
            let number = match value {
                Value::String(name) => descriptor.get_value_by_name(name).map(|value| value.number()),
                other => signed(other),
            };
            (number.map(Proto::EnumNumber), "the name or number of an enum value")
        }
        Kind::Bool => (value.as_bool().map(Proto::Bool), "true or false"),
        Kind::String => (value.as_str().map(|text| Proto::String(text.to_owned())), "a string"),
        Kind::Bytes => (read_bytes(value), "an object with hex digits under \"hex\""),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (signed(value).map(Proto::I32), "a 32-bit integer"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (signed(value).map(Proto::I64), "a 64-bit integer"),
        Kind::Uint32 | Kind::Fixed32 => (unsigned(value).map(Proto::U32), "an unsigned 32-bit integer"),
        Kind::Uint64 | Kind::Fixed64 => (unsigned(value).map(Proto::U64), "an unsigned 64-bit integer"),
        #[allow(clippy::cast_possible_truncation, reason = "the field is a float")]
        Kind::Float => (float(value).map(|value| Proto::F32(value as f32)), "a number"),
        Kind::Double => (float(value).map(Proto::F64), "a number"),
    };
    found.ok_or_else(|| JsonError::Value(field.json_name().to_owned(), wanted))
}

fn read_bytes(value: &Value) -> Option<Proto> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let bytes = hex::decode(object.get("hex")?.as_str()?).ok()?;
    Some(Proto::Bytes(bytes.into()))
}

fn signed<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        other => other.as_i64()?,
    };
    T::try_from(number).ok()
}

fn unsigned<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        other => other.as_u64()?,
    };
    T::try_from(number).ok()
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) if ["NaN", "Infinity", "-Infinity"].contains(&text.as_str()) => text.parse().ok(),
        other => other.as_f64(),
    }
}
