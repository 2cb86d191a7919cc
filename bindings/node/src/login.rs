//! Logins: in two steps, at the terminal, and with a person whom JavaScript shows everything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyte_auth::session::Session;
use flyte_auth::session::login as core;
use flyte_auth::{Error, Result, Timestamp};
use flyte_auth_cli::asked::{self, Begun, Browser, Event, Person, Wish};
use flyte_auth_cli::person;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use crate::call::{Cancel, Running, call};
use crate::error::raise;
use crate::session::millis;

/// How a login is to go.
#[napi(object, object_to_js = false)]
pub struct LoginOptions {
    /// `auto`, `pkce`, `device` or `paste`.
    pub flow: String,
    pub no_browser: bool,
    /// Milliseconds.
    pub timeout: f64,
}

/// A duration in milliseconds as JavaScript gives it.
pub(crate) fn duration(setting: &'static str, millis: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(millis / 1000.0).ok().filter(|duration| !duration.is_zero()).ok_or_else(|| {
        let what = format!("{setting} is {millis:e}");
        Error::config("duration_invalid", setting, what).with_next("Give a number of milliseconds above 0")
    })
}

pub(crate) fn terminal(options: &LoginOptions) -> Result<person::Login> {
    Ok(person::Login {
        flow: asked::flow(&options.flow)?,
        no_browser: options.no_browser,
        timeout: duration("timeout", options.timeout)?,
    })
}

pub(crate) fn options(options: &LoginOptions, opens_browser: bool) -> Result<core::LoginOptions> {
    Ok(asked::options(terminal(options)?, opens_browser))
}

/// What a login did.
#[napi(object, object_from_js = false)]
pub struct LoginOutcome {
    /// Whether the endpoint has auth at all; if not there was nothing to do.
    pub has_auth: bool,
    /// Another program's login was shared.
    pub shared: bool,
    /// `sub` of the ID token, where there was one.
    pub subject: Option<String>,
    /// E-mail address or user name, where an ID token told.
    pub email: Option<String>,
    /// Whether the session can be refreshed.
    pub has_refresh_token: bool,
    /// When the access token expires: milliseconds since the epoch.
    pub expires_at: Option<f64>,
}

impl From<core::LoginOutcome> for LoginOutcome {
    fn from(outcome: core::LoginOutcome) -> Self {
        Self {
            has_auth: outcome.origin.is_some(),
            shared: outcome.shared,
            subject: outcome.subject,
            email: outcome.email,
            has_refresh_token: outcome.has_refresh_token,
            expires_at: outcome.expires_at.map(millis),
        }
    }
}

fn outcome(outcome: core::LoginOutcome) -> napi::Result<LoginOutcome> {
    Ok(outcome.into())
}

/// A login that waits for the person.
#[napi]
pub struct PendingLogin {
    url: String,
    user_code: Option<String>,
    expires_at: Timestamp,
    place: String,
    begun: Begun<Running<core::LoginOutcome>>,
}

impl PendingLogin {
    pub(crate) fn new(pending: core::PendingLogin) -> Self {
        Self {
            url: pending.url().to_owned(),
            user_code: pending.user_code().map(str::to_owned),
            expires_at: pending.expires_at(),
            place: pending.place().to_owned(),
            begun: Begun::new(pending),
        }
    }
}

#[napi]
impl PendingLogin {
    /// The address to open.
    #[napi(getter)]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The code to enter there (device grant), or null.
    #[napi(getter)]
    pub fn user_code(&self) -> Option<&str> {
        self.user_code.as_deref()
    }

    /// When it is too late: milliseconds since the epoch.
    #[napi(getter)]
    pub fn expires_at(&self) -> f64 {
        millis(self.expires_at)
    }

    /// Whom the login is to, as a person names it.
    #[napi(getter)]
    pub fn endpoint(&self) -> &str {
        &self.place
    }

    /// Waits for the person; the same outcome for everybody who waits. `timeout` in milliseconds.
    #[napi(ts_return_type = "Promise<LoginOutcome>")]
    pub fn finish<'env>(
        &self,
        env: &'env Env,
        redirect_url: Option<String>,
        timeout: Option<f64>,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let timeout = timeout.map(|timeout| duration("timeout", timeout)).transpose().map_err(raise)?;
        let running = self.begun.finish(redirect_url, timeout, Running::start).map_err(raise)?;
        call(env, cancel, running.outcome(), outcome)
    }

    /// Ends the attempt: its lock and its port are free at once.
    #[napi]
    pub fn cancel(&self) {
        if let Some(running) = self.begun.cancel() {
            running.stop();
        }
    }
}

