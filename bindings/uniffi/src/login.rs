//! Logins: in two steps, at the terminal, and with a person whom the language shows everything.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flyte_auth::session::Session;
use flyte_auth::session::login as core;
use flyte_auth::{Error, ErrorKind, Result, Timestamp};
use flyte_auth_cli::asked::{self, Begun, Browser, Event, Person, Wish};
use flyte_auth_cli::{host, person};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::call::{EndsTask, call};
use crate::error::FlyteAuthError;
use crate::session::time;

/// How a login is to go.
#[derive(uniffi::Record)]
pub struct LoginOptions {
    /// `auto`, `pkce`, `device` or `paste`.
    #[uniffi(default = "auto")]
    pub flow: String,
    /// Open no browser here.
    #[uniffi(default = false)]
    pub no_browser: bool,
    /// The whole login's deadline.
    pub timeout: Duration,
}

/// A deadline that is none would end every login at once.
fn positive(timeout: Duration) -> Result<Duration> {
    if timeout.is_zero() {
        return Err(Error::config("duration_invalid", "timeout", "timeout is 0").with_next("Give a duration above 0"));
    }
    Ok(timeout)
}

pub(crate) fn terminal(options: &LoginOptions) -> Result<person::Login> {
    Ok(person::Login {
        flow: asked::flow(&options.flow)?,
        no_browser: options.no_browser,
        timeout: positive(options.timeout)?,
    })
}

pub(crate) fn options(options: &LoginOptions, opens_browser: bool) -> Result<core::LoginOptions> {
    Ok(asked::options(terminal(options)?, opens_browser))
}

/// What a login did.
#[derive(uniffi::Record)]
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
    /// When the access token expires.
    pub expires_at: Option<SystemTime>,
}

impl From<core::LoginOutcome> for LoginOutcome {
    fn from(outcome: core::LoginOutcome) -> Self {
        Self {
            has_auth: outcome.origin.is_some(),
            shared: outcome.shared,
            subject: outcome.subject,
            email: outcome.email,
            has_refresh_token: outcome.has_refresh_token,
            expires_at: outcome.expires_at.map(time),
        }
    }
}

/// A login's end that many may wait for; it goes on while it has one handle.
#[derive(Clone)]
struct Finishing {
    task: Arc<EndsTask>,
    outcome: Shared<BoxFuture<'static, Result<core::LoginOutcome>>>,
}

impl Finishing {
    fn start(work: impl Future<Output = Result<core::LoginOutcome>> + Send + 'static) -> Result<Self> {
        let (sender, receiver) = oneshot::channel();
        let task = host::handle()?.spawn(async move {
            let _ = sender.send(work.await);
        });
        let outcome = async move { receiver.await.unwrap_or_else(|_| Err(host::cancelled())) };
        Ok(Self { task: Arc::new(EndsTask(task.abort_handle())), outcome: outcome.boxed().shared() })
    }
}

/// A login that waits for the person. Once nobody holds it, it ends.
#[derive(uniffi::Object)]
pub struct PendingLogin {
    url: String,
    user_code: Option<String>,
    expires_at: Timestamp,
    place: String,
    begun: Begun<Finishing>,
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

#[uniffi::export]
impl PendingLogin {
    /// The address to open.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The code to enter there (device grant), or none.
    pub fn user_code(&self) -> Option<String> {
        self.user_code.clone()
    }

    /// When it is too late.
    pub fn expires_at(&self) -> SystemTime {
        time(self.expires_at)
    }

    /// Whom the login is to, as a person names it.
    pub fn endpoint(&self) -> String {
        self.place.clone()
    }

    /// Waits for the person; the same outcome for everybody who waits.
    pub async fn finish(
        &self,
        redirect_url: Option<String>,
        timeout: Option<Duration>,
    ) -> std::result::Result<LoginOutcome, FlyteAuthError> {
        let timeout = timeout.map(positive).transpose()?;
        let finishing = self.begun.finish(redirect_url, timeout, Finishing::start)?;
        call(finishing.outcome).await.map(LoginOutcome::from)
    }

