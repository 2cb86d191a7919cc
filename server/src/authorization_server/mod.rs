//! The authorization server: RFC 6749 with PKCE (RFC 7636) demanded of public clients, device authorization (RFC 8628),
//! refresh token rotation with reuse detection (RFC 9700 section 4.14), revocation (RFC 7009), introspection (RFC 7662),
//! the issuer in the authorization response (RFC 9207), JWT access tokens (RFC 9068) and OpenID Connect's ID tokens.

mod authorize;
mod client;
mod device;
mod error;
pub mod metadata;
mod pages;
mod params;
mod token;
mod tokens;
mod userinfo;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flyte_auth::Timestamp;
use flyte_auth::clock::{Clock, Entropy};
use serde_json::Value;

pub use authorize::AuthorizationRequest;
pub use client::{Client, RedirectUri};
pub use error::OAuthError;
pub(crate) use userinfo::unauthorized;

use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::users::Users;

/// Where the endpoints are, below the issuer.
#[expect(missing_docs, reason = "the names say it")]
pub mod paths {
    pub const AUTHORIZE: &str = "/oauth2/authorize";
    pub const DECISION: &str = "/oauth2/authorize/decision";
    pub const TOKEN: &str = "/oauth2/token";
    pub const DEVICE_AUTHORIZATION: &str = "/oauth2/device_authorization";
    pub const DEVICE: &str = "/device";
    pub const DEVICE_DECISION: &str = "/device/decision";
    pub const JWKS: &str = "/oauth2/jwks";
    pub const REVOKE: &str = "/oauth2/revoke";
    pub const INTROSPECT: &str = "/oauth2/introspect";
    pub const USERINFO: &str = "/userinfo";
    pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
}

/// Scopes that every client may ask for: Flyte's `all` and `offline`, and OpenID's.
pub const SCOPES: [&str; 6] = ["all", "offline", "offline_access", "openid", "profile", "email"];

/// What can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `iss`: a URL without a final slash.
    pub issuer: String,
    /// Lifetime of access and ID tokens.
    pub access_token_lifetime: Duration,
    /// Lifetime of refresh tokens.
    pub refresh_token_lifetime: Duration,
    /// Each refresh gives a new refresh token, and the old one may not come again.
    pub rotate_refresh_tokens: bool,
    /// Lifetime of authorization codes and of a sign-in page.
    pub code_lifetime: Duration,
    /// Lifetime of device codes.
    pub device_code_lifetime: Duration,
    /// Least time between polls of a device.
    pub device_interval: Duration,
}

/// The authorization server.
pub struct AuthorizationServer {
    /// What was set.
    pub settings: Settings,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
    /// Who can sign in.
    pub users: Users,
    /// What signs.
    pub keys: Arc<Keys>,
    /// What is remembered.
    pub store: Arc<Store>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl AuthorizationServer {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.issuer)
    }

    /// Whether the pages are served over TLS, so that cookies can be marked `Secure`.
    fn is_secure(&self) -> bool {
        self.settings.issuer.starts_with("https://")
    }

    fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Changes the store; a store that fails is the server's fault, not the caller's.
    fn change<R>(&self, change: impl FnOnce(&mut crate::store::Tables) -> R) -> Result<R, OAuthError> {
        self.store.change(self.now(), change).map_err(|error| {
            tracing::error!(%error, "the store failed");
            OAuthError::server_error("the server could not save its state")
        })
    }

    /// The endpoints, except the RFC 8414 document, whose form depends on the generation of Flyte.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(paths::AUTHORIZE, get(authorize::get).post(authorize::post))
            .route(paths::DECISION, post(authorize::decision))
            .route(paths::TOKEN, post(token::post))
            .route(paths::DEVICE_AUTHORIZATION, post(device::authorization))
            .route(paths::DEVICE, get(device::page).post(device::enter))
            .route(paths::DEVICE_DECISION, post(device::decision))
            .route(paths::JWKS, get(metadata::jwks))
            .route(paths::REVOKE, post(token::revoke))
            .route(paths::INTROSPECT, post(token::introspect))
            .route(paths::USERINFO, get(userinfo::answer).post(userinfo::answer))
            .route(paths::OPENID_CONFIGURATION, get(metadata::openid_configuration))
            .with_state(Arc::clone(self))
    }
}

/// JSON that no cache may keep (RFC 6749 section 5.1).
fn json_no_store(value: &Value) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    (headers, value.to_string()).into_response()
}
