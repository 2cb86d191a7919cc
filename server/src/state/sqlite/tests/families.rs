use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};

use super::*;

/// What is done to a family whose first token is T1.
#[derive(Clone, Copy)]
enum Step {
    /// Presents a token; its successor gets the second name.
    Rotate(&'static str, &'static str, Rotation),
    /// As `Rotate`, without grace.
    Strict(&'static str, &'static str, Rotation),
    /// Uses the access token that came with one.
    Confirm(&'static str, bool),
    /// Which are alive.
    Alive(&'static [&'static str]),
    Revoke,
    Restart,
}

use Rotation::{Gone, Reused, Rotated};
use Step::{Alive, Confirm, Restart, Revoke, Rotate, Strict};

const TABLE: &[(&str, &[Step])] = &[
    (
        "a chain",
        &[
            Rotate("T1", "T2", Rotated),
            Alive(&["T1", "T2"]),
            Rotate("T2", "T3", Rotated),
            Alive(&["T2", "T3"]),
            Rotate("T3", "T4", Rotated),
            Alive(&["T3", "T4"]),
            Rotate("T1", "X", Reused),
            Rotate("T2", "X", Reused),
            Alive(&["T3", "T4"]),
        ],
    ),
    (
        "a lost reply: the first successor stays until one is used",
        &[
            Rotate("T1", "T2", Rotated),
            Rotate("T1", "T2b", Rotated),
            Alive(&["T1", "T2", "T2b"]),
            Rotate("T2b", "T3", Rotated),
            Alive(&["T2b", "T3"]),
            Rotate("T2", "X", Reused),
            Rotate("T1", "X", Reused),
        ],
    ),
    (
        "the first reply was only late",
        &[
            Rotate("T1", "T2", Rotated),
            Rotate("T1", "T2b", Rotated),
            Rotate("T2", "T3", Rotated),
            Alive(&["T2", "T3"]),
            Rotate("T2b", "X", Reused),
        ],
    ),
    (
        "a lost reply in the middle of a chain",
        &[
            Rotate("T1", "T2", Rotated),
            Rotate("T2", "T3", Rotated),
            Rotate("T2", "T3b", Rotated),
            Rotate("T2", "T3c", Rotated),
            Alive(&["T2", "T3", "T3b", "T3c"]),
            Rotate("T3b", "T4", Rotated),
            Alive(&["T3b", "T4"]),
            Rotate("T2", "X", Reused),
        ],
    ),
    (
        "the access token of the new pair is used",
        &[
            Rotate("T1", "T2", Rotated),
            Rotate("T1", "T2b", Rotated),
            Confirm("T2", true),
            Alive(&["T2"]),
            Confirm("T2", false),
            Rotate("T1", "X", Reused),
            Rotate("T2b", "X", Reused),
            Rotate("T2", "T3", Rotated),
        ],
    ),
    (
        "the access token of the old pair proves nothing",
        &[Rotate("T1", "T2", Rotated), Confirm("T1", false), Alive(&["T1", "T2"]), Rotate("T1", "T2b", Rotated)],
    ),
    (
        "neither does one of a dead pair, or an unknown one",
        &[
            Rotate("T1", "T2", Rotated),
            Rotate("T2", "T3", Rotated),
            Confirm("T1", false),
            Confirm("unknown", false),
            Alive(&["T2", "T3"]),
        ],
    ),
    ("the access token of a first pair changes nothing", &[Confirm("T1", false), Alive(&["T1"])]),
    (
        "without grace",
        &[
            Strict("T1", "T2", Rotated),
            Alive(&["T2"]),
            Strict("T1", "X", Reused),
            Strict("T2", "T3", Rotated),
            Alive(&["T3"]),
            Confirm("T3", false),
        ],
    ),
    (
        "grace that was taken away",
        &[Rotate("T1", "T2", Rotated), Strict("T1", "T2b", Rotated), Alive(&["T2", "T2b"]), Strict("T1", "X", Reused)],
    ),
    (
        "revoked",
        &[
            Rotate("T1", "T2", Rotated),
            Revoke,
            Alive(&[]),
            Rotate("T1", "X", Gone),
            Rotate("T2", "X", Gone),
            Confirm("T2", false),
        ],
    ),
    ("never there", &[Rotate("unknown", "X", Gone), Strict("unknown", "X", Gone), Alive(&["T1"])]),
    (
        "across restarts",
        &[
            Rotate("T1", "T2", Rotated),
            Restart,
            Rotate("T1", "T2b", Rotated),
            Restart,
            Rotate("T2", "T3", Rotated),
            Restart,
            Alive(&["T2", "T3"]),
            Rotate("T1", "X", Reused),
        ],
    ),
];

