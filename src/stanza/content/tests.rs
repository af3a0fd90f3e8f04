//! The rows that the vectors don't show.

use palomar_proto::{Message, MessageContextInfo, edit, message as m};

use prost::Message as _;

use super::*;

fn text() -> Message {
    Message { conversation: Some("hello".into()), ..Default::default() }
}

fn wrap(inner: Message) -> Message {
    let wrapper = m::FutureProofMessage { message: Some(Box::new(inner)) };
    Message { ephemeral_message: Some(Box::new(wrapper)), ..Default::default() }
}

fn secret(kind: m::secret_encrypted_message::SecretEncType) -> Message {
    let secret = m::SecretEncryptedMessage { secret_enc_type: Some(kind as i32), ..Default::default() };
    Message { secret_encrypted_message: Some(Box::new(secret)), ..Default::default() }
}

fn classified(message: &Message) -> (&'static str, Option<&'static str>, Option<&'static str>, bool) {
    let content = classify(message).unwrap();
    (
        content.kind.as_str(),
        content.media.map(MediaType::as_str),
        content.edit.map(Edit::as_str),
        content.hide,
    )
}

#[test]
fn sixteen_wrappers_are_taken_off_and_seventeen_are_text() {
    let image = Message { image_message: Some(Default::default()), ..Default::default() };
    let sixteen = (0..MAX_DEPTH).fold(image, |inner, _| wrap(inner));
    assert_eq!(unwrap(&sixteen).unwrap().depth, MAX_DEPTH);
    assert_eq!(classified(&sixteen), ("media", Some("image"), None, false));

    let seventeen = wrap(sixteen);
    assert_eq!(unwrap(&seventeen).unwrap_err(), TooDeep);
    assert_eq!(classified(&seventeen), ("text", None, None, false));
}

#[test]
fn secret_encrypted_messages_by_what_they_hold() {
    use m::secret_encrypted_message::SecretEncType as T;
    assert_eq!(classified(&secret(T::EventEdit)), ("event", None, Some("1"), true));
    assert_eq!(classified(&secret(T::MessageEdit)), ("text", None, Some("1"), false));
    assert_eq!(classified(&secret(T::PollEdit)), ("poll", None, None, true));
    assert_eq!(classified(&secret(T::PollAddOption)), ("poll", None, None, true));
    assert_eq!(classify(&secret(T::EventEdit)).unwrap().meta, [("event_type", "edit")]);
}

#[test]
fn a_lottie_sticker_is_a_sticker_even_when_empty() {
    let message = Message { lottie_sticker_message: Some(Default::default()), ..Default::default() };
    assert_eq!(classified(&message), ("media", Some("sticker"), None, false));
}

#[test]
fn a_blank_matched_text_is_no_link() {
    let text = m::ExtendedTextMessage { matched_text: Some("  ".into()), ..Default::default() };
    let message = Message { extended_text_message: Some(Box::new(text)), ..Default::default() };
    assert_eq!(classified(&message), ("text", None, None, false));
}

#[test]
fn content_without_a_media_type_is_text() {
    let message = Message { comment_message: Some(Default::default()), ..Default::default() };
    assert_eq!(classified(&message), ("text", None, None, false));
}

#[test]
fn a_protocol_message_without_type_is_no_revoke() {
    let message = Message { protocol_message: Some(Default::default()), ..Default::default() };
    assert_eq!(classified(&message), ("text", None, None, false));
}

#[test]
fn an_empty_member_label_is_a_deletion() {
    let protocol = m::ProtocolMessage {
        r#type: Some(m::protocol_message::Type::GroupMemberLabelChange as i32),
        ..Default::default()
    };
    let message = Message { protocol_message: Some(Box::new(protocol)), ..Default::default() };
    assert_eq!(classify(&message).unwrap().meta, [("appdata", "member_tag"), ("tag_reason", "user_delete")]);
}

