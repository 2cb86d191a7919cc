//! A call under way: its work is a task of the common threads (`host`), whatever thread the language polls it from.
//!
//! Ending a call drops its future and with it the task: a login lets its lock and its port go; a refresh goes on in the
//! core's own task, which no caller can cancel.

use std::future::Future;

use flyte_auth::{Error, Result};
use flyte_auth_cli::host;
use tokio::task::AbortHandle;

use crate::error::FlyteAuthError;

/// Ends its task with whoever holds it.
pub(crate) struct EndsTask(pub(crate) AbortHandle);

impl Drop for EndsTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `work` for as long as somebody waits for it.
pub(crate) async fn call<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> std::result::Result<T, FlyteAuthError> {
    let task = host::handle()?.spawn(work);
    let _ends = EndsTask(task.abort_handle());
    match task.await {
        Ok(outcome) => Ok(outcome?),
        Err(cause) if cause.is_cancelled() => Err(host::cancelled().into()),
        Err(cause) => Err(Error::internal("a call broke off").with_source(cause).into()),
    }
}

/// The process ends: waits for refreshes that are on their way to the store, 20 s at most, and lets none begin.
#[uniffi::export]
pub fn end_of_process() {
    host::end_of_process(|duration| {
        pause(duration);
        true
    });
}

/// As [`end_of_process`] for a language that waits by itself, because what is waited for needs a lock of it: lets no refresh
/// begin, and says whether one is on its way to the store.
#[uniffi::export]
pub fn is_ending() -> bool {
    host::is_ending()
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime to sleep in at the process's end")]
fn pause(duration: std::time::Duration) {
    std::thread::sleep(duration);
}
