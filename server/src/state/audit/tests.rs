use flyte_auth::clock::SystemClock;
use futures_util::future::join_all;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::state::Sqlite;

fn event(kind: EventKind, detail: &str) -> Event {
    Event {
        at: 1,
        kind,
        outcome: if kind == EventKind::Refusal { Outcome::Failure } else { Outcome::Success },
        client_id: Some("flytectl".to_owned()),
        subject: None,
        session: None,
        peer: None,
        detail: detail.to_owned(),
    }
}

fn grant(at: usize) -> Event {
    event(EventKind::Grant, &at.to_string())
}

/// A trail in a real file, and a second way into the file that gets in its way.
struct Scratch {
    _folder: TempDir,
    state: Arc<Sqlite>,
    other: SqliteConnection,
    audit: Audit,
}

impl Scratch {
    async fn new(patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let state = Arc::new(Sqlite::open(Some(&file)).await.unwrap());
        let other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
        let audit = Audit::with_patience(Arc::clone(&state) as _, Arc::new(SystemClock), patience);
        Self { _folder: folder, state, other, audit }
    }

    async fn run(&mut self, statement: &'static str) {
        self.other.execute(statement).await.unwrap();
    }

    /// What the events say, the oldest first.
    async fn details(&self) -> Vec<String> {
        let events = self.state.events(u32::MAX).await.unwrap();
        events.into_iter().rev().map(|event| event.detail).collect()
    }

