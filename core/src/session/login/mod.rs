//! Signing a person in: two-phase (`begin_login`, `finish`), and in one call along the ladder (`login`).

use std::time::Duration;

use super::{Asked, Session, Source, engine, keeping};
use crate::clock::Timestamp;
use crate::credential::authorization_code::{PendingAuthorizationCode, SignedIn};
use crate::credential::device::PendingDevice;
use crate::discovery::ServerAuth;
use crate::error::{Error, ErrorKind, Result};
use crate::interaction::ladder::{self, Offered, Step};
use crate::interaction::surroundings::Surroundings;
use crate::interaction::{Flow, LoginEvent, UserInteraction};
use crate::store::record::TokenOrigin;
use crate::store::{LockGuard, Record};

mod keep;
mod prepare;
mod turn;

/// From the first prompt to the last chance.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

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
    /// For whoever needs a token and no new login: the generation that was stored when the need was found (0: none). A
    /// token newer than that is the answer, whoever got it.
    pub instead_of: Option<u64>,
}

impl Default for LoginOptions {
    /// A login that somebody asked for, along the ladder, in surroundings of which nothing is known.
    fn default() -> Self {
        Self {
            flow: Flow::Auto,
            no_browser: false,
            timeout: DEFAULT_TIMEOUT,
            automatic: false,
            surroundings: Surroundings::default(),
            instead_of: None,
        }
    }
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
        match redirect_url {
            Some(line) => {
                let place = self.session.inner.place.clone();
                in_time(&place, timeout, self.finish_pasted(&line)).await
            }
            None => self.finish_with(&Silent, timeout).await,
        }
    }

    /// As [`PendingLogin::finish`], and `person` is told how it stands and may paste.
    ///
    /// # Errors
    /// As there.
    pub async fn finish_with(self, person: &dyn UserInteraction, timeout: Option<Duration>) -> Result<LoginOutcome> {
        let place = self.session.inner.place.clone();
        in_time(&place, timeout, self.complete(person)).await
    }

    /// Whom the login is to, as a person names it.
    pub fn place(&self) -> &str {
        self.session.place()
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
        match pending {
            Pending::Code(mut pending) => {
                let keep = async |signed_in: SignedIn| {
                    let nonce = signed_in.nonce.as_deref();
                    session.keep(&server, &asked, signed_in.tokens, nonce, TokenOrigin::AuthorizationCode).await
                };
                pending.finish_and(person, keep).await
            }
            Pending::Device(mut pending) => {
                let tokens = pending.finish(person).await?;
                session.keep(&server, &asked, tokens, None, TokenOrigin::Device).await
            }
        }
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

async fn in_time<T>(place: &str, timeout: Option<Duration>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(timeout.unwrap_or(DEFAULT_TIMEOUT), work).await {
        Ok(done) => done,
        Err(_) => Err(too_late(place)),
    }
}

fn too_late(place: &str) -> Error {
    Error::new(ErrorKind::Cancelled, "login_timeout", format!("nobody finished the login to {place} in time"))
        .with_endpoint(place)
        .with_next("Try again; --timeout gives more time")
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
        self.begin_step(&prepared, step, options.timeout, Some(lock)).await.map(Some)
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
        let before = match options.instead_of {
            Some(generation) => generation,
            None => generation(keeping::load_for_login(&self.inner).await?.as_ref()),
        };
        let (_lock, waited) = self.wait_for_login_lock(person, deadline).await?;
        let now = keeping::load_for_login(&self.inner).await?;
        // Somebody else's login is ours too. Whoever asked for a login of their own shares one only if they saw it.
        if let Some(record) = now.filter(|record| record.generation > before)
            && (waited || options.instead_of.is_some())
        {
            engine::publish(&self.inner, &record);
            return Ok(LoginOutcome::of(&record, true));
        }
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
}

fn generation(record: Option<&Record>) -> u64 {
    record.map_or(0, |record| record.generation)
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
