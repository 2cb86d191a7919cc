//! A program that uses one session as many others do at the same time; the race, crash, fork and soak suites start it.
//! The session comes from the environment, as for `flyte-auth token`; each answer is one line of JSON.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use flyte_auth::{Error, Result};
use flyte_auth_testkit::{once, say, seed, session, soak, wait_for_the_start};
use serde_json::json;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every thread calls token() once, all at the instant that a line on standard input names (milliseconds)
    Once {
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Each thread has a runtime of its own
        #[arg(long)]
        own_runtimes: bool,
    },
    /// Calls token() at a steady rate
    Soak {
        #[arg(long)]
        seconds: u64,
        /// Calls a second
        #[arg(long)]
        rate: u32,
    },
    /// Stores the record on standard input as the session
    Seed,
    /// Lists the points at which a process can be made to end (FLYTE_AUTH_TESTING_STOP)
    Points,
    /// Forks during a refresh
    #[cfg(unix)]
    Fork,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&json!({ "failed": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    if matches!(command, Command::Points) {
        say(&flyte_auth::testing::STOP_POINTS);
        return Ok(());
    }
    let session = session()?;
    match command {
        Command::Points => {}
        Command::Once { threads, own_runtimes } => {
            let start = wait_for_the_start();
            let runtimes = if *own_runtimes { once::Runtimes::Each } else { once::Runtimes::Shared };
            say(&json!({ "calls": once::run(&session, *threads, runtimes, start)? }));
        }
        Command::Soak { seconds, rate } => {
            let start = wait_for_the_start();
            say(&soak::run(&session, *rate, Duration::from_secs(*seconds), start)?);
        }
        Command::Seed => {
            let reply = serde_json::from_reader(std::io::stdin())
                .map_err(|cause| Error::internal(format!("the record is no JSON: {cause}")))?;
            say(&json!({ "generation": seed(&session, &reply)? }));
        }
        #[cfg(unix)]
        Command::Fork => flyte_auth_testkit::forked::run(&session)?,
    }
    Ok(())
}
