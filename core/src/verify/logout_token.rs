//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.4 to 2.6): the issuer says that a session ended.

use std::time::Duration;

use serde_json::Value;

use super::access_token::strip_application;
use super::claims::{Claims, Name, wrong};
use super::id_token::check_audience;
use super::jwks::KeySet;
use super::jws::Jws;
use super::refusal::{Refusal, RefusalKind};
use crate::clock::Timestamp;

/// The member of `events` that makes a JWT a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Whose session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutClaims {
    /// `sub`: every session of this user, unless `session_id` names one.
    pub subject: Option<String>,
    /// `sid`: this session.
    pub session_id: Option<String>,
    /// `jti`: whoever acts on logout tokens remembers it until `expires_at`, and refuses it the second time.
    pub token_id: String,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// Validates a logout token of `issuer` for the client `client_id`, with clocks that differ by at most `skew`.
///
/// # Errors
/// What is wrong; nothing of the token is in it.
pub fn validate(
    token: &str,
    issuer: &str,
    client_id: &str,
    keys: &KeySet,
    now: Timestamp,
    skew: Duration,
) -> Result<LogoutClaims, Refusal> {
    let jws = Jws::cut(token)?;
    let header = jws.header()?;
    let other = Refusal::new(RefusalKind::Type, "it is no logout token");
    // The specification recommends `logout+jwt` and lets older issuers write `JWT` or nothing; `events` decides then.
    let typ = header.typ.as_deref().map_or("jwt", strip_application);
    if !typ.eq_ignore_ascii_case("logout+jwt") && !typ.eq_ignore_ascii_case("jwt") {
        return Err(other);
    }
    keys.verify_cut(&jws, &header)?;
    let payload = jws.payload()?;
    let claims = Claims::parse(&payload)?;
    let event = claims.other(Name::Events).and_then(Value::as_object).and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(other);
    }
    // Section 2.4: forbidden, so that nobody takes an ID token for a logout token.
    if claims.has(Name::Nonce) {
        return Err(Refusal::new(RefusalKind::Type, "it is an ID token, not a logout token (nonce)"));
    }
    claims.check_issuer(issuer)?;
    check_audience(&claims, client_id)?;
    let times = claims.times()?;
    if times.issued_at.is_none() {
        return Err(wrong("it does not say when it was issued (iat)"));
    }
    times.check(now, skew)?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let found = LogoutClaims {
        subject: owned(claims.subject()?),
        session_id: owned(claims.filled(Name::Sid)?),
        token_id: owned(claims.filled(Name::Jti)?).ok_or(wrong("it has no id (jti)"))?,
        expires_at: times.expires_at,
    };
    if found.subject.is_none() && found.session_id.is_none() {
        return Err(wrong("it names neither a user nor a session (sub, sid)"));
    }
    Ok(found)
}
