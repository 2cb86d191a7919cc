//! Refreshes between "the request may be on its way" and "the answer is saved": whoever ends a process waits for them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::fork::PerProcess;

/// A forked child has none of its parent's.
static COUNT: PerProcess<AtomicUsize> = PerProcess::new();
/// In the count: no more may begin.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// How many refreshes of this process are at a point where its end could lose a session: the server may have replaced
/// the refresh token already, and the new one is not saved yet. A program that is asked to end waits, for a moment, until
/// this is zero.
pub fn under_way() -> usize {
    COUNT.get(|count| count.load(Ordering::Acquire) & !CLOSED).unwrap_or(0)
}

/// For a process that ends: from here on no refresh of it begins (`process_ends`), so that [`under_way`] only falls.
pub fn begin_no_more() {
    COUNT.or_default(|count| count.fetch_or(CLOSED, Ordering::AcqRel));
}

/// A refresh that is under way, as long as this lives.
pub(super) struct UnderWay;

impl UnderWay {
    pub(super) fn begin() -> Result<Self> {
        let before = COUNT.or_default(|count| count.fetch_add(1, Ordering::AcqRel));
        let begun = Self;
        if before & CLOSED != 0 {
            drop(begun);
            let error =
                Error::new(ErrorKind::Internal, "process_ends", "this process ends: no refresh begins any more");
            return Err(error.with_retryable(true).with_next("Get tokens before the program's end"));
        }
        Ok(begun)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // In a forked child the parent's is not counted.
        COUNT.get(|count| {
            let _ = count
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count & !CLOSED > 0).then(|| count - 1));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_begins_once_it_is_closed() {
        // The count is the process's: nextest or not, other tests may refresh beside this one.
        let begun = UnderWay::begin().unwrap();
        assert!(under_way() >= 1);
        begin_no_more();
        let refused = UnderWay::begin().err().unwrap();
        COUNT.or_default(|count| count.fetch_and(!CLOSED, Ordering::AcqRel));
        assert_eq!(refused.code(), "process_ends");
        assert!(refused.is_retryable());
        drop(begun);
        UnderWay::begin().unwrap();
    }
}
