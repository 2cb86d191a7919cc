//! Makes tokens: access tokens (RFC 9068), ID tokens (OpenID Connect Core section 2) and refresh tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyte_auth::{Timestamp, testing};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{AuthorizationServer, OAuthError};
use crate::random;
use crate::resource::ACCESS_TOKEN_TYPE;
use crate::store::{Grant, Refresh};
use crate::users::User;

/// Whether these scopes ask for a refresh token: Flyte's word or OpenID's.
pub(super) fn wants_refresh(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == "offline" || scope == "offline_access")
}

/// The standard claims that the scopes give (OpenID Connect Core section 5.4).
pub(super) fn user_claims(user: &User, scopes: &[String]) -> Map<String, Value> {
    let mut claims = Map::new();
    let granted = |name: &str| scopes.iter().any(|scope| scope == name);
    if granted("profile") {
        claims.insert("name".to_owned(), user.name.clone().into());
        claims.insert("given_name".to_owned(), user.given_name().into());
        claims.insert("family_name".to_owned(), user.family_name().into());
        claims.insert("preferred_username".to_owned(), user.subject.clone().into());
    }
    if granted("email") && !user.email.is_empty() {
        claims.insert("email".to_owned(), user.email.clone().into());
        claims.insert("email_verified".to_owned(), true.into());
    }
    claims
}

/// Half of the SHA-256 of a token (OpenID Connect Core section 3.1.3.6).
fn half_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(token.as_bytes())[..16])
}

impl AuthorizationServer {
    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    fn sign(&self, typ: &str, claims: &Map<String, Value>) -> Result<String, OAuthError> {
        let token =
            self.keys.sign(typ, claims).ok_or_else(|| OAuthError::server_error("the token could not be signed"))?;
        testing::made(if typ == ACCESS_TOKEN_TYPE { "access_token" } else { "id_token" }, &token);
        Ok(token)
    }

    fn access_token(&self, grant: &Grant, now: Timestamp) -> Result<String, OAuthError> {
        let subject = grant.user.as_ref().map_or(grant.client_id.as_str(), |user| user.subject.as_str());
        // This server is always among the audiences: its own UserInfo takes every token that it issues.
        let mut audience = vec![self.settings.issuer.clone()];
        audience.extend(grant.audience.iter().filter(|name| **name != self.settings.issuer).cloned());
        let mut claims = Self::object(json!({
            "iss": self.settings.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": grant.client_id,
            // flyteadmin reads the array, RFC 9068 section 2.2.3 defines the string.
            "scp": grant.scopes,
            "scope": grant.scopes.join(" "),
            "iat": now.as_secs(),
            "exp": now.plus(self.settings.access_token_lifetime).as_secs(),
            "jti": random::identifier(&*self.entropy),
            "sid": grant.session,
        }));
        if let Some(user) = &grant.user {
            claims.insert("auth_time".to_owned(), grant.auth_time.into());
            // Flyte's UserInfo answers from the token alone, without a directory.
            claims.insert("name".to_owned(), user.name.clone().into());
            if !user.email.is_empty() {
                claims.insert("email".to_owned(), user.email.clone().into());
            }
        }
        self.sign(ACCESS_TOKEN_TYPE, &claims)
    }

    fn id_token(
        &self,
        grant: &Grant,
        user: &User,
        nonce: Option<&str>,
        access_token: &str,
        now: Timestamp,
    ) -> Result<String, OAuthError> {
        let mut claims = user_claims(user, &grant.scopes);
        claims.extend(Self::object(json!({
            "iss": self.settings.issuer,
            "sub": user.subject,
            "aud": grant.client_id,
            "iat": now.as_secs(),
            "exp": now.plus(self.settings.access_token_lifetime).as_secs(),
            "auth_time": grant.auth_time,
            "at_hash": half_hash(access_token),
            "sid": grant.session,
        })));
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        self.sign("JWT", &claims)
    }

    /// A new refresh token and its record. The record must be in the store before the token is sent.
    pub(super) fn new_refresh_token(&self, grant: &Grant, now: Timestamp) -> (String, Refresh) {
        let expires_at = now.plus(self.settings.refresh_token_lifetime).as_millis();
        let token = random::token(&*self.entropy);
        testing::made("refresh_token", &token);
        (token, Refresh { grant: grant.clone(), expires_at, used: false })
    }

    /// When the last access token that could exist now will have lapsed.
    pub(super) fn access_tokens_gone(&self) -> Timestamp {
        self.now().plus(self.settings.access_token_lifetime)
    }

    /// The reply of the token endpoint (RFC 6749 section 5.1). `scopes`: those of this access token, which a refresh may
    /// narrow.
    pub(super) fn token_reply(
        &self,
        grant: &Grant,
        nonce: Option<&str>,
        refresh_token: Option<String>,
    ) -> Result<Value, OAuthError> {
        let now = self.now();
        let access_token = self.access_token(grant, now)?;
        let mut reply = Self::object(json!({
            "token_type": "Bearer",
            "expires_in": self.settings.access_token_lifetime.as_secs(),
            "scope": grant.scopes.join(" "),
        }));
        if let Some(user) = &grant.user
            && grant.scopes.iter().any(|scope| scope == "openid")
        {
            reply.insert("id_token".to_owned(), self.id_token(grant, user, nonce, &access_token, now)?.into());
        }
        if let Some(refresh_token) = refresh_token {
            reply.insert("refresh_token".to_owned(), refresh_token.into());
        }
        reply.insert("access_token".to_owned(), access_token.into());
        self.metrics.token_issued();
        Ok(Value::Object(reply))
    }
}
