//! Logins: in two steps, at the terminal, and with a person whom Python shows everything.

use std::sync::{Arc, Mutex, PoisonError};

use flyte_auth::session::Session;
use flyte_auth::session::login as core;
use flyte_auth::{Error, Timestamp, fork};
use flyte_auth_cli::asked::{self, Begun, Browser, Event, Person, Wish};
use flyte_auth_cli::person;
use pyo3::prelude::*;
use tokio::sync::mpsc::UnboundedReceiver;
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
    Ok(asked::options(terminal(ways)?, opens_browser))
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

/// A login that waits for the person. Use `flyte_auth.PendingLogin`.
#[pyclass(frozen, module = "flyte_auth._native")]
pub(crate) struct PendingLogin {
    url: String,
    user_code: Option<String>,
    expires_at: Timestamp,
    place: String,
    begun: Begun<Call>,
    forks: u64,
}

impl PendingLogin {
    pub(crate) fn new(pending: core::PendingLogin) -> Self {
        Self {
            url: pending.url().to_owned(),
            user_code: pending.user_code().map(str::to_owned),
            expires_at: pending.expires_at(),
            place: pending.place().to_owned(),
            begun: Begun::new(pending),
            forks: fork::count(),
        }
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
        let start = |work| Call::start(work, outcome).map_err(Refused::Here);
        self.begun.finish(redirect_url, timeout, start).map_err(Refused::raised)
    }

    /// Ends the attempt: its lock and its port are free at once.
    fn cancel(&self, py: Python<'_>) {
        if self.forks != fork::count() {
            return;
        }
        if let Some(call) = self.begun.cancel() {
            call.stop();
            py.detach(|| call.let_go(LETTING_GO));
        }
    }
}

/// Why a call did not start.
enum Refused {
    Core(Error),
    Here(PyErr),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl Refused {
    fn raised(self) -> PyErr {
        match self {
            Self::Core(error) => raise(error),
            Self::Here(error) => error,
        }
    }
}

/// What a login tells the person. `str` is a line for them.
#[pyclass(frozen, get_all, module = "flyte_auth")]
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

impl From<Event> for LoginEvent {
    fn from(event: Event) -> Self {
        Self {
            kind: event.kind,
            message: event.message,
            url: event.url,
            opened: event.opened,
            ssh_hint: event.ssh_hint,
            paste: event.paste,
            user_code: event.user_code,
            verification_uri: event.verification_uri,
            verification_uri_complete: event.verification_uri_complete,
            remaining: event.remaining.map(|left| left.as_secs_f64()),
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
            Wish::Show(event) => ("show", Some(Py::new(py, LoginEvent::from(event))?), None, None),
            Wish::Open(url) => ("open", None, Some(url), None),
            Wish::Paste(sender) => ("paste", None, None, Some(sender)),
        };
        Ok(Self { kind, event, url, browser, line: Mutex::new(line) })
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
        let browser = person.browser();
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
        self.browser.give_up();
        py.detach(|| self.call.let_go(LETTING_GO));
    }
}
