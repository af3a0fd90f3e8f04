//! From an address to an open WebSocket: dial, TLS, upgrade (protocol 01 §2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::CryptoRng;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http};

use super::dial::{ByteStream, Dialer};
use super::endpoint::{Address, Endpoint};
use super::error::{NetError, Phase};
use super::meter::{Count, Metered};
use crate::clock::Clock;
use crate::crypto::random_bytes;
use crate::wire::MAX_FRAME;

/// For dial, TLS and upgrade together.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What is read at once, kept per connection.
const READ_BUFFER: usize = 4 * 1024;
/// From here on a write goes out without waiting for the flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// The longest WebSocket message: the longest frame, and some short ones beside it.
const MAX_MESSAGE: usize = MAX_FRAME + 64 * 1024;

/// An open WebSocket on which nothing was said yet.
pub struct Socket {
    pub(super) stream: WebSocketStream<Metered>,
    /// Bytes from the network.
    pub(super) arrived: Count,
    /// Bytes of the WebSocket, without TLS.
    pub(super) plain: Count,
    date: Option<String>,
}

impl Socket {
    /// The server's time, as its answer to the upgrade named it (header `Date`, RFC 9110 §6.6.1).
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// Opens a WebSocket to one of the endpoint's addresses, within 20 s. `routing` is the stored edge-routing information.
/// Redirects are not followed.
///
/// # Errors
/// [`NetError`], for which [`NetError::is_failed_open`] holds.
pub async fn open<R: CryptoRng + Send + ?Sized>(
    dialer: &dyn Dialer,
    endpoint: &Endpoint,
    address: &Address,
    routing: Option<&[u8]>,
    clock: &Clock,
    rng: &mut R,
) -> Result<Socket, NetError> {
    let key = random_bytes(rng);
    let request = request(endpoint, address, routing, &key).map_err(upgrade_error)?;
    let work = async {
        let stream = dialer.dial(&address.host, address.port).await?;
        let (stream, arrived) = Metered::new(stream);
        let mut stream: Box<dyn ByteStream> = Box::new(stream);
        if address.tls {
            stream = endpoint.tls.connect(&address.host, stream).await.map_err(NetError::Tls)?;
        }
        let (stream, plain) = Metered::new(stream);
        let (stream, answer) = tokio_tungstenite::client_async_with_config(request, stream, Some(limits()))
            .await
            .map_err(upgrade_error)?;
        let date = answer.headers().get("Date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        Ok(Socket { stream, arrived, plain, date })
    };
    within(clock, TIMEOUT, work).await.ok_or(NetError::Timeout(Phase::Open))?
}

/// The result of `work`, `None` if it takes longer than `limit`.
pub(super) async fn within<T>(clock: &Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep(limit) => None,
    }
}

fn request(
    endpoint: &Endpoint,
    address: &Address,
    routing: Option<&[u8]>,
    key: &[u8; 16],
) -> Result<Request, tungstenite::Error> {
    let mut request = http::Request::builder()
        .uri(address.with_routing(routing))
        .header("Host", address.authority())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", STANDARD.encode(key));
    for (name, value) in &endpoint.headers {
        request = request.header(name, value);
    }
    Ok(request.body(())?)
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

fn upgrade_error(error: tungstenite::Error) -> NetError {
    match error {
        tungstenite::Error::Http(response) => {
            NetError::Status { status: response.status().as_u16(), retry_after: retry_after(&response) }
        }
        other => NetError::Upgrade(Box::new(other)),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    // As u32, so that no caller's arithmetic with times can overflow.
    let seconds: u32 = response.headers().get("Retry-After")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}
