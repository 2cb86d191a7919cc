//! Explores every history within a budget.

use stateright::{Checker as _, Model as _};

use crate::properties::ALWAYS;
use crate::settings::{Broken, Budget, Server, Settings};
use crate::state::Excuse;

/// What an exploration found.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Length of the longest shortest history.
    pub depth: usize,
    /// Properties that do not hold, each with a history that shows it.
    pub broken: Vec<(&'static str, Vec<String>)>,
}

/// Explores `settings` on `threads`.
pub fn explore(settings: Settings, threads: usize) -> Found {
    let checker = settings.checker().threads(threads).spawn_bfs().join();
    let mut broken: Vec<_> = checker
        .discoveries()
        .into_iter()
        .map(|(name, path)| (name, path.into_actions().iter().map(|action| format!("{action:?}")).collect()))
        .collect();
    broken.sort_by_key(|(name, _)| ALWAYS.iter().position(|one| one == name));
    Found { states: checker.unique_state_count(), depth: checker.max_depth(), broken }
}

/// Whether some history within the budget has a second presentation with this excuse.
pub fn is_reachable(settings: Settings, excuse: Excuse) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut open = settings.init_states();
    while let Some(state) = open.pop() {
        if state.excused & excuse.bit() != 0 {
            return true;
        }
        for action in settings.possible(&state) {
            if let Some(next) = settings.after(&state, action)
                && seen.insert(next.clone())
            {
                open.push(next);
            }
        }
    }
    false
}

/// The explorations that together cover every kind of trouble, each small enough for its number of processes.
pub fn scenes(processes: usize) -> Vec<(&'static str, Settings)> {
    let base = |server, budget| Settings {
        processes,
        server,
        one_shots: true,
        shared: false,
        budget,
        broken: Broken::Nothing,
        unexcused: None,
        reduced: true,
    };
    let calls = u8::try_from(processes).unwrap_or(u8::MAX).max(2) + 1;
    let quiet = Budget { calls, ..Budget::default() };
    // Where little else can happen there is room for one call more.
    let busy = Budget { calls: calls + 1, ..Budget::default() };
    let shared =
        Settings { shared: true, ..base(Server::Rotates, Budget { expiries: 1, foreign: 2, crashes: 1, ..quiet }) };
    vec![
        ("nothing goes wrong", base(Server::DetectsReuse, Budget { expiries: 2, forced: 1, ..quiet })),
        ("killed at any step", base(Server::DetectsReuse, Budget { expiries: 1, crashes: 2, drops: 1, ..busy })),
        ("killed, the server only rotates", base(Server::Rotates, Budget { expiries: 1, crashes: 2, ..busy })),
        ("killed, refresh tokens are kept", base(Server::Keeps, Budget { expiries: 1, crashes: 2, ..busy })),
        ("killed, client credentials", base(Server::NeedsNone, Budget { expiries: 1, crashes: 2, ..busy })),
        (
            "answers are lost or unwilling",
            base(Server::DetectsReuse, Budget { timeouts: 1, unavailable: 1, crashes: 1, ..busy }),
        ),
        ("the disk is full", base(Server::DetectsReuse, Budget { fills: 1, expiries: 1, crashes: 1, ..busy })),
        (
            "people sign in and out",
            base(Server::DetectsReuse, Budget { logins: 1, logouts: 1, forced: 1, crashes: 1, ..quiet }),
        ),
        (
            "people sign in and out while the disk is full",
            base(Server::Rotates, Budget { logins: 1, logouts: 1, fills: 1, expiries: 1, ..quiet }),
        ),
        ("tokens are rejected", base(Server::DetectsReuse, Budget { forced: 2, logins: 1, logouts: 1, ..quiet })),
        ("another client shares the login", shared),
    ]
}
