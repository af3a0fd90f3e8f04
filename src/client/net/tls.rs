//! TLS towards the service and its media hosts: rustls, the bundled roots, plus certificates that the operator names.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::dial::ByteStream;

/// The extra certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file can't be read, is not PEM, or holds no certificate.
    #[error("{file}: no usable PEM certificates: {reason}")]
    Certificates {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The library refuses its own defaults.
    #[error("TLS is not available: {0}")]
    Unavailable(#[from] rustls::Error),
}

/// A TLS client configuration, to be made once and shared: cloning is cheap.
///
/// Sessions are never resumed, because a ticket would tie connections of different accounts together. No ALPN is
/// offered (protocol 01 §2).
#[derive(Debug, Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// The bundled roots, and the certificates of `extra_ca` (a PEM file) if one is named.
    ///
    /// # Errors
    /// [`TlsError`]: a mistake in the configuration.
    pub fn new(extra_ca: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = extra_ca {
            add_certificates(&mut roots, file)?;
        }
        Ok(Self(Arc::new(config(roots)?)))
    }

    /// The configuration, for other users of the same egress.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Speaks TLS over `stream`; `host` is sent as server name and must stand in the certificate.
    ///
    /// # Errors
    /// `InvalidInput` for a host that is no name and no address, else what the handshake came to.
    pub async fn connect(
        &self,
        host: &str,
        stream: Box<dyn ByteStream>,
    ) -> std::io::Result<Box<dyn ByteStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(self.config()).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn add_certificates(roots: &mut RootCertStore, file: &Path) -> Result<(), TlsError> {
    let wrong = |reason: String| TlsError::Certificates { file: file.display().to_string(), reason };
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(wrong("the file holds none".to_owned())) }
}
