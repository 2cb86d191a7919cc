//! `token()` from many threads at once: a fresh token in memory is read without waiting for anybody.

use std::hint::black_box;
use std::sync::{Barrier, Mutex, PoisonError};

use flyte_auth::session::Session;
use futures_util::FutureExt as _;

use crate::process::median;
use crate::stopwatch::Stopwatch;
use crate::{Row, rows};

const CALLS: usize = 2_000_000;

pub(crate) fn rows() -> Result<Vec<Row>, String> {
    let session = rows::session_with_token()?;
    let token = session.fresh().ok_or("the token is not fresh")?;
    let behind_a_mutex = Mutex::new(token);
    let mut all = Vec::new();
    for (threads, case) in [
        (1, "token() from 1 thread"),
        (16, "token() from 16 threads at once"),
        (256, "token() from 256 threads at once"),
    ] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            ours.push(per_call(threads, || ready(&session))?);
            theirs.push(per_call(threads, || {
                black_box(behind_a_mutex.lock().unwrap_or_else(PoisonError::into_inner).clone());
                true
            })?);
        }
        all.push(Row::lower("contention", case, "flyte-auth", median(ours), "ns of a core"));
        all.push(Row::lower("contention", case, "a token behind a mutex", median(theirs), "ns of a core"));
    }
    Ok(all)
}

/// A fresh token is there at the first poll.
fn ready(session: &Session) -> bool {
    matches!(black_box(session.token().now_or_never()), Some(Ok(Some(_))))
}

/// What one call costs a core: wall time, by the cores that worked on it, by the calls.
fn per_call(threads: usize, call: impl Fn() -> bool + Sync) -> Result<f64, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(threads);
    let each = CALLS / threads;
    let barrier = Barrier::new(threads + 1);
    let (taken, right) = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    (0..each).all(|_| call())
                })
            })
            .collect();
        barrier.wait();
        let watch = Stopwatch::start();
        let right = running.into_iter().all(|thread| thread.join().unwrap_or(false));
        (watch.elapsed(), right)
    });
    if !right {
        return Err("a call did not get the token at once".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    Ok(taken.as_secs_f64() * 1e9 * cores as f64 / (each * threads) as f64)
}
