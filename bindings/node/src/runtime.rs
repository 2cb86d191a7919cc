//! The threads that do the work, and the process's end.
//!
//! One runtime for all of Node's environments (the main thread's and every worker's), made with the first call that has to
//! wait and never ended: a worker that ends takes nothing with it. A refresh that is on its way to the store when the
//! process ends must arrive.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flyte_auth::session::{begin_no_more, under_way};
use flyte_auth::{Error, ErrorKind, Result};
use napi_derive::napi;
use tokio::runtime::{Builder, Handle, Runtime};

/// Most work waits for a network; a second thread lets a callback of a login wait for its answer.
const THREADS: usize = 2;
/// The end of the process waits this long for a refresh whose answer would be lost; a request's own deadline is shorter.
const LONGEST_END: Duration = Duration::from_secs(20);

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Where work is spawned.
pub(crate) fn handle() -> Result<Handle> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let made = Builder::new_multi_thread().worker_threads(THREADS).thread_name("flyte-auth").enable_all().build();
    let made = made.map_err(|cause| {
        let what = format!("the threads for auth calls cannot be started: {cause}");
        Error::new(ErrorKind::Internal, "no_thread", what)
            .with_retryable(true)
            .with_next("Check the limits of threads and open files of this process")
            .with_source(cause)
    })?;
    // Another worker may have been first; then this one ends unused.
    Ok(RUNTIME.get_or_init(|| made).handle().clone())
}

/// Waits for refreshes that are on their way to the store, and lets none begin: the process ends. JavaScript calls it, since
/// Node runs no hook of an addon when a program calls `process.exit()`.
#[napi]
pub fn at_exit() {
    begin_no_more();
    let until = now() + LONGEST_END;
    while under_way() > 0 && now() < until {
        pause(Duration::from_millis(5));
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the process's end waits is no clock of the engine's")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime to sleep in at the process's end")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
