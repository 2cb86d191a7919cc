//! The command `flyte-auth`.

use std::process::ExitCode;

use clap::Parser as _;

mod args;
mod background;
mod browser;
mod caller;
mod commands;
mod output;
mod prompt;
mod quick;
mod setup;
mod terminal;

use args::{Cli, Command, ConfigCommand};

fn main() -> ExitCode {
    // The line that clients run hundreds of times a day is read without building the whole command line.
    let quick = quick::token(std::env::args_os());
    let cli = match quick.map_or_else(Cli::try_parse, Ok) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data and succeed; a wrong command line is talk and exits 2, as clap prints them.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let global = &cli.global;
    let json =
        global.json || setup::environment("FLYTE_AUTH_JSON").is_some_and(|value| value != "0" && value != "false");
    if let Err(error) = setup::logging(global) {
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
        Command::Config(ConfigCommand::Explain) => commands::config::explain(global, json),
        Command::Sandbox(args) => commands::sandbox::sandbox(args),
        Command::Completions { shell } => Ok(commands::completions(*shell)),
    };
    done.unwrap_or_else(|error| output::failure(&error, json))
}
