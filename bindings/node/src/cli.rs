//! The command line inside Node.

use std::ffi::OsString;
use std::process::ExitCode;

use flyte_auth_cli::Program;
use napi_derive::napi;

/// Runs `flyte-auth` with `args` to its end; `program` is the argv that starts it again. Gives the exit code.
#[napi]
pub fn run_cli(program: Vec<String>, args: Vec<String>) -> u8 {
    let words = |words: Vec<String>| words.into_iter().map(OsString::from).collect();
    let code = flyte_auth_cli::run(Program::hosted(words(program)), words(args));
    // An `ExitCode` can be compared and not read.
    (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1)
}
