//! Verification for services that receive tokens.

use std::sync::Arc;
use std::time::Duration;

use flyte_auth::Result;
use flyte_auth::protocol::secret::{AccessToken, ClientSecret, IdToken};
use flyte_auth::verify;
use flyte_auth_cli::host::VerifierSettings;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde_json::Value;

use crate::call::{Cancel, call};
use crate::error::raise;
use crate::login::duration;
use crate::session::millis;

/// What a verifier is made from.
#[napi(object, object_to_js = false)]
pub struct VerifierOptions {
    pub issuer: String,
    pub audience: Option<Vec<String>>,
    pub any_audience: Option<bool>,
    /// JSON.
    pub jwks: Option<String>,
    pub jwks_uri: Option<String>,
    pub algorithms: Option<Vec<String>>,
    pub profile: Option<String>,
    /// Milliseconds.
    pub clock_skew: Option<f64>,
    pub required_scopes: Option<Vec<String>>,
    pub introspection_client_id: Option<String>,
    pub introspection_client_secret: Option<String>,
    pub introspection_endpoint: Option<String>,
    pub remember: Option<u32>,
    pub plaintext: Option<bool>,
}

impl VerifierOptions {
    fn build(self) -> Result<verify::Verifier> {
        let clock_skew = |skew: f64| if skew == 0.0 { Ok(Duration::ZERO) } else { duration("clockSkew", skew) };
        let settings = VerifierSettings {
            issuer: self.issuer,
            audience: self.audience.unwrap_or_default(),
            any_audience: self.any_audience == Some(true),
            jwks: self.jwks.map(String::into_bytes),
            jwks_uri: self.jwks_uri,
            algorithms: self.algorithms,
            profile: self.profile,
            clock_skew: self.clock_skew.map(clock_skew).transpose()?,
            required_scopes: self.required_scopes.unwrap_or_default(),
            introspection_client_id: self.introspection_client_id,
            introspection_client_secret: self.introspection_client_secret.map(ClientSecret::new),
            introspection_endpoint: self.introspection_endpoint,
            remember: self.remember.map(|count| count as usize),
            plaintext: self.plaintext == Some(true),
        };
        settings.build()
    }
}

/// An access token that was verified.
#[napi]
pub struct VerifiedToken {
    inner: Arc<verify::VerifiedToken>,
}

impl VerifiedToken {
    pub(crate) fn new(inner: Arc<verify::VerifiedToken>) -> Self {
        Self { inner }
    }
}

#[napi]
impl VerifiedToken {
    /// `iss`; null only where an introspection reply has none.
    #[napi(getter)]
    pub fn issuer(&self) -> Option<&str> {
        self.inner.issuer()
    }
    /// `sub`.
    #[napi(getter)]
    pub fn subject(&self) -> Option<&str> {
        self.inner.subject()
    }
    /// `aud`.
    #[napi(getter)]
    pub fn audience(&self) -> Vec<&str> {
        self.inner.audience().iter().map(String::as_str).collect()
    }
    /// The client that it was issued to.
    #[napi(getter)]
    pub fn client_id(&self) -> Option<&str> {
        self.inner.client_id()
    }
    /// Granted scopes.
    #[napi(getter)]
    pub fn scopes(&self) -> Vec<&str> {
        self.inner.scopes().iter().map(String::as_str).collect()
    }
    /// Whether `scope` was granted.
    #[napi]
    pub fn has_scope(&self, scope: String) -> bool {
        self.inner.has_scope(&scope)
    }
    /// `exp`: milliseconds since the epoch.
    #[napi(getter)]
    pub fn expires_at(&self) -> Option<f64> {
        self.inner.expires_at().map(millis)
    }
    /// `iat`, as `expiresAt`.
    #[napi(getter)]
    pub fn issued_at(&self) -> Option<f64> {
        self.inner.issued_at().map(millis)
    }
    /// Every claim: JSON.
    #[napi(getter)]
    pub fn claims(&self) -> String {
        Value::Object(self.inner.claims().clone()).to_string()
    }
}

/// Claims of a verified ID token.
#[napi(object, object_from_js = false)]
pub struct IdTokenClaims {
    pub subject: String,
    pub email: Option<String>,
    pub preferred_username: Option<String>,
}

/// Claims of a verified logout token.
#[napi(object, object_from_js = false)]
pub struct LogoutTokenClaims {
    pub subject: Option<String>,
    pub session_id: Option<String>,
    pub token_id: String,
    /// Milliseconds since the epoch.
    pub expires_at: f64,
}

/// Verifies tokens of one issuer.
#[napi]
pub struct Verifier {
    pub(crate) inner: verify::Verifier,
    issuer: String,
}

#[napi]
impl Verifier {
    /// Touches no network.
    #[napi(constructor)]
    pub fn new(options: VerifierOptions) -> napi::Result<Self> {
        let issuer = options.issuer.clone();
        Ok(Self { inner: options.build().map_err(raise)?, issuer })
    }

    /// The issuer.
    #[napi(getter)]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// As `verify` where nothing has to be fetched; null otherwise.
    #[napi]
    pub fn verify_now(&self, token: String) -> napi::Result<Option<VerifiedToken>> {
        let found = self.inner.verify_now(&AccessToken::new(token)).transpose().map_err(raise)?;
        Ok(found.map(VerifiedToken::new))
    }

    /// Verifies an access token.
    #[napi(ts_return_type = "Promise<VerifiedToken>")]
    pub fn verify<'env>(&self, env: &'env Env, token: String, cancel: Option<&Cancel>) -> napi::Result<Object<'env>> {
        let token = AccessToken::new(token);
        let verifier = self.inner.clone();
        call(env, cancel, async move { verifier.verify(&token).await }, |found| Ok(VerifiedToken::new(found)))
    }

    /// Verifies an ID token for the client `clientId`.
    #[napi(ts_return_type = "Promise<IdTokenClaims>")]
    pub fn verify_id_token<'env>(
        &self,
        env: &'env Env,
        token: String,
        client_id: String,
        nonce: Option<String>,
        access_token: Option<String>,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let token = IdToken::new(token);
        let access_token = access_token.map(AccessToken::new);
        let verifier = self.inner.clone();
        let work =
            async move { verifier.verify_id_token(&token, &client_id, nonce.as_deref(), access_token.as_ref()).await };
        call(env, cancel, work, |claims| {
            Ok(IdTokenClaims {
                subject: claims.subject,
                email: claims.email,
                preferred_username: claims.preferred_username,
            })
        })
    }

    /// Verifies a logout token for the client `clientId`.
    #[napi(ts_return_type = "Promise<LogoutTokenClaims>")]
    pub fn verify_logout_token<'env>(
        &self,
        env: &'env Env,
        token: String,
        client_id: String,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let verifier = self.inner.clone();
        let work = async move { verifier.verify_logout_token(&token, &client_id).await };
        call(env, cancel, work, |claims| {
            Ok(LogoutTokenClaims {
                subject: claims.subject,
                session_id: claims.session_id,
                token_id: claims.token_id,
                expires_at: millis(claims.expires_at),
            })
        })
    }
}
