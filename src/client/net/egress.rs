//! An account's way out: direct, or through one proxy. Every byte of the account goes through it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::dial::{Dialer, Dialling};
use super::proxy;

/// How an account's bytes leave. `Display` shows no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Egress {
    /// Straight from this host.
    #[default]
    Direct,
    /// Through an HTTP proxy, by CONNECT.
    HttpConnect {
        /// The proxy's name or address.
        host: String,
        /// Its port.
        port: u16,
        /// For basic authentication.
        credentials: Option<Credentials>,
    },
    /// Through a SOCKS5 proxy (RFC 1928), which also looks up the names.
    Socks5 {
        /// The proxy's name or address.
        host: String,
        /// Its port.
        port: u16,
        /// For RFC 1929.
        credentials: Option<Credentials>,
    },
}

/// A proxy's user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub user: String,
    /// Password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The text names no egress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an egress: \"direct\", \"http://[user:password@]host:port\" or \"socks5://[user:password@]host:port\""
)]
pub struct EgressError;

impl FromStr for Egress {
    type Err = EgressError;

    /// `direct`, `http://[user:password@]host:port`, `socks5://[user:password@]host:port`; user and password may be
    /// percent-encoded.
    fn from_str(text: &str) -> Result<Self, EgressError> {
        if text == "direct" {
            return Ok(Self::Direct);
        }
        let (scheme, rest) = text.split_once("://").ok_or(EgressError)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(parse_credentials(credentials)?), place),
            None => (None, rest),
        };
        let (host, port) = place.rsplit_once(':').ok_or(EgressError)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let port = port.parse().map_err(|_| EgressError)?;
        if host.is_empty() || host.contains(['/', '@', '[', ']']) {
            return Err(EgressError);
        }
        match scheme {
            "http" => Ok(Self::HttpConnect { host, port, credentials }),
            "socks5" | "socks5h" => Ok(Self::Socks5 { host, port, credentials }),
            _ => Err(EgressError),
        }
    }
}

fn parse_credentials(text: &str) -> Result<Credentials, EgressError> {
    let (user, password) = text.split_once(':').ok_or(EgressError)?;
    Ok(Credentials { user: percent_decode(user)?, password: Zeroizing::new(percent_decode(password)?) })
}

fn percent_decode(text: &str) -> Result<String, EgressError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(EgressError);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).map_err(|_| EgressError)?);
    }
    String::from_utf8(out).map_err(|_| EgressError)
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Direct => return f.write_str("direct"),
            Self::HttpConnect { host, port, .. } => ("http", host, port),
            Self::Socks5 { host, port, .. } => ("socks5", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl Egress {
    /// A dialler that goes out this way; `base` reaches the proxy, or the host itself if there is none.
    #[must_use]
    pub fn dialer(self, base: Arc<dyn Dialer>) -> Arc<dyn Dialer> {
        match self {
            Self::Direct => base,
            proxied => Arc::new(Proxied { base, egress: proxied }),
        }
    }
}

struct Proxied {
    base: Arc<dyn Dialer>,
    egress: Egress,
}

impl Dialer for Proxied {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            match &self.egress {
                Egress::Direct => self.base.dial(host, port).await,
                Egress::HttpConnect { host: proxy, port: proxy_port, credentials } => {
                    let mut stream = self.base.dial(proxy, *proxy_port).await?;
                    proxy::http_connect(&mut stream, host, port, credentials.as_ref()).await?;
                    Ok(stream)
                }
                Egress::Socks5 { host: proxy, port: proxy_port, credentials } => {
                    let mut stream = self.base.dial(proxy, *proxy_port).await?;
                    proxy::socks5(&mut stream, host, port, credentials.as_ref()).await?;
                    Ok(stream)
                }
            }
        })
    }
}
