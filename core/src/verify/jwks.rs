//! JSON Web Key sets (RFC 7517 section 5).

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::jwk::Key;
use super::jws::{Header, Jws};
use super::refusal::{Refusal, RefusalKind};
use crate::credential::failure;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::json;
use crate::transport::{Call, HttpTransport, Purpose, Reply};

/// More keys than any issuer has; what comes after them is not read.
const MAX_KEYS: usize = 100;
/// Keys that are tried for a token that names none, or for a `kid` that is there more than once.
const MAX_TRIED: usize = 16;

/// The public signature keys of an issuer. Keys that are none of that are left out when the set is read.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Arc<[Arc<Key>]>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter()).finish()
    }
}

/// A JWS whose signature one of the keys made. Says nothing of its claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedJws {
    /// The protected header.
    pub header: Header,
    /// The payload's octets.
    pub payload: Vec<u8>,
}

impl KeySet {
    /// Reads a JWK set; garbage, symmetric, private and encryption keys in it are passed over.
    ///
    /// # Errors
    /// It is no JWK set at all.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let document = json::parse_object(bytes)
            .map_err(|_| Refusal::new(RefusalKind::Keys, "it is not a JSON object, or has a member twice"))?;
        Self::from_object(&document)
    }

    /// As [`KeySet::parse`], from JSON that is parsed already.
    ///
    /// # Errors
    /// As [`KeySet::parse`].
    pub fn from_object(document: &Map<String, Value>) -> Result<Self, Refusal> {
        let Some(Value::Array(keys)) = document.get("keys") else {
            return Err(Refusal::new(RefusalKind::Keys, "it has no `keys`"));
        };
        let read = |key: &Value| Key::from_jwk(key.as_object()?).ok().map(Arc::new);
        Ok(Self { keys: keys.iter().take(MAX_KEYS).filter_map(read).collect() })
    }

    /// How many keys it has that can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(Arc::as_ref)
    }

    /// Whether a key with this thumbprint is among them.
    pub(super) fn has(&self, thumbprint: &[u8; 32]) -> bool {
        self.keys.iter().any(|key| key.thumbprint() == thumbprint)
    }

    /// Verifies the signature of a compact JWS, and nothing else: neither its claims nor its type.
    ///
    /// # Errors
    /// It is malformed, its algorithm is not accepted, no key fits, or the signature is wrong.
    pub fn verify(&self, token: &str) -> Result<VerifiedJws, Refusal> {
        let jws = Jws::cut(token)?;
        let header = jws.header()?;
        self.verify_cut(&jws, &header)?;
        Ok(VerifiedJws { payload: jws.payload()?, header })
    }

    /// The key that signed: the one that the token names, or the first that fits where it names none.
    pub(super) fn verify_cut(&self, jws: &Jws<'_>, header: &Header) -> Result<&Arc<Key>, Refusal> {
        let wanted = header.key_id.as_deref();
        let fits = |key: &&Arc<Key>| wanted.is_none_or(|id| key.id() == Some(id)) && key.fits(header.algorithm);
        let mut fitting = self.keys.iter().filter(fits).take(MAX_TRIED).peekable();
        if fitting.peek().is_none() {
            return Err(Refusal::new(RefusalKind::KeyUnknown, "the issuer has no such key"));
        }
        jws.with_signature(|signature| {
            fitting
                .find(|key| key.signed(jws, header.algorithm, signature))
                .ok_or(Refusal::new(RefusalKind::Signature, "its signature is wrong"))
        })
    }

    /// Fetches and reads the set at `uri`.
    ///
    /// # Errors
    /// Kind `Network` or `Server`, naming the address.
    pub async fn fetch(transport: &dyn HttpTransport, uri: &str) -> Result<Self> {
        Self::from_reply(&get(transport, uri).await?, uri)
    }

    /// The set in the issuer's answer.
    pub(super) fn from_reply(reply: &Reply, uri: &str) -> Result<Self> {
        if !reply.status.is_success() {
            let retryable = reply.status.is_server_error() || reply.status.as_u16() == 429;
            return Err(unusable(uri, &format!("HTTP {}", reply.status.as_u16())).with_retryable(retryable));
        }
        Self::parse(&reply.body).map_err(|refusal| unusable(uri, refusal.why()))
    }
}

pub(super) async fn get(transport: &dyn HttpTransport, uri: &str) -> Result<Reply> {
    let request = http::Request::get(uri)
        .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Vec::new())
        .map_err(|_| unusable(uri, "its address is no URL"))?;
    Ok(transport.send(Call::new(Purpose::Jwks, request)).await?)
}

fn unusable(uri: &str, why: &str) -> Error {
    Error::new(ErrorKind::Server, "jwks_invalid", format!("the issuer's key set (jwks_uri) is unusable: {why}"))
        .with_endpoint(failure::place(uri))
        .with_next("Report it to the administrator of the authorization server")
}
