//! Asking the service which revision its web client has (protocol 01 §13): one small HTTP/1.1 GET over the account's
//! egress. Bounded in time and size; redirects are not followed.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::config::Config;
use crate::client::net::{ByteStream, DialError};
use crate::clock::Clock;

/// For everything together.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest answer that is read.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Header fields of an answer.
const MAX_HEADERS: usize = 64;
/// What stands before the number, and at most so much between.
const NAME: &[u8] = b"client_revision";
const MAX_BETWEEN: usize = 16;

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The host, a name or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Over TLS.
    pub tls: bool,
    /// The path.
    pub path: String,
    /// `User-Agent`: without one of a desktop browser the service answers 400.
    pub user_agent: String,
}

impl Discovery {
    /// The production service.
    #[must_use]
    pub fn production() -> Self {
        Self {
            host: "web.whatsapp.com".to_owned(),
            port: 443,
            tls: true,
            path: "/sw.js".to_owned(),
            user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/139.0.0.0 Safari/537.36"
                .to_owned(),
        }
    }
}

/// Why the current version is not known. The one in use stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The answer is no HTTP, or too long.
    #[error("the answer can't be read")]
    Unreadable,
    /// Another status than one of success.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The page names no revision.
    #[error("the answer names no revision")]
    NoRevision,
}

/// Asks.
pub(super) async fn fetch(
    discovery: &Discovery,
    config: &Config,
    clock: &Clock,
) -> Result<u32, DiscoveryError> {
    tokio::select! {
        biased;
        found = ask(discovery, config) => found,
        () = clock.sleep(TIMEOUT) => Err(DiscoveryError::Timeout),
    }
}

async fn ask(discovery: &Discovery, config: &Config) -> Result<u32, DiscoveryError> {
    let Discovery { host, port, tls, path, user_agent } = discovery;
    let mut stream = config.egress.dial(host, *port).await?;
    if *tls {
        stream = config.endpoint.tls.connect(host, stream).await?;
    }
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {user_agent}\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nSec-Fetch-Site: none\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let answer = read(stream).await?;
    revision(&body(&answer)?).ok_or(DiscoveryError::NoRevision)
}

/// Everything up to the end of the stream. A server that ends it without a goodbye has still said what it said.
async fn read(mut stream: Box<dyn ByteStream>) -> Result<Vec<u8>, DiscoveryError> {
    let mut answer = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend(piece.iter().take(count)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(answer),
            Err(error) => return Err(error.into()),
        }
        if answer.len() > MAX_ANSWER {
            return Err(DiscoveryError::Unreadable);
        }
    }
}

/// The body of an answer of success, put together where it came in chunks.
fn body(answer: &[u8]) -> Result<Vec<u8>, DiscoveryError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(answer) else {
        return Err(DiscoveryError::Unreadable);
    };
    let status = head.code.unwrap_or(0);
    if !(200..300).contains(&status) {
        return Err(DiscoveryError::Status(status));
    }
    let chunked = head.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("transfer-encoding") && header.value.eq_ignore_ascii_case(b"chunked")
    });
    let rest = answer.get(length..).unwrap_or_default();
    if chunked { Ok(dechunk(rest)) } else { Ok(rest.to_vec()) }
}

/// What of the chunks is whole: the number may stand before a broken one.
fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) {
        let Ok(size) = usize::try_from(size) else { break };
        let chunk = start.checked_add(size).and_then(|end| Some((rest.get(start..end)?, rest.get(end..)?)));
        let Some((chunk, behind)) = chunk.filter(|_| size > 0) else { break };
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n").unwrap_or(behind);
    }
    body
}

/// The number behind the first `client_revision`: some characters that are no digits (quotes, backslashes, a colon),
/// then digits.
#[must_use]
pub fn revision(page: &[u8]) -> Option<u32> {
    let mut rest = page;
    while let Some(at) = find(rest, NAME) {
        rest = rest.get(at + NAME.len()..)?;
        let between = rest.iter().take(MAX_BETWEEN).take_while(|byte| !byte.is_ascii_digit()).count();
        let digits: String = rest
            .iter()
            .skip(between)
            .take_while(|byte| byte.is_ascii_digit())
            .map(|b| char::from(*b))
            .collect();
        if between > 0
            && let Ok(revision) = digits.parse()
        {
            return Some(revision);
        }
    }
    None
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_found_plain_and_escaped_and_nowhere_else() {
        assert_eq!(revision(br#"x,"client_revision":1045649367,"y":5"#), Some(1_045_649_367));
        assert_eq!(revision(br#"JSON.parse("{\"client_revision\":1045649368,")"#), Some(1_045_649_368));
        assert_eq!(revision(b"client_revision"), None);
        assert_eq!(revision(br#"client_revision":"none", and much later 7"#), None);
        assert_eq!(revision(br#"client_revision":null,"client_revision":9"#), Some(9));
        assert_eq!(revision(br#"client_revision":99999999999999"#), None, "no number of 32 bits");
        assert_eq!(revision(b"client_revision7"), None);
    }

    #[test]
    fn only_an_answer_of_success_has_a_body() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(body(plain).unwrap(), b"body");
        let moved = b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n";
        assert!(matches!(body(moved), Err(DiscoveryError::Status(302))));
        assert!(matches!(body(b"no http at all\r\n\r\n"), Err(DiscoveryError::Unreadable)));
        assert!(matches!(body(b"HTTP/1.1 200"), Err(DiscoveryError::Unreadable)));
    }

    #[test]
    fn a_number_that_two_chunks_share_is_put_together() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       17\r\n\"client_revision\":10456\r\n5\r\n49367\r\n0\r\n\r\n";
        assert_eq!(revision(&body(answer).unwrap()), Some(1_045_649_367));
    }
}
