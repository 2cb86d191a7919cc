use std::sync::atomic::{AtomicI64, Ordering};

use flyte_auth::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;

use super::*;
use crate::state::Sqlite;

/// Stands still until it is set.
#[derive(Debug)]
struct StoppedClock(AtomicI64);

impl StoppedClock {
    fn set(&self, secs: i64) {
        self.0.store(secs, Ordering::SeqCst);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }
    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

struct Scratch {
    _folder: TempDir,
    /// A second way into the file, as another process has.
    other: SqliteConnection,
    clock: Arc<StoppedClock>,
    sessions: Sessions,
}

impl Scratch {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let state = Arc::new(Sqlite::open(Some(&file)).await.unwrap());
        let other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
        let clock = Arc::new(StoppedClock(AtomicI64::new(1000)));
        let sessions = Sessions::new(state, Arc::clone(&clock) as _);
        Self { _folder: folder, other, clock, sessions }
    }

    async fn run(&mut self, statement: &'static str) {
        self.other.execute(statement).await.unwrap();
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const OLD: Bytes = Bytes::from_static(b"old");
const NEW: Bytes = Bytes::from_static(b"new");

#[tokio::test]
async fn what_was_written_or_read_is_answered_from_memory_for_half_a_minute() {
    let mut scratch = Scratch::new().await;
    let sessions = scratch.sessions.clone();
    assert_eq!(sessions.get_now("k"), None, "it may be in the database");
    assert_eq!(sessions.get("k").await.unwrap(), None);
    assert_eq!(sessions.get_now("k"), None);
    sessions.put("k", OLD, HOUR).await.unwrap();
    assert_eq!(sessions.get_now("k"), Some(Some(OLD)));
    scratch.run("UPDATE sessions SET sealed = x'6e6577'").await;
    scratch.clock.set(1029);
    assert_eq!(sessions.get_now("k"), Some(Some(OLD)));
    scratch.clock.set(1030);
    assert_eq!(sessions.get_now("k"), None);
    assert_eq!(sessions.get("k").await.unwrap(), Some(NEW));
    assert_eq!(sessions.get_now("k"), Some(Some(NEW)), "as it was read");
    scratch.clock.set(1020);
    assert_eq!(sessions.get_now("k"), None, "a clock that was set back stretches nothing");
}

#[tokio::test]
async fn a_session_ends_with_its_lifetime_and_its_deletion() {
    let scratch = Scratch::new().await;
    let sessions = &scratch.sessions;
    sessions.put("k", OLD, Duration::from_secs(10)).await.unwrap();
    scratch.clock.set(1010);
    assert_eq!(sessions.get_now("k"), None);
    assert_eq!(sessions.get("k").await.unwrap(), None);
    sessions.put("k", NEW, HOUR).await.unwrap();
    assert_eq!(sessions.get("k").await.unwrap(), Some(NEW));
    sessions.delete("k").await.unwrap();
    assert_eq!(sessions.get_now("k"), None);
    assert_eq!(sessions.get("k").await.unwrap(), None);
    sessions.delete("k").await.unwrap();
}

#[tokio::test]
async fn what_is_read_during_a_deletion_is_not_remembered() {
    let mut scratch = Scratch::new().await;
    let sessions = scratch.sessions.clone();
    sessions.put("k", OLD, HOUR).await.unwrap();
    scratch.run("BEGIN IMMEDIATE").await;
    let deleting = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.delete("k").await }
    });
    while sessions.get_now("k").is_some() {
        tokio::task::yield_now().await;
    }
    // The database still has it: the deletion waits for the other writer.
    assert_eq!(sessions.get("k").await.unwrap(), Some(OLD));
    scratch.run("ROLLBACK").await;
    deleting.await.unwrap().unwrap();
    assert_eq!(sessions.get_now("k"), None);
    assert_eq!(sessions.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn a_browser_that_hangs_up_is_signed_out_all_the_same() {
    let mut scratch = Scratch::new().await;
    let sessions = scratch.sessions.clone();
    sessions.put("k", OLD, HOUR).await.unwrap();
    scratch.run("BEGIN IMMEDIATE").await;
    let deleting = tokio::time::timeout(Duration::from_millis(50), sessions.delete("k"));
    assert!(deleting.await.is_err(), "the other writer holds it up");
    assert_eq!(sessions.get("k").await.unwrap(), Some(OLD));
    scratch.run("ROLLBACK").await;
    let gone = async {
        while sessions.get_now("k").is_some() || sessions.get("k").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_in_memory() {
    let mut scratch = Scratch::new().await;
    scratch.sessions.put("k", OLD, HOUR).await.unwrap();
    scratch.run("ALTER TABLE sessions RENAME TO away").await;
    assert!(scratch.sessions.put("k", NEW, HOUR).await.is_err());
    assert_eq!(scratch.sessions.get_now("k"), None);
    assert!(scratch.sessions.get("k").await.is_err());
    assert!(scratch.sessions.delete("k").await.is_err());
}

#[test]
fn a_value_that_was_overtaken_is_not_kept() {
    let (cache, now) = (Cache::default(), Timestamp::from_secs(1000));
    // A read that began before a write.
    let seen = cache.watch("k");
    let began = cache.begin("k");
    cache.put("k", OLD, now, seen);
    assert_eq!(cache.get("k", now), None);
    // One that began during it, and ended before it.
    cache.put("k", OLD, now, cache.watch("k"));
    cache.end_with("k", NEW, now, HOUR, began);
    assert_eq!(cache.get("k", now), Some(NEW));
    // Two writes at once.
    let (first, second) = (cache.begin("k"), cache.begin("k"));
    cache.end_with("k", NEW, now, HOUR, second);
    assert_eq!(cache.get("k", now), Some(NEW));
    cache.end_with("k", OLD, now, HOUR, first);
    assert_eq!(cache.get("k", now), None);
}

#[test]
fn the_cache_is_bounded_in_number_and_in_bytes() {
    let (cache, now) = (Cache::default(), Timestamp::from_secs(1000));
    for at in 0..10_000 {
        let key = at.to_string();
        cache.put(&key, OLD, now, cache.watch(&key));
        assert!(cache.size().0 <= cache::MOST);
    }
    let (count, bytes) = cache.size();
    assert!(count > cache::MOST / 2 && bytes == count * OLD.len(), "{count} {bytes}");
    assert!(cache.get("9999", now).is_some() && cache.get("0", now).is_none(), "the oldest go first");
    let large = Bytes::from(vec![0; 100_000]);
    for at in 0..1000 {
        let key = format!("large {at}");
        cache.put(&key, large.clone(), now, cache.watch(&key));
        assert!(cache.size().1 <= 16 << 20);
    }
    assert!(cache.get("large 999", now).is_some());
    // One that would push out most others is not worth it.
    cache.put("huge", Bytes::from(vec![0; 2 << 20]), now, cache.watch("huge"));
    assert!(cache.get("huge", now).is_none() && cache.size().0 > 10);
}
