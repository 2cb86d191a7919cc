//! The interpreter's end: threads (the bindings' common ones, `host`) must not touch Python any more (they would be ended
//! inside somebody's destructor), and a refresh that is on its way to the store must arrive.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use flyte_auth::fork::PerProcess;
use flyte_auth_cli::host;
use pyo3::prelude::*;

/// A waiting call looks for signals this often.
pub(crate) const LOOK_UP: Duration = Duration::from_millis(25);

/// Whether the interpreter ends. Workers hold it while they touch Python. Of one process: a fork may fall while a worker
/// holds it.
static ENDING: PerProcess<Arc<RwLock<bool>>> = PerProcess::new();

fn ending() -> Arc<RwLock<bool>> {
    ENDING.or_default(Arc::clone)
}

/// Runs `work` with the interpreter, on a thread that is not Python's; not once the interpreter ends.
pub(crate) fn with_python(work: impl FnOnce(Python<'_>)) {
    let ending = ending();
    let ending = ending.read().unwrap_or_else(PoisonError::into_inner);
    if !*ending {
        Python::try_attach(work);
    }
}

/// What the package registers with `atexit`: waits for refreshes that are on their way to the store, and keeps the
/// threads away from an interpreter that ends. A second Ctrl-C ends the wait.
#[pyfunction]
pub(crate) fn at_exit(py: Python<'_>) {
    host::end_of_process(|duration| {
        py.detach(|| pause(duration));
        py.check_signals().is_ok()
    });
    let ending = ending();
    py.detach(|| *ending.write().unwrap_or_else(PoisonError::into_inner) = true);
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime to sleep in at the interpreter's end")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
