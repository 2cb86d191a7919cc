//! The session and its tokens.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flyte_auth::config::{Overrides, ProxyUrl, Setting};
use flyte_auth::{Timestamp, session};
use flyte_auth_cli::{host, person};

use crate::call::call;
use crate::error::FlyteAuthError;
use crate::language::spelling;
use crate::login::{self, LoginOptions, LoginOutcome, LoginPrompt, PendingLogin};
use crate::secret::Secret;

type Result<T> = std::result::Result<T, FlyteAuthError>;

/// A time as UniFFI has it; nothing before 1970 is a token's.
pub(crate) fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or_default())
}

/// An access token, ready for a call. Printing it shows no secret.
#[derive(uniffi::Object)]
pub struct Token {
    inner: session::Token,
}

#[uniffi::export]
impl Token {
    /// The token itself: a secret.
    pub fn value(&self) -> String {
        self.inner.expose().to_owned() // EXPOSE: the caller asked for it by name.
    }

    /// The header that takes it, in lower case: the server's `authorization_metadata_key` (Flyte's
    /// `AuthMetadataService`), else `authorization`.
    pub fn header_name(&self) -> String {
        self.inner.header_name().to_owned()
    }

    /// The header's value: `Bearer` and the token: a secret.
    pub fn header_value(&self) -> String {
        self.inner.header_value()
    }

    /// When it expires; none if nobody knows.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.inner.expires_at().map(time)
    }

    /// Whether both are the same token.
    pub fn is_same(&self, other: &Token) -> bool {
        self.inner == other.inner
    }
}

/// What a session is made from; everything else comes from files and environment.
#[derive(uniffi::Record)]
pub struct SessionOptions {
    /// A configuration file.
    #[uniffi(default = None)]
    pub config: Option<String>,
    #[uniffi(default = None)]
    pub endpoint: Option<String>,
    #[uniffi(default = None)]
    pub profile: Option<String>,
    #[uniffi(default = None)]
    pub account: Option<String>,
    #[uniffi(default = None)]
    pub store: Option<String>,
    #[uniffi(default = None)]
    pub interactive: Option<String>,
    #[uniffi(default = None)]
    pub insecure: Option<bool>,
    #[uniffi(default = None)]
    pub insecure_skip_verify: Option<bool>,
    #[uniffi(default = None)]
    pub ca_cert: Option<String>,
    #[uniffi(default = None)]
    pub client_cert: Option<String>,
    #[uniffi(default = None)]
    pub client_key: Option<String>,
    /// May hold a password.
    #[uniffi(default = None)]
    pub http_proxy_url: Option<Arc<Secret>>,
    #[uniffi(default = None)]
    pub auth_type: Option<String>,
    #[uniffi(default = None)]
    pub client_id: Option<String>,
    #[uniffi(default = None)]
    pub client_secret: Option<Arc<Secret>>,
    #[uniffi(default = None)]
    pub issuer: Option<String>,
    #[uniffi(default = None)]
    pub scopes: Option<Vec<String>>,
    #[uniffi(default = None)]
    pub audience: Option<String>,
    #[uniffi(default = None)]
    pub extra_params: Option<HashMap<String, String>>,
    /// Given by a Flyte client that read files of its own: `Overrides::from_client`.
    #[uniffi(default = false)]
    pub from_client: bool,
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
            http_proxy_url: options.http_proxy_url.map(|url| ProxyUrl::new(url.reveal())),
            auth_type: options.auth_type,
            client_id: options.client_id,
            client_secret: options.client_secret.map(|secret| secret.client_secret()),
            issuer: options.issuer,
            scopes: options.scopes,
            audience: options.audience,
            extra_params: options.extra_params.unwrap_or_default().into_iter().collect(),
            from_client: options.from_client,
        }
    }
}

/// Where a session's endpoint is, and how it is spoken to.
#[derive(uniffi::Record)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Roots that are trusted besides the platform's: a PEM file, or a folder of them.
    pub ca_cert: Option<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub insecure_skip_verify: bool,
    /// May hold a password.
    pub http_proxy_url: Option<Arc<Secret>>,
}

