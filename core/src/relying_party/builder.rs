//! What a relying party is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::provider::Provider;
use super::settings::{COOKIE_NAME, IDLE_TIMEOUT, SCOPES, SESSION_LIFETIME, SameSite, Settings, Told};
use super::store::SessionStore;
use super::{Inner, RelyingParty};
use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::config::NetworkConfig;
use crate::credential::Context;
use crate::error::Result;
use crate::protocol::secret::{ClientSecret, SecretBytes};
use crate::transport::HttpTransport;
use crate::transport::reqwest::ReqwestTransport;

/// Makes a [`RelyingParty`].
#[must_use]
pub struct RelyingPartyBuilder {
    told: Told,
    store: Option<Arc<dyn SessionStore>>,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for RelyingPartyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelyingPartyBuilder")
            .field("issuer", &self.told.issuer)
            .field("client_id", &self.told.client_id)
            .field("base_url", &self.told.base_url)
            .finish_non_exhaustive()
    }
}

impl RelyingPartyBuilder {
    pub(super) fn new(issuer: String, client_id: String, base_url: String) -> Self {
        let told = Told {
            issuer,
            client_id,
            client_secret: None,
            base_url,
            cookie_keys: Vec::new(),
            paths: ["/login", "/callback", "/logout", "/me"].map(str::to_owned),
            scopes: SCOPES.map(str::to_owned).into(),
            audience: None,
            extra: Vec::new(),
            idp_parameter: None,
            cookie_name: COOKIE_NAME.to_owned(),
            cookie_domain: None,
            same_site: SameSite::default(),
            return_origins: Vec::new(),
            trusted_origins: Vec::new(),
            home: None,
            post_logout_redirect: None,
            session_lifetime: SESSION_LIFETIME,
            idle_timeout: IDLE_TIMEOUT,
            user_info: true,
            revoke_on_logout: true,
            provider_logout: true,
            header_name: "authorization".to_owned(),
            plaintext: false,
        };
        Self { told, store: None, transport: None, clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }

    /// The secret of a confidential client; without one it is a public client, which PKCE alone protects.
    pub fn client_secret(mut self, secret: ClientSecret) -> Self {
        self.told.client_secret = Some(secret);
        self
    }

    /// A secret that cookies are sealed with, of at least 32 bytes; call it again for another one. The first seals, all
    /// open.
    pub fn cookie_key(mut self, key: impl Into<SecretBytes>) -> Self {
        self.told.cookie_keys.push(key.into());
        self
    }

    /// Path of the route that begins a sign-in, below the base URL's path: `/login` unless said.
    pub fn login_path(mut self, path: impl Into<String>) -> Self {
        self.told.paths[0] = path.into();
        self
    }

    /// Path of the route that takes the provider's answer: `/callback` unless said.
    pub fn callback_path(mut self, path: impl Into<String>) -> Self {
        self.told.paths[1] = path.into();
        self
    }

    /// Path of the route that ends the session: `/logout` unless said.
    pub fn logout_path(mut self, path: impl Into<String>) -> Self {
        self.told.paths[2] = path.into();
        self
    }

    /// Path of the route that says who is signed in: `/me` unless said.
    pub fn me_path(mut self, path: impl Into<String>) -> Self {
        self.told.paths[3] = path.into();
        self
    }

    /// The scopes that are asked for; `openid` must be one of them.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.told.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// `audience`: which service the access token is for, where the provider wants to be told.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.told.audience = Some(audience.into());
        self
    }

    /// A further parameter of the authorization request; call it again for another one.
    pub fn extra_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.told.extra.push((name.into(), value.into()));
        self
    }

    /// A query parameter of the login route that is passed on to the provider (flyteadmin's `idpQueryParameter`).
    pub fn idp_query_parameter(mut self, name: impl Into<String>) -> Self {
        self.told.idp_parameter = Some(name.into());
        self
    }

    /// The session cookie's name, without the prefix `__Host-` or `__Secure-` that it gets where there is TLS. Two
    /// applications at one host need two names.
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.told.cookie_name = name.into();
        self
    }

    /// Shares the session cookie with every host below this domain. Unless said it stays with this host alone.
    pub fn cookie_domain(mut self, domain: impl Into<String>) -> Self {
        self.told.cookie_domain = Some(domain.into());
        self
    }

    /// `SameSite` of the session cookie: `Lax` unless said.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.told.same_site = same_site;
        self
    }

    /// A further origin that `return_to` may name; call it again for another one.
    pub fn return_origin(mut self, origin: impl Into<String>) -> Self {
        self.told.return_origins.push(origin.into());
        self
    }

    /// A further origin whose pages may send requests that change something; call it again for another one.
    pub fn trusted_origin(mut self, origin: impl Into<String>) -> Self {
        self.told.trusted_origins.push(origin.into());
        self
    }

    /// Where the browser goes after a sign-in or sign-out that names no place: the base URL's path unless said.
    pub fn home(mut self, address: impl Into<String>) -> Self {
        self.told.home = Some(address.into());
        self
    }

    /// Where the provider sends the browser after its own sign-out; registered there.
    pub fn post_logout_redirect(mut self, address: impl Into<String>) -> Self {
        self.told.post_logout_redirect = Some(address.into());
        self
    }

    /// A session ends so long after its sign-in: 7 days unless said.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.told.session_lifetime = lifetime;
        self
    }

    /// A session that is not used for so long ends: a day unless said. Exact to a tenth of it, at most a quarter of an
    /// hour.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.told.idle_timeout = timeout;
        self
    }

    /// Whether the user info endpoint is asked at a sign-in, where there is one: it is unless said.
    pub fn user_info(mut self, asked: bool) -> Self {
        self.told.user_info = asked;
        self
    }

    /// Whether a sign-out revokes the refresh token (RFC 7009): it does unless said.
    pub fn revoke_on_logout(mut self, revoked: bool) -> Self {
        self.told.revoke_on_logout = revoked;
        self
    }

    /// Whether a sign-out ends the provider's own session too: it does unless said.
    pub fn provider_logout(mut self, ended: bool) -> Self {
        self.told.provider_logout = ended;
        self
    }

    /// The header that takes the access token in calls to Flyte: `authorization` unless said.
    pub fn header_name(mut self, name: impl Into<String>) -> Self {
        self.told.header_name = name.into();
        self
    }

    /// Accepts addresses without TLS beyond this machine. Cookies and tokens then go where anybody on the way reads them.
    pub fn plaintext(mut self, accepted: bool) -> Self {
        self.told.plaintext = accepted;
        self
    }

    /// Keeps sessions in `store` in place of the cookie, which then has an id only.
    pub fn store(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Carries the calls to the provider; unless said, the one client factory with the environment's proxies.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The time; unless said, the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Randomness; unless said, the operating system's.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The relying party. Connects to nothing yet.
    ///
    /// # Errors
    /// Kind `Config`, with the setting that is wrong.
    pub fn build(self) -> Result<RelyingParty> {
        let settings = Settings::check(self.told)?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&NetworkConfig::default())?),
        };
        let context = Context { transport, clock: self.clock, entropy: self.entropy };
        let provider = Arc::new(Provider::new(&settings, context.clone())?);
        let inner = Inner {
            settings: Arc::new(settings),
            provider,
            context,
            store: self.store,
            registry: super::live::Registry::default(),
        };
        Ok(RelyingParty { inner: Arc::new(inner) })
    }
}
