//! A clock for tests: stands still until it is set or slept on; sleeping takes no time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Clock, Entropy, Timestamp};

/// Starts at 2026-11-24T03:12:00Z.
#[derive(Debug)]
pub(crate) struct FakeClock(AtomicI64);

impl Default for FakeClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_795_489_920_000))
    }
}

impl FakeClock {
    /// Moves the clock forward.
    pub(crate) fn advance(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }

    /// Sets the clock, back too.
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    // Time passes when the sleep begins, and other tasks get their turn.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.advance(duration);
        Box::pin(tokio::task::yield_now())
    }
}

/// Counts up: predictable, and different at each call.
#[derive(Debug, Default)]
pub(crate) struct FakeEntropy(AtomicI64);

impl Entropy for FakeEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut next = self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes().into_iter().cycle();
        buffer.fill_with(|| next.next().unwrap_or_default());
    }
}