/// What is known of a session without the network. Times are RFC 3339, UTC.
#[derive(uniffi::Record)]
pub struct SessionStatus {
    /// The endpoint, or the issuer.
    pub endpoint: String,
    /// `1`, `2` or `none`; absent if it was never asked.
    pub generation: Option<String>,
    /// The configured auth type, as our own name.
    pub auth_type: String,
    pub issuer: Option<String>,
    pub client_id: Option<String>,
    /// `sub` of the ID token, where there was one.
    pub subject: Option<String>,
    pub email: Option<String>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Whether a token can be had now without asking anybody.
    pub signed_in: bool,
    /// Where the token that would be used comes from.
    pub token_source: String,
    pub access_token_expires_at: Option<String>,
    pub has_refresh_token: bool,
    /// When the refresh token expires, if the server told.
    pub session_expires_at: Option<String>,
    /// Token store in use.
    pub store: String,
    /// Why this store.
    pub store_reason: String,
    /// Where it keeps records.
    pub store_location: Option<String>,
    pub profile: Option<String>,
    pub account: Option<String>,
    /// Configuration file in use.
    pub config_file: Option<String>,
}

impl From<session::status::Status> for SessionStatus {
    fn from(status: session::status::Status) -> Self {
        Self {
            endpoint: status.endpoint,
            generation: status.generation.map(str::to_owned),
            auth_type: status.auth_type.to_owned(),
            issuer: status.issuer,
            client_id: status.client_id,
            subject: status.subject,
            email: status.email,
            scopes: status.scopes,
            signed_in: status.signed_in,
            token_source: status.token_source.to_owned(),
            access_token_expires_at: status.access_token_expires_at,
            has_refresh_token: status.has_refresh_token,
            session_expires_at: status.session_expires_at,
            store: status.store.to_owned(),
            store_reason: status.store_reason,
            store_location: status.store_location,
            profile: status.profile,
            account: status.account,
            config_file: status.config_file,
        }
    }
}

/// The identity behind a token, as the server sees it; what it left out is absent.
#[derive(uniffi::Record)]
pub struct UserInfo {
    /// `sub`.
    pub subject: Option<String>,
    /// Full name.
    pub name: Option<String>,
    pub email: Option<String>,
    /// Name for display and login; not unique.
    pub preferred_username: Option<String>,
}

/// What a logout did.
#[derive(uniffi::Record)]
pub struct LogoutOutcome {
    pub was_signed_in: bool,
    /// Whether the server took the tokens back; absent if it was not asked.
    pub revoked: Option<bool>,
    /// Copies of our token that other clients had stored.
    pub copies_removed: Vec<String>,
    /// Why the revocation failed.
    pub problem: Option<FlyteAuthError>,
}

/// The token that the language was shown last, and its number: another token has another number.
#[derive(Default)]
struct Numbered(Mutex<(Option<session::Token>, u32)>);

impl Numbered {
    /// The number of this token; 0 for none.
    fn of(&self, token: Option<&session::Token>) -> u32 {
        let Some(token) = token else { return 0 };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.as_ref() != Some(token) {
            last.1 = last.1.wrapping_add(1).max(1);
            last.0 = Some(token.clone());
        }
        last.1
    }
}

/// One endpoint, one credential, one store.
#[derive(uniffi::Object)]
pub struct Session {
    /// None once it is closed: garbage collectors come late, and what a session holds is large.
    inner: RwLock<Option<session::Session>>,
    place: String,
    /// Who asks, for a person's prompt.
    program: String,
    shown: Numbered,
}

impl Session {
    fn open(&self) -> Result<session::Session> {
        self.read(session::Session::clone).ok_or_else(|| host::closed().into())
    }

    /// What `look` sees; none once it is closed.
    fn read<T>(&self, look: impl FnOnce(&session::Session) -> T) -> Option<T> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    fn in_memory(&self) -> Option<session::Token> {
        self.read(session::Session::fresh).flatten()
    }
}

#[uniffi::export]
impl Session {
    /// Touches no network. `program`: who asks, for a prompt.
    #[uniffi::constructor]
    pub fn new(options: SessionOptions, program: String) -> Result<Arc<Self>> {
        let inner = host::session(options.into(), spelling())?;
        let place = inner.place().to_owned();
        Ok(Arc::new(Self { inner: RwLock::new(Some(inner)), place, program, shown: Numbered::default() }))
    }

    /// The endpoint (or the issuer) as a person names it.
    pub fn endpoint(&self) -> String {
        self.place.clone()
    }

    /// Scheme, host and port of the endpoint; none for a session with an issuer alone.
    pub fn origin(&self) -> Result<Option<String>> {
        Ok(self.open()?.config().endpoint.as_ref().map(|endpoint| {
            let scheme = if endpoint.value.tls() { "https" } else { "http" };
            format!("{scheme}://{}", endpoint.value.authority())
        }))
    }

