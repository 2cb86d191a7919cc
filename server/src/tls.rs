//! A private CA and one server certificate for loopback. The CA's key is thrown away when the certificate is signed, so
//! that nothing on disk can make another certificate that its owner's tools would trust.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flyte_auth::Timestamp;
use flyte_auth::error::{Error, ErrorKind, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use crate::listen::not_started;
use crate::private_file;

/// Lifetime of both certificates; short enough for every client's rules on server certificates.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// A stored certificate that lapses within this is replaced.
const RENEW: Duration = Duration::from_secs(7 * 24 * 3600);

/// CA certificate, server certificate and its key, as `tls.json` of the state folder has them.
#[derive(Serialize, Deserialize)]
pub struct Identity {
    /// The CA's certificate in PEM: what clients are given to trust.
    pub ca_pem: String,
    certificate_pem: String,
    key_pem: String,
    /// In seconds since the epoch.
    expires_at: i64,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Sets the validity of a certificate, in whole days.
fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) -> Result<()> {
    let day = |time: Timestamp| {
        let text = time.to_rfc3339();
        let mut parts = text.get(..10)?.split('-');
        let year = parts.next()?.parse().ok()?;
        Some(rcgen::date_time_ymd(year, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let outside = || Error::internal("the clock shows a time that no certificate can name");
    params.not_before = day(from).ok_or_else(outside)?;
    params.not_after = day(to).ok_or_else(outside)?;
    Ok(())
}

impl Identity {
    /// A new CA and certificate, valid from the day before `now`: clocks differ.
    ///
    /// # Errors
    /// Kind `Internal`: the cryptography failed.
    pub fn generate(now: Timestamp) -> Result<Self> {
        let failed = |error: rcgen::Error| not_started("the certificates could not be made", error);
        let (from, to) = (now.minus(Duration::from_secs(24 * 3600)), now.plus(LIFETIME));

        let mut ca = CertificateParams::default();
        set_validity(&mut ca, from, to)?;
        ca.distinguished_name.push(DnType::CommonName, "flyte-auth sandbox CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate().map_err(failed)?;
        let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;

        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).map_err(failed)?;
        set_validity(&mut leaf, from, to)?;
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            leaf.subject_alt_names.push(SanType::IpAddress(address));
        }
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = KeyPair::generate().map_err(failed)?;
        let certificate = leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key)).map_err(failed)?;

        Ok(Self {
            ca_pem: ca_certificate.pem(),
            certificate_pem: certificate.pem(),
            key_pem: leaf_key.serialize_pem(),
            expires_at: to.as_secs(),
        })
    }

    /// What accepts TLS connections; offers HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Kind `Store`: a stored certificate or key is unusable.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let broken = |error: String| {
            Error::new(ErrorKind::Store, "state_malformed", format!("the stored certificate cannot be used: {error}"))
                .with_setting("--state")
                .with_next("Remove tls.json from the state folder")
        };
        let certificate = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(|error| broken(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|error| broken(error.to_string()))?;
        // The provider is named: with two in a process, rustls would ask which is the default and panic.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
            .map_err(|error| broken(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The identity in `file`, or a new one that is then stored there.
    ///
    /// # Errors
    /// Kind `Store`: the file cannot be read, understood or written.
    pub fn open(file: &Path, now: Timestamp) -> Result<Self> {
        if let Some(content) = private_file::read(file)? {
            let stored: Self =
                serde_json::from_slice(&content).map_err(|error| private_file::malformed(file, error))?;
            if stored.expires_at > now.plus(RENEW).as_secs() {
                return Ok(stored);
            }
        }
        let fresh = Self::generate(now)?;
        let content = serde_json::to_vec(&fresh).map_err(|_| Error::internal("the certificate cannot be written"))?;
        private_file::write(file, &content)?;
        Ok(fresh)
    }
}
