//! One compact JWS (RFC 7515): parsed strictly, its algorithm from an allow-list, sizes capped before anything is
//! parsed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::Sha256;

use super::algorithm::Algorithm;
use super::refusal::{Refusal, RefusalKind};
use crate::protocol::json;

/// Larger than any token that fits an HTTP header or a browser's redirect (256 KiB).
pub const MAX_TOKEN: usize = 256 * 1024;
/// Larger than a header with a certificate chain, which some issuers send and which is ignored (16 KiB).
const MAX_HEADER: usize = 16 * 1024;
/// The signature of an RSA key of 8192 bits, in base64url, and a little more.
const MAX_SIGNATURE: usize = 1400;

/// The protected header. `jku`, `x5u`, `jwk` and `x5c` are not even read: keys come from the issuer only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `alg`.
    pub algorithm: Algorithm,
    /// `kid`.
    pub key_id: Option<String>,
    /// `typ`.
    pub typ: Option<String>,
}

impl Header {
    fn parse(part: &str) -> Result<Self, Refusal> {
        if part.len() > MAX_HEADER {
            return Err(Refusal::new(RefusalKind::TooLarge, "its header is too large"));
        }
        let header = object(&decoded(part)?)?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed("its header has a member of the wrong type")),
        };
        // RFC 7515 section 4.1.11: an extension that must be understood and is not. Empty is forbidden too.
        if header.contains_key("crit") {
            return Err(Refusal::new(RefusalKind::Critical, "its header demands extensions (crit)"));
        }
        // RFC 7797 section 7: whoever knows `b64` must not accept a token whose payload is not encoded.
        if header.get("b64").is_some_and(|encoded| *encoded != Value::Bool(true)) {
            return Err(Refusal::new(RefusalKind::Critical, "its payload is not encoded (b64)"));
        }
        let name = text("alg")?.ok_or(malformed("its header names no algorithm"))?;
        let algorithm = Algorithm::from_name(&name)
            .ok_or(Refusal::new(RefusalKind::Algorithm, "its signature algorithm is not accepted"))?;
        Ok(Self { algorithm, key_id: text("kid")?, typ: text("typ")? })
    }
}

/// A token cut at its dots, not yet verified.
#[derive(Clone, Copy)]
pub(super) struct Jws<'a> {
    pub(super) header: &'a str,
    /// Header and payload as they were signed.
    pub(super) signed: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// SHA-256 after `signed`, where it was computed already.
    pub(super) hashed: Option<&'a Sha256>,
}

impl<'a> Jws<'a> {
    /// Cuts; the error says what is wrong, never what was sent.
    pub(super) fn cut(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::new(RefusalKind::TooLarge, "it is too large"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed("it is no JWT"))?;
        let (header, payload) = signed.split_once('.').ok_or(malformed("it is no JWT"))?;
        // Five parts are a JWE. The payload's decoding would refuse a dot too, but only after the signature.
        if payload.contains('.') {
            return Err(malformed("it is encrypted or no JWT"));
        }
        Ok(Self { header, signed, payload, signature, hashed: None })
    }

    pub(super) fn header(&self) -> Result<Header, Refusal> {
        Header::parse(self.header)
    }

    /// Hands the signature's octets to `check`, without a buffer on the heap.
    pub(super) fn with_signature<T>(&self, check: impl FnOnce(&[u8]) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut buffer = [0; MAX_SIGNATURE];
        if self.signature.len() > MAX_SIGNATURE {
            return Err(malformed("its signature is too long"));
        }
        let length =
            URL_SAFE_NO_PAD.decode_slice(self.signature, &mut buffer).map_err(|_| malformed("it is no JWT"))?;
        check(&buffer[..length])
    }

    pub(super) fn payload(&self) -> Result<Vec<u8>, Refusal> {
        decoded(self.payload)
    }
}

pub(super) const fn malformed(why: &'static str) -> Refusal {
    Refusal::new(RefusalKind::Malformed, why)
}

/// Strict base64url: no padding, no white space, no stray bits at the end (RFC 7515 section 2).
fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("it is no JWT"))
}

pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    // RFC 7515 section 3.1 has UTF8(header) and no byte order mark; the general parser would skip one.
    if bytes.first() != Some(&b'{') {
        return Err(malformed("its JSON is no object"));
    }
    json::parse_object(bytes).map_err(|_| malformed("its JSON is malformed or has a member twice"))
}
