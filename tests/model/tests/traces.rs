//! Recorded traces are paths of the model, and a trace in which anything is out of place is not.
//!
//! `traces/shared.jsonl`: processes that share one refresh at a server that rotates. `traces/killed.jsonl`: a process is
//! killed with the only copy of the new refresh token, and the next one is refused. Both are of the crash suite.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests; the lint knows only test functions")]

use std::collections::BTreeSet;

use flyte_auth_model::replay::judge;
use flyte_auth_model::trace::{Line, OTHER_STEPS, POINTS};

const SHARED: &str = include_str!("traces/shared.jsonl");
const KILLED: &str = include_str!("traces/killed.jsonl");

fn lines(trace: &str) -> Vec<Line> {
    trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_point(line: &Line) -> bool {
    !OTHER_STEPS.contains(&line.step.as_str())
}

fn find(lines: &[Line], step: &str) -> usize {
    lines.iter().position(|line| line.step == step).expect(step)
}

/// The process that asked the server first, and where its points are.
fn asker(lines: &[Line]) -> (u32, Vec<usize>) {
    let process = lines[find(lines, "exchange.before")].process;
    let points = (0..lines.len()).filter(|index| lines[*index].process == process && is_point(&lines[*index]));
    (process, points.collect())
}

/// The trace with a change is refused.
fn is_refused(trace: &str, what: &str, change: impl FnOnce(&mut Vec<Line>)) -> String {
    let mut lines = lines(trace);
    change(&mut lines);
    match judge(&lines) {
        Ok(_) => panic!("{what} is accepted"),
        Err(why) => why,
    }
}

#[test]
fn the_model_knows_the_points_of_the_core_and_no_others() {
    let known: Vec<_> = POINTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, flyte_auth::testing::STOP_POINTS);
}

#[test]
fn what_was_recorded_is_accepted() {
    for trace in [SHARED, KILLED] {
        assert_eq!(judge(&lines(trace)), Ok(trace.lines().count()));
    }
    let processes =
        lines(SHARED).iter().filter(|line| is_point(line)).map(|line| line.process).collect::<BTreeSet<_>>();
    assert!(processes.len() > 2, "a trace of processes that share");
}

#[test]
fn two_steps_in_the_wrong_order_are_refused() {
    for trace in [SHARED, KILLED] {
        let (_, points) = asker(&lines(trace));
        for pair in points.windows(2) {
            let what = format!("{} and {} swapped", lines(trace)[pair[0]].step, lines(trace)[pair[1]].step);
            is_refused(trace, &what, |lines| {
                let (first, second) = (lines[pair[0]].clone(), lines[pair[1]].clone());
                (lines[pair[0]], lines[pair[1]]) = (second, first);
            });
        }
    }
}

#[test]
fn a_step_that_is_missing_is_refused() {
    let (_, points) = asker(&lines(SHARED));
    let (_last, others) = points.split_last().unwrap();
    for index in others {
        let what = format!("no {}", lines(SHARED)[*index].step);
        is_refused(SHARED, &what, |lines| drop(lines.remove(*index)));
    }
}

#[test]
fn an_exchange_without_the_lock_is_refused() {
    let why = is_refused(SHARED, "an exchange without the lock", |lines| {
        let (process, _) = asker(lines);
        let of_lock = ["lock.before", "lock.after", "unlock.before"];
        lines.retain(|line| line.process != process || !of_lock.contains(&line.step.as_str()));
    });
    assert!(why.contains("reread.after"), "{why}");
}

#[test]
fn a_lock_that_two_hold_is_refused() {
    let why = is_refused(SHARED, "two holders", |lines| {
        let (process, _) = asker(lines);
        let takes = |line: &Line| line.process != process && line.step == "lock.after";
        let others = lines.iter().position(takes).unwrap();
        let taken = lines.remove(others);
        let asks = lines.iter().position(|line| line.process == taken.process && line.step == "lock.before").unwrap();
        let lets_go = find(lines, "unlock.before");
        assert!(asks < lets_go, "it waits while the lock is held");
        lines.insert(lets_go, taken);
    });
    assert!(why.contains("lock.after"), "{why}");
}

#[test]
fn a_second_look_that_saw_the_old_record_is_refused() {
    let why = is_refused(SHARED, "an old record after the rename", |lines| {
        let (process, _) = asker(lines);
        let old = lines[0].record.clone();
        let rename = find(lines, "save.renamed");
        let looks = |line: &&mut Line| line.process != process && line.step == "reread.after";
        lines[rename..].iter_mut().find(looks).unwrap().record = old;
    });
    assert!(why.contains("reread.after"), "{why}");
}

#[test]
fn a_token_that_nobody_gave_is_refused() {
    is_refused(SHARED, "another token saved than was answered", |lines| {
        let published = find(lines, "publish.after");
        lines[published].record.as_mut().unwrap().refresh = Some("0123456789ab".to_owned());
    });
    is_refused(SHARED, "a generation too far", |lines| {
        let answered = find(lines, "exchange.after");
        lines[answered].record.as_mut().unwrap().generation += 1;
    });
}

#[test]
fn a_refresh_token_that_the_server_sees_twice_is_refused() {
    let why = is_refused(SHARED, "two exchanges", |lines| {
        let served = find(lines, "server.exchanged");
        let again = lines[served].clone();
        lines.insert(served + 1, again);
    });
    assert!(why.contains("server.exchanged"), "{why}");
}

/// Without its death nothing explains why the killed process let go of the lock.
#[test]
fn a_death_that_nobody_tells_is_refused() {
    is_refused(KILLED, "no death", |lines| lines.retain(|line| line.step != "killed"));
}

/// A process that ends by itself must not take the only copy of a session with it.
#[test]
fn an_end_by_itself_in_the_window_is_refused() {
    is_refused(KILLED, "an end by itself", |lines| {
        lines.iter_mut().filter(|line| line.step == "killed").for_each(|line| line.step = "exited".to_owned());
    });
}

#[test]
fn a_point_that_the_model_does_not_know_is_an_error() {
    let why = is_refused(SHARED, "an unknown point", |lines| {
        let renamed = find(lines, "save.renamed");
        lines[renamed].step = "save.moved".to_owned();
    });
    assert!(why.contains("does not know the point save.moved"), "{why}");
}
