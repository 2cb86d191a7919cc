//! The cell of the core (`session/cell.rs`, that very file) under loom: every order in which the steps of two or three
//! threads can meet, with at most [`PREEMPTIONS`] interruptions where a thread need not wait (LOOM_MAX_PREEMPTIONS).
//!
//! The core's atomic pointer (arc-swap) knows nothing of loom: a lock around the pointer stands in for it. What is shown
//! is the cell's own logic, on a pointer that is loaded, stored and compared-and-swapped in one step each.

#![expect(clippy::unwrap_used, reason = "helpers of tests; the lint knows only test functions")]

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use cell::{Cell, Value};

#[path = "../../../core/src/session/cell.rs"]
mod cell;

/// Bugs of such cells show with two.
const PREEMPTIONS: usize = 2;

/// In the place of the core's `session/primitives.rs`.
mod primitives {
    pub(super) use loom::sync::Arc;
    use loom::sync::Mutex;

    pub(super) struct Swap<T>(Mutex<Option<Arc<T>>>);

    impl<T> Swap<T> {
        pub(super) fn empty() -> Self {
            Self(Mutex::new(None))
        }
        pub(super) fn load(&self) -> Box<Option<Arc<T>>> {
            Box::new(self.0.lock().unwrap().clone())
        }
        pub(super) fn store(&self, next: Option<Arc<T>>) {
            *self.0.lock().unwrap() = next;
        }
        pub(super) fn replace(&self, seen: &Option<Arc<T>>, next: Arc<T>) -> bool {
            let mut now = self.0.lock().unwrap();
            let same = match (&*now, seen) {
                (Some(now), Some(seen)) => Arc::ptr_eq(now, seen),
                (now, seen) => now.is_none() && seen.is_none(),
            };
            if same {
                *now = Some(next);
            }
            same
        }
    }

    pub(super) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }
        pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
            work(&mut self.0.lock().unwrap())
        }
    }
}

/// A token of some generation, in two halves that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    generation: u64,
    other_half: u64,
    rejected: bool,
}

impl Token {
    fn new(generation: u64) -> Self {
        Self { generation, other_half: generation * 7, rejected: false }
    }
    fn rejected(self) -> Self {
        Self { rejected: true, ..self }
    }
    fn check(self) -> u64 {
        assert_eq!(self.other_half, self.generation * 7, "a reader sees one whole token");
        self.generation
    }
}

impl Value for Token {
    fn forbids(&self, next: &Self) -> bool {
        self.rejected && self.generation == next.generation
    }
}

/// As the core's: many handles of one outcome.
#[derive(Clone)]
struct Flight(Arc<(Mutex<Option<Outcome>>, Condvar)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    /// Which flight it was.
    number: usize,
    /// The generation that it brought, unless it failed.
    brought: Option<u64>,
}

impl Flight {
    fn is_over(&self) -> bool {
        self.0.0.lock().unwrap().is_some()
    }
    fn tell(&self, outcome: Outcome) {
        *self.0.0.lock().unwrap() = Some(outcome);
        self.0.1.notify_all();
    }
    /// Where a wake-up was lost, loom finds that nobody can go on.
    fn wait(&self) -> Outcome {
        let mut outcome = self.0.0.lock().unwrap();
        loop {
            match *outcome {
                Some(outcome) => return outcome,
                None => outcome = self.0.1.wait(outcome).unwrap(),
            }
        }
    }
}

/// The engine around the cell: `join` and its task, as `session/engine.rs` has them.
struct Engine {
    cell: Cell<Token, Flight>,
    started: AtomicUsize,
    running: AtomicUsize,
    fails: bool,
}

impl Engine {
    fn new(fails: bool) -> Arc<Self> {
        let (started, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { cell: Cell::new(), started, running, fails })
    }

    fn join(engine: &Arc<Self>) -> Flight {
        let start = |ticket| {
            let flight = Flight(Arc::new((Mutex::new(None), Condvar::new())));
            let (engine, told) = (Arc::clone(engine), flight.clone());
            thread::spawn(move || {
                let number = engine.started.fetch_add(1, Ordering::AcqRel) + 1;
                assert_eq!(engine.running.fetch_add(1, Ordering::AcqRel), 0, "two flights at once");
                let brought = (!engine.fails).then_some(number as u64);
                if let Some(generation) = brought {
                    engine.cell.publish(Token::new(generation));
                }
                engine.running.fetch_sub(1, Ordering::AcqRel);
                engine.cell.land(ticket);
                told.tell(Outcome { number, brought });
            });
            flight
        };
        engine.cell.join(|flight| !flight.is_over(), start)
    }

