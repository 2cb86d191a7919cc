//! What must hold.

use stateright::{Model as _, Property};

use crate::settings::{Server, Settings};
use crate::state::{At, Excuse, Memory, Refresh, Reply, State, Wrong};

macro_rules! never {
    ($name:expr, $wrong:path) => {
        Property::always($name, |_: &Settings, state: &State| state.wrong != Some($wrong))
    };
}

/// A replaced refresh token is never presented again without an excuse.
pub const ONE_EXCHANGE: &str = "no second exchange with one refresh token";
/// The newest refresh token is in the store or with a living process.
pub const NEWEST_KEPT: &str = "the newest token is not lost";
/// Nobody waits when nothing can happen any more.
pub const ANSWERED: &str = "every caller is answered";
/// No torn state is read.
pub const WHOLE: &str = "readers see one whole record";
/// Generations grow.
pub const FORWARDS: &str = "generations only grow";
/// Only a person or the server ends a session.
pub const KEPT: &str = "only a person or the server ends a session";
/// What is served is saved.
pub const SAVED_FIRST: &str = "what is served is saved, or kept to be saved";
/// Nobody is sent to sign in for nothing.
pub const FOUNDED: &str = "nobody signs in without need";
/// No exchange where the store has a good token.
pub const NEEDED: &str = "nobody asks for what the store has";
/// An ended session stays ended.
pub const STAYS_ENDED: &str = "an ended session does not come back";
/// A rejected token stays rejected.
pub const STAYS_REJECTED: &str = "a rejected token is not served again";
/// Every step leads on.
pub const PROGRESS: &str = "every step is progress";

/// Everything that must always hold.
pub const ALWAYS: [&str; 12] = [
    ONE_EXCHANGE,
    NEWEST_KEPT,
    ANSWERED,
    WHOLE,
    FORWARDS,
    KEPT,
    SAVED_FIRST,
    FOUNDED,
    NEEDED,
    STAYS_ENDED,
    STAYS_REJECTED,
    PROGRESS,
];

pub(crate) fn all() -> Vec<Property<Settings>> {
    vec![
        never!(ONE_EXCHANGE, Wrong::Reused),
        Property::always(NEWEST_KEPT, newest_is_kept),
        Property::always(ANSWERED, nobody_waits_in_vain),
        never!(WHOLE, Wrong::TornRead),
        never!(FORWARDS, Wrong::Backwards),
        never!(KEPT, Wrong::Deleted),
        Property::always(SAVED_FIRST, |_, state| served_is_saved(state)),
        never!(FOUNDED, Wrong::UnfoundedLogin),
        never!(NEEDED, Wrong::NeedlessExchange),
        never!(STAYS_ENDED, Wrong::Resurrected),
        never!(STAYS_REJECTED, Wrong::ServedRejected),
        never!(PROGRESS, Wrong::NoProgress),
    ]
}

/// The names of the properties that `state` breaks.
pub fn broken(settings: &Settings, state: &State) -> Vec<&'static str> {
    settings
        .properties()
        .into_iter()
        .filter(|property| !(property.condition)(settings, state))
        .map(|property| property.name)
        .collect()
}

fn newest_is_kept(settings: &Settings, state: &State) -> bool {
    if settings.server == Server::NeedsNone {
        return true;
    }
    state.families.iter().zip(0..).all(|(family, index)| {
        let newest = Refresh { family: index, number: family.newest };
        let lost_with_reason = family.newest.checked_sub(1).is_some_and(|before| {
            family.excuses.iter().any(|(number, excuse)| *number == before && *excuse != Excuse::Unsaved)
        });
        family.revoked || family.ended || lost_with_reason || is_held(state, newest)
    })
}

fn is_held(state: &State, newest: Refresh) -> bool {
    let stored = state.stored.record().into_iter().chain(state.foreign).any(|record| record.refresh == Some(newest));
    stored
        || state.processes.iter().any(|process| {
            let replied = match process.at {
                At::Asking(Some(Reply::Granted { refresh, .. }))
                | At::ExchangeAfter(Reply::Granted { refresh, .. }) => refresh,
                _ => None,
            };
            let kept = [process.renewed, process.unsaved.map(|unsaved| unsaved.record)];
            replied == Some(newest) || kept.into_iter().flatten().any(|record| record.refresh == Some(newest))
        })
}

fn nobody_waits_in_vain(settings: &Settings, state: &State) -> bool {
    state.wrong.is_some()
        || state.processes.iter().all(|process| process.waiting == 0)
        || settings.possible(state).into_iter().any(crate::actions::Action::is_of_protocol)
}

fn served_is_saved(state: &State) -> bool {
    state.processes.iter().all(|process| {
        process.memory.is_none_or(|Memory { record, .. }| {
            let was_saved = state.saved & (1 << record.access) != 0;
            let is_kept = process.unsaved.is_some_and(|unsaved| unsaved.record == record);
            // What could not be saved is dropped when the store has moved on; its token serves until it expires.
            let is_ended = record.refresh.is_some_and(|token| state.families[usize::from(token.family)].ended);
            let moved_on = state.stored.record().is_some_and(|stored| stored.generation >= record.generation);
            was_saved || is_kept || is_ended || moved_on
        })
    })
}
