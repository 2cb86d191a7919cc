//! A call under way: everything that may wait is one. A thread waits for it, an event loop is woken by it, a Ctrl-C or a
//! cancelled task ends it.
//!
//! Ending a call drops its future: a login lets its lock and its port go; a refresh goes on in the core's own task, which
//! no caller can cancel.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyte_auth::{Error, ErrorKind, Result, fork};
use flyte_auth_cli::host;
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::error::raise;
use crate::runtime::{self, LOOK_UP};

/// How long a thread that gives up waits until everything that the call held is let go.
pub(crate) const LETTING_GO: Duration = Duration::from_secs(2);

/// Makes the answer of a call with the interpreter of whoever takes it.
type Answer = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

enum State {
    Running {
        wake: Vec<Py<PyAny>>,
    },
    Ended(Result<Answer>),
    /// As Python has it: whoever asks again gets the same.
    Taken(PyResult<Py<PyAny>>),
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
    forks: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, answer: Result<Answer>) {
        let mut state = self.state();
        let State::Running { wake } = &mut *state else { return };
        let wake = std::mem::take(wake);
        *state = State::Ended(answer);
        drop(state);
        self.ended.notify_all();
        if !wake.is_empty() {
            runtime::with_python(|py| {
                for wake in wake {
                    wake_up(py, &wake);
                }
            });
        }
    }
}

/// Whom nobody runs any more (a closed event loop) is not woken, which is no one's mistake.
fn wake_up(py: Python<'_>, wake: &Py<PyAny>) {
    if let Err(error) = wake.call0(py)
        && !error.is_instance_of::<pyo3::exceptions::PyRuntimeError>(py)
    {
        error.write_unraisable(py, Some(wake.bind(py)));
    }
}

/// Ends the call however its task ends: done, cancelled, or by a panic.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(Err(host::cancelled()));
    }
}

/// A call that is under way.
#[pyclass(frozen, module = "flyte_auth._native")]
#[derive(Clone)]
pub(crate) struct Call {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Call {
    /// Starts `work`; `answer` makes what Python gets of its outcome.
    pub(crate) fn start<T: Send + 'static>(
        work: impl Future<Output = Result<T>> + Send + 'static,
        answer: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Self> {
        let runtime = host::handle().map_err(raise)?;
        let state = Mutex::new(State::Running { wake: Vec::new() });
        let shared = Arc::new(Shared { state, ended: Condvar::new(), forks: fork::count() });
        let end = EndOnDrop(Arc::clone(&shared));
        let task = runtime.spawn(async move {
            let outcome = work.await;
            if outcome.as_ref().is_err_and(|error| error.code() == "process_ends") {
                // Only daemon threads are left to hear it, and nobody to whom their traceback would mean anything.
                std::future::pending::<()>().await;
            }
            end.0.end(outcome.map(|found| Box::new(move |py: Python<'_>| answer(py, found)) as Answer));
        });
        Ok(Self { shared, task: task.abort_handle() })
    }

    /// As [`Call::start`], for work that blocks.
    pub(crate) fn start_blocking<T: Send + 'static>(
        work: impl FnOnce() -> Result<T> + Send + 'static,
        answer: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Self> {
        Self::start(host::blocking(work), answer)
    }

    /// Waits with the interpreter let go, answers signals, and takes the answer.
    pub(crate) fn wait_for(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(wait) = green_wait(py)? {
            return wait.call1((self.clone(),)).map(Bound::unbind);
        }
        self.block(py)
    }

    /// Ends the call, without waiting for it.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    /// Waits until what the call held is let go.
    pub(crate) fn let_go(&self, patience: Duration) -> bool {
        self.ends_within(patience)
    }

    fn block(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        loop {
            if py.detach(|| self.ends_within(LOOK_UP)) {
                return self.take(py);
            }
            if let Err(interrupt) = py.check_signals() {
                self.stop();
                py.detach(|| self.ends_within(LETTING_GO));
                return Err(interrupt);
            }
            if self.shared.forks != fork::count() {
                return Err(forked());
            }
        }
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let running = |state: &mut State| matches!(state, State::Running { .. });
        let waited = self.shared.ended.wait_timeout_while(self.shared.state(), patience, running);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut state = self.shared.state();
        let running = || raise(Error::internal("a call's answer was asked for before it was there"));
        if let State::Ended(answer) = &mut *state {
            let answer = std::mem::replace(answer, Err(Error::internal("a call's answer could not be made")));
            // What is made runs Python code, which may let another thread in: not under the lock.
            drop(state);
            let taken = answer.map_err(raise).and_then(|make| make(py));
            state = self.shared.state();
            *state = State::Taken(taken);
        }
        match &*state {
            State::Taken(Ok(taken)) => Ok(taken.clone_ref(py)),
            State::Taken(Err(error)) => Err(error.clone_ref(py)),
            State::Running { .. } | State::Ended(_) => Err(running()),
        }
    }
}

/// What belongs to a parent process was used in its forked child.
pub(crate) fn forked() -> PyErr {
    let what = "this was started before a fork: it goes on in the parent process";
    raise(Error::new(ErrorKind::Internal, "forked", what).with_next("Begin anew in this process"))
}

/// How a greenlet waits, where gevent has put greenlets in the place of threads: the others go on meanwhile.
fn green_wait(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let loaded = py.import("sys")?.getattr("modules")?.contains("gevent.monkey")?;
    if !loaded {
        return Ok(None);
    }
    let green = py.import("flyte_auth._green")?;
    Ok(green.call_method0("is_patched")?.is_truthy()?.then_some(green.getattr("wait")?))
}

#[pymethods]
impl Call {
    /// Waits until the call has ended and gives its result. Signals are answered within 50 ms; one that raises ends the
    /// call.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.wait_for(py)
    }

    /// Has `wake` called, from any thread, once the call has ended; at once if it has.
    fn notify(&self, py: Python<'_>, wake: Py<PyAny>) {
        if let State::Running { wake: waiting } = &mut *self.shared.state() {
            waiting.push(wake);
            return;
        }
        wake_up(py, &wake);
    }

    /// The result of a call that has ended.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.take(py)
    }

    /// Ends the call. What it holds is let go at once.
    fn cancel(&self) {
        self.stop();
    }
}
