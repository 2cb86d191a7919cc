//! JWT access tokens: RFC 9068, and what issuers write who do not follow it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims::{Claims, Name, Times, wrong};
use super::jwk::Key;
use super::jwks::KeySet;
use super::jws::{Header, Jws};
use super::refusal::{Refusal, RefusalKind};
use crate::clock::Timestamp;
use crate::protocol::json::{self, Member};
use crate::protocol::secret::AccessToken;

/// How much an access token must say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// What Okta, Entra, Auth0, Keycloak, Google and flyteadmin write: `iss`, `exp` and `aud` are required; `typ` is
    /// absent, `JWT` or `at+jwt`; ID, refresh and logout tokens are told apart by the claims that only they have.
    #[default]
    Jwt,
    /// RFC 9068 section 2.2 to the letter: `typ` is `at+jwt`; `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and `jti`
    /// are required.
    Rfc9068,
}

/// An access token that was verified: by its signature, or by the authorization server's word (RFC 7662).
#[derive(Clone)]
pub struct VerifiedToken {
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) audience: Vec<String>,
    pub(super) client_id: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) times: Option<Times>,
    /// The claims as they came; read strictly before.
    pub(super) payload: Vec<u8>,
    /// All of them, made when they are asked for: most services ask for none but those above.
    pub(super) claims: OnceLock<Map<String, Value>>,
}

impl fmt::Debug for VerifiedToken {
    // Who it is about may stand in a log; the rest of the claims is for the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

impl VerifiedToken {
    /// `iss`; absent only where an introspection reply has none.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
    /// `sub`: whom the token is about; a client's own id where it acts for itself.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
    /// `aud`.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }
    /// The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }
    /// Granted scopes: `scope` and `scp`, as a text or a list; `roles` where neither is there.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }
    /// Whether `scope` was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
    /// `exp`; absent only where an introspection reply has none.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.times.map(|times| times.expires_at)
    }
    /// `iat`.
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.times.and_then(|times| times.issued_at)
    }
    /// Any claim by its name.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims().get(name)
    }
    /// Every claim.
    pub fn claims(&self) -> &Map<String, Value> {
        self.claims.get_or_init(|| json::parse_object(&self.payload).unwrap_or_default())
    }
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expectations<'a> {
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// One of them must be in `aud`; empty: any audience is taken.
    pub audience: &'a [String],
    /// How much the token must say.
    pub profile: Profile,
    /// How wrong the two clocks may be.
    pub clock_skew: Duration,
}

/// Verifies a JWT access token: signature, type, claims and times. Remembers nothing and fetches nothing: a service uses
/// [`super::Verifier`].
///
/// # Errors
/// Which check failed.
pub fn verify(
    token: &AccessToken,
    expected: &Expectations<'_>,
    keys: &KeySet,
    now: Timestamp,
) -> Result<VerifiedToken, Refusal> {
    let jws = Jws::cut(token.expose())?; // EXPOSE: verified here.
    verify_cut(&jws, &jws.header()?, expected, keys, now).map(|(token, _)| token)
}

/// The token, and the key that signed it.
pub(super) fn verify_cut<'a>(
    jws: &Jws<'_>,
    header: &Header,
    expected: &Expectations<'_>,
    keys: &'a KeySet,
    now: Timestamp,
) -> Result<(VerifiedToken, &'a Arc<Key>), Refusal> {
    let key = keys.verify_cut(jws, header)?;
    let token = read(header, jws.payload()?, expected)?;
    if let Some(times) = token.times {
        times.check(now, expected.clock_skew)?;
    }
    Ok((token, key))
}

/// RFC 9449, RFC 8705: a token bound to a key is worth nothing without a proof, which is not checked here.
pub(super) fn check_unbound(claims: &Claims<'_>) -> Result<(), Refusal> {
    if claims.has(Name::Cnf) {
        let why = "it is bound to a key (cnf) and cannot be used as a bearer token";
        return Err(Refusal::new(RefusalKind::Type, why));
    }
    Ok(())
}

/// Reads the claims of a token whose signature is good. The times are read, not compared with a clock.
fn read(header: &Header, payload: Vec<u8>, rules: &Expectations<'_>) -> Result<VerifiedToken, Refusal> {
    let claims = Claims::parse(&payload)?;
    check_type(header, &claims, rules.profile)?;
    check_unbound(&claims)?;
    claims.check_issuer(rules.issuer)?;
    let audience = claims.audience()?;
    if !names_one(&audience, rules.audience) {
        return Err(Refusal::new(RefusalKind::Audience, "it is for another audience (aud)"));
    }
    let times = claims.times()?;
    let subject = claims.subject()?;
    if rules.profile == Profile::Rfc9068 {
        let complete = subject.is_some()
            && times.issued_at.is_some()
            && claims.filled(Name::ClientId)?.is_some()
            && claims.filled(Name::Jti)?.is_some();
        if !complete {
            return Err(wrong("it lacks a claim that RFC 9068 requires (sub, client_id, iat, jti)"));
        }
    }
    let scopes = claims.scopes()?;
    if is_flyteadmin_refresh_token(&scopes) {
        return Err(Refusal::new(RefusalKind::Type, "it is a refresh token or an authorization code"));
    }
    let audience = audience.into_iter().map(str::to_owned).collect();
    let client_id = claims.client_id()?.map(str::to_owned);
    let (issuer, subject) = (Some(rules.issuer.to_owned()), subject.map(str::to_owned));
    let times = Some(times);
    Ok(VerifiedToken { issuer, subject, audience, client_id, scopes, times, payload, claims: OnceLock::new() })
}

