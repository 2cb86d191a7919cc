//! Logins: in two steps, at the terminal, and with a person whom Python shows everything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use flyte_auth::interaction::surroundings::BrowserVariable;
use flyte_auth::interaction::{self, UserInteraction};
use flyte_auth::session::Session;
use flyte_auth::session::login as core;
use flyte_auth::{Error, ErrorKind, Timestamp, fork};
use flyte_auth_cli::person;
use futures_util::future::BoxFuture;
use pyo3::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::call::{Call, LETTING_GO, forked};
use crate::convert::time;
use crate::error::raise;
use crate::options;

/// How a login is to go: `flow`, `no_browser`, `timeout`.
pub(crate) type Ways<'a, 'py> = [&'a Bound<'py, PyAny>; 3];

pub(crate) fn terminal([flow, no_browser, timeout]: Ways<'_, '_>) -> PyResult<person::Login> {
    Ok(person::Login {
        flow: options::flow(flow)?,
        no_browser: options::flag("no_browser", no_browser)?,
        timeout: options::seconds("timeout", timeout)?,
    })
}

/// `opens_browser`: the program opens it, which is as good as a `BROWSER` that is set.
pub(crate) fn options(ways: Ways<'_, '_>, opens_browser: bool) -> PyResult<core::LoginOptions> {
    let person::Login { flow, no_browser, timeout } = terminal(ways)?;
    let mut surroundings = person::surroundings();
    if opens_browser {
        surroundings.browser = BrowserVariable::Set;
    }
    Ok(core::LoginOptions { flow, no_browser, timeout, surroundings, ..core::LoginOptions::default() })
}

/// What a login did.
#[pyclass(frozen, get_all, module = "flyte_auth")]
pub(crate) struct LoginOutcome {
    /// Whether the endpoint has auth at all; if not there was nothing to do.
    has_auth: bool,
    /// Another program's login was shared.
    shared: bool,
    /// `sub` of the ID token, where there was one.
    subject: Option<String>,
    /// E-mail address or user name, where an ID token told.
    email: Option<String>,
    /// Whether the session can be refreshed; if not the person is asked again when the token expires.
    has_refresh_token: bool,
    /// When the access token expires: an aware `datetime.datetime` in UTC, or `None`.
    expires_at: Option<jiff::Timestamp>,
}

#[pymethods]
impl LoginOutcome {
    fn __repr__(&self) -> String {
        let who = self.email.as_ref().or(self.subject.as_ref());
        format!("<LoginOutcome {}>", who.map_or_else(|| "signed in".to_owned(), |who| format!("signed in as {who}")))
    }
}

pub(crate) fn outcome(py: Python<'_>, outcome: core::LoginOutcome) -> PyResult<Py<PyAny>> {
    let made = LoginOutcome {
        has_auth: outcome.origin.is_some(),
        shared: outcome.shared,
        subject: outcome.subject,
        email: outcome.email,
        has_refresh_token: outcome.has_refresh_token,
        expires_at: outcome.expires_at.map(time),
    };
    Ok(Py::new(py, made)?.into_any())
}

enum Phase {
    Begun(Box<core::PendingLogin>),
    Finishing { call: Call, lines: UnboundedSender<String> },
    Over,
}

/// A login that waits for the person. Use `flyte_auth.PendingLogin`.
#[pyclass(frozen, module = "flyte_auth._native")]
pub(crate) struct PendingLogin {
    url: String,
    user_code: Option<String>,
    expires_at: Timestamp,
    place: String,
    phase: Mutex<Phase>,
    forks: u64,
}

impl PendingLogin {
    pub(crate) fn new(pending: core::PendingLogin) -> Self {
        Self {
            url: pending.url().to_owned(),
            user_code: pending.user_code().map(str::to_owned),
            expires_at: pending.expires_at(),
            place: pending.place().to_owned(),
            phase: Mutex::new(Phase::Begun(Box::new(pending))),
            forks: fork::count(),
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who is shown nothing and may paste.
struct Pasting(tokio::sync::Mutex<UnboundedReceiver<String>>);

impl UserInteraction for Pasting {
    fn show(&self, _event: interaction::LoginEvent) {}
    fn open_browser(&self, _url: &str) -> bool {
        false
    }
    fn pasted(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            match self.0.lock().await.recv().await {
                Some(line) => line,
                None => std::future::pending().await,
            }
        })
    }
}

#[pymethods]
impl PendingLogin {
    /// The address to open.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// The code to enter there (device grant), or `None`.
    #[getter]
    fn user_code(&self) -> Option<&str> {
        self.user_code.as_deref()
    }

