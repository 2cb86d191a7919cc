//! One file a command. Each says what it prints; decisions about auth are the core's.

use std::process::ExitCode;

use clap::CommandFactory as _;

pub(crate) mod config;
pub(crate) mod configure;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod sandbox;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod token;

/// Completions for a shell, to stdout.
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::Cli::command(), "flyte-auth", &mut script);
    crate::output::data(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
