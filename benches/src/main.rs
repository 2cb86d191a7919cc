//! `make bench`, `make bench-quick`: prints a table and writes `dist/bench.json`.
//!
//! Every figure stands beside a peer or a limit measured in the same run: machines drift, ratios hold.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

mod allocations;
mod contended;
mod herd;
mod jvm;
mod load;
mod node;
mod peer;
mod process;
mod python;
mod rows;
mod sandbox;
mod serve;
mod stopwatch;
mod verify;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// One row of `dist/bench.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    area: &'static str,
    case: &'static str,
    subject: &'static str,
    value: f64,
    unit: &'static str,
    better: &'static str,
}

impl Row {
    pub(crate) fn lower(
        area: &'static str,
        case: &'static str,
        subject: &'static str,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { area, case, subject, value, unit, better: "lower" }
    }
    pub(crate) fn higher(
        area: &'static str,
        case: &'static str,
        subject: &'static str,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self { area, case, subject, value, unit, better: "higher" }
    }
}

/// Any error as a message: a benchmark that fails says so and ends.
pub(crate) fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn main() -> ExitCode {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let quick = given("--quick");
    let bin =
        std::env::var_os("FLYTE_AUTH_BIN").map_or_else(|| PathBuf::from("target/release/flyte-auth"), PathBuf::from);
    // The quick loops while one area is worked on.
    let measured = if given("--only-verify") {
        verify::rows(quick)
    } else if given("--only-python") {
        python::rows(&bin, quick)
    } else if given("--only-node") {
        node::rows(&bin, quick)
    } else if given("--only-jvm") {
        jvm::rows(&bin, quick)
    } else if given("--only-serve") {
        serve::rows(&bin, quick)
    } else {
        rows::all(&bin, quick)
    };
    let rows = match measured {
        Ok(rows) => rows,
        Err(why) => {
            report(&format!("benchmarks failed: {why}"));
            return ExitCode::FAILURE;
        }
    };
    report(&table(&rows));
    match write(&rows, Path::new("dist")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            report(&format!("dist/bench.json cannot be written: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn write(rows: &[Row], folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("bench.json"), serde_json::to_vec_pretty(rows)?)
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<10} {:<44} {:<28} {:>10}\n", "area", "case", "subject", "value");
    for row in rows {
        text += &format!("{:<10} {:<44} {:<28} {:>10.3} {}\n", row.area, row.case, row.subject, row.value, row.unit);
    }
    text
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
pub(crate) fn report(text: &str) {
    println!("{text}");
}
