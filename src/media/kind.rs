//! The kinds of media: info string, mms-type and upload path of each (protocol 08 §1).

/// What a file is. Implied by the message that carries the reference; it stands nowhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sticker, webp or lottie.
    Sticker,
    /// The picture of a product in a message.
    Product,
    /// A video.
    Video,
    /// An mp4 that plays as a GIF.
    Gif,
    /// A round video.
    Ptv,
    /// An audio file.
    Audio,
    /// A voice note.
    Ptt,
    /// A document.
    Document,
    /// A sticker pack, a zip.
    StickerPack,
    /// The thumbnail of a sticker pack.
    StickerPackThumbnail,
    /// The large picture of a link preview.
    LinkThumbnail,
    /// The thumbnail of an image, on a media host.
    ImageThumbnail,
    /// The thumbnail of a video, on a media host.
    VideoThumbnail,
    /// The thumbnail of a document, on a media host.
    DocumentThumbnail,
    /// The history of a group for a new member.
    GroupHistory,
    /// The artwork of a status with music.
    MusicArtwork,
    /// The background of a payment (download only).
    PaymentBackground,
    /// A chunk of the history sync.
    History,
    /// An app-state snapshot or external patch.
    AppState,
    /// The picture of a product in a catalogue: not encrypted.
    CatalogueImage,
    /// The cover photo of a business: not encrypted in practice.
    BusinessCover,
}

impl MediaKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Image,
        Self::Sticker,
        Self::Product,
        Self::Video,
        Self::Gif,
        Self::Ptv,
        Self::Audio,
        Self::Ptt,
        Self::Document,
        Self::StickerPack,
        Self::StickerPackThumbnail,
        Self::LinkThumbnail,
        Self::ImageThumbnail,
        Self::VideoThumbnail,
        Self::DocumentThumbnail,
        Self::GroupHistory,
        Self::MusicArtwork,
        Self::PaymentBackground,
        Self::History,
        Self::AppState,
        Self::CatalogueImage,
        Self::BusinessCover,
    ];

    /// The info string of the key derivation; `None` for what is never encrypted.
    #[must_use]
    pub fn info(self) -> Option<&'static str> {
        Some(match self {
            Self::Image | Self::Sticker | Self::Product | Self::BusinessCover => "WhatsApp Image Keys",
            Self::Video | Self::Gif | Self::Ptv => "WhatsApp Video Keys",
            Self::Audio | Self::Ptt => "WhatsApp Audio Keys",
            Self::Document => "WhatsApp Document Keys",
            Self::StickerPack => "WhatsApp Sticker Pack Keys",
            Self::StickerPackThumbnail => "WhatsApp Sticker Pack Thumbnail Keys",
            Self::LinkThumbnail => "WhatsApp Link Thumbnail Keys",
            Self::ImageThumbnail => "WhatsApp Image Thumbnail Keys",
            Self::VideoThumbnail => "WhatsApp Video Thumbnail Keys",
            Self::DocumentThumbnail => "WhatsApp Document Thumbnail Keys",
            Self::GroupHistory => "Group History",
            Self::MusicArtwork => "WhatsApp Music Artwork Keys",
            Self::PaymentBackground => "WhatsApp Payment Background Keys",
            Self::History => "WhatsApp History Keys",
            Self::AppState => "WhatsApp App State Keys",
            Self::CatalogueImage => return None,
        })
    }

    /// The `mms-type` of a download.
    #[must_use]
    pub fn mms_type(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Product => "product",
            Self::Video => "video",
            Self::Gif => "gif",
            Self::Ptv => "ptv",
            Self::Audio => "audio",
            Self::Ptt => "ptt",
            Self::Document => "document",
            Self::StickerPack => "sticker-pack",
            Self::StickerPackThumbnail => "thumbnail-sticker-pack",
            Self::LinkThumbnail => "thumbnail-link",
            Self::ImageThumbnail => "thumbnail-image",
            Self::VideoThumbnail => "thumbnail-video",
            Self::DocumentThumbnail => "thumbnail-document",
            Self::GroupHistory => "group-history",
            Self::MusicArtwork => "music-artwork",
            Self::PaymentBackground => "payment-bg-image",
            Self::History => "md-msg-hist",
            Self::AppState => "md-app-state",
            Self::CatalogueImage => "product-catalog-image",
            Self::BusinessCover => "biz-cover-photo",
        }
    }

    /// The path that a file of this kind is posted to, without the token; `None` for what is only downloaded.
    #[must_use]
    pub fn upload_path(self) -> Option<&'static str> {
        Some(match self {
            Self::Image | Self::Product => "/mms/image",
            Self::Sticker => "/mms/sticker",
            Self::Video | Self::Ptv => "/mms/video",
            Self::Gif => "/mms/gif",
            Self::Audio => "/mms/audio",
            Self::Ptt => "/mms/ptt",
            Self::Document => "/mms/document",
            Self::StickerPack => "/mms/sticker-pack",
            Self::StickerPackThumbnail => "/mms/thumbnail-sticker-pack",
            Self::LinkThumbnail => "/mms/thumbnail-link",
            Self::ImageThumbnail => "/mms/thumbnail-image",
            Self::VideoThumbnail => "/mms/thumbnail-video",
            Self::DocumentThumbnail => "/mms/thumbnail-document",
            Self::GroupHistory => "/mms/group-history",
            Self::MusicArtwork => "/mms/music-artwork",
            Self::PaymentBackground => return None,
            Self::History => "/mms/md-msg-hist",
            Self::AppState => "/mms/md-app-state",
            Self::CatalogueImage => "/product/image",
            Self::BusinessCover => "/pps/biz-cover-photo",
        })
    }

    /// Whether the official client makes a streaming sidecar for this kind (protocol 08 §3.1).
    #[must_use]
    pub fn has_sidecar(self) -> bool {
        matches!(self, Self::Video | Self::Audio)
    }
}
