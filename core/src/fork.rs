//! What a fork must not copy: a lock's descriptor, a running task, a connection.
//!
//! A forked child inherits every descriptor, and `flock` belongs to the open file that both share: without care a killed
//! parent's lock would live on in its children. An at-fork handler closes the child's copies and counts the fork, so
//! that whoever holds tasks or connections of the parent can tell.
//!
//! The one place in this crate with `unsafe`: POSIX offers no other way to be called in a forked child.
#![cfg_attr(unix, expect(unsafe_code, reason = "pthread_atfork and close have no safe wrapper"))]

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

/// Raised in every forked child. What was made under another count belongs to another process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and its first ancestor that used this crate: one relaxed load, where asking
/// for the process id is a system call. Counts from the first lock or transport on.
#[inline]
pub fn count() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

#[cfg(unix)]
mod unix {
    use std::mem::ManuallyDrop;
    use std::os::fd::{AsRawFd as _, RawFd};
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, AtomicI32};

    use super::*;

    const FREE: RawFd = -1;
    /// Locks that one process may hold at once with this protection: a lock lasts for one refresh or one login. The
    /// array is fixed because a forked child may neither allocate nor lock.
    const MOST: usize = 1024;
    static HELD: [AtomicI32; MOST] = [const { AtomicI32::new(FREE) }; MOST];
    /// Held for the few instructions between opening a descriptor and noting it, so that no fork falls between them.
    static CHANGING: AtomicBool = AtomicBool::new(false);

    extern "C" fn before_fork() {
        while CHANGING.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
    }

    extern "C" fn in_parent() {
        CHANGING.store(false, Ordering::Release);
    }

    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        for slot in &HELD {
            let descriptor = slot.swap(FREE, Ordering::Relaxed);
            if descriptor != FREE {
                // SAFETY: the descriptor is open (its slot says so and `CHANGING` is held) and `close` may be called
                // after a fork; its `ForkSafe` sees the empty slot and leaves the number alone.
                unsafe { libc::close(descriptor) };
            }
        }
        CHANGING.store(false, Ordering::Release);
    }

    pub(super) fn register() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handlers touch atomics and `close` only, which is allowed between fork and exec. Should the
            // registration fail (no memory), locks work and forks are not noticed.
            unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        });
    }

    /// Runs `change` while no fork can happen.
    fn without_forks<T>(change: impl FnOnce() -> T) -> T {
        before_fork();
        let done = change();
        in_parent();
        done
    }

    /// An open file whose descriptor no forked child keeps.
    #[derive(Debug)]
    pub struct ForkSafe {
        file: ManuallyDrop<File>,
        slot: Option<usize>,
    }

    impl ForkSafe {
        /// Opens by `open`, with no fork in between.
        ///
        /// # Errors
        /// As `open`.
        pub fn open(open: impl FnOnce() -> io::Result<File>) -> io::Result<Self> {
            register();
            without_forks(|| {
                let file = open()?;
                let slot = HELD.iter().position(|slot| {
                    slot.compare_exchange(FREE, file.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
                });
                Ok(Self { file: ManuallyDrop::new(file), slot })
            })
        }

        /// The file.
        pub fn file(&mut self) -> &mut File {
            &mut self.file
        }

        #[cfg(test)]
        pub(super) fn slot_is_noted(&self) -> bool {
            self.slot.is_some()
        }
    }

    impl Drop for ForkSafe {
        fn drop(&mut self) {
            without_forks(|| {
                let ours = self.slot.is_none_or(|slot| {
                    let number = self.file.as_raw_fd();
                    HELD[slot].compare_exchange(number, FREE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
                });
                if ours {
                    // SAFETY: dropped once, here; in a forked child the handler has closed it and the slot is empty.
                    unsafe { ManuallyDrop::drop(&mut self.file) };
                }
            });
        }
    }
}

#[cfg(unix)]
pub use unix::ForkSafe;

/// An open file; this platform has no fork.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct ForkSafe(File);

#[cfg(not(unix))]
impl ForkSafe {
    /// Opens by `open`.
    ///
    /// # Errors
    /// As `open`.
    pub fn open(open: impl FnOnce() -> io::Result<File>) -> io::Result<Self> {
        open().map(Self)
    }
    /// The file.
    pub fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

/// What belongs to one process and not to its forked children: a runtime, a thread.
///
/// Not behind a lock: one that another thread held during a fork would stay locked in the child for ever.
pub struct PerProcess<T>(ArcSwapOption<Born<T>>);

struct Born<T> {
    forks: u64,
    it: T,
}

impl<T> std::fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerProcess").field("is_there", &self.0.load().is_some()).finish()
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PerProcess<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// Calls `with` with this process's own, which `make` makes where there is none. What a parent had is left as it is:
    /// its threads are not here to be ended, and what it holds belongs to the parent.
    ///
    /// # Errors
    /// As `make`.
    pub fn with<R, E>(&self, make: impl Fn() -> Result<T, E>, with: impl FnOnce(&T) -> R) -> Result<R, E> {
        watch();
        let forks = count();
        loop {
            let current = self.0.load();
            if let Some(born) = current.as_ref().filter(|born| born.forks == forks) {
                return Ok(with(&born.it));
            }
            let made = Arc::new(Born { forks, it: make()? });
            let before = self.0.compare_and_swap(&current, Some(made));
            if let Some(stale) = before.as_ref().filter(|born| born.forks != forks) {
                std::mem::forget(Arc::clone(stale));
            }
        }
    }

    /// As [`PerProcess::with`], where making one cannot fail.
    pub fn or_default<R>(&self, with: impl FnOnce(&T) -> R) -> R
    where
        T: Default,
    {
        match self.with(|| Ok::<_, std::convert::Infallible>(T::default()), with) {
            Ok(done) => done,
            Err(never) => match never {},
        }
    }

    /// This process's own, if it was made.
    pub fn get<R>(&self, with: impl FnOnce(&T) -> R) -> Option<R> {
        let forks = count();
        self.0.load().as_ref().filter(|born| born.forks == forks).map(|born| with(&born.it))
    }
}

/// What a forked child must not end: sockets of a runtime, whose descriptors and event queue it shares with its parent.
#[derive(Debug)]
pub struct OfOneProcess<T: Default> {
    it: T,
    forks: u64,
}

impl<T: Default> OfOneProcess<T> {
    /// Of this process.
    pub fn new(it: T) -> Self {
        watch();
        Self { it, forks: count() }
    }

    /// Whether it is this process's.
    pub fn is_ours(&self) -> bool {
        self.forks == count()
    }
}

impl<T: Default> std::ops::Deref for OfOneProcess<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.it
    }
}

