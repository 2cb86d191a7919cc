//! One compact JWS (RFC 7515): parsed strictly, its algorithm bound to an allow-list and to the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::protocol::json;

/// Larger than any ID token that fits a browser's redirect or a token reply.
const MAX_TOKEN: usize = 256 * 1024;

/// Signature algorithms that are accepted, with the key type they need. `none` and the symmetric ones are not among
/// them: a public key must never serve as a shared secret.
const ALLOWED: [(&str, Algorithm, &str, Option<&str>); 9] = [
    ("RS256", Algorithm::RS256, "RSA", None),
    ("RS384", Algorithm::RS384, "RSA", None),
    ("RS512", Algorithm::RS512, "RSA", None),
    ("PS256", Algorithm::PS256, "RSA", None),
    ("PS384", Algorithm::PS384, "RSA", None),
    ("PS512", Algorithm::PS512, "RSA", None),
    ("ES256", Algorithm::ES256, "EC", Some("P-256")),
    ("ES384", Algorithm::ES384, "EC", Some("P-384")),
    ("EdDSA", Algorithm::EdDSA, "OKP", Some("Ed25519")),
];

/// An accepted algorithm and what it demands of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) name: &'static str,
    pub(super) algorithm: Algorithm,
    pub(super) key_type: &'static str,
    pub(super) curve: Option<&'static str>,
}

/// A parsed, not yet verified token.
pub(super) struct Jws<'a> {
    pub(super) accepted: Accepted,
    pub(super) key_id: Option<String>,
    pub(super) typ: Option<String>,
    pub(super) claims: Map<String, Value>,
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Parses; the error says what is wrong, never what was sent.
    pub(super) fn parse(token: &'a str) -> Result<Self, &'static str> {
        if token.len() > MAX_TOKEN {
            return Err("it is too large");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("it is no JWT")?;
        let (header, payload) = signed.split_once('.').ok_or("it is no JWT")?;
        if payload.contains('.') {
            return Err("it is encrypted or no JWT");
        }
        let header = object(header)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err("its header has a member of the wrong type"),
        };
        // RFC 7515 section 4.1.11: an extension that must be understood and is not.
        if header.contains_key("crit") {
            return Err("its header demands extensions (crit)");
        }
        let name = text("alg")?.ok_or("its header names no algorithm")?;
        let accepted = ALLOWED
            .iter()
            .find(|(allowed, ..)| *allowed == name)
            .map(|&(name, algorithm, key_type, curve)| Accepted { name, algorithm, key_type, curve })
            .ok_or("its signature algorithm is not accepted")?;
        Ok(Self { accepted, key_id: text("kid")?, typ: text("typ")?, claims: object(payload)?, signed, signature })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| "it is no JWT")?;
    json::parse_object(&bytes).map_err(|_| "its JSON is malformed or has a member twice")
}