    /// Ends the attempt: its lock and its port are free at once.
    pub fn cancel(&self) {
        if let Some(finishing) = self.begun.cancel() {
            finishing.task.0.abort();
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
#[derive(uniffi::Record)]
pub struct LoginEvent {
    /// `explain`, `url`, `user_code`, `waiting` or `fallback`.
    pub kind: String,
    /// A line for the person.
    pub message: String,
    /// `url`: the address to open.
    pub url: Option<String>,
    /// `url`: a browser was started with it.
    pub opened: bool,
    /// `url`: an `ssh -L …` line that makes the redirect reachable from the person's own machine.
    pub ssh_hint: Option<String>,
    /// `url`: the address that the browser ends at may be pasted back.
    pub paste: bool,
    /// `user_code`: the code to enter.
    pub user_code: Option<String>,
    /// `user_code`: where to enter it.
    pub verification_uri: Option<String>,
    /// `user_code`: the same with the code in it, if the server gave one.
    pub verification_uri_complete: Option<String>,
    /// `waiting`: how long is left.
    pub remaining: Option<Duration>,
}

impl From<Event> for LoginEvent {
    fn from(event: Event) -> Self {
        Self {
            kind: event.kind.to_owned(),
            message: event.message,
            url: event.url,
            opened: event.opened,
            ssh_hint: event.ssh_hint,
            paste: event.paste,
            user_code: event.user_code,
            verification_uri: event.verification_uri,
            verification_uri_complete: event.verification_uri_complete,
            remaining: event.remaining,
        }
    }
}

/// A prompt that could not do what it was asked.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum PromptError {
    /// It threw. What it threw is the language's to report.
    #[error("the prompt failed")]
    Failed,
}

impl From<uniffi::UnexpectedUniFFICallbackError> for PromptError {
    /// The reason is the language's whole stack trace, which may hold anything.
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed
    }
}

impl From<PromptError> for Error {
    fn from(error: PromptError) -> Self {
        Self::new(ErrorKind::Internal, "prompt_failed", "the login's own prompt failed, so the login was given up")
            .with_next("Look at what the prompt threw")
            .with_source(error)
    }
}

/// Whom a login shows everything. Called from threads of the library, one call at a time but for `paste`.
#[uniffi::export(foreign)]
#[async_trait]
pub trait LoginPrompt: Send + Sync {
    /// Shows `event` to the person.
    fn show(&self, event: LoginEvent) -> std::result::Result<(), PromptError>;

    /// Opens a browser with `url`; whether one opened.
    fn open_browser(&self, url: String) -> std::result::Result<bool, PromptError>;

    /// A line that the person pasted. Cancelled once the login has ended.
    async fn paste(&self) -> std::result::Result<String, PromptError>;
}

/// Ends the login task, also one that waits for the answer of a browser callback.
struct Serving {
    _login: EndsTask,
    browser: Browser,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.browser.give_up();
    }
}

/// A login whose person `prompt` serves. A prompt that fails ends it.
pub(crate) async fn prompted(
    session: Session,
    options: core::LoginOptions,
    prompt: Arc<dyn LoginPrompt>,
    opens_browser: bool,
    pastes: bool,
) -> Result<core::LoginOutcome> {
    let (person, wishes) = Person::new(&options, opens_browser, pastes);
    let browser = person.browser();
    let mut login = tokio::spawn(async move { session.login(&options, &person).await });
    let _serving = Serving { _login: EndsTask(login.abort_handle()), browser: browser.clone() };
    tokio::select! {
        outcome = &mut login => {
            outcome.map_err(|cause| Error::internal("a login broke off").with_source(cause))?
        }
        failure = served(wishes, prompt, browser) => Err(failure.into()),
    }
}

/// Does what the login wishes until it has no more wishes; comes back only with a failure.
async fn served(mut wishes: UnboundedReceiver<Wish>, prompt: Arc<dyn LoginPrompt>, browser: Browser) -> PromptError {
    let mut pastes = JoinSet::new();
    loop {
        tokio::select! {
            wish = wishes.recv() => {
                let done = match wish {
                    Some(Wish::Show(event)) => asks(&prompt, move |prompt| prompt.show(event.into())).await,
                    Some(Wish::Open(url)) => {
                        asks(&prompt, move |prompt| prompt.open_browser(url)).await.map(|opened| browser.answer(opened))
                    }
                    Some(Wish::Paste(line)) => {
                        let prompt = Arc::clone(&prompt);
                        pastes.spawn(async move { prompt.paste().await.map(|pasted| drop(line.send(pasted))) });
                        Ok(())
                    }
                    None => return std::future::pending().await,
                };
                if let Err(failure) = done {
                    return failure;
                }
            }
            Some(pasted) = pastes.join_next() => {
                if !matches!(pasted, Ok(Ok(()))) {
                    return PromptError::Failed;
                }
            }
        }
    }
}

/// A prompt may block: it has a thread of its own.
async fn asks<T: Send + 'static>(
    prompt: &Arc<dyn LoginPrompt>,
    ask: impl FnOnce(&dyn LoginPrompt) -> std::result::Result<T, PromptError> + Send + 'static,
) -> std::result::Result<T, PromptError> {
    let prompt = Arc::clone(prompt);
    tokio::task::spawn_blocking(move || ask(&*prompt)).await.unwrap_or(Err(PromptError::Failed))
}
