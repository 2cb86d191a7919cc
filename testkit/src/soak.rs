//! A program that calls `token()` at a steady rate for a long time, and looks at every token that it is served.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use flyte_auth::clock::SystemClock;
use flyte_auth::session::Session;
use flyte_auth::{Result, Timestamp};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::{issuers_expiry, once};

/// What one process saw.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Calls made.
    pub calls: u64,
    /// Calls that were served a token whose issuer's `exp` had passed.
    pub expired: u64,
    /// Failed calls by code.
    pub errors: BTreeMap<String, u64>,
    /// Different tokens served.
    pub tokens: usize,
    /// The least time that a served token had left by its issuer's clock, milliseconds.
    pub least_left: i64,
    /// The longest that a call took, milliseconds.
    pub longest_call: u64,
    /// Calls that took longer than 50 ms.
    pub slow_calls: u64,
}

/// Calls `token()` `rate` times a second for `length`, from `start` on.
///
/// # Errors
/// Kind `Internal` if the runtime cannot be started.
pub fn run(session: &Session, rate: u32, length: Duration, start: Option<Timestamp>) -> Result<Report> {
    let runtime = once::runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(2))?;
    Ok(runtime.block_on(async {
        if let Some(start) = start {
            tokio::time::sleep(start.since(SystemClock::read())).await;
        }
        let end = SystemClock::read().plus(length);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        // After a stall the missed calls are made up for: the rate is a promise.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut calls = tokio::task::JoinSet::new();
        let mut watch = Watch::default();
        while SystemClock::read() < end {
            ticks.tick().await;
            let session = session.clone();
            // A call that waits must not hold up the next ones.
            calls.spawn(async move {
                let began = tokio::time::Instant::now();
                let outcome = session.token().await;
                (outcome, SystemClock::read(), began.elapsed())
            });
            while let Some(done) = calls.try_join_next() {
                watch.note(done);
            }
        }
        while let Some(done) = calls.join_next().await {
            watch.note(done);
        }
        watch.report()
    }))
}

type Done = (Result<Option<flyte_auth::session::Token>>, Timestamp, Duration);

#[derive(Default)]
struct Watch {
    report: Report,
    /// The issuer's expiry by generation.
    expiries: HashMap<u64, Option<Timestamp>>,
    least_left: Option<i64>,
}

impl Watch {
    fn note(&mut self, done: std::result::Result<Done, tokio::task::JoinError>) {
        let report = &mut self.report;
        report.calls += 1;
        let Ok((outcome, at, took)) = done else {
            *report.errors.entry("panicked".to_owned()).or_default() += 1;
            return;
        };
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        report.longest_call = report.longest_call.max(took);
        report.slow_calls += u64::from(took > 50);
        match outcome {
            Ok(Some(token)) => {
                let expiry =
                    // EXPOSE: only its claims are read.
                    *self.expiries.entry(token.generation()).or_insert_with(|| issuers_expiry(token.expose()));
                let Some(expiry) = expiry else {
                    *report.errors.entry("opaque".to_owned()).or_default() += 1;
                    return;
                };
                let left = expiry.as_millis() - at.as_millis();
                self.least_left = Some(self.least_left.map_or(left, |least| least.min(left)));
                report.expired += u64::from(left <= 0);
            }
            Ok(None) => *report.errors.entry("no_auth".to_owned()).or_default() += 1,
            Err(error) => *report.errors.entry(error.code().to_owned()).or_default() += 1,
        }
    }

    fn report(self) -> Report {
        Report { tokens: self.expiries.len(), least_left: self.least_left.unwrap_or_default(), ..self.report }
    }
}
