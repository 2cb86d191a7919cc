//! Keyword arguments: what they are is checked here, what they mean in the core.

use std::path::PathBuf;
use std::time::Duration;

use flyte_auth::Error;
use flyte_auth::config::{Overrides, ProxyUrl};
use flyte_auth::interaction::Flow;
use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth_cli::asked;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyMapping, PyString};

use crate::error::raise;

fn wrong(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyErr {
    let found = value.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{name} must be {wanted}, not {found}"))
}

/// A `str`, and nothing that merely can be one. Python's own error for one that UTF-8 cannot carry would hold all of it.
pub(crate) fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = value.cast::<PyString>().map_err(|_| wrong(name, "str", value))?;
    text.extract().map_err(|_| PyTypeError::new_err(format!("{name} must be a str that UTF-8 can carry")))
}

/// What somebody else wrote: what UTF-8 cannot carry becomes another text, which is no token.
pub(crate) fn foreign(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = value.cast::<PyString>().map_err(|_| wrong(name, "str", value))?;
    Ok(text.to_string_lossy().into_owned())
}

/// As [`text`]; `None` is not given.
pub(crate) fn text_or_none(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    value.map(|value| text(name, value)).transpose()
}

fn path(name: &str, value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    value.extract().map_err(|_| wrong(name, "str or os.PathLike", value))
}

pub(crate) fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.cast::<PyBool>().map(|value| value.is_true()).map_err(|_| wrong(name, "bool", value))
}

/// A list or tuple of `str`; a single `str` is one of its letters too often.
pub(crate) fn texts(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let unfit = || wrong(name, "a sequence of str", value);
    if value.is_instance_of::<PyString>() {
        return Err(unfit());
    }
    let items: Vec<Bound<'_, PyAny>> = value.extract().map_err(|_| unfit())?;
    items.iter().map(|item| if item.is_instance_of::<PyString>() { text(name, item) } else { Err(unfit()) }).collect()
}

/// Seconds, positive and finite.
pub(crate) fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let unfit = |_| wrong(name, "a number of seconds", value);
    if value.is_instance_of::<PyBool>() {
        return Err(wrong(name, "a number of seconds", value));
    }
    let number = value.extract::<f64>().map_err(unfit)?;
    Duration::try_from_secs_f64(number).ok().filter(|duration| !duration.is_zero()).ok_or_else(|| {
        let what = format!("{name} is {number:e}");
        raise(Error::config("duration_invalid", name, what).with_next("Give a number of seconds above 0"))
    })
}

pub(crate) fn flow(value: &Bound<'_, PyAny>) -> PyResult<Flow> {
    asked::flow(&text("flow", value)?).map_err(raise)
}

/// The keyword arguments of a session; `None` is not given.
pub(crate) fn overrides(options: &Bound<'_, PyDict>) -> PyResult<Overrides> {
    let mut overrides = Overrides::default();
    for (name, value) in options {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        let name = name.as_str();
        match name {
            "config" => overrides.config = Some(path(name, &value)?),
            // `Session.from_config` has another name for it.
            "_path" => overrides.config = Some(path("path", &value)?),
            "endpoint" => overrides.endpoint = Some(text(name, &value)?),
            "profile" => overrides.profile = Some(text(name, &value)?),
            "account" => overrides.account = Some(text(name, &value)?),
            "store" => overrides.store = Some(text(name, &value)?),
            "interactive" => overrides.interactive = Some(text(name, &value)?),
            "insecure" => overrides.insecure = Some(flag(name, &value)?),
            "insecure_skip_verify" => overrides.insecure_skip_verify = Some(flag(name, &value)?),
            "ca_cert" => overrides.ca_cert = Some(path(name, &value)?),
            "client_cert" => overrides.client_cert = Some(path(name, &value)?),
            "client_key" => overrides.client_key = Some(path(name, &value)?),
            "http_proxy_url" => overrides.http_proxy_url = Some(ProxyUrl::new(text(name, &value)?)),
            "auth_type" => overrides.auth_type = Some(text(name, &value)?),
            "client_id" => overrides.client_id = Some(text(name, &value)?),
            "client_secret" => overrides.client_secret = Some(ClientSecret::new(text(name, &value)?)),
            "issuer" => overrides.issuer = Some(text(name, &value)?),
            "scopes" => overrides.scopes = Some(texts(name, &value)?),
            "audience" => overrides.audience = Some(text(name, &value)?),
            "extra_params" => {
                let pairs = value.cast::<PyMapping>().ok().and_then(|mapping| mapping.items().ok());
                let pairs = pairs.ok_or_else(|| wrong(name, "a mapping of str to str", &value))?;
                for pair in pairs.iter() {
                    let (key, word): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
                    overrides.extra_params.insert(text(name, &key)?, text(name, &word)?);
                }
            }
            "_from_client" => overrides.from_client = flag(name, &value)?,
            other => {
                return Err(PyTypeError::new_err(format!("{other:?} is no option of a session")));
            }
        }
    }
    Ok(overrides)
}
