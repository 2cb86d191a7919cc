//! The resource server's part: finds the bearer token of a request (RFC 6750) and checks it.

mod external;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use flyte_auth::Timestamp;
use flyte_auth::protocol::secret::AccessToken;
use flyte_auth::verify::access_token::{self, Expectations, Profile};
use serde_json::{Map, Value};

pub use external::ExternalIssuer;

use crate::keys::Keys;
use crate::sites::Site;
use crate::state::State;

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
    Invalid(Cow<'static, str>),
    /// The token could not be checked, because its issuer did not answer.
    Unavailable,
    /// The token is good, but was not granted this scope.
    Scope(&'static str),
}

impl Refused {
    /// `error` of RFC 6750 section 3.1.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid(_) => "invalid_token",
            Self::Several => "invalid_request",
            Self::Unavailable => "temporarily_unavailable",
            Self::Scope(_) => "insufficient_scope",
        }
    }

    /// For a person.
    pub fn message(&self) -> &str {
        match self {
            Self::Missing => "a bearer token is required",
            Self::Several => "more than one token came; send exactly one",
            Self::Invalid(reason) => reason.as_ref(),
            Self::Unavailable => "the token's issuer could not be asked for its keys",
            Self::Scope(_) => "the token does not have the scope that this needs",
        }
    }

    /// `WWW-Authenticate` (RFC 6750 section 3: without an error code where no token came). `metadata`: the address of the
    /// protected resource's own (RFC 9728 section 5.1).
    pub fn challenge(&self, metadata: Option<&str>) -> String {
        let mut challenge = "Bearer realm=\"flyte\"".to_owned();
        if *self != Self::Missing {
            let _ = write!(challenge, ", error=\"{}\", error_description=\"{}\"", self.code(), self.message());
        }
        if let Self::Scope(scope) = self {
            let _ = write!(challenge, ", scope=\"{scope}\"");
        }
        if let Some(metadata) = metadata {
            let _ = write!(challenge, ", resource_metadata=\"{metadata}\"");
        }
        challenge
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
    let not_bearer = Refused::Invalid("the header is not a bearer token".into());
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(not_bearer.clone())?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains([' ', ',']) {
        return Err(not_bearer);
    }
    Ok(token)
}

/// The claims of an access token that this server issued: signature, type, issuer, audience, expiry, revocation.
///
/// # Errors
/// Any of these is wrong.
pub fn verify_own(
    keys: &Keys,
    state: &dyn State,
    site: &Site,
    now: Timestamp,
    token: &str,
) -> Result<Map<String, Value>, Refused> {
    let audience = [site.audience.clone()];
    // No leeway: the clock is the issuer's.
    let expected = Expectations {
        issuer: &site.issuer,
        audience: &audience,
        profile: Profile::Rfc9068,
        clock_skew: Duration::ZERO,
    };
    let claims = access_token::verify(&AccessToken::new(token), &expected, &keys.key_set(), now)
        .map_err(|refusal| Refused::Invalid(format!("the token is not accepted: {refusal}").into()))?
        .claims()
        .clone();
    let ids: Vec<&str> = ["jti", "sid"].iter().filter_map(|name| claims.get(*name)?.as_str()).collect();
    if state.any_revoked(&ids) {
        return Err(Refused::Invalid("the token was revoked".into()));
    }
    Ok(claims)
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
}
