//! The error table's way into Python: `flyte_auth.errors` has the classes, this names the row.

use flyte_auth::Error;
use flyte_auth::config::Spelling;
use flyte_auth_cli::host::Failure;
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
    let failure = Failure::of(error, Spelling::SnakeCase);
    members.set_item("code", failure.code)?;
    members.set_item("message", failure.message)?;
    members.set_item("next_step", failure.next_step)?;
    members.set_item("retryable", failure.retryable)?;
    members.set_item("retry_after", failure.retry_after.map(|after| after.as_secs_f64()))?;
    members.set_item("endpoint", failure.endpoint)?;
    members.set_item("setting", failure.setting)?;
    members.set_item("oauth_error", failure.oauth_error)?;
    members.set_item("oauth_error_description", failure.oauth_error_description)?;
    members.set_item("causes", failure.causes)?;
    let exception = make.bind(py).call((failure.kind.name(), failure.text), Some(&members))?;
    Ok(PyErr::from_value(exception))
}
