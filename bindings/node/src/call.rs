//! A call under way: its promise, and what ends it.
//!
//! Ending a call drops its future: a login lets its lock and its port go; a refresh goes on in the core's own task, which
//! no caller can cancel. The promise keeps Node's event loop alive while it is open, as any other does.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use flyte_auth::Result;
use flyte_auth_cli::host::{self, cancelled};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, JsDeferred};
use napi_derive::napi;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::raise;

/// Makes the answer of a call on JavaScript's thread.
type Answer<R> = Box<dyn FnOnce(Env) -> napi::Result<R> + Send>;

enum Ending {
    Open,
    Task(AbortHandle),
    /// Before there was a task.
    Over,
}

/// Ends the call that it was given to. What the call holds (a lock, a port) is let go at once. For one call.
#[napi]
pub struct Cancel {
    ending: Arc<Mutex<Ending>>,
}

#[napi]
impl Cancel {
    /// Ends nothing yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self { ending: Arc::new(Mutex::new(Ending::Open)) }
    }

    /// Ends the call; its promise is rejected with the code `call_cancelled`.
    #[napi]
    pub fn cancel(&self) {
        let was = std::mem::replace(&mut *self.ending.lock().unwrap_or_else(PoisonError::into_inner), Ending::Over);
        if let Ending::Task(task) = was {
            task.abort();
        }
    }

    fn ends(&self, task: AbortHandle) {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*ending, Ending::Over) {
            task.abort();
        } else {
            *ending = Ending::Task(task);
        }
    }
}

/// Settles the promise however its task ends: done, cancelled, or by a panic.
struct Settle<R: ToNapiValue>(Option<JsDeferred<R, Answer<R>>>);

impl<R: ToNapiValue> Settle<R> {
    fn settle(mut self, answer: Answer<R>) {
        if let Some(deferred) = self.0.take() {
            deferred.resolve(answer);
        }
    }
}

impl<R: ToNapiValue> Drop for Settle<R> {
    fn drop(&mut self) {
        if let Some(deferred) = self.0.take() {
            deferred.resolve(Box::new(|_| Err(raise(cancelled()))));
        }
    }
}

/// Starts `work` and gives its promise; `answer` makes what JavaScript gets of its outcome, on JavaScript's thread.
pub(crate) fn call<'env, T: Send + 'static, R: ToNapiValue + 'static>(
    env: &'env Env,
    cancel: Option<&Cancel>,
    work: impl Future<Output = Result<T>> + Send + 'static,
    answer: impl FnOnce(T) -> napi::Result<R> + Send + 'static,
) -> napi::Result<Object<'env>> {
    let runtime = host::handle().map_err(raise)?;
    let (deferred, promise) = env.create_deferred::<R, Answer<R>>()?;
    let settle = Settle(Some(deferred));
    let task = runtime.spawn(async move {
        let outcome = work.await;
        if outcome.as_ref().is_err_and(|error| error.code() == "process_ends") {
            // Nobody is left to hear it.
            std::future::pending::<()>().await;
        }
        settle.settle(Box::new(move |_| outcome.map_err(raise).and_then(answer)));
    });
    if let Some(cancel) = cancel {
        cancel.ends(task.abort_handle());
    }
    Ok(promise)
}

/// As [`call`], for work that blocks.
pub(crate) fn call_blocking<'env, T: Send + 'static, R: ToNapiValue + 'static>(
    env: &'env Env,
    cancel: Option<&Cancel>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
    answer: impl FnOnce(T) -> napi::Result<R> + Send + 'static,
) -> napi::Result<Object<'env>> {
    call(env, cancel, host::blocking(work), answer)
}

/// Work that many may wait for.
#[derive(Clone)]
pub(crate) struct Running<T: Clone> {
    task: AbortHandle,
    outcome: Shared<BoxFuture<'static, Result<T>>>,
}

impl<T: Clone + Send + Sync + 'static> Running<T> {
    /// Starts `work`.
    pub(crate) fn start(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<Self> {
        let (sender, receiver) = oneshot::channel();
        let task = host::handle()?.spawn(async move {
            let _ = sender.send(work.await);
        });
        let outcome = async move { receiver.await.unwrap_or_else(|_| Err(cancelled())) };
        Ok(Self { task: task.abort_handle(), outcome: outcome.boxed().shared() })
    }

    /// What it came to.
    pub(crate) fn outcome(&self) -> impl Future<Output = Result<T>> + Send + use<T> {
        self.outcome.clone()
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}
