//! The command line inside the interpreter.

use std::ffi::OsString;
use std::process::ExitCode;

use flyte_auth_cli::Program;
use pyo3::prelude::*;

/// Runs `flyte-auth` with `arguments` to its end; `program` starts it again. Gives the exit code.
#[pyfunction]
pub(crate) fn run_cli(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    let code = py.detach(|| flyte_auth_cli::run(Program::hosted(program), arguments));
    // An `ExitCode` can be compared and not read.
    (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1)
}
