//! The task that prunes.

use std::sync::Arc;
use std::time::Duration;

use flyte_auth::clock::Clock;
use tokio::sync::watch;

use super::State;

/// How long audit events are kept.
const AUDIT_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Prunes `state` now and then `every` so often, by `clock`, until `stop` says true or its sender is gone. A failure is
/// logged; the next round tries again. Audit events are kept for 90 days.
pub async fn keep_pruned(
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        match state.prune(clock.now(), AUDIT_KEPT).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "lapsed rows are removed from the database"),
            Err(error) => tracing::warn!(%error, "lapsed rows cannot be removed from the database"),
        }
        tokio::select! {
            () = clock.sleep(every) => {}
            // A sender that is gone can say nothing more: also an end.
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use flyte_auth::clock::SystemClock;

    use super::*;
    use crate::state::Sqlite;

    #[tokio::test]
    async fn prunes_at_once_and_again_until_it_is_stopped() {
        let state: Arc<dyn State> = Arc::new(Sqlite::open(None).await.unwrap());
        let now = SystemClock.now();
        state.first_use("old", now, now).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let every = Duration::from_millis(10);
        let task = tokio::spawn(keep_pruned(Arc::clone(&state), Arc::new(SystemClock), every, stopped));
        // The clock of the system is coarse: it may not have moved yet when the first round runs.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = now.minus(Duration::from_secs(1));
        assert!(state.first_use("old", now, before).await.unwrap(), "the first one was removed");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(state.first_use("old", now, before).await.unwrap(), "the second one too");
        stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn ends_with_its_sender() {
        let state: Arc<dyn State> = Arc::new(Sqlite::open(None).await.unwrap());
        let (stop, stopped) = watch::channel(false);
        drop(stop);
        let task = keep_pruned(state, Arc::new(SystemClock), Duration::from_secs(3600), stopped);
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap();
    }
}
