//! What the targets share: inputs in parts, a transport that answers from the input, checks of what is shown.

pub(crate) mod message;
pub(crate) mod shown;
pub(crate) mod transport;

use flyte_auth::Timestamp;
use flyte_auth::clock::{Clock, Entropy};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// 2026-11-24T03:12:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_489_920);

/// A clock that stands still: one input, one result.
#[derive(Debug)]
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn sleep(&self, _duration: std::time::Duration) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// Randomness that is none: one input, one result.
#[derive(Debug)]
pub(crate) struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// The first line, and what follows its line feed.
pub(crate) fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, b""),
    }
}

/// The result of a future that waits for nothing but our own transports and readers.
pub(crate) fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing here has anything to wait for")
}
