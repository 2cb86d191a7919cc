//! `flyte-auth-model check` explores the model; `flyte-auth-model replay` judges traces.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use flyte_auth_model::settings::{Broken, Settings};
use flyte_auth_model::{check, replay};

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explores every history of some processes and prints the number of states
    Check {
        #[arg(long, default_value_t = 2)]
        processes: usize,
        /// Only the scenes whose name has this in it
        #[arg(long, default_value = "")]
        only: String,
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// A protocol with this mistake instead of the one that the core has
        #[arg(long, value_enum, default_value = "nothing")]
        broken: Broken,
    },
    /// Judges recorded traces: each must be a path of the model
    Replay {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[expect(clippy::print_stdout, reason = "this program's output")]
#[expect(clippy::disallowed_methods, reason = "how long an exploration took is printed")]
fn main() -> ExitCode {
    let mut is_well = true;
    match Cli::parse().command {
        Command::Check { processes, only, threads, broken } => {
            for (name, settings) in check::scenes(processes).into_iter().filter(|(name, _)| name.contains(&only)) {
                let begin = Instant::now();
                let found = check::explore(Settings { broken, ..settings }, threads);
                let took = begin.elapsed().as_secs_f64();
                println!("{name:<48}{:>10} states, depth {:>3}, {took:>6.1} s", found.states, found.depth);
                for (property, path) in &found.broken {
                    println!("  BROKEN: {property}\n    {}", path.join("\n    "));
                    is_well = false;
                }
            }
        }
        Command::Replay { files } => {
            let (mut lines, mut refused) = (0, 0);
            for file in &files {
                match replay::file(file) {
                    Ok(count) => lines += count,
                    Err(why) => {
                        println!("{}: {why}", file.display());
                        refused += 1;
                    }
                }
            }
            println!("{} traces, {lines} steps, {refused} refused", files.len());
            is_well = refused == 0;
        }
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