#[tokio::test]
async fn families_behave_as_the_table_says() {
    let names = ["T1", "T2", "T2b", "T3", "T3b", "T3c", "T4", "X"];
    for (case, steps) in TABLE {
        let mut scratch = Scratch::new().await;
        scratch.state.put_refresh("T1", &refresh("family", "at T1")).await.unwrap();
        scratch.state.put_refresh("bystander", &refresh("another", "at bystander")).await.unwrap();
        for (at, step) in steps.iter().enumerate() {
            let (state, case) = (&scratch.state, format!("{case}, step {at}"));
            match *step {
                Rotate(digest, successor, expected) | Strict(digest, successor, expected) => {
                    let grace = matches!(step, Rotate(..));
                    let record = refresh("family", &format!("at {successor}"));
                    assert_eq!(state.rotate(digest, successor, &record, grace).await.unwrap(), expected, "{case}");
                }
                Confirm(name, expected) => {
                    assert_eq!(state.confirm(&format!("at {name}")).await.unwrap(), expected, "{case}");
                }
                Alive(expected) => {
                    let mut alive = Vec::new();
                    for name in names {
                        if state.refresh(name).await.unwrap().is_some_and(|found| !found.dead) {
                            alive.push(name);
                        }
                    }
                    assert_eq!(alive, expected, "{case}");
                }
                Revoke => {
                    state.revoke_session("family", after(60)).await.unwrap();
                    assert!(state.any_revoked(&["family"]), "{case}");
                }
                Restart => scratch = scratch.restarted().await,
            }
        }
        let bystander = scratch.state.refresh("bystander").await.unwrap().unwrap();
        assert!(!bystander.dead, "{case}: another family is untouched");
        assert!(scratch.state.refresh("X").await.unwrap().is_none(), "{case}: a refusal keeps nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_rotations_at_once_leave_one_family_in_order() {
    for grace in [true, false] {
        let scratch = Scratch::new().await;
        scratch.state.put_refresh("T1", &refresh("family", "at")).await.unwrap();
        let rotated = winners(|at| {
            let state = Arc::clone(&scratch.state);
            let successor = format!("S{at}");
            async move {
                let record = refresh("family", &format!("at {successor}"));
                state.rotate("T1", &successor, &record, grace).await.unwrap() == Rotation::Rotated
            }
        });
        assert_eq!(rotated.await, if grace { 50 } else { 1 });
        let mut kept = Vec::new();
        for at in 0..50 {
            let name = format!("S{at}");
            if scratch.state.refresh(&name).await.unwrap().is_some_and(|found| !found.dead) {
                kept.push(name);
            }
        }
        assert_eq!(kept.len(), if grace { 50 } else { 1 });
        if grace {
            // All of them are used at once: the first wins, the others are dead.
            let used = winners(|at| {
                let state = Arc::clone(&scratch.state);
                async move {
                    let record = refresh("family", &format!("at U{at}"));
                    state.rotate(&format!("S{at}"), &format!("U{at}"), &record, true).await.unwrap()
                        == Rotation::Rotated
                }
            });
            assert_eq!(used.await, 1);
        }
    }
}

#[tokio::test]
async fn a_pruned_token_is_gone() {
    let scratch = Scratch::new().await;
    scratch.state.put_refresh("T1", &refresh("family", "at")).await.unwrap();
    scratch.state.prune(after(3 * 3600), Duration::MAX).await.unwrap();
    let record = refresh("family", "at 2");
    assert_eq!(scratch.state.rotate("T1", "T2", &record, true).await.unwrap(), Rotation::Gone);
}

/// A code's second use revokes the session while the first is still being answered: its token must not slip in after.
#[tokio::test]
async fn a_revoked_session_gets_no_token_any_more() {
    let scratch = Scratch::new().await;
    scratch.state.revoke_session("family", after(60)).await.unwrap();
    scratch.state.put_refresh("T1", &refresh("family", "at")).await.unwrap();
    assert!(scratch.state.refresh("T1").await.unwrap().is_none());
}

/// Between the look that finds something to do and the lock that is needed to do it, another process rotates.
#[tokio::test]
async fn a_use_that_was_overtaken_by_a_rotation_kills_no_successor() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    state.put_refresh("T1", &refresh("family", "at T1")).await.unwrap();
    state.rotate("T1", "T2", &refresh("family", "at T2"), true).await.unwrap();
    let file = scratch.folder.path().join("state.db");
    let mut other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let confirm = tokio::spawn({
        let state = Arc::clone(state);
        async move { state.confirm("at T2").await.unwrap() }
    });
    // Long enough for the look; if not, the test sees less but does not fail.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let rotate = "UPDATE refresh SET replaced = 1 WHERE digest = 'T2';
        UPDATE refresh SET dead = 1 WHERE digest = 'T1';
        INSERT INTO refresh SELECT 'T3', session, 'at T3', expires_at, 0, 0, grant_record FROM refresh
            WHERE digest = 'T2';
        COMMIT";
    other.execute(rotate).await.unwrap();
    assert!(!confirm.await.unwrap());
    assert!(!state.refresh("T3").await.unwrap().unwrap().dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_share_a_file_wait_for_each_other() {
    let scratch = Scratch::new().await;
    let other = Arc::new(Sqlite::open(Some(&scratch.folder.path().join("state.db"))).await.unwrap());
    let rotated = winners(|at| {
        let state = Arc::clone(if at % 2 == 0 { &scratch.state } else { &other });
        async move {
            let (first, second) = (format!("T{at}"), format!("S{at}"));
            state.put_refresh(&first, &refresh(&first, &first)).await.unwrap();
            state.rotate(&first, &second, &refresh(&first, &second), true).await.unwrap() == Rotation::Rotated
        }
    });
    assert_eq!(rotated.await, 50);
}

/// A client that hangs up ends its request's task wherever it happens to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_no_transaction_open() {
    let scratch = Scratch::new().await;
    scratch.state.put_refresh("T1", &refresh("family", "at")).await.unwrap();
    for at in 0_u64..200 {
        let state = Arc::clone(&scratch.state);
        let task = tokio::spawn(async move {
            let record = refresh("family", &format!("at {at}"));
            state.rotate("T1", &format!("S{at}"), &record, true).await
        });
        tokio::time::sleep(Duration::from_micros(at * 10)).await;
        task.abort();
    }
    let record = refresh("family", "at last");
    let last = tokio::time::timeout(Duration::from_secs(4), scratch.state.rotate("T1", "last", &record, true));
    assert_eq!(last.await.unwrap().unwrap(), Rotation::Rotated);
    // Another process can write at once: no lock was left behind.
    let other = Sqlite::open(Some(&scratch.folder.path().join("state.db"))).await.unwrap();
    assert!(other.first_use("jti", after(60), NOW).await.unwrap());
    assert!(other.refresh("last").await.unwrap().is_some());
}

/// Each statement that is asked at a request finds its rows by an index, however many have lapsed.
#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let scratch = Scratch::new().await;
    let statements = [
        "SELECT record FROM pending WHERE id = ? AND expires_at > ?",
        "SELECT record, used FROM codes WHERE digest = ?",
        "SELECT 1 FROM devices WHERE user_code = ? AND expires_at > ?",
        super::super::families::ONLY,
        super::super::families::POINTLESS,
        "DELETE FROM refresh WHERE session = ?",
        "SELECT session, digest FROM refresh WHERE access_token_id = ? AND dead = 0 AND replaced = 0",
        "SELECT sealed FROM sessions WHERE id = ? AND expires_at > ?",
    ];
    let pruning = super::super::prune::BATCHES.map(|(statement, _)| statement);
    for statement in statements.into_iter().chain(pruning) {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).bind(0).bind(0).fetch_all(&scratch.state.readers).await.unwrap();
        assert!(
            plan.iter().all(|(.., step)| !step.starts_with("SCAN") || step == "SCAN CONSTANT ROW"),
            "{statement}: {plan:?}"
        );
        assert!(plan.iter().any(|(.., step)| step.contains("SEARCH")), "{statement}: {plan:?}");
        // Neither is a family's past read, which grows with each refresh.
        let of_a_family = statement.contains("dead = 0") && statement.contains("session = ");
        assert!(!of_a_family || plan.iter().any(|(.., step)| step.contains("refresh_alive")), "{statement}: {plan:?}");
    }
}