/// Whether one of the audiences is wanted; if none is, any will do.
pub(super) fn names_one(audience: &[&str], wanted: &[String]) -> bool {
    wanted.is_empty() || audience.iter().any(|one| wanted.iter().any(|name| name == one))
}

/// RFC 8725 section 3.11: what is no access token must not pass for one.
fn check_type(header: &Header, claims: &Claims<'_>, profile: Profile) -> Result<(), Refusal> {
    let other = Refusal::new(RefusalKind::Type, "it is a token of another type");
    let typ = header.typ.as_deref().map(|typ| strip_application(typ).to_ascii_lowercase());
    match (typ.as_deref(), profile) {
        (Some("at+jwt"), _) => return Ok(()),
        (None | Some("jwt"), Profile::Jwt) => {}
        _ => return Err(other),
    }
    // Back-channel logout tokens and other security events (RFC 8417 section 2.2).
    if claims.has(Name::Events) {
        return Err(other);
    }
    // Keycloak names the kind in a claim; its older access tokens carry the login's `nonce`.
    if let Some(Member::Text(kind)) = claims.get(Name::Typ) {
        return if kind.eq_ignore_ascii_case("bearer") { Ok(()) } else { Err(other) };
    }
    // Amazon Cognito's name for the same.
    if claims.get(Name::TokenUse).is_some_and(|usage| *usage != Member::Text("access".into())) {
        return Err(other);
    }
    // OpenID Connect Core section 2 and 3.3.2.11: only ID tokens have these.
    if [Name::Nonce, Name::AtHash, Name::CHash].into_iter().any(|name| claims.has(name)) {
        return Err(Refusal::new(RefusalKind::Type, "it is an ID token, not an access token"));
    }
    Ok(())
}

/// `application/at+jwt` and `at+jwt` are the same (RFC 7515 section 4.1.9).
pub(super) fn strip_application(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    }
}

/// flyteadmin signs refresh tokens and codes like access tokens, and hides their scopes behind `f.`
/// (flyteadmin `auth/authzserver/stateless_token_store.go`): a hidden scope without its plain twin tells.
fn is_flyteadmin_refresh_token(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| {
        scope.strip_prefix("f.").is_some_and(|hidden| !hidden.is_empty() && !scopes.iter().any(|one| one == hidden))
    })
}

/// What a token says of itself. Not verified: fit for choosing among tokens, never for trusting one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnverifiedClaims {
    /// `iss`.
    pub issuer: Option<String>,
    /// Every claim that names the client.
    pub clients: Vec<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`.
    pub audience: Vec<String>,
    /// Scopes, as [`VerifiedToken::scopes`].
    pub scopes: Vec<String>,
    /// `email`.
    pub email: Option<String>,
    /// `preferred_username`.
    pub preferred_username: Option<String>,
    /// `exp`.
    pub expires_at: Option<Timestamp>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

impl UnverifiedClaims {
    /// Reads the claims; `None` if the token is no signed JWT.
    pub fn read(token: &AccessToken) -> Option<Self> {
        let jws = Jws::cut(token.expose()).ok()?; // EXPOSE: parsed.
        jws.header().ok()?;
        let payload = jws.payload().ok()?;
        let view = Claims::parse(&payload).ok()?;
        let text = |name: Name| view.text(name).ok().flatten().map(str::to_owned);
        Some(Self {
            issuer: text(Name::Iss),
            clients: view.clients(),
            subject: text(Name::Sub),
            audience: view.audience().unwrap_or_default().into_iter().map(str::to_owned).collect(),
            scopes: view.scopes().unwrap_or_default(),
            email: text(Name::Email),
            preferred_username: text(Name::PreferredUsername),
            expires_at: view.time(Name::Exp).ok().flatten(),
            issued_at: view.time(Name::Iat).ok().flatten(),
        })
    }
}

/// Whether one of the issuer's keys signed the token.
///
/// # Errors
/// What is wrong; nothing of the token is in it.
pub fn verify_signature(token: &AccessToken, keys: &KeySet) -> Result<(), Refusal> {
    keys.verify(token.expose()).map(drop) // EXPOSE: parsed and verified.
}

#[cfg(test)]
mod tests;
