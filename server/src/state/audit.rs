//! The audit trail: who signed in, what was granted, revoked and refused.

mod refusals;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flyte_auth::clock::Clock;
use flyte_auth::error::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use self::refusals::Refusals;
use self::writer::Message;
use super::{Event, EventKind, Outcome, State};

/// Events that wait to be written.
const CHANNEL: usize = 4096;
/// How long a caller waits for room, or for its event to be written, before it goes on without.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a text of an event: some of them are chosen by whoever is refused.
const MOST_TEXT: usize = 512;

/// Writes the audit trail into a [`State`]. Cheap to clone; all clones are one trail.
///
/// One task writes, in the order of arrival and in groups, each of them one transaction: up to 512 events, or what came
/// within 50 ms. What [`Audit::now`] brought is on disk when it returns. **What a crash loses:** of the events of
/// [`Audit::grant`], at most those of the last 50 ms and the one transaction that is under way.
///
/// At most 4,096 events wait; then callers wait too, for up to 5 s. While the database fails, the group is tried again
/// (after 0.1 s to 5 s) and each failure is logged and counted in [`Audit::failures`]. Events for which there was no room
/// for 5 s are gone, and counted in [`Audit::lost`]: the trail never takes unbounded memory and never ends a request.
#[derive(Clone)]
pub struct Audit {
    sender: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    /// True once the task has ended.
    ended: watch::Receiver<bool>,
}

struct Shared {
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    refusals: Refusals,
    failures: AtomicU64,
    lost: AtomicU64,
    patience: Duration,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("failures", &self.failures()).field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl Audit {
    /// A trail in `state`. Starts its task on the current tokio runtime; `clock` dates the sums of refusals.
    pub fn new(state: Arc<dyn State>, clock: Arc<dyn Clock>) -> Self {
        Self::with_patience(state, clock, PATIENCE)
    }

    fn with_patience(state: Arc<dyn State>, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        let shared = Arc::new(Shared {
            state,
            clock,
            refusals: Refusals::default(),
            failures: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            patience,
        });
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let (end, ended) = watch::channel(false);
        let task = writer::run(Arc::clone(&shared), receiver);
        tokio::spawn(async move {
            task.await;
            end.send_replace(true);
        });
        Self { sender, shared, ended }
    }

    /// Writes a sign-in, a revocation, a refusal. It is on disk when this returns, unless the database fails: then this
    /// returns after the first attempt, or after 5 s, and the event is tried again.
    ///
    /// Of what was refused or failed, 50 events a second are written one by one; the rest is counted, and written as one
    /// event a second.
    pub async fn now(&self, event: Event) {
        let refused = event.kind == EventKind::Refusal || event.outcome == Outcome::Failure;
        if refused && !self.shared.refusals.admit() {
            return;
        }
        let (tried, told) = oneshot::channel();
        self.send_and_wait(Message::Now(clipped(event), tried), told).await;
    }

    /// Hands over a grant, which is written within 50 ms. Waits only where there is no room.
    pub async fn grant(&self, event: Event) {
        self.send(Message::Grant(clipped(event)), Instant::now() + self.shared.patience).await;
    }

    /// Waits until all that was handed over before is written, or writing it has failed; at most 5 s.
    pub async fn flush(&self) {
        let (tried, told) = oneshot::channel();
        self.send_and_wait(Message::Flush(tried), told).await;
    }

    /// Writes what is there and ends the task; events that come afterwards are written one by one. A database that fails
    /// is tried four times. False: that took longer than `within`, or events were lost.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        self.send(Message::Stop, deadline).await;
        let mut ended = self.ended.clone();
        let ended = timeout_at(deadline, ended.wait_for(|ended| *ended)).await;
        matches!(ended, Ok(Ok(_))) && self.lost() == 0
    }

    /// Attempts to write that failed.
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Events that could not be kept until the database worked again.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    async fn send_and_wait(&self, message: Message, told: oneshot::Receiver<()>) {
        let deadline = Instant::now() + self.shared.patience;
        if self.send(message, deadline).await {
            // Past the deadline the event is still in the group: it is late, not lost.
            let _ = timeout_at(deadline, told).await;
        }
    }

    /// Whether the task has it.
    async fn send(&self, message: Message, deadline: Instant) -> bool {
        let room = match timeout_at(deadline, self.sender.reserve()).await {
            Ok(Ok(room)) => room,
            // The task is not there any more: this is after the shutdown.
            Ok(Err(_)) => {
                self.shared.write_one(message).await;
                return false;
            }
            Err(_) => {
                self.shared.lose(usize::from(message.event().is_some()));
                return false;
            }
        };
        room.send(message);
        true
    }
}

impl Shared {
    /// One event for the refusals that were only counted.
    fn summary(&self) -> Option<Event> {
        let count = self.refusals.take();
        (count > 0).then(|| Event {
            at: self.clock.now().as_millis(),
            kind: EventKind::Refusal,
            outcome: Outcome::Failure,
            client_id: None,
            subject: None,
            session: None,
            peer: None,
            detail: format!("{count} more, too many to be written one by one"),
        })
    }

    async fn write_one(&self, message: Message) {
        let Some(event) = message.event() else { return };
        if let Err(error) = self.state.record(std::slice::from_ref(event)).await {
            self.failed(&error, 1);
            self.lose(1);
        }
    }

    fn failed(&self, error: &Error, events: usize) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, events, "the audit trail cannot be written");
    }

    fn lose(&self, events: usize) {
        if events > 0 {
            self.lost.fetch_add(u64::try_from(events).unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(events, "events of the audit trail are lost");
        }
    }
}

fn clipped(mut event: Event) -> Event {
    let clip = |text: &mut String| text.truncate(text.floor_char_boundary(MOST_TEXT));
    [&mut event.client_id, &mut event.subject, &mut event.session, &mut event.peer]
        .into_iter()
        .flatten()
        .for_each(clip);
    clip(&mut event.detail);
    event
}
