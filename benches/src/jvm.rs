//! The JVM's package beside an empty call through the same bindings, with the jar of `dist/jvm` (`scripts/jvm.sh bench`).

use std::path::Path;
use std::process::Command;

use crate::peer::measured;
use crate::sandbox::Sandbox;
use crate::{Row, text_of};

const AREA: &str = "jvm";
/// Options of `java`, the class path among them.
const ARGUMENTS: &str = "target/jvm/bench.args";
const LIBRARIES: &str = "target/uniffi/release";

pub(crate) fn rows(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    if !Path::new(ARGUMENTS).exists() {
        crate::report(&format!("no {ARGUMENTS} (scripts/jvm.sh bench writes it): the JVM's package is not measured"));
        return Ok(Vec::new());
    }
    let sandbox = Sandbox::start(bin, &[])?;
    let folder = tempfile::tempdir().map_err(text_of)?;
    let mut command = Command::new("java");
    command
        .arg(format!("@{ARGUMENTS}"))
        .arg("benches/peers/jvm/Warm.java")
        .args(quick.then_some("--quick"))
        .env("HOME", folder.path())
        .env("FLYTE_AUTH_HOME", folder.path().join("state"))
        .env("BENCH_ENDPOINT", &sandbox.http)
        .env("BENCH_CLIENT_ID", "flytepropeller")
        .env("BENCH_CLIENT_SECRET", "foobar");
    let mut rows = measured(AREA, &mut command)?;
    let limit = |case, value, unit| Row::lower(AREA, case, "limit", value, unit);
    rows.push(limit("warm token(), in empty UniFFI calls", 3.0, "times"));
    // A pool's, not the calls' own.
    rows.push(limit("threads more for 500 calls that wait", 16.0, "threads"));
    rows.push(Row::lower(AREA, SIZE, "flyte-auth", library()?, "MB"));
    rows.push(limit(SIZE, 12.0, "MB"));
    Ok(rows)
}

const SIZE: &str = "native library, stripped";

/// Size of the library that the jar has for this platform.
fn library() -> Result<f64, String> {
    let files = std::fs::read_dir(LIBRARIES).map_err(text_of)?;
    let sizes = files.map(|file| Ok(file.map_err(text_of)?.metadata().map_err(text_of)?.len()));
    let largest = sizes.collect::<Result<Vec<u64>, String>>()?.into_iter().max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    Ok(largest as f64 / 1e6)
}
