//! The console side: requests in, answers out. What they mean is decided in `core/src/relying_party`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use flyte_auth::clock::SystemClock;
use flyte_auth::config::{NetworkConfig, Origin, ProxyUrl, Setting};
use flyte_auth::protocol::secret::{ClientSecret, SecretBytes};
use flyte_auth::relying_party::{self, Guard, KEPT_IN_MEMORY, MemorySessions, Request, SameSite};
use flyte_auth::transport::reqwest::ReqwestTransport;
use flyte_auth::{Error, Result};
use napi::Env;
use napi::bindgen_prelude::{Buffer, Function, Object};
use napi_derive::napi;

use crate::call::{Cancel, call};
use crate::error::{members, raise};
use crate::login::duration;
use crate::session::{Token, probe};
use crate::session_store::{JsStore, Serve};
use crate::web::{WebRequest, WebResponse, texts};

/// What a relying party is made from.
#[napi(object, object_to_js = false)]
pub struct RelyingPartyOptions {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    pub base_url: String,
    pub cookie_keys: Vec<String>,
    pub scopes: Option<Vec<String>>,
    pub audience: Option<String>,
    pub extra_params: Option<HashMap<String, String>>,
    pub login_path: Option<String>,
    pub callback_path: Option<String>,
    pub logout_path: Option<String>,
    pub me_path: Option<String>,
    pub cookie_name: Option<String>,
    pub cookie_domain: Option<String>,
    pub same_site: Option<String>,
    /// Further origins that /login and /logout may return to.
    pub return_to: Option<Vec<String>>,
    /// Further origins that may send requests that change something.
    pub trusted_origins: Option<Vec<String>>,
    /// Where a sign-in ends that names no place.
    pub home: Option<String>,
    pub post_logout_redirect: Option<String>,
    /// Milliseconds.
    pub session_lifetime: Option<f64>,
    /// Milliseconds.
    pub idle_timeout: Option<f64>,
    pub user_info: Option<bool>,
    pub revoke_on_logout: Option<bool>,
    pub provider_logout: Option<bool>,
    pub header_name: Option<String>,
    /// `cookie` or `memory`.
    pub store: Option<String>,
    pub ca_cert: Option<String>,
    pub insecure_skip_verify: Option<bool>,
    pub http_proxy_url: Option<String>,
    pub plaintext: Option<bool>,
}

impl RelyingPartyOptions {
    fn build(self, served: Option<JsStore>) -> Result<relying_party::RelyingParty> {
        fn told<T>(value: T) -> Setting<T> {
            Setting::new(value, Origin::Default)
        }
        let network = NetworkConfig {
            ca_cert: self.ca_cert.map(|path| told(PathBuf::from(path))),
            insecure_skip_verify: self.insecure_skip_verify.map(told),
            http_proxy_url: self.http_proxy_url.map(|url| told(ProxyUrl::new(url))),
            ..NetworkConfig::default()
        };
        let mut builder = relying_party::RelyingParty::builder(self.issuer, self.client_id, self.base_url)
            .transport(Arc::new(ReqwestTransport::new(&network)?))
            .plaintext(self.plaintext.unwrap_or_default());
        macro_rules! given {
            ($($option:ident => $method:ident),+ $(,)?) => {$(
                if let Some(value) = self.$option {
                    builder = builder.$method(value);
                }
            )+};
        }
        given!(
            scopes => scopes, audience => audience, login_path => login_path, callback_path => callback_path,
            logout_path => logout_path, me_path => me_path, cookie_name => cookie_name, cookie_domain => cookie_domain,
            home => home, post_logout_redirect => post_logout_redirect, user_info => user_info,
            revoke_on_logout => revoke_on_logout, provider_logout => provider_logout, header_name => header_name,
        );
        if let Some(secret) = self.client_secret {
            builder = builder.client_secret(ClientSecret::new(secret));
        }
        for key in self.cookie_keys {
            builder = builder.cookie_key(SecretBytes::from(key.into_bytes()));
        }
        for (name, value) in self.extra_params.unwrap_or_default() {
            builder = builder.extra_param(name, value);
        }
        for origin in self.return_to.unwrap_or_default() {
            builder = builder.return_origin(origin);
        }
        for origin in self.trusted_origins.unwrap_or_default() {
            builder = builder.trusted_origin(origin);
        }
        if let Some(name) = self.same_site {
            builder = builder.same_site(SameSite::named(&name)?);
        }
        if let Some(millis) = self.session_lifetime {
            builder = builder.session_lifetime(duration("sessionLifetime", millis)?);
        }
        if let Some(millis) = self.idle_timeout {
            builder = builder.idle_timeout(duration("idleTimeout", millis)?);
        }
        match (self.store.as_deref(), served) {
            (None, Some(served)) => builder = builder.store(Arc::new(served)),
            (None | Some("cookie"), _) => {}
            (Some("memory"), _) => {
                builder = builder.store(Arc::new(MemorySessions::new(Arc::new(SystemClock), KEPT_IN_MEMORY)));
            }
            (Some(other), _) => {
                return Err(Error::config("store_invalid", "store", format!("store is {other:?}"))
                    .with_next("Use cookie or memory"));
            }
        }
        builder.build()
    }
}

