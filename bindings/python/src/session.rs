//! The session and its tokens.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use flyte_auth::config::{Setting, Spelling};
use flyte_auth::{Error, session};
use flyte_auth_cli::asked::Person;
use flyte_auth_cli::{host, person};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use serde_json::Value;

use crate::call::Call;
use crate::convert::{json, time};
use crate::error::raise;
use crate::login::{self, LoginRun, PendingLogin};
use crate::options;

/// An access token, ready for a call. `str` and `repr` show no secret.
#[pyclass(frozen, module = "flyte_auth", weakref)]
pub(crate) struct Token {
    inner: session::Token,
}

#[pymethods]
impl Token {
    /// The token itself: a secret.
    #[getter]
    fn value(&self) -> &str {
        self.inner.expose() // EXPOSE: the caller asked for it by name.
    }

    /// When it expires: an aware `datetime.datetime` in UTC; `None` if nobody knows.
    #[getter]
    fn expires_at(&self) -> Option<jiff::Timestamp> {
        self.inner.expires_at().map(time)
    }

    /// The header that takes it, in lower case: the server's `authorization_metadata_key` (Flyte's
    /// `AuthMetadataService`), else `authorization`.
    #[getter]
    fn header_name(&self) -> &str {
        self.inner.header_name()
    }

    /// The header's value: `Bearer` and the token: a secret.
    #[getter]
    fn header_value(&self) -> String {
        self.inner.header_value()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.inner == other.inner
    }

    fn __str__(&self) -> &'static str {
        "Token(***)"
    }

    fn __repr__(&self) -> String {
        let until = self.inner.expires_at().map_or_else(|| "unknown".to_owned(), flyte_auth::Timestamp::to_rfc3339);
        format!("<Token *** for {:?}, expires_at {until}>", self.inner.header_name())
    }
}

/// A token as Python has it, made once.
struct Shown {
    of: session::Token,
    token: Py<Token>,
    name: Py<PyString>,
    value: Py<PyString>,
    /// `(token, (name, value))`.
    pair: Py<PyTuple>,
}

impl Shown {
    fn new(py: Python<'_>, of: session::Token) -> PyResult<Self> {
        let token = Py::new(py, Token { inner: of.clone() })?;
        let name = PyString::new(py, of.header_name());
        let value = PyString::new(py, &of.header_value());
        let pair = (&token, (&name, &value)).into_pyobject(py)?.unbind();
        Ok(Self { token, name: name.unbind(), value: value.unbind(), pair, of })
    }

    fn again(&self, py: Python<'_>) -> Self {
        Self {
            of: self.of.clone(),
            token: self.token.clone_ref(py),
            name: self.name.clone_ref(py),
            value: self.value.clone_ref(py),
            pair: self.pair.clone_ref(py),
        }
    }

    fn header(&self, py: Python<'_>) -> (Py<PyString>, Py<PyString>) {
        (self.name.clone_ref(py), self.value.clone_ref(py))
    }
}

/// Where a session's endpoint is, and how it is spoken to. `http_proxy_url` may hold a password.
#[pyclass(frozen, get_all, module = "flyte_auth._native")]
pub(crate) struct Target {
    host: String,
    port: u16,
    tls: bool,
    /// Roots that are trusted besides the platform's: a PEM file, or a folder of them.
    ca_cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    insecure_skip_verify: bool,
    http_proxy_url: Option<String>,
}

/// One endpoint, one credential, one store. Use `flyte_auth.Session`.
#[pyclass(subclass, frozen, module = "flyte_auth._native", weakref, dict)]
pub(crate) struct Session {
    inner: session::Session,
    shown: Mutex<Option<Shown>>,
    /// Who asks, for a person's prompt.
    program: String,
    closed: AtomicBool,
}

impl Session {
    /// The token in memory as Python has it, if it needs no refresh; `pick` takes of it what is wanted.
    #[inline]
    fn fresh_shown<R>(&self, py: Python<'_>, pick: impl Fn(&Shown) -> R) -> PyResult<Option<R>> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(closed());
        }
        let Some(fresh) = self.inner.fresh() else { return Ok(None) };
        self.shown(py, fresh, pick).map(Some)
    }

    /// `pick` may only count references: whatever allocates may run the garbage collector, and with it anybody's
    /// destructor, which may call this session and find the lock taken.
    fn shown<R>(&self, py: Python<'_>, token: session::Token, pick: impl Fn(&Shown) -> R) -> PyResult<R> {
        let lock = || self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = lock().as_ref().filter(|shown| shown.of == token) {
            return Ok(pick(shown));
        }
        let made = Shown::new(py, token)?;
        let picked = pick(&made);
        let before = lock().replace(made);
        drop(before);
        Ok(picked)
    }

    fn open(&self) -> PyResult<session::Session> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(closed());
        }
        Ok(self.inner.clone())
    }
}

fn closed() -> PyErr {
    raise(host::closed())
}

