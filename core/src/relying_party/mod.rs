//! An OpenID Connect relying party for web applications: signs people in at a provider, keeps them signed in, signs them
//! out, and guards what they ask for.
//!
//! [`RelyingParty::handle`] takes one request and gives the answer of the routes `/login`, `/callback`, `/logout` and
//! `/me`, or who is signed in. It knows no server and no language: the Node middleware and `flyte-auth serve` use it
//! alike.
//!
//! **A session** is the provider's tokens and claims, sealed ([`SHORTEST_KEY`]) into the browser's cookie, or kept in a
//! [`SessionStore`] with only a sealed id in the cookie. It ends by its age, by idleness, when the provider refuses to
//! renew its tokens, with the access token where there is no refresh token, and at sign-out. Each sign-in makes a new
//! one.
//!
//! **One process.** Sessions in cookies are told apart by what this process remembers: which tokens are the newest, and
//! who signed out. Several processes need a shared store, or a balancer that keeps a browser at one of them: else the
//! second would renew with a refresh token that the first has used up, and a signed-out cookie would live on there.

mod bounded;
mod builder;
mod cookies;
mod data;
mod handle;
mod live;
mod look;
mod page;
mod provider;
mod renew;
mod return_to;
mod seal;
mod settings;
mod sign_in;
mod sign_out;
mod signed_in;
mod site;
mod store;
#[cfg(test)]
mod tests;
mod transaction;
mod web;

use std::fmt;
use std::sync::Arc;

pub use builder::RelyingPartyBuilder;
pub use data::User;
pub use handle::{Guard, Handled};
pub use seal::SHORTEST_KEY;
pub use settings::{COOKIE_NAME, IDLE_TIMEOUT, Paths, SCOPES, SESSION_LIFETIME, SameSite};
pub use signed_in::SignedIn;
pub use store::{KEPT_IN_MEMORY, MemorySessions, SessionStore};
pub use web::{HEADERS, MAX_BODY, Request, Response};

use crate::credential::Context;
use live::Registry;
use provider::Provider;
use settings::Settings;

/// Signs people in. Cheap to clone; made by [`RelyingParty::builder`].
///
/// ```no_run
/// # async fn example(request: flyte_auth::relying_party::Request) -> flyte_auth::Result<()> {
/// use flyte_auth::protocol::secret::ClientSecret;
/// use flyte_auth::relying_party::{Guard, RelyingParty};
///
/// let relying_party = RelyingParty::builder("https://idp.example", "console", "https://console.example")
///     .client_secret(ClientSecret::new(std::env::var("CLIENT_SECRET").unwrap_or_default()))
///     .cookie_key(std::env::var("COOKIE_KEY").unwrap_or_default())
///     .build()?;
/// let handled = relying_party.handle(&request, Guard::Login).await;
/// if let Some(signed_in) = &handled.signed_in {
///     println!("{} asks for {}", signed_in.user().subject(), request.target);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RelyingParty {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    provider: Arc<Provider>,
    context: Context,
    /// Where sessions are kept that are not in cookies.
    store: Option<Arc<dyn SessionStore>>,
    registry: Registry,
}

impl fmt::Debug for RelyingParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelyingParty").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl RelyingParty {
    /// A relying party of the provider `issuer` (its `iss`), known there as `client_id`. `base_url` is what browsers call
    /// the application: https, or http on this machine; it may have a path.
    pub fn builder(
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        base_url: impl Into<String>,
    ) -> RelyingPartyBuilder {
        RelyingPartyBuilder::new(issuer.into(), client_id.into(), base_url.into())
    }

    /// The paths of the four routes, with the base URL's path.
    pub fn paths(&self) -> &Paths {
        &self.inner.settings.paths
    }

    /// The redirect URI, to be registered at the provider.
    pub fn redirect_uri(&self) -> &str {
        &self.inner.settings.redirect_uri
    }
}