impl Drop for PendingLogin {
    /// Nobody can finish it any more.
    fn drop(&mut self) {
        self.cancel();
    }
}

/// What a login tells the person.
#[napi(object, object_from_js = false)]
pub struct LoginEvent {
    /// `explain`, `url`, `user_code`, `waiting` or `fallback`.
    #[napi(ts_type = "'explain' | 'url' | 'user_code' | 'waiting' | 'fallback'")]
    pub kind: &'static str,
    /// A line for the person.
    pub message: String,
    pub url: Option<String>,
    pub opened: bool,
    pub ssh_hint: Option<String>,
    pub paste: bool,
    pub user_code: Option<String>,
    pub verification_uri: Option<String>,
    pub verification_uri_complete: Option<String>,
    /// Milliseconds left.
    pub remaining: Option<f64>,
}

impl From<&Event> for LoginEvent {
    fn from(event: &Event) -> Self {
        Self {
            kind: event.kind,
            message: event.message.clone(),
            url: event.url.clone(),
            opened: event.opened,
            ssh_hint: event.ssh_hint.clone(),
            paste: event.paste,
            user_code: event.user_code.clone(),
            verification_uri: event.verification_uri.clone(),
            verification_uri_complete: event.verification_uri_complete.clone(),
            remaining: event.remaining.map(|left| left.as_secs_f64() * 1000.0),
        }
    }
}

/// What a login wants of JavaScript.
#[napi]
pub struct Ask {
    kind: &'static str,
    event: Option<Event>,
    url: Option<String>,
    browser: Browser,
    line: Mutex<Option<oneshot::Sender<String>>>,
}

impl Ask {
    fn new(wish: Wish, browser: Browser) -> Self {
        let (kind, event, url, line) = match wish {
            Wish::Show(event) => ("show", Some(event), None, None),
            Wish::Open(url) => ("open", None, Some(url), None),
            Wish::Paste(sender) => ("paste", None, None, Some(sender)),
        };
        Self { kind, event, url, browser, line: Mutex::new(line) }
    }
}

#[napi]
impl Ask {
    /// `show`, `open` or `paste`.
    #[napi(getter, ts_return_type = "'show' | 'open' | 'paste'")]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What to show.
    #[napi(getter)]
    pub fn event(&self) -> Option<LoginEvent> {
        self.event.as_ref().map(LoginEvent::from)
    }

    /// What to open a browser with.
    #[napi(getter)]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Whether a browser was opened.
    #[napi]
    pub fn opened(&self, was: bool) {
        self.browser.answer(was);
    }

    /// The line that the person pasted.
    #[napi]
    pub fn pasted(&self, line: String) {
        if let Some(sender) = self.line.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = sender.send(line);
        }
    }
}

/// A login under way whose person JavaScript serves.
#[napi]
pub struct LoginRun {
    running: Running<core::LoginOutcome>,
    asks: Arc<tokio::sync::Mutex<UnboundedReceiver<Wish>>>,
    browser: Browser,
}

impl LoginRun {
    /// Starts the login of `person`.
    pub(crate) fn start(
        session: Session,
        options: core::LoginOptions,
        person: Person,
        asks: UnboundedReceiver<Wish>,
    ) -> Result<Self> {
        let browser = person.browser();
        let running = Running::start(async move { session.login(&options, &person).await })?;
        Ok(Self { running, asks: Arc::new(tokio::sync::Mutex::new(asks)), browser })
    }
}

#[napi]
impl LoginRun {
    /// The next thing that the login wants; null once it has ended.
    #[napi(ts_return_type = "Promise<Ask | null>")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let asks = Arc::clone(&self.asks);
        let browser = self.browser.clone();
        call(env, None, async move { Ok(asks.lock().await.recv().await) }, |wish| {
            Ok(wish.map(|wish| Ask::new(wish, browser)))
        })
    }

    /// How it ended.
    #[napi(ts_return_type = "Promise<LoginOutcome>")]
    pub fn outcome<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        call(env, None, self.running.outcome(), outcome)
    }

    /// Ends the login; its lock and its port are let go at once.
    #[napi]
    pub fn cancel(&self) {
        self.running.stop();
        self.browser.give_up();
    }
}

impl Drop for LoginRun {
    /// Nobody serves the person any more.
    fn drop(&mut self) {
        self.cancel();
    }
}
