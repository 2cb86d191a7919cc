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
    /// The language as cases name it, where this is another of its runners.
    #[serde(default)]
    of: Option<String>,
    /// Program and arguments; `{bin}` is the folder of this program. None: nothing plays this language.
    pub command: Vec<String>,
    /// Plays every case, also those that do not name it.
    #[serde(default)]
    every_case: bool,
}

impl Language {
    /// A runner that is tried: of no language yet.
    pub fn given(command: Vec<String>) -> Self {
        Self { language: "given".to_owned(), of: None, command, every_case: true }
    }

    /// A language that cases name and nothing plays.
    pub fn missing(language: String) -> Self {
        Self { language, of: None, command: Vec::new(), every_case: false }
    }

    /// As cases name it.
    pub fn name(&self) -> &str {
        self.of.as_ref().unwrap_or(&self.language)
    }

    fn plays(&self, case: &Case) -> bool {
        self.every_case || case.languages.iter().any(|name| name == self.name())
    }
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
        let played = (0..cases.len()).filter(|at| language.plays(&cases[*at]));
        let running = played.map(|at| {
            let (cases, command, tls) = (Arc::clone(&cases), Arc::clone(&command), Arc::clone(&tls));
            async move {
                if command.is_empty() {
                    return (at, Err("no runner of runners.json plays this language".to_owned()));
                }
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