    fn now(&self) -> Option<Token> {
        self.cell.load().as_deref().copied()
    }
}

fn every_order(of: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(PREEMPTIONS);
    model.check(of);
}

fn in_thread<R: 'static>(
    engine: &Arc<Engine>,
    does: impl FnOnce(&Arc<Engine>) -> R + 'static,
) -> thread::JoinHandle<R> {
    let engine = Arc::clone(engine);
    thread::spawn(move || does(&engine))
}

#[test]
fn callers_share_one_flight_and_see_what_it_published() {
    every_order(|| {
        let engine = Engine::new(false);
        let calls = |engine: &Arc<Engine>| {
            let outcome = Engine::join(engine).wait();
            assert!(engine.now().map(Token::check) >= outcome.brought, "what was told is to be seen");
        };
        let other = in_thread(&engine, calls);
        calls(&engine);
        other.join().unwrap();
    });
}

#[test]
fn a_failure_is_not_remembered() {
    every_order(|| {
        let engine = Engine::new(true);
        let other = in_thread(&engine, |engine| Engine::join(engine).wait().number);
        let first = Engine::join(&engine).wait();
        // Whoever was told starts anew.
        let second = Engine::join(&engine).wait();
        assert!(second.number > first.number, "a flight that is over was joined");
        other.join().unwrap();
        assert_eq!((first.brought, engine.now()), (None, None));
        assert!(engine.cell.is_idle());
    });
}

#[test]
fn a_late_landing_leaves_a_later_flight_alone() {
    every_order(|| {
        let cell: Arc<Cell<Token, u8>> = Arc::new(Cell::new());
        let mut first = None;
        let start = |ticket| {
            first = Some(ticket);
            1
        };
        cell.join(|_| true, start);
        // The first flight is over, and lands while the second begins.
        let late = thread::spawn({
            let cell = Arc::clone(&cell);
            move || cell.land(first.unwrap())
        });
        assert_eq!(cell.join(|flight| *flight != 1, |_| 2), 2);
        late.join().unwrap();
        assert_eq!(cell.join(|_| true, |_| 3), 2, "the second flight still runs");
    });
}

#[test]
fn readers_see_the_old_token_or_the_new_one_whole() {
    every_order(|| {
        let engine = Engine::new(false);
        engine.cell.set(Some(Token::new(1)));
        let writer = in_thread(&engine, |engine| {
            engine.cell.publish(Token::new(2));
            engine.cell.publish(Token::new(3));
        });
        let seen: Vec<u64> = (0..2).filter_map(|_| engine.now().map(Token::check)).collect();
        assert!(seen.len() == 2 && seen.is_sorted(), "time goes forwards: {seen:?}");
        writer.join().unwrap();
        assert_eq!(engine.now().map(Token::check), Some(3));
    });
}

#[test]
fn a_rejection_of_the_old_token_leaves_the_new_one_alone() {
    every_order(|| {
        let engine = Engine::new(false);
        engine.cell.set(Some(Token::new(1)));
        let publishes = in_thread(&engine, |engine| engine.cell.publish(Token::new(2)));
        engine.cell.change(|token| (token.generation == 1).then(|| token.rejected()));
        assert!(publishes.join().unwrap(), "a newer token is never forbidden");
        assert_eq!(engine.now(), Some(Token::new(2)));
    });
}

#[test]
fn a_rejected_token_is_not_published_again() {
    every_order(|| {
        let engine = Engine::new(false);
        engine.cell.set(Some(Token::new(1)));
        // A refresh that failed: "the stored token serves on".
        let republishes = in_thread(&engine, |engine| engine.cell.publish(Token::new(1)));
        assert!(engine.cell.change(|token| (token.generation == 1).then(|| token.rejected())));
        republishes.join().unwrap();
        assert_eq!(engine.now(), Some(Token::new(1).rejected()));
    });
}
