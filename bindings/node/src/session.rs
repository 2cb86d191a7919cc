//! The session and its tokens.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flyte_auth::config::{Overrides, ProxyUrl, Setting, Spelling};
use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth::{Error, Result, Timestamp, session};
use flyte_auth_cli::asked::Person;
use flyte_auth_cli::{host, person};
use napi::Env;
use napi::bindgen_prelude::{Function, Object};
use napi_derive::napi;
use serde_json::Value;

use crate::call::{Cancel, call, call_blocking};
use crate::error::{members, raise};
use crate::login::{self, LoginOptions, LoginOutcome, LoginRun, PendingLogin};

/// Milliseconds since the epoch, as JavaScript has them.
#[expect(clippy::cast_precision_loss, reason = "exact for 280,000 years")]
pub(crate) fn millis(at: Timestamp) -> f64 {
    at.as_millis() as f64
}

/// An access token, ready for a call.
#[napi]
pub struct Token {
    pub(crate) inner: session::Token,
}

#[napi]
impl Token {
    /// The token itself: a secret.
    #[napi(getter)]
    pub fn value(&self) -> &str {
        self.inner.expose() // EXPOSE: the caller asked for it by name.
    }

    /// The header that takes it, in lower case.
    #[napi(getter)]
    pub fn header_name(&self) -> &str {
        self.inner.header_name()
    }

    /// The header's value: `Bearer` and the token: a secret.
    #[napi(getter)]
    pub fn header_value(&self) -> String {
        self.inner.header_value()
    }

    /// When it expires: milliseconds since the epoch; null if nobody knows.
    #[napi(getter)]
    pub fn expires_at(&self) -> Option<f64> {
        self.inner.expires_at().map(millis)
    }

    /// Whether both are the same token.
    #[napi]
    pub fn equals(&self, other: &Token) -> bool {
        self.inner == other.inner
    }
}

/// The token that JavaScript was shown last, and its number: another token has another number.
#[derive(Default)]
struct Numbered(RefCell<(Option<session::Token>, u32)>);

impl Numbered {
    /// The number of this token; 0 for none.
    #[inline]
    fn of(&self, token: Option<session::Token>) -> u32 {
        let Some(token) = token else { return 0 };
        let mut last = self.0.borrow_mut();
        if last.0.as_ref() != Some(&token) {
            last.1 = last.1.wrapping_add(1).max(1);
            last.0 = Some(token);
        }
        last.1
    }
}

/// What a session is made from; everything else comes from files and environment.
#[napi(object, object_to_js = false)]
pub struct SessionOptions {
    pub config: Option<String>,
    pub endpoint: Option<String>,
    pub profile: Option<String>,
    pub account: Option<String>,
    pub store: Option<String>,
    pub interactive: Option<String>,
    pub insecure: Option<bool>,
    pub insecure_skip_verify: Option<bool>,
    pub ca_cert: Option<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub http_proxy_url: Option<String>,
    pub auth_type: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    pub issuer: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub audience: Option<String>,
    pub extra_params: Option<HashMap<String, String>>,
}

