//! How this program is started again: itself, or through the interpreter that carries it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use flyte_auth::config::ProcessContext;
use flyte_auth::{Error, Result};

/// Who runs the command line.
#[derive(Debug, Clone)]
pub struct Program {
    argv: Vec<OsString>,
    native: bool,
}

/// The program and its arguments, for the rest of the process.
static CURRENT: OnceLock<(Program, Vec<OsString>)> = OnceLock::new();

impl Program {
    /// The running binary is `flyte-auth`.
    pub fn native() -> Self {
        Self { argv: std::env::current_exe().map(PathBuf::into_os_string).into_iter().collect(), native: true }
    }

    /// The running binary is a language's interpreter, and `argv` starts the command with it: `[/venv/bin/flyte-auth]`,
    /// or `[/usr/bin/python3, -m, flyte_auth]`.
    pub fn hosted(argv: Vec<OsString>) -> Self {
        Self { argv, native: false }
    }

    pub(crate) fn remember(self, arguments: &[OsString]) {
        let _ = CURRENT.set((self, arguments.to_vec()));
    }
}

/// The process's environment and folders as the configuration needs them. An interpreter is not this program: a
/// `command` that starts with it is somebody else's.
pub(crate) fn context() -> ProcessContext {
    ProcessContext::current(CURRENT.get().is_some_and(|(program, _)| program.native))
}

/// What starts this program, for a configuration file.
pub(crate) fn argv() -> Result<Vec<String>> {
    let argv = CURRENT.get().map(|(program, _)| program.argv.as_slice()).unwrap_or_default();
    if argv.is_empty() {
        return Err(Error::internal("this program cannot find itself"));
    }
    Ok(argv.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}

/// This very command line once more.
pub(crate) fn again() -> Option<Command> {
    let (program, arguments) = CURRENT.get()?;
    let (first, rest) = program.argv.split_first()?;
    let mut command = Command::new(first);
    command.args(rest).args(arguments);
    Some(command)
}
