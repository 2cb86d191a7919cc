//! What the cell is built on. `tests/model` puts others in the place of this module to try every order of events.

use std::sync::Mutex;

use arc_swap::{ArcSwapOption, Guard};

pub(super) use std::sync::Arc;

/// A value that readers load without waiting.
pub(super) struct Swap<T>(ArcSwapOption<T>);

impl<T> Swap<T> {
    pub(super) fn empty() -> Self {
        Self(ArcSwapOption::empty())
    }

    #[inline]
    pub(super) fn load(&self) -> Guard<Option<Arc<T>>> {
        self.0.load()
    }

    pub(super) fn store(&self, next: Option<Arc<T>>) {
        self.0.store(next);
    }

    /// Stores `next` if the value is still `seen`; whether it was.
    pub(super) fn replace(&self, seen: &Option<Arc<T>>, next: Arc<T>) -> bool {
        let found = self.0.compare_and_swap(seen, Some(next));
        match (&*found, seen) {
            (Some(found), Some(seen)) => Arc::ptr_eq(found, seen),
            (found, seen) => found.is_none() && seen.is_none(),
        }
    }
}

/// A lock held for moments.
pub(super) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut super::locked(&self.0))
    }
}
