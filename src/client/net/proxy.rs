//! What is said to a proxy before the bytes flow: HTTP CONNECT (RFC 9110 §9.3.6), SOCKS5 (RFC 1928, RFC 1929).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::{ByteStream, DialError};
use super::egress::Credentials;

/// The longest head of an answer to CONNECT.
const MAX_HEAD: usize = 16 * 1024;

/// Asks an HTTP proxy for a tunnel.
pub(super) async fn http_connect(
    stream: &mut Box<dyn ByteStream>,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), DialError> {
    let authority = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(Credentials { user, password }) = credentials {
        let token = STANDARD.encode(format!("{user}:{}", password.as_str()));
        request.push_str(&format!("Proxy-Authorization: Basic {token}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;

    match status(&read_head(stream).await?).ok_or(DialError::ProxyProtocol)? {
        200..=299 => Ok(()),
        407 => Err(DialError::ProxyCredentials),
        other => Err(DialError::ProxyStatus(other)),
    }
}

/// Reads up to the empty line and not a byte further: what follows belongs to the tunnel.
async fn read_head(stream: &mut Box<dyn ByteStream>) -> Result<Vec<u8>, DialError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(DialError::ProxyProtocol);
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    line.split(' ').nth(1)?.parse().ok()
}

/// Asks a SOCKS5 proxy for a connection; names are looked up there.
pub(super) async fn socks5(
    stream: &mut Box<dyn ByteStream>,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), DialError> {
    const NONE: u8 = 0;
    const PASSWORD: u8 = 2;
    let methods: &[u8] = if credentials.is_some() { &[5, 2, NONE, PASSWORD] } else { &[5, 1, NONE] };
    stream.write_all(methods).await?;
    stream.flush().await?;
    match (read::<2>(stream).await?, credentials) {
        ([5, NONE], _) => {}
        ([5, PASSWORD], Some(credentials)) => socks5_password(stream, credentials).await?,
        ([5, 0xff], _) => return Err(DialError::ProxyCredentials),
        _ => return Err(DialError::ProxyProtocol),
    }

    let mut request = vec![5, 1, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.push(3);
            push_short(&mut request, host.as_bytes())?;
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request).await?;
    stream.flush().await?;

    let bound = match read::<4>(stream).await? {
        [5, 0, _, 1] => 4,
        [5, 0, _, 3] => usize::from(stream.read_u8().await?),
        [5, 0, _, 4] => 16,
        [5, reply, ..] if reply != 0 => return Err(DialError::ProxyReply(reply)),
        _ => return Err(DialError::ProxyProtocol),
    };
    // The proxy's own address and port, which nobody needs.
    let mut rest = vec![0; bound + 2];
    stream.read_exact(&mut rest).await?;
    Ok(())
}

async fn socks5_password(
    stream: &mut Box<dyn ByteStream>,
    credentials: &Credentials,
) -> Result<(), DialError> {
    let mut request = vec![1];
    push_short(&mut request, credentials.user.as_bytes())?;
    push_short(&mut request, credentials.password.as_bytes())?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    match read::<2>(stream).await? {
        [_, 0] => Ok(()),
        _ => Err(DialError::ProxyCredentials),
    }
}

/// One byte of length, then the text.
fn push_short(request: &mut Vec<u8>, text: &[u8]) -> Result<(), DialError> {
    let invalid = |_| std::io::Error::from(std::io::ErrorKind::InvalidInput);
    request.push(u8::try_from(text.len()).map_err(invalid)?);
    request.extend_from_slice(text);
    Ok(())
}

async fn read<const N: usize>(stream: &mut Box<dyn ByteStream>) -> Result<[u8; N], DialError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
