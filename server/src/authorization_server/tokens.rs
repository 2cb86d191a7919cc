//! Makes tokens: access tokens (RFC 9068), ID tokens (OpenID Connect Core section 2) and refresh tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyte_auth::{Timestamp, testing};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{AuthorizationServer, OAuthError};
use crate::random;
use crate::resource::ACCESS_TOKEN_TYPE;
use crate::state::{Grant, Refresh};
use crate::users::User;

/// Claims of a person that go into access tokens: Flyte's `UserInfo` answers from the token alone, without a directory.
pub(crate) const PERSON_CLAIMS: [&str; 6] =
    ["name", "preferred_username", "given_name", "family_name", "email", "picture"];

/// Whether these scopes ask for a refresh token: Flyte's word or OpenID's.
pub(super) fn wants_refresh(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == "offline" || scope == "offline_access")
}

/// The standard claims of a user of the sandbox (OpenID Connect Core section 5.1).
pub(super) fn user_claims(user: &User) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("name".to_owned(), user.name.clone().into());
    claims.insert("given_name".to_owned(), user.given_name().into());
    claims.insert("family_name".to_owned(), user.family_name().into());
    claims.insert("preferred_username".to_owned(), user.subject.clone().into());
    if !user.email.is_empty() {
        claims.insert("email".to_owned(), user.email.clone().into());
        claims.insert("email_verified".to_owned(), true.into());
    }
    claims
}

/// Those of the claims that the scopes give (OpenID Connect Core section 5.4).
pub(super) fn granted_claims(mut claims: Map<String, Value>, scopes: &[String]) -> Map<String, Value> {
    let granted = |name: &str| scopes.iter().any(|scope| scope == name);
    let (profile, email) = (granted("profile"), granted("email"));
    claims.retain(|name, _| if name.starts_with("email") { email } else { profile });
    claims
}

/// Half of the SHA-256 of a token (OpenID Connect Core section 3.1.3.6).
fn half_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(token.as_bytes())[..16])
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Tokens that belong together. The record of the refresh token must be in the store before the tokens are sent.
pub(super) struct Made {
    access_token: String,
    pub(super) refresh: Option<(String, Refresh)>,
}

impl AuthorizationServer {
    fn sign(&self, typ: &str, claims: &Map<String, Value>) -> Result<String, OAuthError> {
        let token =
            self.keys.sign(typ, claims).ok_or_else(|| OAuthError::server_error("the token could not be signed"))?;
        testing::made(if typ == ACCESS_TOKEN_TYPE { "access_token" } else { "id_token" }, &token);
        Ok(token)
    }

    fn access_token(&self, grant: &Grant, id: &str, now: Timestamp) -> Result<String, OAuthError> {
        let mut claims = object(json!({
            "iss": grant.issuer,
            "sub": grant.subject.as_deref().unwrap_or(&grant.client_id),
            "aud": grant.audience,
            "client_id": grant.client_id,
            // flyteadmin reads the array, RFC 9068 section 2.2.3 defines the string.
            "scp": grant.scopes,
            "scope": grant.scopes.join(" "),
            "iat": now.as_secs(),
            "exp": now.plus(self.settings.access_token_lifetime).as_secs(),
            "jti": id,
            "sid": grant.session,
        }));
        if grant.subject.is_some() {
            claims.insert("auth_time".to_owned(), grant.auth_time.into());
            for name in PERSON_CLAIMS {
                if let Some(value) = grant.claims.get(name) {
                    claims.insert(name.to_owned(), value.clone());
                }
            }
        }
        self.sign(ACCESS_TOKEN_TYPE, &claims)
    }

    fn id_token(
        &self,
        grant: &Grant,
        subject: &str,
        nonce: Option<&str>,
        access_token: &str,
        now: Timestamp,
    ) -> Result<String, OAuthError> {
        let mut claims = granted_claims(grant.claims.clone(), &grant.scopes);
        claims.extend(object(json!({
            "iss": grant.issuer,
            "sub": subject,
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

    /// An access token and, where it is wanted, a refresh token.
    pub(super) fn new_tokens(&self, grant: &Grant, refresh: bool) -> Result<Made, OAuthError> {
        let now = self.now();
        let id = random::identifier(&*self.entropy);
        let access_token = self.access_token(grant, &id, now)?;
        let refresh = refresh.then(|| {
            let token = random::token(&*self.entropy);
            testing::made("refresh_token", &token);
            let lapses = now.plus(self.settings.refresh_token_lifetime).as_millis().min(grant.ends_at);
            let record = Refresh {
                grant: grant.clone(),
                access_token_id: id,
                expires_at: Timestamp::from_millis(lapses),
                dead: false,
            };
            (token, record)
        });
        Ok(Made { access_token, refresh })
    }

    /// When the last access token that could exist now will have lapsed.
    pub(super) fn access_tokens_gone(&self) -> Timestamp {
        self.now().plus(self.settings.access_token_lifetime)
    }

    /// The reply of the token endpoint (RFC 6749 section 5.1).
    pub(super) fn reply(&self, grant: &Grant, nonce: Option<&str>, made: Made) -> Result<Value, OAuthError> {
        let mut reply = object(json!({
            "token_type": "Bearer",
            "expires_in": self.settings.access_token_lifetime.as_secs(),
            "scope": grant.scopes.join(" "),
        }));
        if self.settings.openid
            && let Some(subject) = &grant.subject
            && grant.scopes.iter().any(|scope| scope == "openid")
        {
            let id_token = self.id_token(grant, subject, nonce, &made.access_token, self.now())?;
            reply.insert("id_token".to_owned(), id_token.into());
        }
        if let Some((refresh_token, _)) = made.refresh {
            reply.insert("refresh_token".to_owned(), refresh_token.into());
        }
        reply.insert("access_token".to_owned(), made.access_token.into());
        self.metrics.token_issued();
        Ok(Value::Object(reply))
    }
}
