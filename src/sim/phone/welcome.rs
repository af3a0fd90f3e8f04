//! What the phone tells its companions beside the chats: keys of the app state, history, answers to their requests
//! (protocol 02 §10, 06 §2, 07, 09 §16, 05b §11). The history is empty: chats of a simulated phone begin with the link.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use prost::Message as _;

use crate::proto::history_sync::HistorySyncType;
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{self as schema, peer_data_operation_request_response_message as response};
use crate::proto::{HistorySync, Message, MessageKey, Pushname, WebMessageInfo};
use crate::sim::seam::PhoneContext;

use super::Primary;
use super::compose::protocol;
use super::receive::Envelope;
use super::requests::Goal;

impl Primary {
    /// §20 row 3: the keys, then an empty history, complete at once.
    pub(super) fn welcome(&mut self, context: &mut PhoneContext<'_>, device: u16) {
        let messages = vec![
            self.share_message(),
            self.history(HistorySyncType::InitialBootstrap, None),
            self.history(HistorySyncType::PushName, None),
            self.history(HistorySyncType::Recent, None),
        ];
        let device = self.setup.pn.with_device(device);
        self.with_sessions(context, vec![device], Goal::Peer(messages));
    }

    /// All keys of the app state to all companions.
    pub(super) fn share_keys(&mut self, context: &mut PhoneContext<'_>) {
        let devices: Vec<_> =
            self.adv.valid.keys().map(|device| self.setup.pn.with_device(*device)).collect();
        if !devices.is_empty() {
            self.with_sessions(context, devices, Goal::Peer(vec![self.share_message()]));
        }
    }

    fn share_message(&self) -> Vec<u8> {
        share(self.adv.share())
    }

    /// A notification with an inline chunk. `request` is what it answers.
    fn history(&self, kind: HistorySyncType, request: Option<&str>) -> Vec<u8> {
        let own =
            Pushname { id: Some(self.setup.pn.to_string()), pushname: Some(self.setup.push_name.clone()) };
        let names = matches!(kind, HistorySyncType::InitialBootstrap | HistorySyncType::PushName);
        let chunk = HistorySync {
            sync_type: Some(kind as i32),
            chunk_order: Some(1),
            progress: Some(100),
            pushnames: if names { vec![own] } else { Vec::new() },
            ..Default::default()
        };
        let notification = schema::HistorySyncNotification {
            sync_type: Some(kind as i32),
            chunk_order: Some(1),
            progress: Some(100),
            initial_hist_bootstrap_inline_payload: Some(deflate(&chunk.encode_to_vec()).into()),
            peer_data_request_session_id: request.map(str::to_owned),
            ..Default::default()
        };
        protocol(schema::ProtocolMessage {
            r#type: Some(Type::HistorySyncNotification as i32),
            history_sync_notification: Some(Box::new(notification)),
            ..Default::default()
        })
        .encode_to_vec()
    }

    /// A peer message of an own companion that wants an answer.
    pub(super) fn peer_request(
        &mut self,
        context: &mut PhoneContext<'_>,
        envelope: &Envelope,
        message: &[u8],
    ) {
        let Some(message) = Message::decode(message).ok().and_then(|message| message.protocol_message) else {
            return;
        };
        let answer = if let Some(request) = &message.app_state_sync_key_request {
            Some(share(self.adv.answer(&request.key_ids)))
        } else {
            message
                .peer_data_operation_request_message
                .as_ref()
                .and_then(|request| self.operation(&envelope.id, request))
        };
        if let Some(answer) = answer {
            self.with_sessions(context, vec![envelope.sender.clone()], Goal::Peer(vec![answer]));
        }
    }

    /// The answer to a peer data operation; `None` for those that this phone knows nothing about.
    fn operation(&self, id: &str, request: &schema::PeerDataOperationRequestMessage) -> Option<Vec<u8>> {
        if request.history_sync_on_demand_request.is_some() {
            return Some(self.history(HistorySyncType::OnDemand, Some(id)));
        }
        let wanted = &request.placeholder_message_resend_request;
        if wanted.is_empty() {
            return None;
        }
        let results = wanted.iter().filter_map(|wanted| {
            let bytes = self.web_message(wanted.message_key.as_ref()?)?.encode_to_vec();
            let found = response::peer_data_operation_result::PlaceholderMessageResendResponse {
                web_message_info_bytes: Some(bytes),
            };
            Some(response::PeerDataOperationResult {
                placeholder_message_resend_response: Some(found),
                ..Default::default()
            })
        });
        let answer = schema::PeerDataOperationRequestResponseMessage {
            peer_data_operation_request_type: request.peer_data_operation_request_type,
            stanza_id: Some(id.to_owned()),
            peer_data_operation_result: results.collect(),
        };
        let message = protocol(schema::ProtocolMessage {
            r#type: Some(Type::PeerDataOperationRequestResponseMessage as i32),
            peer_data_operation_request_response_message: Some(Box::new(answer)),
            ..Default::default()
        });
        Some(message.encode_to_vec())
    }

    /// A message that the phone could read, as a companion files it.
    fn web_message(&self, key: &MessageKey) -> Option<WebMessageInfo> {
        let known = self.log.find(key.id.as_deref()?)?;
        Some(WebMessageInfo {
            key: Some(Box::new(key.clone())),
            message: Message::decode(&*known.message).ok().map(Box::new),
            message_timestamp: u64::try_from(known.t).ok(),
            participant: known.chat.is_group().then(|| known.author.to_user().to_string()),
            ..Default::default()
        })
    }
}

fn share(keys: schema::AppStateSyncKeyShare) -> Vec<u8> {
    protocol(schema::ProtocolMessage {
        r#type: Some(Type::AppStateSyncKeyShare as i32),
        app_state_sync_key_share: Some(Box::new(keys)),
        ..Default::default()
    })
    .encode_to_vec()
}

/// zlib. Writing into memory does not fail.
fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
