//! Whom to trust behind.

use std::path::Path;
use std::sync::Arc;

use flyte_auth::error::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Authorities that certificates of services behind are checked against: the platform's, and more where a file has them.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    more: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// The platform's alone.
    pub fn platform() -> Self {
        Self::default()
    }

    /// The platform's and those of a PEM file. `setting` names the file in an error.
    ///
    /// # Errors
    /// Kind `Config`: the file cannot be read, or has no certificate.
    pub fn with_file(setting: &str, file: &Path) -> Result<Self> {
        let pem = std::fs::read(file).map_err(|cause| {
            let message = format!("the CA file {} cannot be read: {cause}", file.display());
            Error::config("certificate_unreadable", setting, message)
                .with_next("Check the path and its permissions")
                .with_source(cause)
        })?;
        // The parser's words may quote the file: only its name leaves.
        let more: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<std::result::Result<_, _>>().unwrap_or_default();
        let mut store = RootCertStore::empty();
        if more.is_empty() || more.iter().any(|certificate| store.add(certificate.clone()).is_err()) {
            let message = format!("{} holds no certificate in PEM form, or one that is broken", file.display());
            return Err(Error::config("certificate_invalid", setting, message).with_next(
                "It must have lines -----BEGIN CERTIFICATE-----; convert DER with openssl x509 -inform der",
            ));
        }
        Ok(Self { more })
    }

    /// TLS that trusts them and offers these protocols.
    pub(super) fn tls(&self, protocols: &[&[u8]]) -> Result<ClientConfig> {
        let failed = |cause: rustls::Error| {
            Error::config("tls_unusable", "gateway.upstreams", format!("no TLS client can be made: {cause}"))
                .with_next("Install the system's certificates (ca-certificates), or name a CA file")
                .with_source(cause)
        };
        let verifier = self.verifier().map_err(failed)?;
        let builder = builder().map_err(failed)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        Ok(offering(builder.with_no_client_auth(), protocols))
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        let platform = rustls_platform_verifier::Verifier::new_with_extra_roots(self.more.clone(), provider());
        match platform {
            Ok(verifier) => Ok(Arc::new(verifier)),
            // A container without a certificate store, but with a configured authority.
            Err(_) if !self.more.is_empty() => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(self.more.iter().cloned());
                let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
                Ok(built.map_err(|error| rustls::Error::General(error.to_string()))?)
            }
            Err(error) => Err(error),
        }
    }
}

/// TLS that trusts nobody: for deployments without any `https` behind.
pub(super) fn no_tls() -> Result<ClientConfig> {
    let builder = builder().map_err(|_| Error::internal("the TLS library offers no protocol version"))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

/// Named: with two in a process, rustls would ask which is the default and panic.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn offering(mut config: ClientConfig, protocols: &[&[u8]]) -> ClientConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
