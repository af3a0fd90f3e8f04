//! The shallow editor (protocol 03b §10 no. 6).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use palomar_proto::{
    ContextInfo, Message, MessageContextInfo,
    edit::{self, EditError, Value},
    message::ExtendedTextMessage,
};
use proptest::prelude::*;
use prost::Message as _;

/// An owned value, to be drawn at random.
#[derive(Debug, Clone)]
enum Drawn {
    Varint(u64),
    Fixed64(u64),
    Bytes(Vec<u8>),
    Fixed32(u32),
}

impl Drawn {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Varint(value) => Value::Varint(*value),
            Self::Fixed64(value) => Value::Fixed64(*value),
            Self::Bytes(value) => Value::Bytes(value),
            Self::Fixed32(value) => Value::Fixed32(*value),
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    prop_oneof![
        any::<u64>().prop_map(Drawn::Varint),
        any::<u64>().prop_map(Drawn::Fixed64),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Drawn::Bytes),
        any::<u32>().prop_map(Drawn::Fixed32),
    ]
}

/// Fields that the schema has nowhere, encoded.
fn unknown_fields() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((5000_u32..(1 << 29), drawn()), 0..6).prop_map(|fields| {
        fields.iter().flat_map(|(number, value)| edit::set(&[], &[*number], value.value()).unwrap()).collect()
    })
}

prop_compose! {
    /// A text message with unknown fields on three levels.
    fn text_message()(
        text in ".{0,40}",
        quoted in prop::option::of(".{0,20}"),
        score in prop::option::of(any::<u32>()),
        secret in prop::option::of(prop::collection::vec(any::<u8>(), 32)),
        unknown in [unknown_fields(), unknown_fields(), unknown_fields()],
    ) -> (Message, [Vec<u8>; 3], Vec<u8>) {
        let quoted = quoted.map(|text| Box::new(Message { conversation: Some(text), ..Default::default() }));
        let context = ContextInfo { quoted_message: quoted, forwarding_score: score, ..Default::default() };
        let extended =
            ExtendedTextMessage { text: Some(text), context_info: Some(Box::new(context.clone())), ..Default::default() };
        let message = Message {
            extended_text_message: Some(Box::new(extended.clone())),
            message_context_info: secret.map(|secret| {
                Box::new(MessageContextInfo { message_secret: Some(secret), ..Default::default() })
            }),
            ..Default::default()
        };
        let context = [context.encode_to_vec(), unknown[0].clone()].concat();
        let bare = ExtendedTextMessage { context_info: None, ..extended }.encode_to_vec();
        let extended = [edit::set(&bare, &[17], Value::Bytes(&context)).unwrap(), unknown[1].clone()].concat();
        let bare = Message { extended_text_message: None, ..message.clone() }.encode_to_vec();
        let bytes = [edit::set(&bare, &[6], Value::Bytes(&extended)).unwrap(), unknown[2].clone()].concat();
        (message, unknown, bytes)
    }
}

fn raw_without(message: &[u8], number: u32) -> Vec<Vec<u8>> {
    let fields = edit::fields(message).map(Result::unwrap).filter(|field| field.number != number);
    fields.map(|field| field.raw.to_vec()).collect()
}

proptest! {
    #[test]
    fn a_replaced_value_is_decoded_and_every_other_field_is_byte_identical(
        (mut message, unknown, bytes) in text_message(),
        score in any::<u32>(),
    ) {
        let edited = edit::set(&bytes, &[6, 17, 21], Value::Varint(u64::from(score))).unwrap();

        let extended = message.extended_text_message.as_mut().unwrap();
        extended.context_info.as_mut().unwrap().forwarding_score = Some(score);
        prop_assert_eq!(Message::decode(edited.as_slice()).unwrap(), message);
        for (path, number, unknown) in [(&[6, 17][..], 21, &unknown[0]), (&[6], 17, &unknown[1]), (&[], 6, &unknown[2])] {
            let before = edit::sub_message(&bytes, path).unwrap().unwrap();
            let after = edit::sub_message(&edited, path).unwrap().unwrap();
            prop_assert_eq!(raw_without(&before, number), raw_without(&after, number));
            prop_assert!(unknown.is_empty() || after.windows(unknown.len()).any(|part| part == unknown.as_slice()));
        }
    }

    #[test]
    fn any_value_can_be_set_read_back_and_removed(
        mut bytes in unknown_fields(),
        path in prop::collection::vec(1_u32..4000, 1..5),
        value in drawn(),
    ) {
        bytes = edit::remove(&bytes, &path).unwrap();
        let set = edit::set(&bytes, &path, value.value()).unwrap();
        let (number, parents) = path.split_last().unwrap();
        let level = edit::sub_message(&set, parents).unwrap().unwrap();
        prop_assert_eq!(edit::last(&level, *number).unwrap(), Some(value.value()));

        let removed = edit::remove(&set, &path).unwrap();
        prop_assert!(removed.starts_with(&bytes));
        let level = edit::sub_message(&removed, parents).unwrap().unwrap();
        prop_assert_eq!(edit::last(&level, *number).unwrap(), None);
    }

    #[test]
    fn arbitrary_bytes_are_edited_or_refused_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u32>(), 0..5),
        value in drawn(),
    ) {
        if let Ok(edited) = edit::set(&bytes, &path, value.value()) {
            prop_assert!(edit::fields(&edited).all(|field| field.is_ok()));
        }
        let _ = edit::remove(&bytes, &path);
        let _ = edit::sub_message(&bytes, &path);
    }
}

#[test]
fn occurrences_of_a_sub_message_are_merged_before_editing() {
    let first = edit::set(&[], &[6, 1], Value::Bytes(b"old")).unwrap();
    let second = edit::set(&[], &[6, 17, 21], Value::Varint(3)).unwrap();
    let edited = edit::set(&[first, second].concat(), &[6, 17, 22], Value::Varint(1)).unwrap();
    assert_eq!(edit::fields(&edited).count(), 1);
    let message = Message::decode(edited.as_slice()).unwrap();
    let extended = message.extended_text_message.unwrap();
    assert_eq!(extended.text.as_deref(), Some("old"));
    let context = extended.context_info.unwrap();
    assert_eq!((context.forwarding_score, context.is_forwarded), (Some(3), Some(true)));
}

#[test]
fn removing_below_an_absent_sub_message_creates_nothing() {
    let bytes = edit::set(&[], &[1], Value::Bytes(b"hello")).unwrap();
    assert_eq!(edit::remove(&bytes, &[6, 17, 22]).unwrap(), bytes);
}

#[test]
fn groups_bad_numbers_bad_wire_types_and_cut_bytes_are_refused() {
    let refused = |bytes: &[u8]| edit::set(bytes, &[6, 17], Value::Varint(1)).unwrap_err();
    assert_eq!(refused(&[0x0b, 0x0c]), EditError::WireType(3));
    assert_eq!(refused(&[0x0c]), EditError::WireType(4));
    assert_eq!(refused(&[0x0e, 0]), EditError::WireType(6));
    assert_eq!(refused(&[0x00, 0x01]), EditError::Number(0));
    assert_eq!(refused(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), EditError::Number(1 << 29));
    assert_eq!(refused(&[0x0a, 0x05, 0x61]), EditError::Malformed);
    assert_eq!(refused(&[0x30, 0x01]), EditError::NotAMessage(6));
    assert_eq!(edit::set(&[], &[], Value::Varint(1)), Err(EditError::EmptyPath));
    assert_eq!(edit::set(&[], &[0], Value::Varint(1)), Err(EditError::Number(0)));
}