    /// When it is too late.
    #[getter]
    fn expires_at(&self) -> jiff::Timestamp {
        time(self.expires_at)
    }

    /// Whom the login is to, as a person names it.
    #[getter]
    fn endpoint(&self) -> &str {
        &self.place
    }

    /// `finish()` as a call; the same one for everybody who waits.
    #[pyo3(name = "_start_finish")]
    fn start_finish(
        &self,
        redirect_url: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let redirect_url = options::text_or_none("redirect_url", redirect_url)?;
        let timeout = timeout.map(|timeout| options::seconds("timeout", timeout)).transpose()?;
        if self.forks != fork::count() {
            return Err(forked());
        }
        let mut phase = self.phase();
        if let Phase::Finishing { call, lines } = &*phase {
            if let Some(line) = redirect_url {
                let _ = lines.send(line);
            }
            return Ok(call.clone());
        }
        let Phase::Begun(pending) = std::mem::replace(&mut *phase, Phase::Over) else {
            let error = Error::new(ErrorKind::Cancelled, "login_over", "this login was cancelled");
            return Err(raise(error.with_next("Begin another login")));
        };
        let (lines, pasted) = unbounded_channel();
        let person = Pasting(tokio::sync::Mutex::new(pasted));
        let work = async move {
            match redirect_url {
                Some(line) => pending.finish(Some(line), timeout).await,
                None => pending.finish_with(&person, timeout).await,
            }
        };
        let call = Call::start(work, outcome)?;
        *phase = Phase::Finishing { call: call.clone(), lines };
        Ok(call)
    }

    /// Ends the attempt: its lock and its port are free at once.
    fn cancel(&self, py: Python<'_>) {
        if self.forks != fork::count() {
            return;
        }
        let was = std::mem::replace(&mut *self.phase(), Phase::Over);
        if let Phase::Finishing { call, .. } = was {
            call.stop();
            py.detach(|| call.let_go(LETTING_GO));
        }
    }
}

/// What a login tells the person. `str` is a line for them.
#[pyclass(frozen, get_all, module = "flyte_auth")]
#[derive(Default)]
pub(crate) struct LoginEvent {
    /// `explain`, `url`, `user_code`, `waiting` or `fallback`.
    kind: &'static str,
    /// A line for the person.
    message: String,
    /// `url`: the address to open.
    url: Option<String>,
    /// `url`: a browser was started with it.
    opened: bool,
    /// `url`: an `ssh -L …` line that makes the redirect reachable from the person's own machine.
    ssh_hint: Option<String>,
    /// `url`: the address that the browser ends at may be pasted back.
    paste: bool,
    /// `user_code`: the code to enter.
    user_code: Option<String>,
    /// `user_code`: where to enter it.
    verification_uri: Option<String>,
    /// `user_code`: the same with the code in it, if the server gave one.
    verification_uri_complete: Option<String>,
    /// `waiting`: seconds left.
    remaining: Option<f64>,
}

impl From<interaction::LoginEvent> for LoginEvent {
    fn from(event: interaction::LoginEvent) -> Self {
        use interaction::LoginEvent as Event;
        match event {
            Event::Explain(message) => Self { kind: "explain", message, ..Self::default() },
            Event::Url { url, opened, ssh_hint, paste } => {
                let how = if opened { "A browser opens. If it does not, open" } else { "Open" };
                let message = format!("{how} {url}");
                Self { kind: "url", message, url: Some(url), opened, ssh_hint, paste, ..Self::default() }
            }
            Event::UserCode { user_code, verification_uri, verification_uri_complete, .. } => Self {
                kind: "user_code",
                message: format!("Open {verification_uri} and enter the code {user_code}"),
                user_code: Some(user_code),
                verification_uri: Some(verification_uri),
                verification_uri_complete,
                ..Self::default()
            },
            Event::Waiting { what, remaining } => {
                let left = remaining.as_secs();
                let message = format!("Waiting for {what} ({}:{:02} left)", left / 60, left % 60);
                Self { kind: "waiting", message, remaining: Some(remaining.as_secs_f64()), ..Self::default() }
            }
            Event::Fallback { why } => Self { kind: "fallback", message: why, ..Self::default() },
            _ => Self { kind: "explain", ..Self::default() },
        }
    }
}

#[pymethods]
impl LoginEvent {
    fn __str__(&self) -> &str {
        &self.message
    }
    /// Without the address and the code: `state` and the user code are for the person, not for a log.
    fn __repr__(&self) -> String {
        format!("<LoginEvent {}>", self.kind)
    }
}

/// Something that the login wants of Python.
pub(crate) enum Wish {
    Show(LoginEvent),
    Open(String),
    Paste(oneshot::Sender<String>),
}

/// What a login wants of Python: `kind` is `show`, `open` or `paste`.
#[pyclass(frozen, module = "flyte_auth._native")]
pub(crate) struct Ask {
    #[pyo3(get)]
    kind: &'static str,
    /// What to show.
    #[pyo3(get)]
    event: Option<Py<LoginEvent>>,
    /// What to open a browser with.
    #[pyo3(get)]
    url: Option<String>,
    browser: Browser,
    line: Mutex<Option<oneshot::Sender<String>>>,
}

impl Ask {
    fn new(py: Python<'_>, wish: Wish, browser: Browser) -> PyResult<Self> {
        let (kind, event, url, line) = match wish {
            Wish::Show(event) => ("show", Some(Py::new(py, event)?), None, None),
            Wish::Open(url) => ("open", None, Some(url), None),
            Wish::Paste(sender) => ("paste", None, None, Some(sender)),
        };
        Ok(Self { kind, event, url, browser, line: Mutex::new(line) })
    }
}

/// Where the answer of a callback that opens a browser is awaited; whoever ends the login takes it away.
#[derive(Clone, Default)]
struct Browser(Arc<Mutex<Option<mpsc::SyncSender<bool>>>>);

impl Browser {
    fn awaited(&self) -> MutexGuard<'_, Option<mpsc::SyncSender<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, opened: bool) {
        if let Some(sender) = self.awaited().take() {
            let _ = sender.send(opened);
        }
    }
}

