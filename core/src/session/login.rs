//! Signing a person in: two-phase (`begin_login`, `finish`), and in one call along the ladder (`login`).

use std::time::Duration;

use super::engine::{self, Asked};
use super::{Session, Source, identity};
use crate::clock::Timestamp;
use crate::credential::TokenSet;
use crate::credential::authorization_code::{
    self, BeginAuthorizationCode, Listen, LoopbackPort, PendingAuthorizationCode,
};
use crate::credential::device::{self, BeginDevice, PendingDevice, PkceOnDevice};
use crate::discovery::{Discovery, ServerAuth, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::interaction::ladder::{self, Offered, Step};
use crate::interaction::surroundings::Surroundings;
use crate::interaction::{Flow, LoginEvent, UserInteraction};
use crate::protocol::metadata::DEFAULT_REDIRECT_URI;
use crate::store::record::TokenOrigin;
use crate::store::{LockGuard, LockKind, Record};
use crate::verify::id_token::{self, Expectations};
use crate::verify::jwks::KeySet;

/// From the first prompt to the last chance.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two looks at a login that another process has under way.
const LOGIN_LOCK_POLL: Duration = Duration::from_millis(250);
/// How long the issuer's own metadata may take: a login goes on without it.
const ISSUER_METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// How to sign in.
#[derive(Debug, Clone)]
pub struct LoginOptions {
    /// Which way; `Auto` takes the ladder.
    pub flow: Flow,
    /// Open no browser here.
    pub no_browser: bool,
    /// The whole login's deadline.
    pub timeout: Duration,
    /// A program asks, nobody typed `login`: unanswered prompts are counted, and after some nobody is asked
    /// ([`super::cooldown`]).
    pub automatic: bool,
    /// Where this process runs.
    pub surroundings: Surroundings,
}

/// What a login did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOutcome {
    /// `None` if the endpoint has no auth: there was nothing to do.
    pub origin: Option<TokenOrigin>,
    /// Another process's login was shared.
    pub shared: bool,
    /// E-mail address or user name, where an ID token told.
    pub email: Option<String>,
    /// Subject, where an ID token told.
    pub subject: Option<String>,
    /// When the access token expires.
    pub expires_at: Option<Timestamp>,
    /// Whether the session can be refreshed; if not the person is asked again when the token expires.
    pub has_refresh_token: bool,
}

impl LoginOutcome {
    fn of(record: &Record, shared: bool) -> Self {
        Self {
            origin: Some(record.origin),
            shared,
            email: record.email.clone(),
            subject: record.subject.clone(),
            expires_at: record.expires_at,
            has_refresh_token: record.refresh_token.is_some(),
        }
    }

    const NO_AUTH: Self =
        Self { origin: None, shared: false, email: None, subject: None, expires_at: None, has_refresh_token: false };
}

/// The first phase's data: what a person must do. Dropping it, or [`PendingLogin::cancel`], frees the port at once.
#[derive(Debug)]
pub struct PendingLogin {
    session: Session,
    server: ServerAuth,
    asked: Asked,
    pending: Pending,
    /// One login at a time for this session, machine-wide.
    _lock: Option<Box<dyn LockGuard>>,
}

#[derive(Debug)]
enum Pending {
    Code(PendingAuthorizationCode),
    Device(PendingDevice),
}

impl PendingLogin {
    /// The address to open: the authorization URL, or where the user code is entered.
    pub fn url(&self) -> &str {
        match &self.pending {
            Pending::Code(pending) => pending.url(),
            Pending::Device(pending) => {
                pending.verification_uri_complete().unwrap_or_else(|| pending.verification_uri())
            }
        }
    }
    /// The code to enter, for the device grant.
    pub fn user_code(&self) -> Option<&str> {
        match &self.pending {
            Pending::Code(_) => None,
            Pending::Device(pending) => Some(pending.user_code()),
        }
    }
    /// When it is too late.
    pub fn expires_at(&self) -> Timestamp {
        match &self.pending {
            Pending::Code(pending) => pending.expires_at(),
            Pending::Device(pending) => pending.expires_at(),
        }
    }
    /// The loopback port that listens for the redirect, if one does.
    pub fn port(&self) -> Option<u16> {
        match &self.pending {
            Pending::Code(pending) => pending.port(),
            Pending::Device(_) => None,
        }
    }
    /// Ends the attempt.
    pub fn cancel(self) {}

