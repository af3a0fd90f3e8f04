//! From sockets to the world: accepting, upgrading to WebSocket, the Noise handshake, frames. Everything here works
//! on any byte stream, so that in-memory clients take the same way as those on sockets.
//!
//! | file | subject |
//! |---|---|
//! | `upgrade` | the HTTP request of a client |
//! | `handshake` | intro and Noise |
//! | `chat` | one connection's two halves |
//! | `proxy` | HTTP CONNECT |

mod chat;
mod handshake;
mod proxy;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::shared::Shared;

pub(crate) use chat::serve;
pub(crate) use proxy::Targets;

/// A byte stream to a client.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Accepts chat clients over plain TCP, or TLS where there is an acceptor, until the task is dropped.
pub(crate) async fn chat_listener(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        // A client that vanished while it was accepted has nothing to lose.
        let _ = stream.set_nodelay(true);
        let source = source(stream.local_addr().ok(), from);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(shared, stream, source).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(shared, stream, source).await;
                    }
                }
            }
        });
    }
}

/// Accepts CONNECT requests until the task is dropped.
pub(crate) async fn proxy_listener(listener: TcpListener, targets: Targets) {
    let mut tunnels = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while tunnels.try_join_next().is_some() {}
        tunnels.spawn(proxy::tunnel(stream, targets));
    }
}

/// The loopback address that was dialled when it is not the usual one, else the one that dialled (09 §23).
fn source(dialled: Option<SocketAddr>, from: SocketAddr) -> String {
    let usual = |ip: std::net::IpAddr| ip == std::net::IpAddr::from([127, 0, 0, 1]);
    match dialled {
        Some(dialled) if !usual(dialled.ip()) => dialled.ip().to_string(),
        _ => from.ip().to_string(),
    }
}
