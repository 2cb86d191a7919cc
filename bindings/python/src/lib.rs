//! The native half of the Python package `flyte_auth`: data types, the error table, the runtime, callbacks. Nothing here
//! decides anything about auth; `python/flyte_auth` adds types and what only Python can say.

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

/// The native half of `flyte_auth`; use that.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::call::Call;
    #[pymodule_export]
    use super::cli::run_cli;
    #[pymodule_export]
    use super::login::{Ask, LoginEvent, LoginOutcome, LoginRun, PendingLogin};
    #[pymodule_export]
    use super::runtime::at_exit;
    #[pymodule_export]
    use super::session::{Session, Token};
    #[pymodule_export]
    use super::verify::{IdTokenClaims, LogoutTokenClaims, VerifiedToken, Verifier};

    /// The package's version.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python has for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
