//! Keys of the peer: an authority with a certificate for `localhost`, and the key that signs ID tokens.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Verdict;

/// A private authority and a certificate of it, made once for a run.
pub struct Tls {
    /// The authority's certificate.
    pub authority_pem: String,
    /// For the listeners.
    pub config: Arc<rustls::ServerConfig>,
}

impl Tls {
    /// Makes them.
    ///
    /// # Errors
    /// A fault of the crypto library.
    pub fn new() -> Verdict<Self> {
        let fault = |cause: &dyn std::fmt::Display| format!("certificates: {cause}");
        let key = || KeyPair::generate().map_err(|cause| fault(&cause));
        let mut params = CertificateParams::new(Vec::new()).map_err(|cause| fault(&cause))?;
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "flyte-auth conformance");
        let authority = CertifiedIssuer::self_signed(params, key()?).map_err(|cause| fault(&cause))?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(|cause| fault(&cause))?;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let server_key = key()?;
        let certificate = params.signed_by(&server_key, &authority).map_err(|cause| fault(&cause))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| fault(&cause))?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der())),
            )
            .map_err(|cause| fault(&cause))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { authority_pem: authority.pem(), config: Arc::new(config) })
    }
}

/// Signs ID tokens with ES256.
pub struct Signer {
    ours: KeyPair,
    stranger: KeyPair,
}

const KEY_ID: &str = "peer-1";

impl Signer {
    /// Fresh keys.
    ///
    /// # Errors
    /// A fault of the crypto library.
    pub fn new() -> Verdict<Self> {
        let key = || KeyPair::generate().map_err(|cause| format!("keys: {cause}"));
        Ok(Self { ours: key()?, stranger: key()? })
    }

    /// The key set (RFC 7517) that verifies [`Signer::jwt`].
    pub fn key_set(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.ours.public_key_raw();
        let half = |from: usize| point.get(from..from + 32).map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, "x": half(1), "y": half(33),
        }]})
    }

    /// `{"claims": {…}, "signed": "peer" | "stranger" | "none"}`: by our key, by one that is not in the key set but
    /// claims its id, or not at all (`alg` `none`).
    ///
    /// # Errors
    /// Claims that are missing.
    pub fn jwt(&self, spec: &Value) -> Verdict<String> {
        let claims = spec.get("claims").ok_or("$jwt without claims")?;
        let key = match spec.get("signed").and_then(Value::as_str).unwrap_or("peer") {
            "none" => {
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
                return Ok(format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims.to_string())));
            }
            "stranger" => &self.stranger,
            _ => &self.ours,
        };
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&key.serialize_der()))
            .map_err(|cause| format!("$jwt: {cause}"))
    }
}

/// `code_challenge` of a verifier (RFC 7636 section 4.2).
pub fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s256_is_rfc_7636_appendix_b() {
        let challenge = s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
