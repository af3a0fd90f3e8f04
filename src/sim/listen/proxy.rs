//! The CONNECT proxy (09 §3): a client that can't be given another host reaches the TLS listeners through it. Every
//! other target is refused; nothing but loopback is ever dialled.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

const MAX_HEAD: usize = 16 << 10;

/// Where the tunnels may lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    /// The chat listener with TLS.
    pub chat: Option<SocketAddr>,
    /// The media listener with TLS.
    pub media: Option<SocketAddr>,
}

impl Targets {
    /// The listener that an authority of a CONNECT request means.
    fn of(self, authority: &str) -> Option<SocketAddr> {
        if authority == "web.whatsapp.com:443" {
            return self.chat;
        }
        if authority.strip_suffix(":443").is_some_and(|host| host.ends_with(".whatsapp.net")) {
            return self.media;
        }
        let named: SocketAddr = authority.replace("localhost:", "127.0.0.1:").parse().ok()?;
        [self.chat, self.media].into_iter().flatten().find(|known| *known == named)
    }
}

/// Serves one client of the proxy.
pub(super) async fn tunnel(mut client: TcpStream, targets: Targets) {
    let Some(authority) = read_head(&mut client).await else {
        // A client that speaks no HTTP is owed no answer.
        let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        return;
    };
    let server = match targets.of(&authority) {
        Some(at) => TcpStream::connect(at).await.ok(),
        None => None,
    };
    let Some(mut server) = server else {
        let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
        return;
    };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        // Either side may end the tunnel.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// The authority of a CONNECT request, once its whole head is there.
async fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    // Byte by byte, because what follows the head belongs to the tunnel.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return None;
        }
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.lines().next()?.split(' ');
    (words.next()? == "CONNECT").then_some(())?;
    words.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_listeners_can_be_reached() {
        let chat = SocketAddr::from(([127, 0, 0, 1], 8443));
        let media = SocketAddr::from(([127, 0, 0, 1], 8444));
        let targets = Targets { chat: Some(chat), media: Some(media) };
        assert_eq!(targets.of("web.whatsapp.com:443"), Some(chat));
        assert_eq!(targets.of("mmg.whatsapp.net:443"), Some(media));
        assert_eq!(targets.of("127.0.0.1:8443"), Some(chat));
        assert_eq!(targets.of("localhost:8444"), Some(media));
        for other in ["web.whatsapp.com:80", "example.com:443", "127.0.0.1:22", "evilwhatsapp.net:443"] {
            assert_eq!(targets.of(other), None, "{other}");
        }
    }
}
