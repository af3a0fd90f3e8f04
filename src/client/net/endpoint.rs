//! Where the service is, and whom to believe there (protocol 01 §2).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_tungstenite::tungstenite::http::Uri;

use super::tls::{Tls, TlsError};
use crate::crypto::PublicKey;
use crate::noise::PRODUCTION_ROOT;

/// The service's address.
pub const PRODUCTION_URL: &str = "wss://web.whatsapp.com/ws/chat";
/// The second port that the official client knows.
pub const PRODUCTION_SECOND_URL: &str = "wss://web.whatsapp.com:5222/ws/chat";

/// The text is no WebSocket URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a WebSocket URL (ws:// or wss://, a host, no user and no fragment): {0:?}")]
pub struct UrlError(pub String);

/// A WebSocket URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// `wss`.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// The port, also where the URL leaves it to the scheme.
    pub port: u16,
    /// Host, and port where the URL names one, as in the `Host` header.
    authority: String,
    path_and_query: String,
}

impl FromStr for Address {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let wrong = || UrlError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path_and_query: path_and_query.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority, self.path_and_query)
    }
}

impl Address {
    /// The URL to ask for: with stored routing information, a query `ED` beside the pre-intro.
    pub(super) fn with_routing(&self, routing: Option<&[u8]>) -> String {
        match routing.filter(|routing| !routing.is_empty()) {
            None => self.to_string(),
            Some(routing) => {
                let separator = if self.path_and_query.contains('?') { '&' } else { '?' };
                format!("{self}{separator}ED={}", URL_SAFE_NO_PAD.encode(routing))
            }
        }
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

/// Where the service is, and whom to believe there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its address.
    pub address: Address,
    /// Tried after an address that could not be opened.
    pub second: Option<Address>,
    /// The root of the server's Noise certificates.
    pub root: PublicKey,
    /// TLS, for `wss` addresses and media hosts.
    pub tls: Tls,
    /// Headers of the upgrade.
    pub headers: Vec<(String, String)>,
}

impl Endpoint {
    /// The production service, both addresses.
    ///
    /// # Errors
    /// [`TlsError`] as [`Tls::new`].
    pub fn production(extra_ca: Option<&Path>) -> Result<Self, TlsError> {
        let address = |port: u16, authority: &str| Address {
            tls: true,
            host: "web.whatsapp.com".to_owned(),
            port,
            authority: authority.to_owned(),
            path_and_query: "/ws/chat".to_owned(),
        };
        Ok(Self {
            second: Some(address(5222, "web.whatsapp.com:5222")),
            ..Self::at(address(443, "web.whatsapp.com"), PRODUCTION_ROOT, Tls::new(extra_ca)?)
        })
    }

    /// Whether this is the real service: only its root counts, an address can be anybody's.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.root == PRODUCTION_ROOT
    }

    /// Another service: one address, its own root.
    #[must_use]
    pub fn at(address: Address, root: PublicKey, tls: Tls) -> Self {
        let headers =
            [("Origin", "https://web.whatsapp.com"), ("Cache-Control", "no-cache"), ("Pragma", "no-cache")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { address, second: None, root, tls, headers }
    }
}

/// Which of an endpoint's addresses is dialled next: one at a time, the other after an address that could not be
/// opened, the one that opened last first (protocol 01 §2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    second: bool,
}

impl Addresses {
    /// The address for the next dial.
    #[must_use]
    pub fn next<'a>(&self, endpoint: &'a Endpoint) -> &'a Address {
        endpoint.second.as_ref().filter(|_| self.second).unwrap_or(&endpoint.address)
    }

    /// The dial failed before the WebSocket was open ([`super::NetError::is_failed_open`]).
    pub fn failed(&mut self) {
        self.second = !self.second;
    }
}
