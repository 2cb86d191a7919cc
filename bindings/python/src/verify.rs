//! Verification for services that receive tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flyte_auth::Timestamp;
use flyte_auth::protocol::secret::{AccessToken, ClientSecret, IdToken};
use flyte_auth::verify::{self, LogoutClaims};
use flyte_auth_cli::host::VerifierSettings;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::call::Call;
use crate::convert::{Json, time};
use crate::error::raise;
use crate::options::{flag, foreign, seconds, text, text_or_none, texts};

/// An access token that was verified: by its signature, or by the authorization server's word (RFC 7662).
#[pyclass(frozen, module = "flyte_auth", weakref)]
pub(crate) struct VerifiedToken {
    inner: Arc<verify::VerifiedToken>,
}

#[pymethods]
impl VerifiedToken {
    /// `iss`; `None` only where an introspection reply has none.
    #[getter]
    fn issuer(&self) -> Option<&str> {
        self.inner.issuer()
    }
    /// `sub`: whom the token is about; a client's own id where it acts for itself.
    #[getter]
    fn subject(&self) -> Option<&str> {
        self.inner.subject()
    }
    /// `aud`.
    #[getter]
    fn audience(&self) -> Vec<String> {
        self.inner.audience().to_vec()
    }
    /// The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there.
    #[getter]
    fn client_id(&self) -> Option<&str> {
        self.inner.client_id()
    }
    /// Granted scopes: `scope` and `scp`, as a text or a list; `roles` where neither is there.
    #[getter]
    fn scopes(&self) -> Vec<String> {
        self.inner.scopes().to_vec()
    }
    /// Whether `scope` was granted.
    fn has_scope(&self, scope: &str) -> bool {
        self.inner.has_scope(scope)
    }
    /// `exp` as an aware `datetime.datetime` in UTC; `None` only where an introspection reply has none.
    #[getter]
    fn expires_at(&self) -> Option<jiff::Timestamp> {
        self.inner.expires_at().map(time)
    }
    /// `iat`, as `expires_at`.
    #[getter]
    fn issued_at(&self) -> Option<jiff::Timestamp> {
        self.inner.issued_at().map(time)
    }
    /// Every claim, as `json.loads` gives it. A new dict each time.
    #[getter]
    fn claims(&self) -> BTreeMap<&str, Json<'_>> {
        self.inner.claims().iter().map(|(name, value)| (name.as_str(), Json(value))).collect()
    }
    fn __repr__(&self) -> String {
        let until = self.inner.expires_at().map_or_else(|| "unknown".to_owned(), Timestamp::to_rfc3339);
        format!("<VerifiedToken subject {:?}, expires_at {until}>", self.inner.subject().unwrap_or_default())
    }
}

/// Claims of a verified ID token (OpenID Connect Core section 2).
#[pyclass(frozen, get_all, module = "flyte_auth")]
pub(crate) struct IdTokenClaims {
    /// `sub`.
    subject: String,
    /// `email`.
    email: Option<String>,
    /// `preferred_username`.
    preferred_username: Option<String>,
}

/// Claims of a verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
#[pyclass(frozen, module = "flyte_auth")]
pub(crate) struct LogoutTokenClaims {
    inner: LogoutClaims,
}

#[pymethods]
impl LogoutTokenClaims {
    /// `sub`: every session of this user, unless `session_id` names one.
    #[getter]
    fn subject(&self) -> Option<&str> {
        self.inner.subject.as_deref()
    }
    /// `sid`: this session.
    #[getter]
    fn session_id(&self) -> Option<&str> {
        self.inner.session_id.as_deref()
    }
    /// `jti`: remember it until `expires_at`, and refuse it the second time.
    #[getter]
    fn token_id(&self) -> &str {
        &self.inner.token_id
    }
    /// `exp` as an aware `datetime.datetime` in UTC.
    #[getter]
    fn expires_at(&self) -> Option<jiff::Timestamp> {
        Some(time(self.inner.expires_at))
    }
}

/// Verifies tokens of one issuer. Use `flyte_auth.Verifier`.
#[pyclass(subclass, frozen, module = "flyte_auth._native", weakref, dict)]
pub(crate) struct Verifier {
    inner: verify::Verifier,
    issuer: String,
}

fn token(value: &Bound<'_, PyAny>) -> PyResult<AccessToken> {
    Ok(AccessToken::new(foreign("token", value)?))
}

fn verified(py: Python<'_>, inner: Arc<verify::VerifiedToken>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, VerifiedToken { inner })?.into_any())
}

#[pymethods]
impl Verifier {
    /// A verifier from keyword arguments.
    #[new]
    #[pyo3(signature = (options: "dict[str, object]"))]
    fn new(options: &Bound<'_, PyDict>) -> PyResult<Self> {
        build(options)
    }

    /// The issuer.
    #[getter]
    fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Verifies an access token (RFC 9068, and what issuers write who do not follow it): a JWT by its signature and
    /// claims, an opaque one by introspection where that is configured. What was verified is remembered by its hash.
    ///
    /// Raises `AccessDeniedError` whose `code` is the failed check (`token_expired`, `token_audience`, …); `NetworkError` or
    /// `ServerError` if the issuer's keys cannot be had. The message holds nothing of the token.
    #[pyo3(signature = (token: "str") -> "VerifiedToken")]
    fn verify(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.verify_now(py, token)? {
            Some(found) => Ok(found),
            None => self.start_verify(token)?.wait_for(py),
        }
    }

