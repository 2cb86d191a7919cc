//! Conducts the conformance cases: `make conformance`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use flyte_auth_conformance::case::Case;
use flyte_auth_conformance::report::Language;
use flyte_auth_conformance::{Verdict, report, schema};

/// Plays the scripted servers of the conformance cases for the runner of each language, and judges what they send.
#[derive(Debug, Parser)]
struct Args {
    /// Folder with schema.json, runners.json, parts and cases.
    #[arg(long, default_value = "tests/conformance")]
    folder: PathBuf,
    /// Only this language of runners.json; repeatable.
    #[arg(long)]
    language: Vec<String>,
    /// Only cases with this text in their name; repeatable.
    #[arg(long)]
    case: Vec<String>,
    /// How many cases at a time.
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Only check the files against the schema.
    #[arg(long)]
    check: bool,
    /// A runner in place of those of runners.json: program and arguments, behind `--`.
    #[arg(last = true)]
    runner: Vec<String>,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a program for a terminal")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Verdict<bool> {
    let mut cases = schema::load(&args.folder)?;
    if args.check {
        return Ok(!cases.is_empty());
    }
    if !args.case.is_empty() {
        cases.retain(|case| args.case.iter().any(|part| case.name.contains(part.as_str())));
    }
    let languages =
        if args.runner.is_empty() { languages(&args, &cases)? } else { vec![Language::given(args.runner.clone())] };
    report::run(cases, &languages, args.jobs.max(1)).await
}

/// The runners, and the languages that cases name without one.
fn languages(args: &Args, cases: &[Case]) -> Verdict<Vec<Language>> {
    let path = args.folder.join("runners.json");
    let fault = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    let text = std::fs::read(&path).map_err(|cause| fault(&cause))?;
    let mut all: Vec<Language> = serde_json::from_slice(&text).map_err(|cause| fault(&cause))?;
    for name in cases.iter().flat_map(|case| &case.languages) {
        if !all.iter().any(|one| one.name() == name) {
            all.push(Language::missing(name.clone()));
        }
    }
    if let Some(unknown) = args.language.iter().find(|name| !all.iter().any(|one| one.language == **name)) {
        return Err(fault(&format!("no runner for {unknown}")));
    }
    all.retain(|one| args.language.is_empty() || args.language.contains(&one.language));
    let program = std::env::current_exe().map_err(|cause| fault(&cause))?;
    let bin = program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    for one in &mut all {
        for word in &mut one.command {
            *word = word.replace("{bin}", &bin);
        }
    }
    Ok(all)
}