    /// Waits for the person; saves the session. `redirect_url` is what they pasted, if they did; `timeout` shortens the
    /// deadline.
    ///
    /// # Errors
    /// `Cancelled` when declined or too late; `Denied`, `Server`, `Network` as the server answers.
    pub async fn finish(self, redirect_url: Option<String>, timeout: Option<Duration>) -> Result<LoginOutcome> {
        let place = self.session.inner.place.clone();
        let work = async {
            match redirect_url {
                Some(line) => self.finish_pasted(&line).await,
                None => self.complete(&Silent).await,
            }
        };
        match tokio::time::timeout(timeout.unwrap_or(DEFAULT_TIMEOUT), work).await {
            Ok(done) => done,
            Err(_) => Err(too_late(&place)),
        }
    }

    async fn finish_pasted(mut self, line: &str) -> Result<LoginOutcome> {
        let Pending::Code(pending) = &mut self.pending else {
            return Err(Error::config("paste_invalid", "redirect_url", "a login with a user code takes no pasted URL")
                .with_next("Enter the code at the verification address"));
        };
        let signed_in = pending.finish_pasted(line).await?;
        let origin = TokenOrigin::AuthorizationCode;
        self.session.keep(&self.server, &self.asked, signed_in.tokens, signed_in.nonce.as_deref(), origin).await
    }

    /// Waits for the person, checks what came, saves it.
    async fn complete(self, person: &dyn UserInteraction) -> Result<LoginOutcome> {
        let Self { session, server, asked, pending, _lock } = self;
        let (tokens, nonce, origin) = match pending {
            Pending::Code(mut pending) => {
                let signed_in = pending.finish(person).await?;
                (signed_in.tokens, signed_in.nonce, TokenOrigin::AuthorizationCode)
            }
            Pending::Device(mut pending) => (pending.finish(person).await?, None, TokenOrigin::Device),
        };
        session.keep(&server, &asked, tokens, nonce.as_deref(), origin).await
    }
}

/// Nobody to show anything to: the program does that itself with the pending login's data.
struct Silent;

impl UserInteraction for Silent {
    fn show(&self, _event: LoginEvent) {}
    fn open_browser(&self, _url: &str) -> bool {
        false
    }
    fn pasted(&self) -> futures_util::future::BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }
}

fn too_late(place: &str) -> Error {
    Error::new(ErrorKind::Cancelled, "login_timeout", format!("nobody finished the login to {place} in time"))
        .with_endpoint(place)
        .with_next("Try again; --timeout gives more time")
}

/// What a login needs to know before its first step.
struct Prepared {
    server: ServerAuth,
    client_id: String,
    asked: Asked,
    iss_required: bool,
}

impl Session {
    /// Starts a login and gives what the person needs; `finish` ends it. `Auto` takes the first step of the ladder.
    /// `Ok(None)`: the endpoint has no auth.
    ///
    /// # Errors
    /// Kind `Config` for a session that no person signs in to; `Server` or `Network` from discovery.
    pub async fn begin_login(&self, options: &LoginOptions) -> Result<Option<PendingLogin>> {
        let Some(prepared) = self.prepare().await? else { return Ok(None) };
        let lock = self.try_login_lock().await?;
        let plan = ladder::plan(
            self.flow(options.flow),
            &options.surroundings,
            Offered { device: prepared.server.metadata.device_authorization_endpoint.is_some() },
            options.no_browser,
        );
        let step = plan.steps.first().map_or(Step::Paste, |planned| planned.step);
        self.begin_step(&prepared, step, options.timeout, lock).await.map(Some)
    }

    /// Signs a person in: takes the ladder's steps until one ends the login, shows each to `person`, saves the session.
    ///
    /// # Errors
    /// `Cancelled` when declined or too late; `Denied`, `Server`, `Network` as the server answers; `Store` if the session
    /// cannot be kept.
    pub async fn login(&self, options: &LoginOptions, person: &dyn UserInteraction) -> Result<LoginOutcome> {
        if !options.automatic {
            self.forget_declined();
        }
        match tokio::time::timeout(options.timeout, self.login_within(options, person)).await {
            Ok(done) => done,
            Err(_) => Err(too_late(&self.inner.place)),
        }
    }

