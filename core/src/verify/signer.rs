//! Signs tokens for tests, with an implementation that is not ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SignatureAlgorithm};
use serde_json::{Value, json};

use super::jwks::KeySet;

pub(crate) struct Signer {
    pub(crate) key: KeyPair,
    pub(crate) algorithm: Algorithm,
    pub(crate) jwk: Value,
}

impl Signer {
    pub(crate) fn new(kind: &'static SignatureAlgorithm, algorithm: Algorithm, id: &str) -> Self {
        let key = KeyPair::generate_for(kind).unwrap();
        let raw = key.der_bytes().to_vec();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match algorithm {
            Algorithm::ES256 => json!({"kty": "EC", "crv": "P-256", "x": part(&raw[1..33]), "y": part(&raw[33..])}),
            Algorithm::ES384 => json!({"kty": "EC", "crv": "P-384", "x": part(&raw[1..49]), "y": part(&raw[49..])}),
            _ => json!({"kty": "OKP", "crv": "Ed25519", "x": part(&raw)}),
        };
        jwk["kid"] = id.into();
        Self { key, algorithm, jwk }
    }

    pub(crate) fn es256() -> Self {
        Self::named("k1")
    }

    pub(crate) fn named(id: &str) -> Self {
        Self::new(&PKCS_ECDSA_P256_SHA256, Algorithm::ES256, id)
    }

    fn encoding_key(&self) -> EncodingKey {
        let der = self.key.serialize_der();
        if self.algorithm == Algorithm::EdDSA { EncodingKey::from_ed_der(&der) } else { EncodingKey::from_ec_der(&der) }
    }

    pub(crate) fn header(&self) -> Header {
        Header { kid: self.jwk["kid"].as_str().map(str::to_owned), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// With `typ` in the header.
    pub(crate) fn sign_as(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&Header { typ: Some(typ.to_owned()), ..self.header() }, claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.encoding_key()).unwrap()
    }

    pub(crate) fn keys(&self) -> KeySet {
        key_set(std::slice::from_ref(&self.jwk))
    }
}

pub(crate) fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}
