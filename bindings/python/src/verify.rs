//! Verification for services that receive tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use flyte_auth::Timestamp;
use flyte_auth::protocol::secret::{AccessToken, ClientSecret, IdToken};
use flyte_auth::verify::{self, Algorithm, Introspection, KeySet, LogoutClaims, Profile};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::call::Call;
use crate::convert::{Json, time};
use crate::error::raise;
use crate::options::{flag, seconds, text, text_or_none, texts};

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
    Ok(AccessToken::new(text("token", value)?))
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
        let id_token = IdToken::new(text("token", token)?);
        let client_id = text("client_id", client_id)?;
        let nonce = text_or_none("nonce", nonce)?;
        let access_token = text_or_none("access_token", access_token)?.map(AccessToken::new);
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
        let token = text("token", token)?;
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
    let issuer = match given("issuer")? {
        Some(issuer) => text("issuer", &issuer)?,
        None => return Err(PyTypeError::new_err("issuer must be str, not NoneType")),
    };
    let mut builder = verify::Verifier::builder(issuer.clone());
    if let Some(value) = given("audience")? {
        let several = if value.is_instance_of::<PyString>() {
            vec![text("audience", &value)?]
        } else {
            texts("audience", &value)?
        };
        for audience in several {
            builder = builder.audience(audience);
        }
    }
    if given("any_audience")?.map(|value| flag("any_audience", &value)).transpose()? == Some(true) {
        builder = builder.any_audience();
    }
    if let Some(value) = given("jwks")? {
        let unfit = |_| PyTypeError::new_err("jwks must be a mapping of JSON values, str or bytes");
        let bytes: Vec<u8> = if value.is_instance_of::<PyString>() {
            text("jwks", &value)?.into_bytes()
        } else if let Ok(mapping) = value.cast::<PyMapping>() {
            let members = mapping.items().and_then(|items| items.get_type().call1((items,)));
            let members = members.and_then(|items| value.py().get_type::<PyDict>().call1((items,)));
            let json = members.and_then(|members| value.py().import("json")?.call_method1("dumps", (members,)));
            json.and_then(|json| json.extract::<String>()).map_err(unfit)?.into_bytes()
        } else {
            value.extract().map_err(unfit)?
        };
        builder = builder.jwks(KeySet::configured(&bytes).map_err(raise)?);
    }
    if let Some(value) = given("jwks_uri")? {
        builder = builder.jwks_uri(text("jwks_uri", &value)?);
    }
    if let Some(value) = given("algorithms")? {
        let named = texts("algorithms", &value)?.into_iter().map(|name| Algorithm::named(&name).map_err(raise));
        builder = builder.algorithms(named.collect::<PyResult<Vec<_>>>()?);
    }
    if let Some(value) = given("profile")? {
        builder = builder.profile(Profile::named(&text("profile", &value)?).map_err(raise)?);
    }
    if let Some(value) = given("clock_skew")? {
        let none = value.extract::<f64>().is_ok_and(|seconds| seconds == 0.0);
        builder = builder.clock_skew(if none { std::time::Duration::ZERO } else { seconds("clock_skew", &value)? });
    }
    if let Some(value) = given("required_scopes")? {
        for scope in texts("required_scopes", &value)? {
            builder = builder.required_scope(scope);
        }
    }
    for half in ["introspection_client_secret", "introspection_endpoint"] {
        if given(half)?.is_some() && given("introspection_client_id")?.is_none() {
            return Err(PyTypeError::new_err(format!("{half} needs introspection_client_id")));
        }
    }
    if let Some(value) = given("introspection_client_id")? {
        let client_id = text("introspection_client_id", &value)?;
        let secret = given("introspection_client_secret")?
            .map(|secret| text("introspection_client_secret", &secret))
            .transpose()?
            .ok_or_else(|| PyTypeError::new_err("introspection_client_id needs introspection_client_secret"))?;
        let mut introspection = Introspection::new(client_id, ClientSecret::new(secret));
        if let Some(endpoint) = given("introspection_endpoint")? {
            introspection = introspection.endpoint(text("introspection_endpoint", &endpoint)?);
        }
        builder = builder.introspection(introspection);
    }
    if let Some(value) = given("remember")? {
        builder = builder
            .remember(value.extract().map_err(|_| PyTypeError::new_err("remember must be an int of 0 or more"))?);
    }
    if given("plaintext")?.map(|value| flag("plaintext", &value)).transpose()? == Some(true) {
        builder = builder.plaintext(true);
    }
    let inner = builder.build().map_err(raise)?;
    Ok(Verifier { inner, issuer })
}
