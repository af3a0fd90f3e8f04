//! The TLS side of the simulator's identity: an own CA and a server certificate for the names that clients
//! dial (09 §3). Not: the Noise certificate chain, which is `chain`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::crypto::sha256;

/// The names on the server certificate.
const NAMES: [&str; 6] =
    ["web.whatsapp.com", "mmg.whatsapp.net", "*.whatsapp.net", "localhost", "127.0.0.1", "::1"];

/// The PKI could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// Making a key or a certificate failed.
    #[error("the certificates could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A PEM file is damaged; delete the folder to make a new PKI.
    #[error("a stored certificate or key is damaged: {0}")]
    Damaged(String),
    /// The TLS stack refuses the certificate.
    #[error("the TLS configuration is refused: {0}")]
    Tls(#[from] rustls::Error),
}

/// Who signs the server certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuing {
    /// A CA of the simulator's own.
    Ca,
    /// The certificate itself: what clients are given as CA is the server certificate (profile `crude`).
    SelfSigned,
}

/// A CA and the server certificate that it signed, all as PEM.
#[derive(Clone)]
pub struct Pki {
    ca_pem: String,
    server_pem: String,
    server_key_pem: String,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

impl Pki {
    /// A new PKI, in memory only.
    ///
    /// # Errors
    /// [`PkiError::Make`] if the generator fails.
    pub fn create(issuing: Issuing) -> Result<Self, PkiError> {
        match issuing {
            Issuing::Ca => Self::with_ca(),
            Issuing::SelfSigned => {
                let key = KeyPair::generate()?;
                let server_pem = server_params()?.self_signed(&key)?.pem();
                let ca_pem = server_pem.clone();
                Ok(Self { ca_pem, server_pem, server_key_pem: key.serialize_pem() })
            }
        }
    }

    fn with_ca() -> Result<Self, PkiError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name = rcgen::DistinguishedName::new();
        ca.distinguished_name.push(DnType::CommonName, "palomar sim CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_pem = ca.self_signed(&ca_key)?.pem();

        let server_key = KeyPair::generate()?;
        let mut server = server_params()?;
        server.use_authority_key_identifier_extension = true;
        let server_pem = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?.pem();
        Ok(Self { ca_pem, server_pem, server_key_pem: server_key.serialize_pem() })
    }

    /// The PKI of a folder, made and written there at the first call.
    ///
    /// # Errors
    /// [`PkiError::File`] if the folder can't be used.
    pub fn open(dir: &Path, issuing: Issuing) -> Result<Self, PkiError> {
        let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
        if let (Some(ca_pem), Some(server_pem), Some(server_key_pem)) =
            (read("ca.pem"), read("server.pem"), read("server.key"))
        {
            return Ok(Self { ca_pem, server_pem, server_key_pem });
        }
        let pki = Self::create(issuing)?;
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            write_private(&path, text.as_bytes()).map_err(|error| PkiError::File { path, error })
        };
        fs::create_dir_all(dir).map_err(|error| PkiError::File { path: dir.to_owned(), error })?;
        write("server.key", &pki.server_key_pem)?;
        write("server.pem", &pki.server_pem)?;
        write("ca.pem", &pki.ca_pem)?;
        Ok(pki)
    }

    /// The CA certificate, for a client's extra roots.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// SHA-256 over the CA certificate's DER, hexadecimal.
    ///
    /// # Errors
    /// [`PkiError::Damaged`] if the PEM can't be read.
    pub fn ca_fingerprint(&self) -> Result<String, PkiError> {
        let der = CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).map_err(damaged)?;
        Ok(hex::encode(sha256(&der)))
    }

    /// What the TLS listeners use. ALPN is `http/1.1`.
    ///
    /// # Errors
    /// [`PkiError::Damaged`] or [`PkiError::Tls`] if the stored files don't fit together.
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let chain = CertificateDer::pem_slice_iter(self.server_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(damaged)?;
        let key = PrivateKeyDer::from_pem_slice(self.server_key_pem.as_bytes()).map_err(damaged)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn server_params() -> Result<CertificateParams, rcgen::Error> {
    let mut server = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
    server.distinguished_name = rcgen::DistinguishedName::new();
    server.distinguished_name.push(DnType::CommonName, "palomar sim");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(server)
}

fn damaged(error: rustls_pki_types::pem::Error) -> PkiError {
    PkiError::Damaged(error.to_string())
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_pki() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), Issuing::Ca).unwrap();
        let second = Pki::open(dir.path(), Issuing::Ca).unwrap();
        assert_eq!(first.ca_pem(), second.ca_pem());
        assert_eq!(first.ca_fingerprint().unwrap().len(), 64);
        first.server_config().unwrap();
    }

    #[test]
    fn crude_a_self_signed_certificate_is_its_own_ca() {
        let pki = Pki::create(Issuing::SelfSigned).unwrap();
        assert_eq!(pki.ca_pem(), pki.server_pem);
        pki.server_config().unwrap();
    }
}
