//! ID tokens (OpenID Connect Core sections 2 and 3.1.3.7).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::access_token::strip_application;
use super::algorithm::Algorithm;
use super::claims::{self, Name, wrong};
use super::jwks::KeySet;
use super::jws::{Header, Jws};
use super::refusal::{Refusal, RefusalKind};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::json;
use crate::protocol::secret::{AccessToken, IdToken};

pub use super::claims::CLOCK_SKEW;

/// What the token must say.
#[derive(Clone, Copy)]
pub struct Expectations<'a> {
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// In `aud`; `azp` where there is one.
    pub client_id: &'a str,
    /// `nonce`, if one was sent.
    pub nonce: Option<&'a str>,
    /// The access token that came with it: `at_hash`, where there is one, must be its hash.
    pub access_token: Option<&'a AccessToken>,
}

impl fmt::Debug for Expectations<'_> {
    // The nonce is for the issuer alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expectations")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Claims of a validated ID token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`.
    pub subject: String,
    /// `email`.
    pub email: Option<String>,
    /// `preferred_username`.
    pub preferred_username: Option<String>,
}

/// Validates the token's signature and claims.
///
/// # Errors
/// Kind `Denied`, code `id_token_invalid`: says which check failed, never what the token holds.
pub fn validate(token: &IdToken, expected: &Expectations<'_>, keys: &KeySet, now: Timestamp) -> Result<Claims> {
    // EXPOSE: parsed and verified here.
    check(token.expose(), expected, keys, now, CLOCK_SKEW).map_err(|refusal| refused(refusal, expected.issuer))
}

/// The error for an ID token that is not accepted.
pub(super) fn refused(refusal: Refusal, issuer: &str) -> Error {
    Error::new(ErrorKind::Denied, "id_token_invalid", format!("the ID token is not accepted: {refusal}"))
        .with_endpoint(issuer)
        .with_next("Try again; if it stays, report it to the administrator: this can be an attack or a wrong clock")
}

pub(super) fn check(
    token: &str,
    expected: &Expectations<'_>,
    keys: &KeySet,
    now: Timestamp,
    skew: Duration,
) -> Result<Claims, Refusal> {
    let jws = Jws::cut(token)?;
    let header = jws.header()?;
    check_type(&header)?;
    keys.verify_cut(&jws, &header)?;
    let payload = jws.payload()?;
    let claims = claims::Claims::parse(&payload)?;
    claims.check_issuer(expected.issuer)?;
    check_audience(&claims, expected.client_id)?;
    let times = claims.times()?;
    if times.issued_at.is_none() {
        return Err(wrong("it does not say when it was issued (iat)"));
    }
    times.check(now, skew)?;
    if let Some(nonce) = expected.nonce {
        let same = claims.text(Name::Nonce)?.is_some_and(|found| bool::from(found.as_bytes().ct_eq(nonce.as_bytes())));
        if !same {
            return Err(wrong("it is not the answer to this login (nonce)"));
        }
    }
    if let (Some(hash), Some(access_token)) = (claims.text(Name::AtHash)?, expected.access_token)
        // EXPOSE: hashed.
        && !bool::from(hash.as_bytes().ct_eq(half_hash(header.algorithm, access_token.expose()).as_bytes()))
    {
        return Err(wrong("it belongs to another access token (at_hash)"));
    }
    if claims.has(Name::Events) {
        return Err(another_type());
    }
    let owned = |name| claims.filled(name).map(|text| text.map(str::to_owned));
    Ok(Claims {
        subject: claims.subject()?.ok_or(wrong("it names nobody (sub)"))?.to_owned(),
        email: owned(Name::Email)?,
        preferred_username: owned(Name::PreferredUsername)?,
    })
}

/// Every claim of a token that was validated before: nothing is checked here.
pub fn claims_of_verified(token: &IdToken) -> Map<String, Value> {
    // EXPOSE: parsed.
    let payload = Jws::cut(token.expose()).and_then(|jws| jws.payload());
    payload.ok().and_then(|payload| json::parse_object(&payload).ok()).unwrap_or_default()
}

/// RFC 8725 section 3.11: an access or logout token of the same issuer is no ID token.
fn check_type(header: &Header) -> Result<(), Refusal> {
    match header.typ.as_deref() {
        Some(typ) if !strip_application(typ).eq_ignore_ascii_case("jwt") => Err(another_type()),
        _ => Ok(()),
    }
}

const fn another_type() -> Refusal {
    Refusal::new(RefusalKind::Type, "it is a token of another type")
}

/// Section 3.1.3.7, 3 to 5: in `aud`; `azp` demanded of several audiences, and ours wherever it is.
pub(super) fn check_audience(claims: &claims::Claims<'_>, client_id: &str) -> Result<(), Refusal> {
    let refused = |why| Err(Refusal::new(RefusalKind::Audience, why));
    let audience = claims.audience()?;
    if !audience.contains(&client_id) {
        return refused("it is for another client (aud)");
    }
    match claims.text(Name::Azp)? {
        Some(party) if party != client_id => refused("it was issued to another client (azp)"),
        None if audience.len() > 1 => refused("it has several audiences and names no party (azp)"),
        _ => Ok(()),
    }
}

/// `at_hash`: the left half of the hash that goes with the signature algorithm (section 3.1.3.6).
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    let whole = aws_lc_rs::digest::digest(algorithm.digest(), token.as_bytes());
    let whole = whole.as_ref();
    URL_SAFE_NO_PAD.encode(&whole[..whole.len() / 2])
}

#[cfg(test)]
mod tests;