    /// What a channel to the endpoint needs; none for a session with an issuer alone.
    pub fn target(&self) -> Result<Option<Target>> {
        let session = self.open()?;
        let config = session.config();
        let Some(Setting { value: endpoint, .. }) = &config.endpoint else { return Ok(None) };
        let network = &config.network;
        let path = |setting: &Option<Setting<PathBuf>>| setting.as_ref().map(|path| path.value.display().to_string());
        Ok(Some(Target {
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            tls: endpoint.tls(),
            ca_cert: path(&network.ca_cert),
            client_cert: path(&network.client_cert),
            client_key: path(&network.client_key),
            insecure_skip_verify: network.insecure_skip_verify.as_ref().is_some_and(|set| set.value),
            // EXPOSE: for the channel that goes through it.
            http_proxy_url: network.http_proxy_url.as_ref().map(|url| Secret::new(url.value.expose().to_owned())),
        }))
    }

    /// What is unwise in the configuration, one line each.
    pub fn warnings(&self) -> Result<Vec<String>> {
        Ok(self.open()?.config().warnings.clone())
    }

    /// The number of the token in memory that needs no refresh; 0 if there is none. Another token has another number, so
    /// that the language can keep what it made of the last one.
    pub fn freshness(&self) -> u32 {
        self.shown.of(self.in_memory().as_ref())
    }

    /// The token in memory that needs no refresh; none if there is none.
    pub fn fresh(&self) -> Option<Arc<Token>> {
        self.in_memory().map(|inner| Arc::new(Token { inner }))
    }

    /// A token for the next call; none if the endpoint has no auth. `opted_in`: whoever calls chose that a person may be
    /// asked.
    pub async fn token(&self, opted_in: bool) -> Result<Option<Arc<Token>>> {
        let session = self.open()?;
        let program = self.program.clone();
        let token = call(async move { person::token(&session, &program, opted_in).await }).await?;
        Ok(token.map(|inner| Arc::new(Token { inner })))
    }

    /// The server rejected this token (401, gRPC 16); without one the current one is meant.
    pub fn invalidate(&self, token: Option<Arc<Token>>) {
        self.read(|session| session.invalidate(token.as_ref().map(|token| &token.inner)));
    }

    /// What is known without the network.
    pub async fn status(&self) -> Result<SessionStatus> {
        let session = self.open()?;
        call(host::blocking(move || session.status())).await.map(SessionStatus::from)
    }

    /// The identity as the server sees it.
    pub async fn whoami(&self) -> Result<UserInfo> {
        let session = self.open()?;
        let who = call(async move { session.whoami().await }).await?;
        let (subject, name, email, preferred_username) = (who.subject, who.name, who.email, who.preferred_username);
        Ok(UserInfo { subject, name, email, preferred_username })
    }

    /// Ends the session on this machine; `revoke`: at the server too.
    pub async fn logout(&self, revoke: bool) -> Result<LogoutOutcome> {
        let session = self.open()?;
        let outcome = call(async move { session.logout(revoke).await }).await?;
        Ok(LogoutOutcome {
            was_signed_in: outcome.was_signed_in,
            revoked: outcome.revocation.as_ref().map(std::result::Result::is_ok),
            copies_removed: outcome.copies_removed.into_iter().map(|copy| copy.to_string()).collect(),
            problem: outcome.revocation.and_then(std::result::Result::err).map(FlyteAuthError::from),
        })
    }

    /// Begins a login; none if the endpoint has no auth.
    pub async fn begin_login(&self, options: LoginOptions) -> Result<Option<Arc<PendingLogin>>> {
        let session = self.open()?;
        let options = login::options(&options, false)?;
        let pending = call(async move { session.begin_login(&options).await }).await?;
        Ok(pending.map(|pending| Arc::new(PendingLogin::new(pending))))
    }

    /// Signs in the person at this machine's terminal.
    pub async fn login(&self, options: LoginOptions) -> Result<LoginOutcome> {
        let session = self.open()?;
        let login = login::terminal(&options)?;
        call(async move { person::sign_in(&session, login).await }).await.map(LoginOutcome::from)
    }

    /// Signs in a person whom `prompt` shows everything. `opens_browser`: it opens the browser; `pastes`: it can give a
    /// pasted line.
    pub async fn login_with(
        &self,
        options: LoginOptions,
        prompt: Arc<dyn LoginPrompt>,
        opens_browser: bool,
        pastes: bool,
    ) -> Result<LoginOutcome> {
        let session = self.open()?;
        let options = login::options(&options, opens_browser)?;
        call(login::prompted(session, options, prompt, opens_browser, pastes)).await.map(LoginOutcome::from)
    }

    /// Ends the use of this session; what is stored stays, and so do refreshes under way.
    pub fn close_session(&self) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}