    async fn login_within(&self, options: &LoginOptions, person: &dyn UserInteraction) -> Result<LoginOutcome> {
        let Some(prepared) = self.prepare().await? else { return Ok(LoginOutcome::NO_AUTH) };
        let deadline = self.inner.context.clock.now().plus(options.timeout);
        let before = engine::load(&self.inner).await?;
        let _lock = match self.wait_for_login_lock(person, deadline).await? {
            (lock, false) => lock,
            (lock, true) => match engine::load(&self.inner).await? {
                // Somebody else's login is ours too.
                Some(record) if before.as_ref().is_none_or(|old| record.generation > old.generation) => {
                    engine::publish(&self.inner, &record);
                    return Ok(LoginOutcome::of(&record, true));
                }
                _ => lock,
            },
        };
        if let Some(record) = self.adopt_first(options.flow, person).await {
            return Ok(LoginOutcome::of(&record, false));
        }
        if options.automatic {
            // Asked again under the lock: another program's prompt may have been refused while we waited for it.
            self.may_prompt()?;
        }
        let plan = ladder::plan(
            self.flow(options.flow),
            &options.surroundings,
            Offered { device: prepared.server.metadata.device_authorization_endpoint.is_some() },
            options.no_browser,
        );
        let mut failure = Error::internal("a ladder without steps");
        for planned in &plan.steps {
            if !planned.why.is_empty() {
                person.show(LoginEvent::Explain(planned.why.clone()));
            }
            let pending = match self.begin_step(&prepared, planned.step, options.timeout, None).await {
                Ok(pending) => pending,
                // Another way of signing in meets the same network.
                Err(error) if matches!(error.kind(), ErrorKind::Network | ErrorKind::Internal) => return Err(error),
                Err(error) => {
                    person.show(LoginEvent::Fallback { why: error.to_string() });
                    failure = error;
                    continue;
                }
            };
            if let Err(error) = show_step(&pending, planned.step, options, person) {
                person.show(LoginEvent::Fallback { why: error.to_string() });
                failure = error;
                continue;
            }
            // Let go before the login lock is: whoever waits for that must find the refusal noted.
            let on_show = super::cooldown::OnShow::new(self, options.automatic);
            // From here on a person has taken part: what they, or the server, decided is final.
            let done = pending.complete(person).await;
            on_show.settle(&done);
            return done;
        }
        Err(failure)
    }

    fn flow(&self, asked: Flow) -> Flow {
        match (&self.inner.source, asked) {
            (Source::Person { device_only: true, .. }, Flow::Auto) => Flow::Device,
            _ => asked,
        }
    }

