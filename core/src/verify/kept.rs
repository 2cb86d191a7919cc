//! Something fetched from an issuer and kept: one fetch at a time, a lifetime, a least pause between fetches, and the old
//! value while a new one cannot be had.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// Least time between two fetches while there is a value: tokens with made-up key ids must not become requests.
pub(super) const FETCH_PAUSE: Duration = Duration::from_secs(60);
/// How long a value that cannot be renewed goes on serving (a day): an issuer's outage is not ours.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long one caller waits for a renewal while an old value could serve.
const PATIENCE: Duration = Duration::from_secs(2);

/// A value and when it was fetched.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    pub(super) value: T,
    /// Counts the fetches: two values of one number are the same.
    pub(super) number: u64,
    at: Timestamp,
    lifetime: Duration,
}

impl<T> Fetched<T> {
    /// A value that was never fetched and never will be.
    pub(super) fn given(value: T) -> Self {
        Self { value, number: 0, at: Timestamp::from_millis(0), lifetime: Duration::MAX }
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        elapsed(self.at, now) < self.lifetime
    }

    /// In its last fifth a value serves while the next one is fetched, so that a busy service never waits.
    fn is_due(&self, now: Timestamp) -> bool {
        elapsed(self.at, now) >= self.lifetime.mul_f64(0.8)
    }
}

/// A clock that was set back says nothing of how much time has passed: then it was long ago.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    if now < since { Duration::MAX } else { now.since(since) }
}

type Flight<T> = Shared<BoxFuture<'static, Result<Arc<Fetched<T>>>>>;

struct Turn<T> {
    /// With the count of forks at its start: a parent's task does not run in a forked child.
    running: Option<(u64, Flight<T>)>,
    last_try: Option<Timestamp>,
    failures: u32,
    last_error: Option<Error>,
    count: u64,
}

/// The keeper.
pub(super) struct Kept<T> {
    current: ArcSwapOption<Fetched<T>>,
    turn: Mutex<Turn<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        let turn = Turn { running: None, last_try: None, failures: 0, last_error: None, count: 0 };
        Self { current: ArcSwapOption::empty(), turn: Mutex::new(turn) }
    }
}

/// What a fetch brings: the value, and how long it is good for.
pub(super) type Brought<T> = Result<(T, Duration)>;

impl<T: Send + Sync + 'static> Kept<T> {
    /// The value, if it needs no fetch at all.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<Arc<Fetched<T>>> {
        self.current.load_full().filter(|current| current.is_fresh(now) && !current.is_due(now))
    }

    /// The value, fetched if it must be.
    ///
    /// # Errors
    /// The fetch's, where no value that could serve is there; remembered for a pause that grows from 1 to 60 s.
    pub(super) async fn get<F>(self: &Arc<Self>, now: Timestamp, fetch: impl FnOnce() -> F) -> Result<Arc<Fetched<T>>>
    where
        F: Future<Output = Brought<T>> + Send + 'static,
    {
        let current = self.current.load_full();
        if let Some(current) = &current
            && current.is_fresh(now)
        {
            if current.is_due(now) && self.may_try(now) {
                drop(self.join(now, fetch));
            }
            return Ok(Arc::clone(current));
        }
        let old = current.filter(|current| elapsed(current.at, now) < MAX_AGE);
        if !self.may_try(now) {
            return match old {
                Some(old) => Ok(old),
                None => Err(self.last_error()),
            };
        }
        let flight = self.join(now, fetch);
        let Some(old) = old else { return flight.await };
        match tokio::time::timeout(PATIENCE, flight).await {
            Ok(Ok(new)) => Ok(new),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the issuer's old keys or metadata serve on");
                Ok(old)
            }
            // The fetch goes on in its task.
            Err(_) => Ok(old),
        }
    }

    /// A value fetched after number `than`, if the pause allows a fetch: for a key that `than` does not have.
    pub(super) async fn newer<F>(
        self: &Arc<Self>,
        now: Timestamp,
        than: u64,
        fetch: impl FnOnce() -> F,
    ) -> Option<Arc<Fetched<T>>>
    where
        F: Future<Output = Brought<T>> + Send + 'static,
    {
        let current = self.current.load_full().filter(|current| current.number > than);
        if current.is_some() || !self.may_try(now) {
            return current;
        }
        self.join(now, fetch).await.ok()
    }

    fn turn(&self) -> MutexGuard<'_, Turn<T>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fetch runs that can be joined, or the pause since the last one is over.
    fn may_try(&self, now: Timestamp) -> bool {
        let turn = self.turn();
        let pause = if self.current.load().is_some() {
            FETCH_PAUSE
        } else {
            // Nothing to serve with: a short blip at the start must not cost a minute.
            Duration::from_secs(1 << turn.failures.saturating_sub(1).min(6)).min(FETCH_PAUSE)
        };
        turn.running.is_some() || turn.last_try.is_none_or(|at| elapsed(at, now) >= pause)
    }

    fn last_error(&self) -> Error {
        let error = self.turn().last_error.clone();
        error
            .unwrap_or_else(|| Error::new(ErrorKind::Server, "keys_unavailable", "the issuer's keys are not there yet"))
    }

    /// Joins the running fetch, or starts one in a task that no caller's cancellation can drop.
    fn join<F>(self: &Arc<Self>, now: Timestamp, fetch: impl FnOnce() -> F) -> Flight<T>
    where
        F: Future<Output = Brought<T>> + Send + 'static,
    {
        let forks = crate::fork::count();
        let mut turn = self.turn();
        if let Some((_, running)) =
            turn.running.as_ref().filter(|(made, flight)| *made == forks && flight.peek().is_none())
        {
            return running.clone();
        }
        turn.last_try = Some(now);
        let fetching = fetch();
        let kept = Arc::clone(self);
        let task = tokio::spawn(async move {
            let brought = fetching.await;
            kept.land(now, brought)
        });
        let flight = async move {
            task.await.unwrap_or_else(|cause| {
                Err(Error::new(ErrorKind::Internal, "fetch_abandoned", "the fetch of the issuer's keys was abandoned")
                    .with_source(cause))
            })
        };
        let flight = flight.boxed().shared();
        turn.running = Some((forks, flight.clone()));
        flight
    }

    fn land(&self, now: Timestamp, brought: Brought<T>) -> Result<Arc<Fetched<T>>> {
        let mut turn = self.turn();
        turn.running = None;
        match brought {
            Ok((value, lifetime)) => {
                turn.failures = 0;
                turn.last_error = None;
                turn.count += 1;
                let fetched = Arc::new(Fetched { value, number: turn.count, at: now, lifetime });
                self.current.store(Some(Arc::clone(&fetched)));
                Ok(fetched)
            }
            Err(error) => {
                turn.failures = turn.failures.saturating_add(1);
                turn.last_error = Some(error.clone());
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
