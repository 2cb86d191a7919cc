//! Verification for services that receive tokens.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flyte_auth::protocol::secret::{AccessToken, IdToken};
use flyte_auth::verify;
use flyte_auth_cli::host::VerifierSettings;
use serde_json::Value;

use crate::call::call;
use crate::error::FlyteAuthError;
use crate::secret::Secret;
use crate::session::time;

type Result<T> = std::result::Result<T, FlyteAuthError>;

/// What a verifier is made from.
#[derive(uniffi::Record)]
pub struct VerifierOptions {
    pub issuer: String,
    /// One of these must be in `aud`.
    #[uniffi(default = [])]
    pub audience: Vec<String>,
    #[uniffi(default = false)]
    pub any_audience: bool,
    /// A JWK set (RFC 7517) as JSON.
    #[uniffi(default = None)]
    pub jwks: Option<String>,
    #[uniffi(default = None)]
    pub jwks_uri: Option<String>,
    #[uniffi(default = None)]
    pub algorithms: Option<Vec<String>>,
    #[uniffi(default = None)]
    pub profile: Option<String>,
    #[uniffi(default = None)]
    pub clock_skew: Option<Duration>,
    #[uniffi(default = [])]
    pub required_scopes: Vec<String>,
    #[uniffi(default = None)]
    pub introspection_client_id: Option<String>,
    #[uniffi(default = None)]
    pub introspection_client_secret: Option<Arc<Secret>>,
    #[uniffi(default = None)]
    pub introspection_endpoint: Option<String>,
    /// How many verified tokens are remembered.
    #[uniffi(default = None)]
    pub remember: Option<u32>,
    /// Take an issuer without TLS.
    #[uniffi(default = false)]
    pub plaintext: bool,
}

impl From<VerifierOptions> for VerifierSettings {
    fn from(options: VerifierOptions) -> Self {
        Self {
            issuer: options.issuer,
            audience: options.audience,
            any_audience: options.any_audience,
            jwks: options.jwks.map(String::into_bytes),
            jwks_uri: options.jwks_uri,
            algorithms: options.algorithms,
            profile: options.profile,
            clock_skew: options.clock_skew,
            required_scopes: options.required_scopes,
            introspection_client_id: options.introspection_client_id,
            introspection_client_secret: options.introspection_client_secret.map(|secret| secret.client_secret()),
            introspection_endpoint: options.introspection_endpoint,
            remember: options.remember.map(|count| count as usize),
            plaintext: options.plaintext,
        }
    }
}

/// An access token that was verified.
#[derive(uniffi::Record)]
pub struct VerifiedToken {
    /// `iss`; absent only where an introspection reply has none.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`.
    pub audience: Vec<String>,
    /// The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there.
    pub client_id: Option<String>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// `exp`.
    pub expires_at: Option<SystemTime>,
    /// `iat`.
    pub issued_at: Option<SystemTime>,
    /// Every claim: JSON.
    pub claims: String,
}

fn verified(token: &verify::VerifiedToken) -> VerifiedToken {
    VerifiedToken {
        issuer: token.issuer().map(str::to_owned),
        subject: token.subject().map(str::to_owned),
        audience: token.audience().to_vec(),
        client_id: token.client_id().map(str::to_owned),
        scopes: token.scopes().to_vec(),
        expires_at: token.expires_at().map(time),
        issued_at: token.issued_at().map(time),
        claims: Value::Object(token.claims().clone()).to_string(),
    }
}

/// Claims of a verified ID token (OpenID Connect Core section 2).
#[derive(uniffi::Record)]
pub struct IdTokenClaims {
    pub subject: String,
    pub email: Option<String>,
    pub preferred_username: Option<String>,
}

/// Claims of a verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
#[derive(uniffi::Record)]
pub struct LogoutTokenClaims {
    /// `sub`: every session of this user, unless `session_id` names one.
    pub subject: Option<String>,
    /// `sid`: this session.
    pub session_id: Option<String>,
    /// `jti`: remember it until `expires_at`, and refuse it the second time.
    pub token_id: String,
    /// `exp`.
    pub expires_at: SystemTime,
}

/// Verifies tokens of one issuer.
#[derive(uniffi::Object)]
pub struct Verifier {
    inner: verify::Verifier,
    issuer: String,
}

#[uniffi::export]
impl Verifier {
    /// Touches no network.
    #[uniffi::constructor]
    pub fn new(options: VerifierOptions) -> Result<Arc<Self>> {
        let issuer = options.issuer.clone();
        let inner = VerifierSettings::from(options).build()?;
        Ok(Arc::new(Self { inner, issuer }))
    }

    /// The issuer.
    pub fn issuer(&self) -> String {
        self.issuer.clone()
    }

    /// Verifies an access token where nothing has to be fetched; none otherwise.
    pub fn verify_now(&self, token: String) -> Result<Option<VerifiedToken>> {
        let found = self.inner.verify_now(&AccessToken::new(token)).transpose()?;
        Ok(found.map(|token| verified(&token)))
    }

    /// Verifies an access token (RFC 9068, and what issuers write who do not follow it): a JWT by its signature and
    /// claims, an opaque one by introspection where that is configured.
    pub async fn verify(&self, token: String) -> Result<VerifiedToken> {
        let (verifier, token) = (self.inner.clone(), AccessToken::new(token));
        let found = call(async move { verifier.verify(&token).await }).await?;
        Ok(verified(&found))
    }

    /// Verifies an ID token for `client_id`.
    pub async fn verify_id_token(
        &self,
        token: String,
        client_id: String,
        nonce: Option<String>,
        access_token: Option<String>,
    ) -> Result<IdTokenClaims> {
        let (verifier, token) = (self.inner.clone(), IdToken::new(token));
        let access_token = access_token.map(AccessToken::new);
        let work =
            async move { verifier.verify_id_token(&token, &client_id, nonce.as_deref(), access_token.as_ref()).await };
        let verify::id_token::Claims { subject, email, preferred_username } = call(work).await?;
        Ok(IdTokenClaims { subject, email, preferred_username })
    }

    /// Verifies a logout token for `client_id`.
    pub async fn verify_logout_token(&self, token: String, client_id: String) -> Result<LogoutTokenClaims> {
        let verifier = self.inner.clone();
        let claims = call(async move { verifier.verify_logout_token(&token, &client_id).await }).await?;
        Ok(LogoutTokenClaims {
            subject: claims.subject,
            session_id: claims.session_id,
            token_id: claims.token_id,
            expires_at: time(claims.expires_at),
        })
    }
}
