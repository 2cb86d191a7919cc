//! Many threads that all want a token at one instant.

use std::sync::Barrier;

use flyte_auth::clock::SystemClock;
use flyte_auth::session::Session;
use flyte_auth::{Error, Result, Timestamp};
use serde::Serialize;

use crate::Seen;

/// On which runtime a thread waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtimes {
    /// One of two threads for all, as a binding has it.
    Shared,
    /// Each thread one of its own, which ends with its call.
    Each,
}

/// One thread's call.
#[derive(Debug, Serialize)]
pub struct Call {
    /// What it got.
    #[serde(flatten)]
    pub seen: Seen,
    /// When it started, milliseconds since the epoch.
    pub began: i64,
    /// When it had its answer.
    pub ended: i64,
}

/// Every thread calls `token()` once, all released at `start`.
///
/// # Errors
/// Kind `Internal` if a runtime or a thread cannot be made.
pub fn run(session: &Session, threads: usize, runtimes: Runtimes, start: Option<Timestamp>) -> Result<Vec<Call>> {
    let internal = |what: &str| Error::internal(what.to_owned());
    let shared = runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(2))?;
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..threads)
            .map(|_| {
                let (barrier, shared) = (&barrier, shared.handle().clone());
                std::thread::Builder::new().stack_size(512 * 1024).spawn_scoped(scope, move || {
                    let own = match runtimes {
                        Runtimes::Shared => None,
                        Runtimes::Each => Some(runtime(&mut tokio::runtime::Builder::new_current_thread())?),
                    };
                    barrier.wait();
                    let call = call(session, start);
                    Ok(match &own {
                        Some(own) => own.block_on(call),
                        None => shared.block_on(call),
                    })
                })
            })
            .collect();
        calls
            .into_iter()
            .map(|call| {
                let call = call.map_err(|_| internal("a thread cannot be started"))?;
                call.join().map_err(|_| internal("a thread panicked"))?
            })
            .collect()
    })
}

async fn call(session: &Session, start: Option<Timestamp>) -> Call {
    if let Some(start) = start {
        tokio::time::sleep(start.since(SystemClock::read())).await;
    }
    let began = SystemClock::read().as_millis();
    let outcome = session.token().await;
    Call { seen: Seen::of(&outcome), began, ended: SystemClock::read().as_millis() }
}

/// Builds a runtime with everything switched on.
///
/// # Errors
/// Kind `Internal`.
pub fn runtime(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime> {
    builder.enable_all().build().map_err(|cause| Error::internal("no async runtime can be started").with_source(cause))
}
