//! What the suites need to witness that nothing leaks: everything that is logged, and every secret by name.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn append(path: &Path) -> Option<File> {
    OpenOptions::new().append(true).create(true).open(path).ok()
}

/// Where this process has to log everything, if the suite says so.
pub fn log_file() -> Option<File> {
    let program = std::env::args_os().next().map(PathBuf::from);
    let program = program.as_ref().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy();
    append(&variable("FLYTE_AUTH_TESTING_LOG")?.join(format!("{program}-{}.log", std::process::id())))
}

/// Logs there, in programs that keep no log themselves: they use the library as a user's own program does.
pub(crate) fn log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Some(file) = log_file() {
            // No lock around it: a child forked while another thread held one would wait for ever.
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(Arc::new(file))
                .with_ansi(false)
                .with_span_events(FmtSpan::NEW);
            let _ = tracing_subscriber::registry().with(layer).try_init();
        }
    });
}

/// Tells the suite of a secret, which it then looks for wherever none may be.
pub fn made(kind: &str, secret: &str) {
    if let Some(mut file) = variable("FLYTE_AUTH_TESTING_SECRETS").and_then(|path| append(&path)) {
        let _ = file.write_all(format!("{kind}\t{secret}\n").as_bytes());
    }
}
