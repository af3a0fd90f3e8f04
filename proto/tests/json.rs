//! Messages as JSON: presence, shapes, refusals; and the sizes that the build script's boxing is for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use palomar_proto::{
    ContextInfo, Message, SyncActionValue, WebMessageInfo,
    json::{JsonError, from_json, to_json},
};
use serde_json::{Value, json};

#[test]
fn absent_zero_and_empty_are_three_things() {
    for value in
        [json!({}), json!({ "conversation": "" }), json!({ "protocolMessage": { "ephemeralExpiration": 0 } })]
    {
        assert_eq!(to_json("Message", &from_json("Message", &value).unwrap()).unwrap(), value);
    }
    assert_eq!(from_json("Message", &json!({ "conversation": "" })).unwrap(), [0x0a, 0]);
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let refused = |value: Value| from_json("Message.ImageMessage", &value).unwrap_err();
    let wants = |field: &str, wanted| JsonError::Value(field.to_owned(), wanted);
    assert_eq!(from_json("NoSuch", &json!({})), Err(JsonError::UnknownType("NoSuch".into())));
    assert_eq!(
        refused(json!({ "colour": 1 })),
        JsonError::UnknownField("Message.ImageMessage".into(), "colour".into())
    );
    assert_eq!(refused(json!({ "height": -1 })), wants("height", "an unsigned 32-bit integer"));
    assert_eq!(refused(json!({ "height": 1_u64 << 32 })), wants("height", "an unsigned 32-bit integer"));
    assert_eq!(refused(json!({ "fileLength": "x" })), wants("fileLength", "an unsigned 64-bit integer"));
    assert_eq!(
        refused(json!({ "mediaKey": "00" })),
        wants("mediaKey", "an object with hex digits under \"hex\"")
    );
    assert_eq!(refused(json!({ "scanLengths": 1 })), wants("scanLengths", "a list"));
    assert_eq!(
        refused(json!({ "imageSourceType": "NONE" })),
        wants("imageSourceType", "the name or number of an enum value")
    );
    assert_eq!(to_json("Message", &[0x0a]), Err(JsonError::Decode("Message".into())));
}

#[test]
fn json_of_more_levels_than_a_decoder_takes_is_refused() {
    let deep = (0..60).fold(json!({}), |inner, _| json!({ "ephemeralMessage": { "message": inner } }));
    assert_eq!(from_json("Message", &deep), Err(JsonError::TooDeep));
}

#[test]
fn error_texts_name_fields_and_never_show_values() {
    let secret =
        json!({ "imageMessage": { "caption": "very private", "mediaKey": { "hex": "5ec2e75ec2e75ec2" } } });
    let mut bytes = from_json("Message", &secret).unwrap();
    bytes.pop();
    let text = palomar_proto::decode::<Message>(&bytes).unwrap_err().to_string();
    assert!(text.starts_with("not a valid Message: "), "{text}");
    assert!(!text.contains("private") && !text.contains("5ec2") && !text.contains("94"), "{text}");
}

#[test]
fn wide_messages_stay_small() {
    for (size, limit) in [
        (size_of::<Message>(), 1024),
        (size_of::<ContextInfo>(), 1280),
        (size_of::<WebMessageInfo>(), 1280),
        (size_of::<SyncActionValue>(), 1024),
    ] {
        assert!(size <= limit, "{size} > {limit}");
    }
}
