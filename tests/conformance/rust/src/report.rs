//! Runs every case with every runner; one line a case, and the table at the end.

use std::io::Write as _;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;

use crate::Verdict;
use crate::case::Case;
use crate::conduct;
use crate::crypto::Tls;

/// A language and the command of its runner (`tests/conformance/runners.json`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// As the table shows it.
    pub language: String,
    /// Program and arguments; `{bin}` is the folder of this program.
    pub command: Vec<String>,
}

/// What came of one language.
struct Tally {
    language: String,
    passed: usize,
    failed: usize,
}

/// Runs `cases` for each of `languages`, `jobs` at a time; whether all passed. Prints `pass NAME` or
/// `FAIL NAME reason` for each, in order, and the table.
///
/// # Errors
/// Nothing could be run or written.
pub async fn run(cases: Vec<Case>, languages: &[Language], jobs: usize) -> Verdict<bool> {
    let tls = Arc::new(Tls::new()?);
    let cases: Arc<[Case]> = cases.into();
    let mut tallies = Vec::new();
    for language in languages {
        if languages.len() > 1 {
            line(&format!("== {}", language.language))?;
        }
        let mut tally = Tally { language: language.language.clone(), passed: 0, failed: 0 };
        let command: Arc<[String]> = language.command.clone().into();
        // `spawn`: the cases share the processors; `buffered`: the lines come in order.
        let running = (0..cases.len()).map(|at| {
            let (cases, command, tls) = (Arc::clone(&cases), Arc::clone(&command), Arc::clone(&tls));
            async move {
                let ran = tokio::spawn({
                    let cases = Arc::clone(&cases);
                    async move { conduct::run(&cases[at], &command, &tls).await }
                });
                (at, ran.await.unwrap_or_else(|cause| Err(format!("the peer broke down: {cause}"))))
            }
        });
        let mut verdicts = stream::iter(running).buffered(jobs);
        while let Some((at, verdict)) = verdicts.next().await {
            let name = &cases[at].name;
            match verdict {
                Ok(()) => {
                    tally.passed += 1;
                    line(&format!("pass {name}"))?;
                }
                Err(reason) => {
                    tally.failed += 1;
                    line(&format!("FAIL {name} {reason}"))?;
                }
            }
        }
        tallies.push(tally);
    }
    line("")?;
    line(&format!("{:<16}{:>8}{:>8}", "language", "passed", "failed"))?;
    for Tally { language, passed, failed } in &tallies {
        line(&format!("{language:<16}{passed:>8}{failed:>8}"))?;
    }
    Ok(tallies.iter().all(|tally| tally.failed == 0 && tally.passed > 0))
}

fn line(text: &str) -> Verdict {
    writeln!(std::io::stdout(), "{text}").map_err(|cause| format!("stdout: {cause}"))
}
