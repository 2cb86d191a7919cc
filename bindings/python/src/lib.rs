//! The native half of the Python package `flyte_auth`: data types, the error table, the runtime, callbacks. Nothing here
//! decides anything about auth; `python/flyte_auth` adds types and what only Python can say.

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

mod call;
mod cli;
mod convert;
mod error;
mod login;
mod options;
mod runtime;
mod session;
mod verify;

/// Raises `ImportError` in any interpreter but the process's first: errors and threads are that one's. Python before 3.12
/// does not ask a module whether it bears a second one (mod_wsgi makes them).
#[pyfunction]
#[expect(unsafe_code, reason = "PyO3 has no safe call for it")]
fn ensure_main_interpreter() -> PyResult<()> {
    // SAFETY: the interpreter is held, since it is loading this module; both calls only read.
    let number = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
    if number == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "flyte_auth does not run in a subinterpreter; with mod_wsgi set WSGIApplicationGroup %{GLOBAL}",
    ))
}

/// The native half of `flyte_auth`; use that.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::call::Call;
    #[pymodule_export]
    use super::cli::run_cli;
    #[pymodule_export]
    use super::ensure_main_interpreter;
    #[pymodule_export]
    use super::login::{Ask, LoginEvent, LoginOutcome, LoginRun, PendingLogin};
    #[pymodule_export]
    use super::runtime::at_exit;
    #[pymodule_export]
    use super::session::{Session, Target, Token};
    #[pymodule_export]
    use super::verify::{IdTokenClaims, LogoutTokenClaims, VerifiedToken, Verifier};

    /// The package's version.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python has for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