fn headers_of(py: Python<'_>, header: Option<(Py<PyString>, Py<PyString>)>) -> PyResult<Py<PyDict>> {
    let headers = PyDict::new(py);
    if let Some((name, value)) = header {
        headers.set_item(name, value)?;
    }
    Ok(headers.unbind())
}

#[pymethods]
impl Session {
    /// A session from keyword arguments; everything else from files and environment.
    #[new]
    #[pyo3(signature = (options: "dict[str, object]", program: "str"))]
    fn new(py: Python<'_>, options: &Bound<'_, PyDict>, program: String) -> PyResult<Self> {
        let overrides = options::overrides(options)?;
        let made = py.detach(|| host::session(overrides, Spelling::SnakeCase));
        Ok(Self { inner: made.map_err(raise)?, shown: Mutex::new(None), program, closed: AtomicBool::new(false) })
    }

    /// The endpoint (or the issuer) as a person names it.
    #[getter]
    fn endpoint(&self) -> &str {
        self.inner.place()
    }

    /// What is unwise in the configuration: unknown keys, ignored values; one line each.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.inner.config().warnings.clone()
    }

    /// A token for the next call; `None` if the endpoint has no auth.
    ///
    /// Fresh in memory: at once (under a microsecond). Inside the refresh margin: the old one at once, refreshed in the
    /// background. Otherwise all callers of all processes wait for one refresh. Waits without the GIL; Ctrl-C ends the
    /// wait within 100 ms and not the refresh.
    ///
    /// Raises `LoginRequiredError` if a person must sign in (nobody is asked unless `interactive` says so), and the other
    /// errors of `flyte_auth.errors`.
    fn token(slf: &Bound<'_, Self>) -> PyResult<Option<Py<Token>>> {
        let py = slf.py();
        match slf.get().fresh_shown(py, |shown| shown.token.clone_ref(py))? {
            Some(token) => Ok(Some(token)),
            None => Ok(Self::start_token(slf, false)?.wait_for(py)?.extract(py)?),
        }
    }

    /// The header for the next call, `{name: value}`; `{}` if the endpoint has no auth. A new dict each time.
    ///
    /// Waits and raises as `token()`.
    #[pyo3(signature = () -> "dict[str, str]")]
    fn headers(slf: &Bound<'_, Self>) -> PyResult<Py<PyDict>> {
        let py = slf.py();
        match slf.get().fresh_shown(py, |shown| shown.header(py))? {
            Some(header) => headers_of(py, Some(header)),
            None => Ok(Self::start_headers(slf)?.wait_for(py)?.extract(py)?),
        }
    }

    /// The server rejected this token (401, gRPC 16): it is not served again, and the next `token()` refreshes. A late
    /// rejection of an older token starts nothing. Without a token the current one is meant. Never waits.
    #[pyo3(signature = (token: "Token | None" = None) -> "None")]
    fn invalidate(&self, token: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let unfit = |_| PyTypeError::new_err("token must be a Token or None");
        let token = token.map(|token| token.cast::<Token>().map_err(unfit)).transpose()?;
        self.inner.invalidate(token.map(|token| &token.get().inner));
        Ok(())
    }

    /// The token in memory, if it needs no refresh: never waits.
    #[pyo3(name = "_fresh")]
    fn fresh(&self, py: Python<'_>) -> PyResult<Option<Py<Token>>> {
        self.fresh_shown(py, |shown| shown.token.clone_ref(py))
    }

    /// The header in memory, if its token needs no refresh: never waits.
    #[pyo3(name = "_fresh_headers", signature = () -> "dict[str, str] | None")]
    fn fresh_headers(&self, py: Python<'_>) -> PyResult<Option<Py<PyDict>>> {
        let header = self.fresh_shown(py, |shown| shown.header(py))?;
        header.map(|header| headers_of(py, Some(header))).transpose()
    }

    /// The token in memory with its header, `(token, (name, value))`, if it needs no refresh: never waits.
    #[pyo3(name = "_fresh_pair", signature = () -> "tuple[Token, tuple[str, str]] | None")]
    fn fresh_pair(&self, py: Python<'_>) -> PyResult<Option<Py<PyTuple>>> {
        self.fresh_shown(py, |shown| shown.pair.clone_ref(py))
    }

    /// Scheme, host and port of the endpoint, for example `https://flyte.example.org`; `None` for a session with an
    /// issuer alone.
    #[getter(_origin)]
    fn origin(&self) -> Option<String> {
        let endpoint = &self.inner.config().endpoint.as_ref()?.value;
        let scheme = if endpoint.tls() { "https" } else { "http" };
        Some(format!("{scheme}://{}", endpoint.authority()))
    }

    /// What a channel to the endpoint needs; `None` for a session with an issuer alone.
    #[getter(_target)]
    fn target(&self) -> Option<Target> {
        let config = self.inner.config();
        let endpoint = &config.endpoint.as_ref()?.value;
        let network = &config.network;
        let path = |setting: &Option<Setting<PathBuf>>| setting.as_ref().map(|path| path.value.clone());
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

    /// `token()` as a call. `opted_in`: whoever calls chose that a person may be asked.
    #[pyo3(name = "_start_token", signature = (opted_in=false))]
    fn start_token(slf: &Bound<'_, Self>, opted_in: bool) -> PyResult<Call> {
        Self::start(slf, opted_in, |py, shown| {
            Ok(shown.map(|shown| shown.token).into_pyobject(py)?.into_any().unbind())
        })
    }

    /// `headers()` as a call.
    #[pyo3(name = "_start_headers")]
    fn start_headers(slf: &Bound<'_, Self>) -> PyResult<Call> {
        Self::start(slf, false, |py, shown| {
            headers_of(py, shown.map(|shown| (shown.name, shown.value))).map(Py::into_any)
        })
    }

    /// `status()` as a call.
    #[pyo3(name = "_start_status")]
    fn start_status(&self) -> PyResult<Call> {
        let session = self.open()?;
        Call::start_blocking(move || session.status(), |py, status| shown_json(py, serde_json::to_value(status)))
    }

    /// `whoami()` as a call.
    #[pyo3(name = "_start_whoami")]
    fn start_whoami(&self) -> PyResult<Call> {
        let session = self.open()?;
        Call::start(async move { session.whoami().await }, |py, who| shown_json(py, serde_json::to_value(who)))
    }

    /// `logout()` as a call: `(was_signed_in, revoked, copies_removed, problem)`.
    #[pyo3(name = "_start_logout")]
    fn start_logout(&self, revoke: &Bound<'_, PyAny>) -> PyResult<Call> {
        let session = self.open()?;
        let revoke = options::flag("revoke", revoke)?;
        Call::start(async move { session.logout(revoke).await }, |py, outcome| {
            let revoked = outcome.revocation.as_ref().map(std::result::Result::is_ok);
            let problem =
                outcome.revocation.and_then(std::result::Result::err).map(|error| raise(error).into_value(py));
            Ok((outcome.was_signed_in, revoked, outcome.copies_removed, problem).into_pyobject(py)?.into_any().unbind())
        })
    }

    /// `begin_login()` as a call.
    #[pyo3(name = "_start_begin_login")]
    fn start_begin_login(
        &self,
        flow: &Bound<'_, PyAny>,
        no_browser: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
    ) -> PyResult<Call> {
        let session = self.open()?;
        let options = login::options([flow, no_browser, timeout], false)?;
        Call::start(async move { session.begin_login(&options).await }, |py, pending| {
            Ok(pending.map(PendingLogin::new).into_pyobject(py)?.into_any().unbind())
        })
    }

    /// `login()` with the person at this machine's terminal, as a call.
    #[pyo3(name = "_start_login")]
    fn start_login(
        &self,
        flow: &Bound<'_, PyAny>,
        no_browser: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
    ) -> PyResult<Call> {
        let session = self.open()?;
        let login = login::terminal([flow, no_browser, timeout])?;
        Call::start(async move { person::sign_in(&session, login).await }, login::outcome)
    }

    /// `login()` whose person is shown everything by Python.
    #[pyo3(name = "_run_login")]
    fn run_login(
        &self,
        flow: &Bound<'_, PyAny>,
        no_browser: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
        opens_browser: bool,
        pastes: bool,
    ) -> PyResult<LoginRun> {
        let session = self.open()?;
        let options = login::options([flow, no_browser, timeout], opens_browser)?;
        let (person, asks) = Person::new(&options, opens_browser, pastes);
        LoginRun::start(session, options, person, asks)
    }

    /// Ends the use of this session; what is stored stays, and so do refreshes under way. Further calls raise
    /// `ConfigError` (`session_closed`). Never waits.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let last = self.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(last);
    }

    fn __repr__(&self) -> String {
        format!("<flyte_auth.Session {:?}>", self.inner.place())
    }
}

impl Session {
    fn start(
        slf: &Bound<'_, Self>,
        opted_in: bool,
        answer: impl FnOnce(Python<'_>, Option<Shown>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        let this = slf.get();
        let session = this.open()?;
        let program = this.program.clone();
        let me = slf.clone().unbind();
        Call::start(async move { person::token(&session, &program, opted_in).await }, move |py, token| match token {
            Some(token) => {
                let shown = me.get().shown(py, token, |shown| shown.again(py))?;
                answer(py, Some(shown))
            }
            None => answer(py, None),
        })
    }
}

fn shown_json(py: Python<'_>, value: serde_json::Result<Value>) -> PyResult<Py<PyAny>> {
    let value = value.map_err(|cause| raise(Error::internal("an answer that cannot be shown").with_source(cause)))?;
    json(py, &value).map(Bound::unbind)
}
