//! The authorization server: RFC 6749 with PKCE (RFC 7636) demanded of public clients, device authorization (RFC 8628),
//! pushed authorization requests (RFC 9126), refresh token rotation with reuse detection (RFC 9700 section 4.14),
//! revocation (RFC 7009), introspection (RFC 7662), the issuer in the authorization response (RFC 9207), JWT access
//! tokens (RFC 9068), `private_key_jwt` (RFC 7523), and for the sandbox OpenID Connect's ID tokens.
//!
//! Who signs in is not its business: [`People`] says so, the sandbox's by asking, `serve`'s by a browser session.

mod assertion;
mod authorize;
mod client;
mod device;
mod error;
mod grants;
mod inspect;
pub mod metadata;
mod pages;
mod params;
mod people;
mod redirect;
mod secret;
mod token;
mod tokens;
mod userinfo;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flyte_auth::Timestamp;
use flyte_auth::clock::{Clock, Entropy};
use serde_json::Value;

pub use assertion::ClientKeys;
pub use authorize::AuthorizationRequest;
pub use client::{Client, Grants};
pub use error::OAuthError;
pub(crate) use pages::error as error_page;
pub use people::{People, Person, SignIn};
pub use redirect::RedirectUri;
pub use secret::{Secret, Secrets};
pub(crate) use tokens::PERSON_CLAIMS;
pub(crate) use userinfo::unauthorized;

use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::sites::Sites;
use crate::state::{Audit, Event, EventKind, Outcome, State};

/// Where the endpoints are, below the issuer.
#[expect(missing_docs, reason = "the names say it")]
pub mod paths {
    pub const AUTHORIZE: &str = "/oauth2/authorize";
    /// Where a sign-in comes back to: the page that asks for consent.
    pub const CONSENT: &str = "/oauth2/consent";
    pub const TOKEN: &str = "/oauth2/token";
    pub const PAR: &str = "/oauth2/par";
    pub const DEVICE_AUTHORIZATION: &str = "/oauth2/device_authorization";
    pub const DEVICE: &str = "/device";
    pub const DEVICE_DECISION: &str = "/device/decision";
    pub const JWKS: &str = "/oauth2/jwks";
    pub const REVOKE: &str = "/oauth2/revoke";
    pub const INTROSPECT: &str = "/oauth2/introspect";
    pub const USERINFO: &str = "/userinfo";
    pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
}

/// Largest body of a request here; an assertion or a pushed request has a few kilobytes.
const MOST_BODY: usize = 64 * 1024;

/// What becomes of a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// It stays.
    Never,
    /// A new one takes its place, and a second use of it ends the session.
    Strictly,
    /// As `Strictly`, but it stays good until the pair that replaced it is first used: a lost reply ends no session.
    WithGrace,
}

/// What can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lifetime of access and ID tokens.
    pub access_token_lifetime: Duration,
    /// Lifetime of refresh tokens.
    pub refresh_token_lifetime: Duration,
    /// A session ends so long after its sign-in, refreshed or not.
    pub session_lifetime: Duration,
    /// What becomes of a refresh token that was used.
    pub rotate: Rotate,
    /// Lifetime of authorization codes and of a sign-in page.
    pub code_lifetime: Duration,
    /// Lifetime of device codes.
    pub device_code_lifetime: Duration,
    /// Least time between polls of a device.
    pub device_interval: Duration,
    /// Whether it is an OpenID Provider too: ID tokens, user info, OpenID Connect Discovery.
    pub openid: bool,
}

/// The authorization server.
pub struct AuthorizationServer {
    /// What was set.
    pub settings: Settings,
    /// What it is called from outside.
    pub sites: Sites,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
    /// Who can sign in.
    pub people: People,
    /// Checks the clients' secrets.
    pub secrets: Arc<Secrets>,
    /// What signs.
    pub keys: Arc<Keys>,
    /// What is remembered.
    pub state: Arc<dyn State>,
    /// The trail of what was granted and refused; the sandbox has none.
    pub audit: Option<Audit>,
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

    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Writes an event that must not be lost: it is on disk when this returns.
    async fn note(&self, kind: EventKind, outcome: Outcome, about: About<'_>, detail: &str) {
        if let Some(audit) = &self.audit {
            audit.now(about.event(self.now(), kind, outcome, detail)).await;
        }
    }

    /// Writes a grant, together with others.
    async fn note_grant(&self, about: About<'_>, detail: &str) {
        if let Some(audit) = &self.audit {
            audit.grant(about.event(self.now(), EventKind::Grant, Outcome::Success, detail)).await;
        }
    }

    /// The endpoints, except the RFC 8414 document, whose form depends on the generation of Flyte.
    pub fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::new()
            .route(paths::AUTHORIZE, get(authorize::get).post(authorize::post))
            .route(paths::CONSENT, get(authorize::consent).post(authorize::decision))
            .route(paths::TOKEN, post(token::post))
            .route(paths::PAR, post(authorize::push))
            .route(paths::DEVICE_AUTHORIZATION, post(device::authorization))
            .route(paths::DEVICE, get(device::page).post(device::enter))
            .route(paths::DEVICE_DECISION, post(device::decision))
            .route(paths::JWKS, get(metadata::jwks))
            .route(paths::REVOKE, post(inspect::revoke))
            .route(paths::INTROSPECT, post(inspect::introspect));
        if self.settings.openid {
            router = router
                .route(paths::USERINFO, get(userinfo::answer).post(userinfo::answer))
                .route(paths::OPENID_CONFIGURATION, get(metadata::openid_configuration));
        }
        router.layer(DefaultBodyLimit::max(MOST_BODY)).with_state(Arc::clone(self))
    }
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy, Default)]
struct About<'a> {
    client_id: Option<&'a str>,
    subject: Option<&'a str>,
    session: Option<&'a str>,
}

impl<'a> About<'a> {
    fn client(id: &'a str) -> Self {
        Self { client_id: Some(id), ..Self::default() }
    }

    fn grant(grant: &'a crate::state::Grant) -> Self {
        Self { client_id: Some(&grant.client_id), subject: grant.subject.as_deref(), session: Some(&grant.session) }
    }

    fn event(self, now: Timestamp, kind: EventKind, outcome: Outcome, detail: &str) -> Event {
        Event {
            at: now.as_millis(),
            kind,
            outcome,
            client_id: self.client_id.map(str::to_owned),
            subject: self.subject.map(str::to_owned),
            session: self.session.map(str::to_owned),
            peer: crate::peer::current(),
            detail: detail.to_owned(),
        }
    }
}

/// A store that fails is the server's fault, not the caller's.
fn store_failed(error: flyte_auth::Error) -> OAuthError {
    tracing::error!(%error, "the store failed");
    OAuthError::server_error("the server could not save its state")
}

/// JSON that no cache may keep (RFC 6749 section 5.1).
fn json_no_store(value: &Value) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    (headers, value.to_string()).into_response()
}