    async fn prepare(&self) -> Result<Option<Prepared>> {
        let inner = &self.inner;
        if inner.source.is_machine() {
            return Err(Error::config(
                "no_person",
                "auth_type",
                format!("{} needs no login: its tokens come from {}", inner.place, inner.source.name()),
            )
            .with_next("Run: flyte-auth token"));
        }
        // What was remembered may be hours old; a person who signs in wants what holds now.
        inner.discoverer.forget(&inner.target);
        let mut server = match inner.discoverer.discover(&inner.target).await? {
            Discovery::NoAuth { .. } => return Ok(None),
            Discovery::Auth(server) => *server,
        };
        // Flyte's messages leave out what a safe login needs: the `iss` announcement (RFC 9207), revocation, often the
        // key set. The issuer's own document has it; a login goes on without, a wrong issuer in it is ignored there.
        let mut iss_required = server.metadata.authorization_response_iss_parameter_supported;
        if !matches!(inner.target, Target::Issuer(_))
            && let Some(issuer) = server.metadata.issuer.clone()
        {
            match tokio::time::timeout(ISSUER_METADATA_TIMEOUT, inner.discoverer.issuer_metadata(&issuer)).await {
                Ok(Ok(own)) => {
                    iss_required |= own.authorization_response_iss_parameter_supported;
                    let mine = &mut server.metadata;
                    mine.jwks_uri = mine.jwks_uri.take().or(own.jwks_uri);
                    mine.device_authorization_endpoint =
                        mine.device_authorization_endpoint.take().or(own.device_authorization_endpoint);
                    if mine.scopes_supported.is_empty() {
                        mine.scopes_supported = own.scopes_supported;
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "the issuer has no metadata of its own"),
                Err(_) => tracing::debug!(issuer, "the issuer's own metadata took too long"),
            }
        }
        let client_id = inner.client_id(&server)?;
        let asked = inner.asked(&server, true);
        Ok(Some(Prepared { server, client_id, asked, iss_required }))
    }

    async fn begin_step(
        &self,
        prepared: &Prepared,
        step: Step,
        timeout: Duration,
        lock: Option<Box<dyn LockGuard>>,
    ) -> Result<PendingLogin> {
        let inner = &self.inner;
        let metadata = &prepared.server.metadata;
        let client = inner.presented_client(&prepared.client_id, &prepared.server, None).await?;
        let token_endpoint = inner.token_endpoint(&prepared.server)?;
        let missing = |what: &str| {
            Error::new(
                ErrorKind::Server,
                "metadata_incomplete",
                format!("the authorization server of {} names no {what}", inner.place),
            )
            .with_endpoint(inner.place.clone())
            .with_next("Ask the administrator, or choose another --flow")
        };
        let pending = if step == Step::Device {
            let endpoint = metadata
                .device_authorization_endpoint
                .clone()
                .ok_or_else(|| missing("device_authorization_endpoint"))?;
            let begin = BeginDevice {
                client: &client,
                device_authorization_endpoint: &endpoint,
                token_endpoint: &token_endpoint,
                parameters: prepared.asked.parameters(),
                pkce: PkceOnDevice::IfDemanded,
                deadline: timeout,
            };
            Pending::Device(device::begin(&inner.context, begin).await?)
        } else {
            let endpoint = metadata.authorization_endpoint.clone().ok_or_else(|| missing("authorization_endpoint"))?;
            let asked = self.hinted(&prepared.asked);
            let begin = BeginAuthorizationCode {
                client: &client,
                redirect_uri: prepared.redirect_uri(),
                port: LoopbackPort::AsRegistered,
                authorization_endpoint: &endpoint,
                token_endpoint: &token_endpoint,
                issuer: metadata.issuer.as_deref(),
                iss_required: prepared.iss_required,
                parameters: asked.parameters(),
                deadline: timeout,
                // In paste mode a busy port is no obstacle.
                listen: if step == Step::Browser { Listen::Required } else { Listen::IfPossible },
            };
            Pending::Code(authorization_code::begin(&inner.context, begin).await?)
        };
        Ok(PendingLogin {
            session: self.clone(),
            server: prepared.server.clone(),
            asked: prepared.asked.clone(),
            pending,
            _lock: lock,
        })
    }

    async fn try_login_lock(&self) -> Result<Option<Box<dyn LockGuard>>> {
        let taken = engine::blocking(&self.inner, |inner| inner.store.try_lock(&inner.key, LockKind::Login)).await?;
        match taken {
            Ok(lock) => Ok(Some(lock)),
            Err(holder) => Err(identity::not_signed_in(&self.inner.config)
                .with_next(format!("A login is under way{}; finish it, or end it and try again", by_pid(holder)))),
        }
    }

    /// Takes the login lock; whether we had to wait for it.
    async fn wait_for_login_lock(
        &self,
        person: &dyn UserInteraction,
        deadline: Timestamp,
    ) -> Result<(Box<dyn LockGuard>, bool)> {
        let clock = &self.inner.context.clock;
        let mut waited = false;
        loop {
            match engine::blocking(&self.inner, |inner| inner.store.try_lock(&inner.key, LockKind::Login)).await? {
                Ok(lock) => return Ok((lock, waited)),
                Err(holder) if !waited => {
                    waited = true;
                    let why = format!("A login to {} is under way{}; waiting for it", self.inner.place, by_pid(holder));
                    person.show(LoginEvent::Explain(why));
                }
                Err(_) => {
                    let remaining = deadline.since(clock.now());
                    person.show(LoginEvent::Waiting { what: "the other login", remaining });
                }
            }
            clock.sleep(LOGIN_LOCK_POLL).await;
        }
    }
}

fn by_pid(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" in pid {pid}"))
}

