//! The protocol holds in every history of two processes within the budgets, and each broken protocol is found out.

#![expect(clippy::expect_used, reason = "helpers of tests; the lint knows only test functions")]

use flyte_auth_model::check::{explore, is_reachable, scenes};
use flyte_auth_model::properties::{
    ANSWERED, KEPT, NEEDED, NEWEST_KEPT, ONE_EXCHANGE, SAVED_FIRST, STAYS_ENDED, STAYS_REJECTED, WHOLE,
};
use flyte_auth_model::settings::{Broken, Budget, Settings};
use flyte_auth_model::state::{Excuse, Window};

const PROCESSES: usize = 2;

fn scene(name: &str) -> Settings {
    scenes(PROCESSES).into_iter().find(|(other, _)| *other == name).map(|(_, settings)| settings).expect(name)
}

#[test]
fn every_history_of_two_processes_keeps_every_property() {
    for (name, settings) in scenes(PROCESSES) {
        let found = explore(settings, 2);
        assert!(found.broken.is_empty(), "{name}: {:#?}", found.broken);
        assert!(found.states > 1000, "{name}: {} states are no exploration", found.states);
    }
}

/// `broken` in the scene of this name breaks `property`.
fn is_found_out(broken: Broken, name: &str, property: &str) {
    let found = explore(Settings { broken, ..scene(name) }, 2);
    let names: Vec<_> = found.broken.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&property), "{broken:?} in `{name}` breaks {names:?}");
}

#[test]
fn without_the_second_look_two_exchange_one_token() {
    is_found_out(Broken::NoReread, "nothing goes wrong", ONE_EXCHANGE);
    is_found_out(Broken::NoReread, "killed, refresh tokens are kept", NEEDED);
}

#[test]
fn publishing_before_saving_serves_what_a_crash_loses() {
    is_found_out(Broken::PublishBeforeSave, "killed at any step", SAVED_FIRST);
}

#[test]
fn without_the_lock_two_exchange_one_token() {
    is_found_out(Broken::NoLock, "nothing goes wrong", ONE_EXCHANGE);
    is_found_out(Broken::NoLock, "people sign in and out", STAYS_ENDED);
}

#[test]
fn a_loser_that_deletes_ends_a_session_that_lives() {
    is_found_out(Broken::DeleteOnInvalidGrant, "another client shares the login", KEPT);
}

#[test]
fn a_lock_that_survives_its_process_stops_everybody() {
    is_found_out(Broken::LockSurvivesDeath, "killed at any step", ANSWERED);
}

#[test]
fn writing_in_place_is_seen_half_done() {
    is_found_out(Broken::WriteInPlace, "killed at any step", WHOLE);
}

#[test]
fn saving_late_what_a_logout_ended_brings_it_back() {
    is_found_out(Broken::UnsavedIgnoresLogout, "people sign in and out while the disk is full", STAYS_ENDED);
}

#[test]
fn rejection_by_generation_refuses_the_next_login() {
    is_found_out(Broken::RejectedByGeneration, "people sign in and out", NEEDED);
}

#[test]
fn publishing_over_a_rejection_forgets_it() {
    is_found_out(Broken::PublishOverRejected, "tokens are rejected", STAYS_REJECTED);
}

#[test]
fn forgetting_what_could_not_be_saved_loses_it() {
    is_found_out(Broken::UnsavedForgotten, "the disk is full", NEWEST_KEPT);
}

/// A second presentation of a replaced refresh token has one of these four reasons; with none of them in the budget there
/// is none, and each alone suffices. So the list is complete, and nothing on it is there for show.
#[test]
fn the_reasons_for_a_second_presentation_are_these_and_no_others() {
    let none = Budget { calls: 3, ..Budget::default() };
    let reasons = [
        (Excuse::Died, Budget { crashes: 1, ..none }, false),
        (Excuse::Unanswered, Budget { timeouts: 1, ..none }, false),
        (Excuse::Unsaved, Budget { fills: 1, ..none }, false),
        (Excuse::Shared, Budget { foreign: 1, ..none }, true),
    ];
    let with = |budget, shared| Settings { budget, shared, ..scene("nothing goes wrong") };
    for (excuse, budget, shared) in reasons {
        for other in Excuse::ALL {
            assert_eq!(is_reachable(with(budget, shared), other), other == excuse, "{other:?} where {excuse:?} may be");
        }
        assert!(!is_reachable(with(Budget { expiries: 1, ..none }, shared), excuse), "{excuse:?} without a reason");
    }
}

/// The window is complete, or the properties would not hold; and it is no larger than it must be: without the excuse of
/// any part of it, a death there is followed by a second presentation or loses the newest token.
#[test]
fn the_window_is_from_the_request_to_the_rename() {
    let budget = Budget { calls: 2, crashes: 1, ..Budget::default() };
    let settings = Settings { budget, reduced: false, ..scene("killed at any step") };
    assert!(explore(settings, 2).broken.is_empty());
    for part in Window::ALL {
        let found = explore(Settings { unexcused: Some(part), ..settings }, 2);
        let names: Vec<_> = found.broken.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&ONE_EXCHANGE) && names.contains(&NEWEST_KEPT), "{part:?} breaks {names:?}");
    }
}

#[test]
fn leaving_out_private_steps_changes_no_verdict() {
    let budget = Budget { calls: 2, crashes: 1, expiries: 1, ..Budget::default() };
    let all = [Broken::Nothing, Broken::NoReread, Broken::PublishBeforeSave, Broken::NoLock, Broken::WriteInPlace];
    for broken in all.into_iter().chain([Broken::LockSurvivesDeath]) {
        let verdict = |reduced| {
            let found = explore(Settings { budget, broken, reduced, ..scene("killed at any step") }, 2);
            let names: Vec<_> = found.broken.into_iter().map(|(name, _)| name).collect();
            (found.states, names)
        };
        let ((fewer, reduced), (more, full)) = (verdict(true), verdict(false));
        assert_eq!(reduced, full, "{broken:?}");
        assert!(fewer < more, "{broken:?}: {fewer} and {more}");
    }
}