impl From<SessionOptions> for Overrides {
    fn from(options: SessionOptions) -> Self {
        Self {
            config: options.config.map(PathBuf::from),
            endpoint: options.endpoint,
            profile: options.profile,
            account: options.account,
            store: options.store,
            interactive: options.interactive,
            insecure: options.insecure,
            insecure_skip_verify: options.insecure_skip_verify,
            ca_cert: options.ca_cert.map(PathBuf::from),
            client_cert: options.client_cert.map(PathBuf::from),
            client_key: options.client_key.map(PathBuf::from),
            http_proxy_url: options.http_proxy_url.map(ProxyUrl::new),
            auth_type: options.auth_type,
            client_id: options.client_id,
            client_secret: options.client_secret.map(ClientSecret::new),
            issuer: options.issuer,
            scopes: options.scopes,
            audience: options.audience,
            extra_params: options.extra_params.unwrap_or_default().into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Where a session's endpoint is, and how it is spoken to. `httpProxyUrl` may hold a password.
#[napi(object, object_from_js = false)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Roots that are trusted besides the platform's: a PEM file, or a folder of them.
    pub ca_cert: Option<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub insecure_skip_verify: bool,
    pub http_proxy_url: Option<String>,
}

/// What a logout did.
#[napi(object, object_from_js = false)]
pub struct LogoutOutcome {
    pub was_signed_in: bool,
    pub revoked: Option<bool>,
    pub copies_removed: Vec<String>,
    /// A failure as JSON: why the revocation failed.
    pub problem: Option<String>,
}

/// A function that gives the number of the token in memory that needs no refresh, 0 if there is none. A function and not a
/// method: napi takes 200 ns to find what a method is called on, 30 for what a function closes over.
pub(crate) fn probe(
    env: &Env,
    fresh: impl Fn() -> Option<session::Token> + 'static,
) -> napi::Result<Function<'_, (), u32>> {
    let shown = Numbered::default();
    env.create_function_from_closure("freshness", move |_| Ok(shown.of(fresh())))
}

/// One endpoint, one credential, one store.
#[napi]
pub struct Session {
    inner: session::Session,
    /// Who asks, for a person's prompt.
    program: String,
    closed: Arc<AtomicBool>,
}

impl Session {
    fn open(&self) -> Result<session::Session> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(host::closed());
        }
        Ok(self.inner.clone())
    }

    #[inline]
    fn in_memory(&self) -> Option<session::Token> {
        if self.closed.load(Ordering::Relaxed) { None } else { self.inner.fresh() }
    }
}

#[napi]
impl Session {
    /// Touches no network. `program`: who asks, for a prompt.
    #[napi(constructor)]
    pub fn new(options: SessionOptions, program: String) -> napi::Result<Self> {
        let inner = host::session(options.into(), Spelling::CamelCase).map_err(raise)?;
        Ok(Self { inner, program, closed: Arc::default() })
    }

    /// The endpoint (or the issuer) as a person names it.
    #[napi(getter)]
    pub fn endpoint(&self) -> &str {
        self.inner.place()
    }

    /// Scheme, host and port of the endpoint; null for a session with an issuer alone.
    #[napi(getter)]
    pub fn origin(&self) -> Option<String> {
        let endpoint = &self.inner.config().endpoint.as_ref()?.value;
        let scheme = if endpoint.tls() { "https" } else { "http" };
        Some(format!("{scheme}://{}", endpoint.authority()))
    }

    /// What a channel to the endpoint needs; null for a session with an issuer alone.
    #[napi(getter)]
    pub fn target(&self) -> Option<Target> {
        let config = self.inner.config();
        let endpoint = &config.endpoint.as_ref()?.value;
        let network = &config.network;
        let path = |setting: &Option<Setting<PathBuf>>| setting.as_ref().map(|path| path.value.display().to_string());
        Some(Target {
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            tls: endpoint.tls(),
            ca_cert: path(&network.ca_cert),
            client_cert: path(&network.client_cert),
            client_key: path(&network.client_key),
            insecure_skip_verify: network.insecure_skip_verify.as_ref().is_some_and(|set| set.value),
            // EXPOSE: for the channel that goes through it.
            http_proxy_url: network.http_proxy_url.as_ref().map(|url| url.value.expose().to_owned()),
        })
    }

    /// What is unwise in the configuration, one line each.
    #[napi(getter)]
    pub fn warnings(&self) -> Vec<String> {
        self.inner.config().warnings.clone()
    }

