//! How many refusals are written: whoever is refused decides how often, and must not fill the disk with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Refusals that are written one by one in a [`WINDOW`].
pub(super) const MOST: u32 = 50;
/// What the count is for, and how often the rest is summed up.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

struct Window {
    since: Instant,
    written: u32,
    /// Since they were last summed up.
    counted: u64,
}

pub(super) struct Refusals {
    window: Mutex<Window>,
    first: Notify,
}

impl Default for Refusals {
    fn default() -> Self {
        let window = Window { since: Instant::now(), written: 0, counted: 0 };
        Self { window: Mutex::new(window), first: Notify::new() }
    }
}

impl Refusals {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the refusal is to be written by itself. If not, it was counted.
    pub(super) fn admit(&self) -> bool {
        let mut window = self.window();
        if window.since.elapsed() >= WINDOW {
            window.since = Instant::now();
            window.written = 0;
        }
        if window.written < MOST {
            window.written += 1;
            return true;
        }
        window.counted += 1;
        if window.counted == 1 {
            self.first.notify_one();
        }
        false
    }

    /// Completes when there is something to sum up.
    pub(super) async fn counted_one(&self) {
        self.first.notified().await;
    }

    /// How many were only counted since this was last asked.
    pub(super) fn take(&self) -> u64 {
        std::mem::take(&mut self.window().counted)
    }
}
