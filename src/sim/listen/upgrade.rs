//! The HTTP upgrade of a client (09 §3): any query, any Origin, but only the path `/ws/chat`.

use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{LOCATION, RETRY_AFTER};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::Stream;
use crate::sim::shared::Shared;
use crate::sim::world::{Peer, Turned};

const PATH: &str = "/ws/chat";
/// Bytes, whatever frames the client cuts its messages into.
const MAX_MESSAGE: usize = 32 << 20;
const WITHIN: Duration = Duration::from_secs(20);

/// Completes the upgrade; `None` if the client is none of ours.
pub(super) async fn upgrade<S: Stream>(
    shared: &Shared,
    stream: S,
    source: String,
) -> Option<(WebSocketStream<S>, Peer)> {
    let mut peer = Peer { source, origin: None, user_agent: None };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(8 << 10);
    let mut admitted = false;
    let check = Check { peer: &mut peer, admitted: &mut admitted, shared };
    let accept = accept_hdr_async_with_config(stream, check, Some(config));
    let socket = tokio::select! {
        biased;
        socket = accept => socket.ok(),
        () = shared.clock.sleep(WITHIN) => None,
    };
    if socket.is_none() && admitted {
        shared.with(|world| world.upgraded(&peer.source));
    }
    Some((socket?, peer))
}

struct Check<'a> {
    peer: &'a mut Peer,
    /// The world counts the attempt until it is a connection.
    admitted: &'a mut bool,
    shared: &'a Shared,
}

impl Callback for Check<'_> {
    // The error type is the WebSocket library's.
    #[allow(clippy::result_large_err)]
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        if request.uri().path() != PATH {
            let mut refused = ErrorResponse::new(Some("the chat server is at /ws/chat".to_owned()));
            *refused.status_mut() = StatusCode::NOT_FOUND;
            return Err(refused);
        }
        let headers = request.headers();
        self.peer.origin = text(headers, "origin");
        self.peer.user_agent = text(headers, "user-agent");
        if let Some(source) = text(headers, "x-sim-source") {
            self.peer.source = source;
        }
        if let Err(turned) = self.shared.with(|world| world.admit(&self.peer.source)) {
            return Err(turned_away(&turned));
        }
        *self.admitted = true;
        Ok(response)
    }
}

fn turned_away(turned: &Turned) -> ErrorResponse {
    let mut refused = ErrorResponse::new(Some("not now".to_owned()));
    *refused.status_mut() = StatusCode::from_u16(turned.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(seconds) = turned.retry_after {
        refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(location) = turned.location.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
        refused.headers_mut().insert(LOCATION, location);
    }
    refused
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