#[test]
fn a_native_flow_response_carries_its_name() {
    use m::interactive_response_message::{InteractiveResponseMessage as Body, NativeFlowResponseMessage};
    let flow = NativeFlowResponseMessage { name: Some("galaxy_message".into()), ..Default::default() };
    let response = m::InteractiveResponseMessage {
        interactive_response_message: Some(Body::NativeFlowResponseMessage(flow)),
        ..Default::default()
    };
    let message = Message { interactive_response_message: Some(Box::new(response)), ..Default::default() };
    assert_eq!(classified(&message), ("media", Some("native_flow_response"), None, false));
    assert_eq!(classify(&message).unwrap().native_flow_name.as_deref(), Some("galaxy_message"));
}

#[test]
fn the_context_info_is_the_outermost() {
    let info = |secret: u8| {
        Some(Box::new(MessageContextInfo { message_secret: Some(vec![secret; 32]), ..Default::default() }))
    };
    let inner = Message { message_context_info: info(1), ..text() };
    assert_eq!(context_info(&wrap(inner.clone())).unwrap().message_secret(), [1; 32]);
    let outer = Message { message_context_info: info(2), ..wrap(inner) };
    assert_eq!(context_info(&outer).unwrap().message_secret(), [2; 32]);
    assert!(context_info(&text()).is_none());
}

#[test]
fn exactly_one_content_field_on_every_level_unknown_ones_counted() {
    use prost::Message as _;
    let single = |message: &Message| is_single_content(&message.encode_to_vec()).unwrap();
    let distribution = Some(Box::new(m::SenderKeyDistributionMessage::default()));
    assert!(single(&wrap(text())));
    assert!(single(&Message { sender_key_distribution_message: distribution.clone(), ..text() }));
    assert!(single(&Message { sender_key_distribution_message: distribution, ..Default::default() }));

    let info = Some(Box::new(MessageContextInfo::default()));
    assert!(!single(&Message { message_context_info: info, ..Default::default() }));
    let two = Message { image_message: Some(Default::default()), ..text() };
    assert!(!single(&two));
    assert!(!single(&wrap(two)));

    let unknown = edit::set(&[], &[9000], edit::Value::Varint(1)).unwrap();
    assert!(is_single_content(&unknown).unwrap());
    assert!(!is_single_content(&[unknown, text().encode_to_vec()].concat()).unwrap());
}

#[test]
fn proves_03b_6_the_bytes_inside_any_wrapper_are_kept_with_what_is_not_known_in_them() {
    // A text, and a field that no version of the schema has.
    let mut inner = text().encode_to_vec();
    inner.extend([0xfa, 0xff, 0x0f, 3, 1, 2, 3]);
    // deviceSentMessage 31.2, and the wrappers of 05a §6: field, then its message 1.
    let wrappers =
        [40, 37, 55, 59, 53, 62, 67, 91, 90, 85, 96, 103, 92, 95, 87, 101, 106, 118, 74, 99, 116, 117, 93];
    let paths = wrappers.into_iter().map(|number| [number, 1]).chain([[31, 2]]);
    for path in paths {
        let once = edit::set(&[], &path, edit::Value::Bytes(&inner)).unwrap();
        let twice = edit::set(&[], &[40, 1], edit::Value::Bytes(&once)).unwrap();
        for bytes in [once, twice] {
            let message = Message::decode(&*bytes).unwrap();
            assert_eq!(unwrap(&message).unwrap().message, &text(), "{path:?}");
            assert_eq!(unwrap_bytes(&bytes, &message).unwrap(), inner, "{path:?}");
        }
    }
    let bare = Message::decode(&*inner).unwrap();
    assert_eq!(unwrap_bytes(&inner, &bare).unwrap(), inner);
}

#[test]
fn bytes_wrapped_too_often_are_left_as_they_are() {
    let seventeen = (0..=MAX_DEPTH).fold(text(), |inner, _| wrap(inner));
    let bytes = seventeen.encode_to_vec();
    assert_eq!(unwrap_bytes(&bytes, &seventeen).unwrap(), bytes);
}
