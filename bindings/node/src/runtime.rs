//! The process's end. The threads are the bindings' common ones (`host`): one runtime for all of Node's environments (the
//! main thread's and every worker's), so that a worker that ends takes nothing with it.

use std::time::Duration;

use flyte_auth_cli::host;
use napi_derive::napi;

/// Waits for refreshes that are on their way to the store, and lets none begin: the process ends. JavaScript calls it, since
/// Node runs no hook of an addon when a program calls `process.exit()`.
#[napi]
pub fn at_exit() {
    host::end_of_process(|duration| {
        pause(duration);
        true
    });
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime to sleep in at the process's end")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
