//! The command `flyte-auth`, and what a language binding shares with it: the person at this machine's terminal.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

mod args;
pub mod asked;
mod background;
mod browser;
mod caller;
mod commands;
pub mod host;
mod output;
pub mod person;
mod program;
mod prompt;
mod quick;
mod setup;
mod terminal;

use args::{Cli, Command, ConfigCommand, SecretsCommand};

pub use program::Program;

/// Runs the command line `arguments` (without the program's name) to its end.
pub fn run(program: Program, arguments: Vec<OsString>) -> ExitCode {
    program.remember(&arguments);
    // The line that clients run hundreds of times a day is read without building the whole command line.
    let quick = quick::token(arguments.iter().cloned());
    let whole = || Cli::try_parse_from([OsString::from("flyte-auth")].into_iter().chain(arguments.iter().cloned()));
    let cli = match quick.map_or_else(whole, Ok) {
        Ok(cli) => cli,
        Err(error) => return misused(&error, &arguments),
    };
    let global = &cli.global;
    let json = global.json || json_by_variable();
    let logging = match &cli.command {
        Command::Serve(_) => setup::server_logging(global),
        _ => setup::logging(global),
    };
    if let Err(error) = logging {
        return output::failure(&error, json);
    }
    let done = match &cli.command {
        Command::Token(args) => commands::token::token(global, args, json),
        Command::Header(args) => commands::token::header(global, args),
        Command::Login(args) => commands::login::login(global, args, json),
        Command::Configure(args) => commands::configure::configure(global, args, json),
        Command::Status(args) => commands::status::status(global, args, json),
        Command::List => commands::status::list(global, json),
        Command::Whoami => commands::status::whoami(global, json),
        Command::Logout(args) => commands::logout::logout(global, args, json),
        Command::Session(command) => commands::session::session(global, command, json),
        Command::Config(ConfigCommand::Explain) => commands::config::explain(global, json),
        Command::Sandbox(args) => commands::sandbox::sandbox(args),
        Command::Serve(args) => commands::serve::serve(args, json),
        Command::Secrets(SecretsCommand::Init(args)) => commands::serve::secrets_init(args, json),
        Command::Secrets(SecretsCommand::Hash) => commands::serve::secrets_hash(),
        Command::Completions { shell } => Ok(commands::completions(*shell)),
    };
    output::ended(done.unwrap_or_else(|error| output::failure(&error, json)))
}

fn json_by_variable() -> bool {
    setup::environment("FLYTE_AUTH_JSON").is_some_and(|value| value != "0" && value != "false")
}

/// Help and version are data and succeed; a wrong command line is talk and exits 2, as clap prints them.
fn misused(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if error.use_stderr() && (json_by_variable() || arguments.iter().any(|word| word == "--json")) {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let usage = flyte_auth::Error::config("usage", "command line", line).with_next("See flyte-auth --help");
        output::document(&usage);
    }
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