    /// As `verify` where nothing has to be fetched; `None` otherwise.
    #[pyo3(name = "_verify_now", signature = (token: "str") -> "VerifiedToken | None")]
    fn verify_now(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let token = self::token(token)?;
        match self.inner.verify_now(&token) {
            Some(found) => verified(py, found.map_err(raise)?).map(Some),
            None => Ok(None),
        }
    }

    /// `verify()` as a call.
    #[pyo3(name = "_start_verify", signature = (token: "str") -> "Call")]
    fn start_verify(&self, token: &Bound<'_, PyAny>) -> PyResult<Call> {
        let token = self::token(token)?;
        let verifier = self.inner.clone();
        Call::start(async move { verifier.verify(&token).await }, verified)
    }

    /// `verify_id_token()` as a call.
    #[pyo3(name = "_start_verify_id_token")]
    fn start_verify_id_token(
        &self,
        token: &Bound<'_, PyAny>,
        client_id: &Bound<'_, PyAny>,
        nonce: Option<&Bound<'_, PyAny>>,
        access_token: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Call> {
        let id_token = IdToken::new(foreign("token", token)?);
        let client_id = text("client_id", client_id)?;
        let nonce = text_or_none("nonce", nonce)?;
        let access_token = access_token.map(|token| foreign("access_token", token)).transpose()?;
        let access_token = access_token.map(AccessToken::new);
        let verifier = self.inner.clone();
        let work = async move {
            verifier.verify_id_token(&id_token, &client_id, nonce.as_deref(), access_token.as_ref()).await
        };
        Call::start(work, |py, claims| {
            let verify::id_token::Claims { subject, email, preferred_username } = claims;
            Ok(Py::new(py, IdTokenClaims { subject, email, preferred_username })?.into_any())
        })
    }

    /// `verify_logout_token()` as a call.
    #[pyo3(name = "_start_verify_logout_token")]
    fn start_verify_logout_token(&self, token: &Bound<'_, PyAny>, client_id: &Bound<'_, PyAny>) -> PyResult<Call> {
        let token = foreign("token", token)?;
        let client_id = text("client_id", client_id)?;
        let verifier = self.inner.clone();
        Call::start(async move { verifier.verify_logout_token(&token, &client_id).await }, |py, inner| {
            Ok(Py::new(py, LogoutTokenClaims { inner })?.into_any())
        })
    }

    fn __repr__(&self) -> String {
        format!("<flyte_auth.Verifier {:?}>", self.issuer)
    }
}

fn build(options: &Bound<'_, PyDict>) -> PyResult<Verifier> {
    let given = |name: &str| Ok::<_, PyErr>(options.get_item(name)?.filter(|value| !value.is_none()));
    let given_text = |name: &str| given(name)?.map(|value| text(name, &value)).transpose();
    let given_flag =
        |name: &str| Ok::<_, PyErr>(given(name)?.map(|value| flag(name, &value)).transpose()? == Some(true));
    let issuer = match given("issuer")? {
        Some(issuer) => text("issuer", &issuer)?,
        None => return Err(PyTypeError::new_err("issuer must be str, not NoneType")),
    };
    let mut settings = VerifierSettings { issuer: issuer.clone(), ..VerifierSettings::default() };
    if let Some(value) = given("audience")? {
        settings.audience = if value.is_instance_of::<PyString>() {
            vec![text("audience", &value)?]
        } else {
            texts("audience", &value)?
        };
    }
    settings.any_audience = given_flag("any_audience")?;
    settings.jwks = given("jwks")?.map(|value| json_bytes("jwks", &value)).transpose()?;
    settings.jwks_uri = given_text("jwks_uri")?;
    settings.algorithms = given("algorithms")?.map(|value| texts("algorithms", &value)).transpose()?;
    settings.profile = given_text("profile")?;
    if let Some(value) = given("clock_skew")? {
        let none = value.extract::<f64>().is_ok_and(|seconds| seconds == 0.0);
        settings.clock_skew = Some(if none { Duration::ZERO } else { seconds("clock_skew", &value)? });
    }
    settings.required_scopes =
        given("required_scopes")?.map(|value| texts("required_scopes", &value)).transpose()?.unwrap_or_default();
    settings.introspection_client_id = given_text("introspection_client_id")?;
    settings.introspection_client_secret = given_text("introspection_client_secret")?.map(ClientSecret::new);
    settings.introspection_endpoint = given_text("introspection_endpoint")?;
    let unfit = |_| PyTypeError::new_err("remember must be an int of 0 or more");
    settings.remember = given("remember")?.map(|value| value.extract().map_err(unfit)).transpose()?;
    settings.plaintext = given_flag("plaintext")?;
    Ok(Verifier { inner: settings.build().map_err(raise)?, issuer })
}

/// JSON as text, bytes or what `json.dumps` takes.
fn json_bytes(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if value.is_instance_of::<PyString>() {
        return Ok(text(name, value)?.into_bytes());
    }
    let unfit = |_| PyTypeError::new_err(format!("{name} must be a mapping of JSON values, str or bytes"));
    let Ok(mapping) = value.cast::<PyMapping>() else { return value.extract().map_err(unfit) };
    let members = mapping.items().and_then(|items| items.get_type().call1((items,)));
    let members = members.and_then(|items| value.py().get_type::<PyDict>().call1((items,)));
    let json = members.and_then(|members| value.py().import("json")?.call_method1("dumps", (members,)));
    Ok(json.and_then(|json| json.extract::<String>()).map_err(unfit)?.into_bytes())
}