impl<T: Default> Drop for OfOneProcess<T> {
    fn drop(&mut self) {
        if !self.is_ours() {
            std::mem::forget(std::mem::take(&mut self.it));
        }
    }
}

/// From here on forks are counted.
pub fn watch() {
    #[cfg(unix)]
    unix::register();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(unsafe_code, reason = "the tests fork")]
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn is_open(descriptor: i32) -> bool {
        std::fs::symlink_metadata(format!("/proc/self/fd/{descriptor}")).is_ok()
    }

    /// Runs `body` in a forked child; its answer. The child leaves by `_exit`: no test harness code runs in it.
    fn in_child(body: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child calls system calls and `_exit` only.
        match unsafe { libc::fork() } {
            0 => {
                let code = i32::from(!body());
                // SAFETY: ends the child.
                unsafe { libc::_exit(code) }
            }
            child => {
                let mut status = 0;
                // SAFETY: `status` outlives the call.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                status == 0
            }
        }
    }

    #[test]
    fn a_child_keeps_no_lock_and_closes_nothing_twice() {
        let mut held = ForkSafe::open(tempfile::tempfile).unwrap();
        let number = held.file().as_raw_fd();
        let before = count();
        let mut held = Some(held);
        assert!(in_child(|| {
            let closed = !is_open(number);
            // The number is free now: another file takes it, and dropping the stale guard must not close that one.
            // SAFETY: duplicates standard input.
            let reused = unsafe { libc::fcntl(0, libc::F_DUPFD, number) };
            drop(held.take());
            closed && reused == number && is_open(number) && count() == before + 1
        }));
        assert!(is_open(number), "the parent's is untouched");
        drop(held);
        assert_eq!(count(), before);
    }

    #[test]
    fn a_slot_is_free_again_after_each_use() {
        for _ in 0..3000 {
            let held = ForkSafe::open(tempfile::tempfile).unwrap();
            assert!(held.slot_is_noted());
        }
    }
}
