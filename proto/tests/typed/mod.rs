//! Every message type by its full schema name.

use std::sync::LazyLock;

use palomar_proto::DecodeError;

/// What can be done with one type.
#[derive(Clone, Copy)]
pub struct Typed {
    pub round_trip: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
    pub debug: fn(&[u8]) -> Result<String, DecodeError>,
}

fn typed<M: prost::Message + Default + std::fmt::Debug>() -> Typed {
    Typed {
        round_trip: |bytes| palomar_proto::decode::<M>(bytes).map(|message| message.encode_to_vec()),
        debug: |bytes| palomar_proto::decode::<M>(bytes).map(|message| format!("{message:?}")),
    }
}

static ALL: LazyLock<Vec<(&str, Typed)>> =
    LazyLock::new(|| Vec::from(include!(concat!(env!("OUT_DIR"), "/registry.rs"))));

/// The type of that name.
pub fn by_name(name: &str) -> Typed {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no message is called {name}")).1
}
