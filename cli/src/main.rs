//! The command `flyte-auth`.

use std::process::ExitCode;

use flyte_auth_cli::Program;

fn main() -> ExitCode {
    flyte_auth_cli::run(Program::native(), std::env::args_os().skip(1).collect())
}