#[pymethods]
impl Ask {
    /// Whether a browser was opened.
    fn opened(&self, was: bool) {
        self.browser.answer(was);
    }

    /// The line that the person pasted.
    fn pasted(&self, line: String) {
        if let Some(sender) = self.line.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = sender.send(line);
        }
    }
}

/// The person whom Python shows everything.
pub(crate) struct Person {
    wishes: UnboundedSender<Wish>,
    /// Where a callback opens it.
    browser: Option<Browser>,
    pastes: bool,
}

impl Person {
    /// The person, and what comes of them.
    pub(crate) fn new(opens_browser: bool, pastes: bool) -> (Self, UnboundedReceiver<Wish>) {
        let (wishes, asks) = unbounded_channel();
        (Self { wishes, browser: opens_browser.then(Browser::default), pastes }, asks)
    }
}

impl UserInteraction for Person {
    fn show(&self, event: interaction::LoginEvent) {
        let _ = self.wishes.send(Wish::Show(event.into()));
    }

    fn open_browser(&self, url: &str) -> bool {
        let Some(browser) = &self.browser else { return person::open_browser(url) };
        let (sender, answer) = mpsc::sync_channel(1);
        *browser.awaited() = Some(sender);
        let _ = self.wishes.send(Wish::Open(url.to_owned()));
        // The runtime's other thread goes on; whoever ends the login drops the sender.
        tokio::task::block_in_place(|| answer.recv()).unwrap_or(false)
    }

    fn pasted(&self) -> BoxFuture<'_, String> {
        let (sender, line) = oneshot::channel();
        if self.pastes {
            let _ = self.wishes.send(Wish::Paste(sender));
        }
        Box::pin(async move {
            match line.await {
                Ok(line) => line,
                // Nowhere to paste.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// A login under way whose person Python serves.
#[pyclass(frozen, module = "flyte_auth._native")]
pub(crate) struct LoginRun {
    call: Call,
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
    ) -> PyResult<Self> {
        let browser = person.browser.clone().unwrap_or_default();
        let call = Call::start(async move { session.login(&options, &person).await }, outcome)?;
        Ok(Self { call, asks: Arc::new(tokio::sync::Mutex::new(asks)), browser })
    }
}

#[pymethods]
impl LoginRun {
    /// A call that gives the next `Ask`; `None` once the login has ended.
    fn next(&self) -> PyResult<Call> {
        let asks = Arc::clone(&self.asks);
        let browser = self.browser.clone();
        Call::start(async move { Ok(asks.lock().await.recv().await) }, |py, wish| {
            let ask = wish.map(|wish| Ask::new(py, wish, browser)).transpose()?;
            Ok(ask.into_pyobject(py)?.into_any().unbind())
        })
    }

    /// The login's own call: its result is a `LoginOutcome`.
    #[getter]
    fn outcome(&self) -> Call {
        self.call.clone()
    }

    /// Ends the login and waits until its lock and its port are free.
    fn cancel(&self, py: Python<'_>) {
        self.call.stop();
        *self.browser.awaited() = None;
        py.detach(|| self.call.let_go(LETTING_GO));
    }
}
