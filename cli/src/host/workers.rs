//! The threads that do the work of a binding, and the process's end.
//!
//! One runtime for each process, made with the first call that has to wait and never ended before the process is. A forked
//! child makes its own: its parent's threads are not there.

use std::time::{Duration, Instant};

use flyte_auth::fork::PerProcess;
use flyte_auth::session::{begin_no_more, under_way};
use flyte_auth::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// Most work waits for a network; a second thread lets a callback of a login wait for its answer.
pub const THREADS: usize = 2;
/// The end of the process waits this long for a refresh whose answer would be lost; a request's own deadline is shorter.
const LONGEST_END: Duration = Duration::from_secs(20);
/// How often it looks whether the refresh has arrived.
const LOOK_UP: Duration = Duration::from_millis(5);

static RUNTIME: PerProcess<Runtime> = PerProcess::new();

/// Where work is spawned.
///
/// # Errors
/// `no_thread`.
pub fn handle() -> Result<Handle> {
    let start = || {
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("flyte-auth").enable_all().build().map_err(
            |cause| {
                let what = format!("the threads for auth calls cannot be started: {cause}");
                Error::new(ErrorKind::Internal, "no_thread", what)
                    .with_retryable(true)
                    .with_next("Check the limits of threads and open files of this process")
                    .with_source(cause)
            },
        )
    };
    RUNTIME.with(start, |runtime| runtime.handle().clone())
}

/// Runs what blocks on a thread of its own.
///
/// # Errors
/// As `work`; kind `Internal` if it panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|cause| Error::internal("a call broke off").with_source(cause))?
}

/// The process ends: lets no refresh begin, and says whether one is on its way to the store.
pub fn is_ending() -> bool {
    begin_no_more();
    under_way() > 0
}

/// The process ends: waits for refreshes that are on their way to the store, and lets none begin. `pause` waits that long
/// and says whether to go on waiting.
pub fn end_of_process(mut pause: impl FnMut(Duration) -> bool) {
    let until = now() + LONGEST_END;
    while is_ending() && now() < until && pause(LOOK_UP) {}
}

#[expect(clippy::disallowed_methods, reason = "how long the process's end waits is no clock of the engine's")]
fn now() -> Instant {
    Instant::now()
}