/// What became of a request: either `response` is to be sent as it is, or the application goes on.
#[napi(object, object_from_js = false)]
pub struct Handled {
    pub response: Option<WebResponse>,
    /// Set-Cookie values for the application's own answer.
    pub set_cookies: Vec<String>,
    /// The signed-in user's claims: JSON.
    pub user: Option<String>,
    /// The signed-in user's tokens.
    #[napi(ts_type = "UserSession")]
    pub session: Option<UserSession>,
    /// A failure as JSON, for a log.
    pub problem: Option<String>,
}

impl From<relying_party::Handled> for Handled {
    fn from(handled: relying_party::Handled) -> Self {
        let user = handled.signed_in.as_ref().map(|signed_in| signed_in.user().json().to_owned());
        Self {
            response: handled.response.map(WebResponse::from),
            set_cookies: texts(handled.set_cookies),
            user,
            session: handled.signed_in.map(|inner| UserSession { inner: Arc::new(inner) }),
            problem: handled.problem.map(|error| members(&error).to_string()),
        }
    }
}

/// Signs people in to a web application.
#[napi]
pub struct RelyingParty {
    inner: relying_party::RelyingParty,
}

#[napi]
impl RelyingParty {
    /// Touches no network. `serve`: the store of the sessions, where it is neither the cookies nor this process's memory.
    #[napi(constructor, ts_args_type = "options: RelyingPartyOptions, serve?: ((call: StoreCall) => void) | null")]
    pub fn new(options: RelyingPartyOptions, serve: Option<Serve<'_>>) -> napi::Result<Self> {
        let served = serve.map(|serve| JsStore::new(&serve)).transpose()?;
        Ok(Self { inner: options.build(served).map_err(raise)? })
    }

    /// The paths of login, callback, logout and me, with the base URL's path.
    #[napi(getter)]
    pub fn paths(&self) -> Vec<String> {
        let paths = self.inner.paths();
        [&paths.login, &paths.callback, &paths.logout, &paths.me].map(ToString::to_string).into()
    }

    /// The redirect URI, to be registered at the provider.
    #[napi(getter)]
    pub fn redirect_uri(&self) -> &str {
        self.inner.redirect_uri()
    }

    /// What needs no waiting; null means call `handle`. `guard`: `none` looks who is there, `login` lets only a signed-in
    /// user's request pass.
    #[napi]
    pub fn handle_now(&self, request: WebRequest, guard: String) -> napi::Result<Option<Handled>> {
        let guard = Guard::named(&guard).map_err(raise)?;
        match request.read() {
            Ok(request) => Ok(self.inner.handle_now(&request, guard).map(Handled::from)),
            Err(response) => Ok(Some(refused(*response))),
        }
    }

    /// As `handleNow`, whatever it takes.
    #[napi(ts_return_type = "Promise<Handled>")]
    pub fn handle<'env>(
        &self,
        env: &'env Env,
        request: WebRequest,
        guard: String,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let guard = Guard::named(&guard).map_err(raise)?;
        let party = self.inner.clone();
        let read: std::result::Result<Request, _> = request.read();
        let work = async move {
            Ok(match read {
                Ok(request) => Ok(party.handle(&request, guard).await),
                Err(response) => Err(response),
            })
        };
        call(env, cancel, work, |handled| Ok(handled.map_or_else(|response| refused(*response), Handled::from)))
    }
}

fn refused(response: WebResponse) -> Handled {
    Handled { response: Some(response), set_cookies: Vec::new(), user: None, session: None, problem: None }
}

/// The signed-in user's tokens: never interactive, never the machine's store.
#[napi]
pub struct UserSession {
    inner: Arc<relying_party::SignedIn>,
}

#[napi]
impl UserSession {
    /// As a session's.
    #[napi(getter, ts_return_type = "() => number")]
    pub fn freshness<'env>(&self, env: &'env Env) -> napi::Result<Function<'env, (), u32>> {
        let inner = Arc::clone(&self.inner);
        probe(env, move || inner.fresh())
    }

    /// The token in memory that needs no refresh; null if there is none.
    #[napi]
    pub fn fresh(&self) -> Option<Token> {
        self.inner.fresh().map(|inner| Token { inner })
    }

    /// A token for the next call.
    #[napi(ts_return_type = "Promise<Token | null>")]
    pub fn token<'env>(&self, env: &'env Env, cancel: Option<&Cancel>) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        call(env, cancel, async move { inner.token().await }, |inner| Ok(Token { inner }))
    }

    /// The server rejected this token; without one the current one is meant.
    #[napi]
    pub fn invalidate(&self, token: Option<&Token>) {
        self.inner.invalidate(token.map(|token| &token.inner));
    }

    /// Set-Cookie values that a refresh since the request makes due; taken once.
    #[napi]
    pub fn take_cookies(&self) -> Vec<String> {
        texts(self.inner.take_cookies())
    }
}

/// A body's bytes.
pub(crate) fn bytes(body: Option<Buffer>) -> Option<SecretBytes> {
    body.map(|body| SecretBytes::from(body.to_vec()))
}
