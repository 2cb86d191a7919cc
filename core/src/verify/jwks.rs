//! JSON Web Key sets (RFC 7517), fetched from an issuer's `jwks_uri`.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Map, Value};

use super::jws::{Accepted, Jws};
use crate::credential::failure;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::json;
use crate::transport::{Call, HttpTransport, Purpose};

/// More keys than any issuer has.
const MAX_KEYS: usize = 100;

/// The public signature keys of an issuer. Keys that are none of that are left out when the set is read.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    key_type: String,
    curve: Option<String>,
    algorithm: Option<String>,
    jwk: Jwk,
}

impl KeySet {
    /// Reads a JWK set; garbage, symmetric, private and encryption keys in it are passed over.
    ///
    /// # Errors
    /// What is wrong, if it is no JWK set at all.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let document = json::parse_object(bytes).map_err(|_| "it is not a JSON object")?;
        let Some(Value::Array(keys)) = document.get("keys") else { return Err("it has no `keys`") };
        Ok(Self { keys: keys.iter().take(MAX_KEYS).filter_map(|key| Key::parse(key.as_object()?)).collect() })
    }

    /// Fetches and reads the set at `uri`.
    ///
    /// # Errors
    /// Kind `Network` or `Server`, naming the address.
    pub async fn fetch(transport: &dyn HttpTransport, uri: &str) -> Result<Self> {
        let unusable = |why: &str| {
            Error::new(ErrorKind::Server, "jwks_invalid", format!("the issuer's key set (jwks_uri) is unusable: {why}"))
                .with_endpoint(failure::place(uri))
                .with_next("Report it to the administrator of the authorization server")
        };
        let request = http::Request::get(uri)
            .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Vec::new())
            .map_err(|_| unusable("its address is no URL"))?;
        let reply = transport.send(Call::new(Purpose::Jwks, request)).await?;
        if !reply.status.is_success() {
            let retryable = reply.status.is_server_error() || reply.status.as_u16() == 429;
            return Err(unusable(&format!("HTTP {}", reply.status.as_u16())).with_retryable(retryable));
        }
        Self::parse(&reply.body).map_err(unusable)
    }

    /// Verifies a signature with the key that the token names, or with each that fits where it names none.
    pub(super) fn verify(&self, token: &Jws<'_>) -> Result<(), &'static str> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(token.accepted, token.key_id.as_deref())).peekable();
        if fitting.peek().is_none() {
            return Err("the issuer has no such key");
        }
        let signed = token.signed.as_bytes();
        let verifies = |key: &Key| {
            DecodingKey::from_jwk(&key.jwk).is_ok_and(|parsed| {
                jsonwebtoken::crypto::verify(token.signature, signed, &parsed, token.accepted.algorithm)
                    .unwrap_or(false)
            })
        };
        if fitting.any(verifies) { Ok(()) } else { Err("its signature is wrong") }
    }
}

impl Key {
    fn parse(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        // RFC 7517 section 4.2 and 4.3; a private or symmetric key in a public set is a mistake, not a key.
        let signs = text("use").is_none_or(|usage| usage == "sig");
        let verifies = match key.get("key_ops") {
            None => true,
            Some(operations) => operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify")),
        };
        if !signs || !verifies || key.contains_key("d") || key.contains_key("k") {
            return None;
        }
        Some(Self {
            id: text("kid"),
            key_type: text("kty")?,
            curve: text("crv"),
            algorithm: text("alg"),
            jwk: serde_json::from_value(Value::Object(key.clone())).ok()?,
        })
    }

    fn fits(&self, accepted: Accepted, key_id: Option<&str>) -> bool {
        key_id.is_none_or(|wanted| self.id.as_deref() == Some(wanted))
            && self.key_type == accepted.key_type
            && accepted.curve.is_none_or(|curve| self.curve.as_deref() == Some(curve))
            && self.algorithm.as_deref().is_none_or(|algorithm| algorithm == accepted.name)
    }
}
