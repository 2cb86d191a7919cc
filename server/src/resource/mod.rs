//! The resource server's part: finds the bearer token of a request (RFC 6750) and checks it.

mod external;

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use flyte_auth::Timestamp;
use serde_json::{Map, Value};

pub use external::ExternalIssuer;

use crate::authorization_server::AuthorizationServer;
use crate::keys::Keys;
use crate::store::Store;

/// `typ` of a JWT access token (RFC 9068 section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// Why a request was not let through. No text repeats what the caller sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No token came.
    Missing,
    /// More than one came: which one counts would be a guess.
    Several,
    /// The token is not good; the reason.
    Invalid(&'static str),
    /// The token could not be checked, because its issuer did not answer.
    Unavailable,
}

impl Refused {
    /// `error` of RFC 6750 section 3.1.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid(_) => "invalid_token",
            Self::Several => "invalid_request",
            Self::Unavailable => "temporarily_unavailable",
        }
    }

    /// For a person.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Missing => "a bearer token is required",
            Self::Several => "more than one token came; send exactly one",
            Self::Invalid(reason) => reason,
            Self::Unavailable => "the token's issuer could not be asked for its keys",
        }
    }

    /// `WWW-Authenticate` (RFC 6750 section 3: without an error code where no token came).
    pub fn challenge(&self) -> String {
        match self {
            Self::Missing => "Bearer realm=\"flyte\"".to_owned(),
            _ => format!("Bearer realm=\"flyte\", error=\"{}\", error_description=\"{}\"", self.code(), self.message()),
        }
    }
}

/// The one bearer token among these headers.
///
/// # Errors
/// None, more than one, or another scheme than `Bearer`.
pub fn bearer<'a>(headers: &'a HeaderMap, names: &[HeaderName]) -> Result<&'a str, Refused> {
    let mut values = names.iter().flat_map(|name| headers.get_all(name));
    let value = values.next().ok_or(Refused::Missing)?;
    if values.next().is_some() {
        return Err(Refused::Several);
    }
    let not_bearer = Refused::Invalid("the header is not a bearer token");
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(not_bearer.clone())?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains([' ', ',']) {
        return Err(not_bearer);
    }
    Ok(token)
}

/// Whether `aud`, a string or an array, names one of `accepted`.
fn names_audience(claims: &Map<String, Value>, accepted: &[String]) -> bool {
    let is_accepted = |value: &Value| value.as_str().is_some_and(|name| accepted.iter().any(|one| one == name));
    match claims.get("aud") {
        Some(Value::Array(names)) => names.iter().any(is_accepted),
        Some(name) => is_accepted(name),
        None => false,
    }
}

/// `iss`, `exp` and `nbf` at `now`. No leeway: the sandbox's clock is the issuer's.
fn check_times_and_issuer(claims: &Map<String, Value>, issuer: &str, now: Timestamp) -> Result<(), Refused> {
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(Refused::Invalid("the token is from another issuer"));
    }
    match claims.get("exp").and_then(Value::as_f64) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit a double")]
        Some(exp) if exp > now.as_secs() as f64 => {}
        Some(_) => return Err(Refused::Invalid("the token has expired")),
        None => return Err(Refused::Invalid("the token has no expiry")),
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit a double")]
    if claims.get("nbf").and_then(Value::as_f64).is_some_and(|nbf| nbf > now.as_secs() as f64 + 60.0) {
        return Err(Refused::Invalid("the token is not valid yet"));
    }
    Ok(())
}

/// The claims of an access token that this server issued: signature, type, issuer, audience, expiry, revocation.
///
/// # Errors
/// Any of these is wrong.
pub fn verify_own(
    keys: &Keys,
    store: &Store,
    issuer: &str,
    now: Timestamp,
    token: &str,
) -> Result<Map<String, Value>, Refused> {
    let claims = keys
        .verify(ACCESS_TOKEN_TYPE, token)
        .ok_or(Refused::Invalid("the token is not an access token of this server"))?;
    check_times_and_issuer(&claims, issuer, now)?;
    if !names_audience(&claims, &[issuer.to_owned()]) {
        return Err(Refused::Invalid("the token is for another audience"));
    }
    let ids: Vec<&str> = ["jti", "sid"].iter().filter_map(|name| claims.get(*name)?.as_str()).collect();
    if store.any_revoked(&ids) {
        return Err(Refused::Invalid("the token was revoked"));
    }
    Ok(claims)
}

/// Who issues the tokens that are taken here.
#[derive(Debug, Clone)]
pub enum Issuer {
    /// This process.
    Own(Arc<AuthorizationServer>),
    /// Another authorization server.
    External(Arc<ExternalIssuer>),
}

impl Issuer {
    /// The claims of a good access token.
    ///
    /// # Errors
    /// The token is not good, or the external issuer does not answer.
    pub async fn verify(&self, token: &str) -> Result<Map<String, Value>, Refused> {
        match self {
            Self::Own(server) => {
                verify_own(&server.keys, &server.store, &server.settings.issuer, server.clock.now(), token)
            }
            Self::External(issuer) => issuer.verify(token).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;

    #[test]
    fn exactly_one_bearer() {
        let names = [header::AUTHORIZATION, HeaderName::from_static("flyte-authorization")];
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            bearer(&headers, &names).map(str::to_owned)
        };
        assert_eq!(check(&[("authorization", "Bearer t")]), Ok("t".to_owned()));
        assert_eq!(check(&[("flyte-authorization", "bearer t")]), Ok("t".to_owned()));
        assert_eq!(check(&[]), Err(Refused::Missing));
        assert_eq!(check(&[("authorization", "Bearer t"), ("flyte-authorization", "Bearer t")]), Err(Refused::Several));
        assert_eq!(check(&[("authorization", "Bearer t"), ("authorization", "Bearer u")]), Err(Refused::Several));
        for bad in ["Basic eDp5", "Bearer", "Bearer  ", "Bearer a b", "Bearer a, Bearer b"] {
            assert!(matches!(check(&[("authorization", bad)]), Err(Refused::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn times_and_issuer() {
        let now = Timestamp::from_secs(1000);
        let check = |claims: Value| check_times_and_issuer(claims.as_object().unwrap(), "i", now).is_ok();
        use serde_json::json;
        assert!(check(json!({ "iss": "i", "exp": 1001 })));
        assert!(check(json!({ "iss": "i", "exp": 1001.5, "nbf": 1000 })));
        assert!(!check(json!({ "iss": "i", "exp": 1000 })));
        assert!(!check(json!({ "iss": "i" })));
        assert!(!check(json!({ "iss": "i", "exp": "soon" })));
        assert!(!check(json!({ "iss": "i/", "exp": 1001 })));
        assert!(!check(json!({ "iss": "i", "exp": 9000, "nbf": 5000 })));
    }
}
