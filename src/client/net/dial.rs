//! The boundary to the network: host and port become a byte stream.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of bytes to one host.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// The future of a dial.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, DialError>> + Send + 'a>>;

/// Opens byte streams: TCP in real runs, in-memory pipes in virtual ones, either behind a proxy.
pub trait Dialer: Send + Sync {
    /// Opens a byte stream to `host` (a name or an address, without brackets) and `port`. It has no timeout of its own:
    /// callers drop the future.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a>;
}

/// Why no byte stream came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The network: name not found, refused, unreachable, reset.
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    /// The HTTP proxy answered CONNECT with this status.
    #[error("the proxy refused with HTTP status {0}")]
    ProxyStatus(u16),
    /// The SOCKS5 proxy answered with this code (RFC 1928 §6).
    #[error("the proxy refused with SOCKS reply {0}")]
    ProxyReply(u8),
    /// The proxy wants other credentials, or some at all.
    #[error("the proxy does not take the credentials")]
    ProxyCredentials,
    /// What answered is no such proxy.
    #[error("the proxy does not speak its protocol")]
    ProxyProtocol,
}

/// Dials TCP from this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dialer for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}
