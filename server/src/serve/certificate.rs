//! The certificate of the TLS port, read again when its files change: connections that are open keep theirs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flyte_auth::error::{Error, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::model::TlsFiles;

/// A certificate that can be replaced.
pub(super) struct Certificate(ArcSwap<CertifiedKey>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<Arc<CertifiedKey>> {
    let wrong = |setting: &'static str, path: &std::path::Path, why: String| {
        Error::config("certificate_invalid", setting, format!("{} cannot be used: {why}", path.display()))
            .with_next("Give a PEM file: the chain with the server's own certificate first, and its private key")
    };
    let of_chain = |why: String| wrong("server.security.ssl.certificateFile", &files.certificate, why);
    let of_key = |why: String| wrong("server.security.ssl.keyFile", &files.key, why);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| of_chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_chain("there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| of_key(error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map(Arc::new).map_err(|error| of_key(error.to_string()))
}

impl Certificate {
    /// # Errors
    /// A file cannot be read, or the two do not belong together.
    pub(super) fn open(files: &TlsFiles) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(ArcSwap::new(read(files)?))))
    }

    /// Reads the files again; on an error the old one stays.
    pub(super) fn renew(&self, files: &TlsFiles) -> Result<()> {
        self.0.store(read(files)?);
        Ok(())
    }

    /// What accepts connections; offers HTTP/2 and HTTP/1.1.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor> {
        let failed = |error: rustls::Error| crate::listen::not_started("TLS", error);
        // The provider is named: with two in a process, rustls would ask which is the default and panic.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver: Arc<Self> = Arc::clone(self);
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
