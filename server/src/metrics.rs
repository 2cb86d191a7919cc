//! Counters of what the server did, for `GET /stats` of the sandbox and for tests that count round trips.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Paths beyond this many different ones are counted together, so that a scanner cannot fill the memory.
const MAX_PATHS: usize = 500;

/// A copy of the counters.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests by path.
    pub requests: BTreeMap<String, u64>,
    /// Token requests by `grant_type`, whatever their outcome.
    pub grants: BTreeMap<String, u64>,
    /// Access tokens issued.
    pub tokens_issued: u64,
    /// Refresh tokens exchanged.
    pub refreshes: u64,
    /// Codes and refresh tokens that were used a second time.
    pub reuse_detections: u64,
    /// The most requests ever in work at the same time.
    pub max_parallel: u64,
    /// The most token requests ever in work at the same time.
    pub max_parallel_token: u64,
    /// Faults played.
    pub faults: u64,
}

#[derive(Debug, Default)]
struct State {
    shown: Snapshot,
    parallel: u64,
    parallel_token: u64,
}

/// The counters. Cheap to share behind an `Arc`.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<State>);

impl Metrics {
    fn edit<R>(&self, edit: impl FnOnce(&mut State) -> R) -> R {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request begins; it ends when the guard is dropped.
    pub fn begin(&self, path: &str) -> InWork<'_> {
        let token = path == crate::authorization_server::paths::TOKEN;
        self.edit(|state| {
            let known = state.shown.requests.contains_key(path) || state.shown.requests.len() < MAX_PATHS;
            let path = if known { path } else { "(other)" };
            *state.shown.requests.entry(path.to_owned()).or_default() += 1;
            state.parallel += 1;
            state.shown.max_parallel = state.shown.max_parallel.max(state.parallel);
            if token {
                state.parallel_token += 1;
                state.shown.max_parallel_token = state.shown.max_parallel_token.max(state.parallel_token);
            }
        });
        InWork { metrics: self, token }
    }

    /// A token request of this grant type. `known` keeps what a caller made up out of the keys.
    pub fn grant(&self, grant_type: &'static str) {
        self.edit(|state| *state.shown.grants.entry(grant_type.to_owned()).or_default() += 1);
    }

    /// An access token was issued.
    pub fn token_issued(&self) {
        self.edit(|state| state.shown.tokens_issued += 1);
    }

    /// A refresh token was exchanged.
    pub fn refreshed(&self) {
        self.edit(|state| state.shown.refreshes += 1);
    }

    /// A code or a refresh token was used a second time.
    pub fn reuse_detected(&self) {
        self.edit(|state| state.shown.reuse_detections += 1);
    }

    /// A fault was played.
    pub fn fault(&self) {
        self.edit(|state| state.shown.faults += 1);
    }

    /// A copy of the counters.
    pub fn snapshot(&self) -> Snapshot {
        self.edit(|state| state.shown.clone())
    }
}

/// A request in work.
#[derive(Debug)]
pub struct InWork<'a> {
    metrics: &'a Metrics,
    token: bool,
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.metrics.edit(|state| {
            state.parallel -= 1;
            state.parallel_token -= u64::from(self.token);
        });
    }
}
