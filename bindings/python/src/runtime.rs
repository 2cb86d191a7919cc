//! The threads that do the work, and their end.
//!
//! One runtime for each process, made with the first call that has to wait. A forked child makes its own: its parent's
//! threads are not there. At the interpreter's end the threads must not touch Python any more (they would be ended inside
//! somebody's destructor), and a refresh that is on its way to the store must arrive.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use flyte_auth::fork::PerProcess;
use flyte_auth::session::{begin_no_more, under_way};
use flyte_auth::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

/// Most work waits for a network; a second thread lets a callback of a login wait for its answer.
const THREADS: usize = 2;
/// A waiting call looks for signals this often.
pub(crate) const LOOK_UP: Duration = Duration::from_millis(25);
/// The end of the interpreter waits this long for a refresh whose answer would be lost; a request's own deadline is
/// shorter.
const LONGEST_END: Duration = Duration::from_secs(20);

static RUNTIME: PerProcess<Runtime> = PerProcess::new();
/// Whether the interpreter ends. Workers hold it while they touch Python. Of one process: a fork may fall while a worker
/// holds it.
static ENDING: PerProcess<Arc<RwLock<bool>>> = PerProcess::new();

fn ending() -> Arc<RwLock<bool>> {
    ENDING.or_default(Arc::clone)
}

/// Where work is spawned.
pub(crate) fn handle() -> Result<Handle> {
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

/// Runs `work` with the interpreter, on a thread that is not Python's; not once the interpreter ends.
pub(crate) fn with_python(work: impl FnOnce(Python<'_>)) {
    let ending = ending();
    let ending = ending.read().unwrap_or_else(PoisonError::into_inner);
    if !*ending {
        Python::try_attach(work);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the interpreter's end waits is no clock of the engine's")]
fn now() -> Instant {
    Instant::now()
}

/// What the package registers with `atexit`: waits for refreshes that are on their way to the store, and keeps the
/// threads away from an interpreter that ends. A second Ctrl-C ends the wait.
#[pyfunction]
pub(crate) fn at_exit(py: Python<'_>) {
    begin_no_more();
    let until = now() + LONGEST_END;
    while under_way() > 0 && now() < until {
        py.detach(|| pause(Duration::from_millis(5)));
        if py.check_signals().is_err() {
            break;
        }
    }
    let ending = ending();
    py.detach(|| *ending.write().unwrap_or_else(PoisonError::into_inner) = true);
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime to sleep in at the interpreter's end")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
