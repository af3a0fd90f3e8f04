//! The boundary to the network: host and port become a byte stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::clock::Clock;

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

/// Dials TCP from this host. Where a name has several addresses, the next one is tried beside those under way after
/// 250 ms without a connection, so that a dead IPv6 path does not use up the caller's time (RFC 8305 §5).
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dialer for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let addresses = alternate(tokio::net::lookup_host((host, port)).await?.collect());
            let stream = connect(addresses).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

/// Between the starts of two tries.
const STAGGER: Duration = Duration::from_millis(250);

async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let clock = Clock::system();
    let mut waiting = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        trying.extend(waiting.next().map(TcpStream::connect));
        if trying.is_empty() {
            return Err(last);
        }
        tokio::select! {
            biased;
            done = trying.next() => match done {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = error,
                None => {}
            },
            () = clock.sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

/// The addresses in their order, but the families take turns.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (a, b): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let mut out = Vec::with_capacity(a.len() + b.len());
    while a.len() + b.len() > 0 {
        out.extend(a.next());
        out.extend(b.next());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let given = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let expected = parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternate(given), expected);
        assert_eq!(alternate(Vec::new()), Vec::new());
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_end_the_dial() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = closed.local_addr().unwrap();
        drop(closed);
        assert_eq!(connect(vec![refusing, open]).await.unwrap().peer_addr().unwrap(), open);
        let error = connect(vec![refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