impl Prepared {
    fn redirect_uri(&self) -> &str {
        self.server.public_client.redirect_uri.as_deref().unwrap_or(DEFAULT_REDIRECT_URI)
    }
}

/// Shows a step's prompt. An error means that this step cannot be taken here.
fn show_step(pending: &PendingLogin, step: Step, options: &LoginOptions, person: &dyn UserInteraction) -> Result<()> {
    match &pending.pending {
        Pending::Device(device) => {
            person.show(LoginEvent::UserCode {
                user_code: device.user_code().to_owned(),
                verification_uri: device.verification_uri().to_owned(),
                verification_uri_complete: device.verification_uri_complete().map(str::to_owned),
                expires_at: device.expires_at(),
            });
            Ok(())
        }
        Pending::Code(code) => {
            let url = code.url().to_owned();
            let opened = step == Step::Browser && person.open_browser(&url);
            if step == Step::Browser && !opened {
                return Err(Error::new(ErrorKind::Config, "browser_not_opened", "no browser could be opened here")
                    .with_next("Set BROWSER, or use --flow device or --flow paste"));
            }
            let ssh_hint = match code.port() {
                Some(port) if step == Step::Paste => ladder::ssh_hint(port, &options.surroundings),
                _ => None,
            };
            if let Some(why) = code.why_not_listening() {
                person.show(LoginEvent::Explain(why.to_string()));
            }
            person.show(LoginEvent::Url { url, opened, ssh_hint, paste: true });
            Ok(())
        }
    }
}

impl Session {
    /// Checks an ID token, if one came, and makes the tokens the session.
    async fn keep(
        &self,
        server: &ServerAuth,
        asked: &Asked,
        tokens: TokenSet,
        nonce: Option<&str>,
        origin: TokenOrigin,
    ) -> Result<LoginOutcome> {
        let inner = &self.inner;
        let identity = self.identity_of(server, &tokens, nonce).await?;
        self.ensure_account(identity.as_ref(), server, &tokens).await?;
        // Every save happens under the refresh lock: a refresh of the old session must not come after it.
        let _lock = engine::lock(inner, LockKind::Refresh, Duration::from_secs(30)).await?;
        let before = engine::load(inner).await.ok().flatten();
        let granted = tokens.scopes.clone();
        let refresh_token = tokens.refresh_token.clone();
        let session_expires_at = tokens.refresh_expires_at;
        let mut record = engine::new_record(inner, Some(server), before.as_ref(), origin, tokens);
        // A login replaces a session: of the old one only the count of its tokens goes on.
        record.scopes = granted.unwrap_or_else(|| asked.scopes.clone());
        record.refresh_token = refresh_token;
        record.session_expires_at = session_expires_at;
        record.client_id = Some(inner.client_id(server)?);
        record.client_auth_method = None;
        record.adopted_from = None;
        (record.subject, record.email) = identity
            .map_or((None, None), |claims| (Some(claims.subject), claims.email.or(claims.preferred_username)));
        engine::save_strictly(inner, &record).await?;
        engine::publish(inner, &record);
        Ok(LoginOutcome::of(&record, false))
    }

    /// The claims of a validated ID token; nothing of one that cannot be validated is used.
    async fn identity_of(
        &self,
        server: &ServerAuth,
        tokens: &TokenSet,
        nonce: Option<&str>,
    ) -> Result<Option<id_token::Claims>> {
        let inner = &self.inner;
        let Some(token) = &tokens.id_token else { return Ok(None) };
        let (Some(issuer), Some(jwks_uri)) = (&server.metadata.issuer, &server.metadata.jwks_uri) else {
            tracing::warn!("the ID token is not used: the authorization server names no issuer or no jwks_uri");
            return Ok(None);
        };
        let client_id = inner.client_id(server)?;
        let expectations =
            Expectations { issuer, client_id: &client_id, nonce, access_token: Some(&tokens.access_token) };
        let keys = KeySet::fetch(&*inner.context.transport, jwks_uri).await?;
        id_token::validate(token, &expectations, &keys, inner.context.clock.now()).map(Some)
    }
}
