//! The `mediatype` attribute of `<enc>` and `<plaintext>`.

use std::fmt;

use palomar_proto::{
    Message,
    message::{ExtendedTextMessage, interactive_response_message::InteractiveResponseMessage},
};

/// A row of 05a §6. The server drops media stanzas whose `mediatype` it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the attribute's values")]
pub enum MediaType {
    Image,
    Video,
    Gif,
    Ptv,
    Audio,
    Ptt,
    Document,
    Sticker,
    StickerPack,
    Location,
    LiveLocation,
    Vcard,
    ContactArray,
    Url,
    List,
    ListResponse,
    ButtonsResponse,
    Order,
    Product,
    NativeFlowResponse,
    GroupHistory,
}

impl MediaType {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Gif => "gif",
            Self::Ptv => "ptv",
            Self::Audio => "audio",
            Self::Ptt => "ptt",
            Self::Document => "document",
            Self::Sticker => "sticker",
            Self::StickerPack => "sticker_pack",
            Self::Location => "location",
            Self::LiveLocation => "livelocation",
            Self::Vcard => "vcard",
            Self::ContactArray => "contact_array",
            Self::Url => "url",
            Self::List => "list",
            Self::ListResponse => "list_response",
            Self::ButtonsResponse => "buttons_response",
            Self::Order => "order",
            Self::Product => "product",
            Self::NativeFlowResponse => "native_flow_response",
            Self::GroupHistory => "group_history",
        }
    }

    /// Of the whole message and its unwrapped content; `None`: the attribute is left out.
    pub(super) fn of(whole: &Message, inner: &Message) -> Option<Self> {
        if whole.lottie_sticker_message.is_some() {
            return Some(Self::Sticker);
        }
        file(inner).or_else(|| place_or_person(inner)).or_else(|| interactive(inner))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn file(m: &Message) -> Option<MediaType> {
    if m.image_message.is_some() {
        Some(MediaType::Image)
    } else if let Some(video) = &m.video_message {
        Some(if video.gif_playback() { MediaType::Gif } else { MediaType::Video })
    } else if m.ptv_message.is_some() {
        Some(MediaType::Ptv)
    } else if let Some(audio) = &m.audio_message {
        Some(if audio.ptt() { MediaType::Ptt } else { MediaType::Audio })
    } else if m.document_message.is_some() {
        Some(MediaType::Document)
    } else if m.sticker_message.is_some() {
        Some(MediaType::Sticker)
    } else if m.sticker_pack_message.is_some() {
        Some(MediaType::StickerPack)
    } else {
        None
    }
}

fn place_or_person(m: &Message) -> Option<MediaType> {
    if let Some(location) = &m.location_message {
        Some(if location.is_live() { MediaType::LiveLocation } else { MediaType::Location })
    } else if m.live_location_message.is_some() {
        Some(MediaType::LiveLocation)
    } else if m.contact_message.is_some() {
        Some(MediaType::Vcard)
    } else if m.contacts_array_message.is_some() {
        Some(MediaType::ContactArray)
    } else {
        None
    }
}

fn interactive(m: &Message) -> Option<MediaType> {
    if m.extended_text_message.as_ref().is_some_and(|text| has_link(text)) || m.group_invite_message.is_some()
    {
        Some(MediaType::Url)
    } else if m.list_message.is_some() {
        Some(MediaType::List)
    } else if m.list_response_message.is_some() {
        Some(MediaType::ListResponse)
    } else if m.buttons_response_message.is_some() {
        Some(MediaType::ButtonsResponse)
    } else if m.order_message.is_some() {
        Some(MediaType::Order)
    } else if m.product_message.is_some() {
        Some(MediaType::Product)
    } else if m.interactive_response_message.is_some() {
        Some(MediaType::NativeFlowResponse)
    } else if m.message_history_bundle.is_some() {
        Some(MediaType::GroupHistory)
    } else {
        None
    }
}

fn has_link(text: &ExtendedTextMessage) -> bool {
    !text.matched_text().trim().is_empty()
}

/// The name of the native flow that an `interactiveResponseMessage` answers.
pub(super) fn native_flow_name(message: &Message) -> Option<String> {
    match message.interactive_response_message.as_ref()?.interactive_response_message.as_ref()? {
        InteractiveResponseMessage::NativeFlowResponseMessage(response) => response.name.clone(),
    }
}