    /// Waits until there are so many.
    async fn until(&self, count: usize) -> Vec<String> {
        let wait = async {
            loop {
                let details = self.details().await;
                if details.len() >= count {
                    return details;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap()
    }
}

const BREAK: &str = "ALTER TABLE audit RENAME TO away";
const REPAIR: &str = "ALTER TABLE away RENAME TO audit";

#[tokio::test]
async fn a_sign_in_is_on_disk_when_the_call_returns_and_a_grant_soon_after() {
    let scratch = Scratch::new(PATIENCE).await;
    scratch.audit.grant(grant(0)).await;
    scratch.audit.now(event(EventKind::SignIn, "in")).await;
    assert_eq!(scratch.details().await, ["0", "in"], "in the order of arrival");
    scratch.audit.grant(grant(1)).await;
    assert_eq!(scratch.until(3).await, ["0", "in", "1"]);
}

#[tokio::test]
async fn a_sign_in_does_not_wait_for_company() {
    // In memory, so that no slow disk is measured.
    let state = Arc::new(Sqlite::open(None).await.unwrap());
    let audit = Audit::new(state, Arc::new(SystemClock));
    let began = Instant::now();
    for _ in 0..40 {
        audit.now(event(EventKind::SignIn, "in")).await;
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn grants_wait_only_when_there_is_no_room_and_none_is_lost() {
    let mut scratch = Scratch::new(PATIENCE).await;
    scratch.run("BEGIN IMMEDIATE").await;
    let mut sent = 0;
    while timeout(Duration::from_millis(300), scratch.audit.grant(grant(sent))).await.is_ok() {
        sent += 1;
    }
    // The channel, and the group that cannot be written.
    assert!((CHANNEL..=CHANNEL + 513).contains(&sent), "{sent}");
    scratch.run("ROLLBACK").await;
    scratch.audit.grant(grant(sent)).await;
    let expected: Vec<String> = (0..=sent).map(|at| at.to_string()).collect();
    assert!(scratch.until(expected.len()).await == expected, "all of them, once, in order");
    assert_eq!(scratch.audit.lost(), 0);
}

#[tokio::test]
async fn a_database_that_fails_holds_up_nobody_and_gets_its_events_later() {
    let mut scratch = Scratch::new(PATIENCE).await;
    scratch.run(BREAK).await;
    timeout(Duration::from_secs(2), scratch.audit.now(event(EventKind::SignIn, "in"))).await.unwrap();
    assert!(scratch.audit.failures() >= 1);
    scratch.audit.grant(grant(0)).await;
    scratch.run(REPAIR).await;
    assert_eq!(scratch.until(2).await, ["in", "0"]);
    scratch.audit.flush().await;
    assert_eq!((scratch.details().await.len(), scratch.audit.lost()), (2, 0));
}

#[tokio::test]
async fn without_room_for_too_long_events_are_counted_as_lost() {
    let mut scratch = Scratch::new(Duration::from_millis(200)).await;
    scratch.run(BREAK).await;
    let mut sent = 0;
    while scratch.audit.lost() == 0 {
        scratch.audit.grant(grant(sent)).await;
        sent += 1;
    }
    timeout(Duration::from_secs(2), scratch.audit.now(event(EventKind::SignIn, "in"))).await.unwrap();
    assert_eq!(scratch.audit.lost(), 2);
    scratch.run(REPAIR).await;
    assert_eq!(scratch.until(sent - 1).await.len(), sent - 1);
}

#[tokio::test]
async fn a_flood_of_refusals_is_summed_up_and_hides_no_sign_in() {
    let scratch = Scratch::new(PATIENCE).await;
    let flood = (0..2000).map(|at| scratch.audit.now(event(EventKind::Refusal, &format!("refusal {at}"))));
    let failed = Event { outcome: Outcome::Failure, ..event(EventKind::SignIn, "failed") };
    join_all(flood).await;
    scratch.audit.now(failed).await;
    scratch.audit.now(event(EventKind::SignIn, "in")).await;
    assert_eq!(scratch.details().await.last().map(String::as_str), Some("in"));
    let mut counted = 0;
    while counted == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let details = scratch.details().await;
        counted = details.iter().filter_map(|detail| detail.split_once(" more,")?.0.parse::<usize>().ok()).sum();
        let single = details.iter().filter(|detail| detail.starts_with("refusal") || *detail == "failed").count();
        assert!((50..=150).contains(&single), "{single}");
        assert!(counted == 0 || counted + single == 2001, "{counted} and {single}");
    }
    // And a new second begins with a new count.
    let before = scratch.details().await.len();
    scratch.audit.now(event(EventKind::Refusal, "another")).await;
    assert_eq!(scratch.details().await.len(), before + 1);
}

#[tokio::test]
async fn shutdown_writes_what_is_there_and_later_events_go_straight_to_the_database() {
    let scratch = Scratch::new(PATIENCE).await;
    for at in 0..1500 {
        scratch.audit.grant(grant(at)).await;
    }
    assert!(scratch.audit.shutdown(Duration::from_secs(20)).await);
    assert_eq!(scratch.details().await.len(), 1500);
    scratch.audit.now(event(EventKind::SignIn, "late")).await;
    scratch.audit.grant(grant(1500)).await;
    scratch.audit.flush().await;
    assert_eq!(scratch.details().await[1500..], ["late", "1500"]);
    assert!(scratch.audit.shutdown(Duration::from_secs(1)).await, "a second one finds nothing to do");
}

#[tokio::test]
async fn a_shutdown_gives_up_on_a_database_that_fails() {
    let mut scratch = Scratch::new(PATIENCE).await;
    scratch.run(BREAK).await;
    scratch.audit.grant(grant(0)).await;
    assert!(!timeout(Duration::from_secs(5), scratch.audit.shutdown(Duration::from_secs(20))).await.unwrap());
    assert_eq!((scratch.audit.lost(), scratch.audit.failures()), (1, 4));
    scratch.audit.now(event(EventKind::SignIn, "late")).await;
    assert_eq!((scratch.audit.lost(), scratch.audit.failures()), (2, 5));
}

#[tokio::test]
async fn the_last_clone_that_goes_leaves_nothing_unwritten() {
    let scratch = Scratch::new(PATIENCE).await;
    let audit = Audit::new(Arc::clone(&scratch.state) as _, Arc::new(SystemClock));
    audit.clone().grant(grant(0)).await;
    drop(audit);
    scratch.until(1).await;
}

#[tokio::test]
async fn long_texts_are_cut_at_a_letter() {
    let scratch = Scratch::new(PATIENCE).await;
    let long = "é".repeat(10_000);
    scratch.audit.now(Event { subject: Some(format!("x{long}")), ..event(EventKind::SignIn, &long) }).await;
    let events = scratch.state.events(1).await.unwrap();
    assert_eq!(events[0].detail, "é".repeat(256));
    assert_eq!(events[0].subject, Some(format!("x{}", "é".repeat(255))));
}
