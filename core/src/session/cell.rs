//! The cell that publishes and joins: the value that `token()` answers from, and the one flight that renews it.
//!
//! It knows nothing of tokens or time, so that `tests/model` can include this very file and try every order in which its
//! steps can meet (with a lock in the place of the atomic pointer).

use super::primitives::{Arc, Lock, Swap};

/// What the cell asks a value.
pub(super) trait Value {
    /// Whether `next` must not take this value's place: it was rejected, and this is the mark that says so.
    fn forbids(&self, next: &Self) -> bool;
}

/// One flight of many: only its own end clears the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

struct Slot<F> {
    last: u64,
    running: Option<(Ticket, F)>,
}

/// `V`: the value. `F`: a handle of a flight; its copies wait for one outcome.
pub(super) struct Cell<V, F> {
    current: Swap<V>,
    slot: Lock<Slot<F>>,
}

impl<V: Value, F: Clone> Cell<V, F> {
    pub(super) fn new() -> Self {
        Self { current: Swap::empty(), slot: Lock::new(Slot { last: 0, running: None }) }
    }

    /// The value. Waits for nobody.
    #[inline]
    pub(super) fn load(&self) -> impl std::ops::Deref<Target = Option<Arc<V>>> {
        self.current.load()
    }

    /// Whatever was there before.
    pub(super) fn set(&self, next: Option<V>) {
        self.current.store(next.map(Arc::new));
    }

    /// Makes `next` the value, unless that one forbids it; whether it did.
    pub(super) fn publish(&self, next: V) -> bool {
        let next = Arc::new(next);
        loop {
            let seen = self.current.load().clone();
            if seen.as_deref().is_some_and(|seen| seen.forbids(&next)) {
                return false;
            }
            if self.current.replace(&seen, Arc::clone(&next)) {
                return true;
            }
        }
    }

    /// Puts what `change` makes of the value in its place; asks again if another value came between. Whether it did.
    pub(super) fn change(&self, mut change: impl FnMut(&V) -> Option<V>) -> bool {
        loop {
            let seen = self.current.load().clone();
            let Some(next) = seen.as_deref().and_then(&mut change) else { return false };
            if self.current.replace(&seen, Arc::new(next)) {
                return true;
            }
        }
    }

    /// Joins the flight that runs, else starts one. Whoever starts it must let it [`Cell::land`] before its outcome is
    /// told, so that whoever was told starts anew.
    pub(super) fn join(&self, runs: impl FnOnce(&F) -> bool, start: impl FnOnce(Ticket) -> F) -> F {
        self.slot.with(|slot| {
            if let Some((_, flight)) = slot.running.as_ref().filter(|(_, flight)| runs(flight)) {
                return flight.clone();
            }
            slot.last += 1;
            let ticket = Ticket(slot.last);
            let flight = start(ticket);
            slot.running = Some((ticket, flight.clone()));
            flight
        })
    }

    /// This flight is over: nobody joins it any more, and its failure is not remembered.
    pub(super) fn land(&self, ticket: Ticket) {
        self.slot.with(|slot| {
            if slot.running.as_ref().is_some_and(|(running, _)| *running == ticket) {
                slot.running = None;
            }
        });
    }
}

#[cfg(test)]
impl<V: Value, F: Clone> Cell<V, F> {
    pub(super) fn is_idle(&self) -> bool {
        self.slot.with(|slot| slot.running.is_none())
    }
}
