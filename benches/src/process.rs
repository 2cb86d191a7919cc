//! A process timer: whole processes, subjects in turn (A B C A B C …), medians.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// One subject of a case.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) argv: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Put right before each counted run, for example a store wiped for a cold start.
    pub(crate) before: Option<PathBuf>,
}

/// Median wall milliseconds of each subject over `runs` interleaved runs, after one that is not counted.
pub(crate) fn race(subjects: &[Subject], runs: usize) -> Result<Vec<f64>, String> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
    for run in 0..=runs {
        for (subject, times) in subjects.iter().zip(&mut times) {
            if let Some(folder) = &subject.before {
                let _ = std::fs::remove_dir_all(folder);
            }
            let taken = once(subject)?;
            if run > 0 {
                times.push(taken.as_secs_f64() * 1000.0);
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn once(subject: &Subject) -> Result<Duration, String> {
    let (program, arguments) = subject.argv.split_first().ok_or("an empty command")?;
    let mut command = Command::new(program);
    command.args(arguments).envs(subject.environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let watch = Stopwatch::start();
    let output = command.output().map_err(|cause| format!("{}: {cause}", subject.name))?;
    let taken = watch.elapsed();
    if output.status.success() {
        Ok(taken)
    } else {
        Err(format!("{} failed: {}", subject.name, String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
