//! ID tokens (OpenID Connect Core sections 2 and 3.1.3.7).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use super::jwks::KeySet;
use super::jws::Jws;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::{AccessToken, IdToken};

/// How wrong the two clocks may be.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What the token must say.
#[derive(Debug, Clone, Copy)]
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
    check(token.expose(), expected, keys, now).map_err(|why| {
        Error::new(ErrorKind::Denied, "id_token_invalid", format!("the ID token is not accepted: {why}"))
            .with_endpoint(expected.issuer)
            .with_next("Try again; if it stays, report it to the administrator: this can be an attack or a wrong clock")
    })
}

fn check(token: &str, expected: &Expectations<'_>, keys: &KeySet, now: Timestamp) -> Result<Claims, &'static str> {
    let jws = Jws::parse(token)?;
    // RFC 8725 section 3.11: an access or logout token of the same issuer is no ID token.
    if jws.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")) {
        return Err("it is a token of another type");
    }
    keys.verify(&jws)?;
    let claims = &jws.claims;
    if text(claims, "iss")? != Some(expected.issuer) {
        return Err("it is of another issuer");
    }
    audience(claims, expected.client_id)?;
    times(claims, now)?;
    if let Some(nonce) = expected.nonce {
        let same = text(claims, "nonce")?.is_some_and(|found| bool::from(found.as_bytes().ct_eq(nonce.as_bytes())));
        if !same {
            return Err("it is not the answer to this login (nonce)");
        }
    }
    if let (Some(hash), Some(access_token)) = (text(claims, "at_hash")?, expected.access_token)
        // EXPOSE: hashed.
        && !bool::from(hash.as_bytes().ct_eq(half_hash(jws.accepted.name, access_token.expose()).as_bytes()))
    {
        return Err("it belongs to another access token (at_hash)");
    }
    let subject = text(claims, "sub")?.filter(|subject| !subject.is_empty() && subject.len() <= 255);
    let owned = |name| text(claims, name).map(|value| value.filter(|value| !value.is_empty()).map(str::to_owned));
    Ok(Claims {
        subject: subject.ok_or("it names nobody (sub)")?.to_owned(),
        email: owned("email")?,
        preferred_username: owned("preferred_username")?,
    })
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, &'static str> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a claim has the wrong type"),
    }
}

/// Section 3.1.3.7, 3 to 5: in `aud`; `azp` demanded of several audiences, and ours wherever it is.
fn audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), &'static str> {
    let (ours, several) = match claims.get("aud") {
        Some(Value::String(one)) => (one == client_id, false),
        Some(Value::Array(list)) => (list.iter().any(|one| one == client_id), list.len() > 1),
        _ => return Err("it names no audience"),
    };
    if !ours {
        return Err("it is for another client (aud)");
    }
    match text(claims, "azp")? {
        Some(party) if party != client_id => Err("it was issued to another client (azp)"),
        None if several => Err("it has several audiences and names no party (azp)"),
        _ => Ok(()),
    }
}

fn times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), &'static str> {
    let moment = |name: &str| match claims.get(name) {
        None => Ok(None),
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..1e11).contains(&seconds) => Ok(Some(Timestamp::from_secs(seconds as i64))),
            _ => Err("a time claim is no time"),
        },
    };
    let expires_at = moment("exp")?.ok_or("it never expires (exp)")?;
    let issued_at = moment("iat")?.ok_or("it does not say when it was issued (iat)")?;
    if now >= expires_at.plus(CLOCK_SKEW) {
        return Err("it has expired (exp); check this machine's clock");
    }
    if issued_at > now.plus(CLOCK_SKEW) {
        return Err("it was issued in the future (iat); check this machine's clock");
    }
    if moment("nbf")?.is_some_and(|not_before| not_before > now.plus(CLOCK_SKEW)) {
        return Err("it is not valid yet (nbf); check this machine's clock");
    }
    Ok(())
}

/// `at_hash`: the left half of the hash that goes with the signature algorithm (section 3.1.3.6).
fn half_hash(algorithm: &str, token: &str) -> String {
    let whole = match algorithm {
        "RS384" | "PS384" | "ES384" => Sha384::digest(token).to_vec(),
        // Ed25519 hashes with SHA-512.
        "RS512" | "PS512" | "EdDSA" => Sha512::digest(token).to_vec(),
        _ => Sha256::digest(token).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(&whole[..whole.len() / 2])
}

#[cfg(test)]
mod tests;