    /// A function that gives the number of the token in memory that needs no refresh; 0 if there is none. Another token
    /// has another number.
    #[napi(getter, ts_return_type = "() => number")]
    pub fn freshness<'env>(&self, env: &'env Env) -> napi::Result<Function<'env, (), u32>> {
        let (session, closed) = (self.inner.clone(), Arc::clone(&self.closed));
        probe(env, move || if closed.load(Ordering::Relaxed) { None } else { session.fresh() })
    }

    /// The token in memory that needs no refresh; null if there is none.
    #[napi]
    pub fn fresh(&self) -> Option<Token> {
        self.in_memory().map(|inner| Token { inner })
    }

    /// A token for the next call; null if the endpoint has no auth. `optedIn`: whoever calls chose that a person may be
    /// asked.
    #[napi(ts_return_type = "Promise<Token | null>")]
    pub fn token<'env>(&self, env: &'env Env, opted_in: bool, cancel: Option<&Cancel>) -> napi::Result<Object<'env>> {
        let session = self.open().map_err(raise)?;
        let program = self.program.clone();
        let work = async move { person::token(&session, &program, opted_in).await };
        call(env, cancel, work, |token| Ok(token.map(|inner| Token { inner })))
    }

    /// The server rejected this token (401, gRPC 16); without one the current one is meant.
    #[napi]
    pub fn invalidate(&self, token: Option<&Token>) {
        self.inner.invalidate(token.map(|token| &token.inner));
    }

    /// What is known without the network: JSON.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn status<'env>(&self, env: &'env Env, cancel: Option<&Cancel>) -> napi::Result<Object<'env>> {
        let session = self.open().map_err(raise)?;
        call_blocking(env, cancel, move || session.status(), |status| json(serde_json::to_value(status)))
    }

    /// The identity as the server sees it: JSON.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn whoami<'env>(&self, env: &'env Env, cancel: Option<&Cancel>) -> napi::Result<Object<'env>> {
        let session = self.open().map_err(raise)?;
        call(env, cancel, async move { session.whoami().await }, |who| json(serde_json::to_value(who)))
    }

    /// Ends the session on this machine.
    #[napi(ts_return_type = "Promise<LogoutOutcome>")]
    pub fn logout<'env>(&self, env: &'env Env, revoke: bool, cancel: Option<&Cancel>) -> napi::Result<Object<'env>> {
        let session = self.open().map_err(raise)?;
        call(env, cancel, async move { session.logout(revoke).await }, |outcome| {
            Ok(LogoutOutcome {
                was_signed_in: outcome.was_signed_in,
                revoked: outcome.revocation.as_ref().map(std::result::Result::is_ok),
                copies_removed: outcome.copies_removed.into_iter().map(|copy| copy.to_string()).collect(),
                problem: outcome.revocation.and_then(std::result::Result::err).map(|error| members(&error).to_string()),
            })
        })
    }

    /// Begins a login; null if the endpoint has no auth.
    #[napi(ts_return_type = "Promise<PendingLogin | null>")]
    pub fn begin_login<'env>(
        &self,
        env: &'env Env,
        options: LoginOptions,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let session = self.open().map_err(raise)?;
        let options = login::options(&options, false).map_err(raise)?;
        let work = async move { session.begin_login(&options).await };
        call(env, cancel, work, |pending| Ok(pending.map(PendingLogin::new)))
    }

    /// Signs in the person at this machine's terminal.
    #[napi(ts_return_type = "Promise<LoginOutcome>")]
    pub fn login<'env>(
        &self,
        env: &'env Env,
        options: LoginOptions,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let session = self.open().map_err(raise)?;
        let login = login::terminal(&options).map_err(raise)?;
        call(env, cancel, async move { person::sign_in(&session, login).await }, |outcome| {
            Ok(LoginOutcome::from(outcome))
        })
    }

    /// Signs in a person whom JavaScript shows everything.
    #[napi]
    pub fn run_login(&self, options: LoginOptions, opens_browser: bool, pastes: bool) -> napi::Result<LoginRun> {
        let session = self.open().map_err(raise)?;
        let options = login::options(&options, opens_browser).map_err(raise)?;
        let (person, asks) = Person::new(&options, opens_browser, pastes);
        LoginRun::start(session, options, person, asks).map_err(raise)
    }

    /// Ends the use of this session; what is stored stays, and so do refreshes under way.
    #[napi]
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

fn json(value: serde_json::Result<Value>) -> napi::Result<String> {
    let value = value.map_err(|cause| raise(Error::internal("an answer that cannot be shown").with_source(cause)))?;
    Ok(value.to_string())
}
