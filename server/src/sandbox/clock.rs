//! The sandbox's clock: the system's, moved by as much as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flyte_auth::Timestamp;
use flyte_auth::clock::Clock;
use futures_util::future::BoxFuture;

/// A clock that is off by a settable time.
#[derive(Debug)]
pub struct MovableClock {
    inner: Arc<dyn Clock>,
    offset_millis: AtomicI64,
}

impl MovableClock {
    /// Shows the time of `inner`.
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, offset_millis: AtomicI64::new(0) }
    }

    /// Shows the time of `inner` plus `seconds` from now on (not added to an earlier offset).
    pub fn set_offset(&self, seconds: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and the year 292 million is enough")]
        self.offset_millis.store((seconds * 1000.0) as i64, Ordering::Relaxed);
    }

    /// The offset in seconds.
    pub fn offset(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "offsets are seconds to years, not ages")]
        let millis = self.offset_millis.load(Ordering::Relaxed) as f64;
        millis / 1000.0
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let offset = self.offset_millis.load(Ordering::Relaxed);
        Timestamp::from_millis(self.inner.now().as_millis().saturating_add(offset))
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }
}
