//! The error table's way into Python: `flyte_auth.errors` has the classes, this names the row.

use std::error::Error as _;

use flyte_auth::Error;
use flyte_auth::config::Spelling;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

static FROM_NATIVE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error.
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| exception(py, &error).unwrap_or_else(|failure| failure))
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let make = FROM_NATIVE
        .get_or_try_init(py, || py.import("flyte_auth.errors")?.getattr("_from_native").map(Bound::unbind))?;
    let members = PyDict::new(py);
    members.set_item("code", error.code())?;
    let spelled = |text| Spelling::SnakeCase.respell(text);
    members.set_item("message", spelled(error.message()))?;
    members.set_item("next_step", error.next_step().map(spelled))?;
    members.set_item("retryable", error.is_retryable())?;
    members.set_item("retry_after", error.retry_after().map(|after| after.as_secs_f64()))?;
    members.set_item("endpoint", error.endpoint())?;
    members.set_item("setting", error.setting())?;
    members.set_item("oauth_error", error.oauth_error())?;
    members.set_item("oauth_error_description", error.oauth_error_description())?;
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    members.set_item("causes", causes)?;
    let exception = make.bind(py).call((error.kind().name(), spelled(&error.to_string())), Some(&members))?;
    Ok(PyErr::from_value(exception))
}
