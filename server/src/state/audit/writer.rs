//! The task that writes the trail in groups.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::super::Event;
use super::Shared;
use super::refusals::WINDOW;

/// Events of one transaction.
const GROUP: usize = 512;
/// How long the first event of a group waits for company.
const WAIT: Duration = Duration::from_millis(50);
/// Between attempts while the database fails: first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Attempts to write a group once nothing more can come: a process that ends does not wait for ever.
const LAST_ATTEMPTS: u32 = 4;

pub(super) enum Message {
    /// May wait for company.
    Grant(Event),
    /// Is written at once; told when that was tried.
    Now(Event, oneshot::Sender<()>),
    /// Told when writing all before it was tried.
    Flush(oneshot::Sender<()>),
    /// Nothing comes after what is in the channel by now.
    Stop,
}

impl Message {
    pub(super) fn event(&self) -> Option<&Event> {
        match self {
            Self::Grant(event) | Self::Now(event, _) => Some(event),
            Self::Flush(_) | Self::Stop => None,
        }
    }
}

/// What goes into one transaction, and who waits for it.
#[derive(Default)]
struct Group {
    events: Vec<Event>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Group {
    fn add(&mut self, message: Message, receiver: &mut Receiver<Message>) {
        match message {
            Message::Grant(event) => self.events.push(event),
            Message::Now(event, tried) => {
                self.events.push(event);
                self.waiting.push(tried);
            }
            Message::Flush(tried) => self.waiting.push(tried),
            Message::Stop => receiver.close(),
        }
    }

    /// Until it is full, its time is up, or somebody waits for it and nothing more is there.
    async fn gather(&mut self, receiver: &mut Receiver<Message>) {
        let deadline = Instant::now() + WAIT;
        while self.events.len() < GROUP {
            let message = if self.waiting.is_empty() {
                timeout_at(deadline, receiver.recv()).await.ok().flatten()
            } else {
                receiver.try_recv().ok()
            };
            let Some(message) = message else { return };
            self.add(message, receiver);
        }
    }

    /// Until it is written. Those who wait are told after the first attempt, whatever came of it: a database that fails
    /// must not hold up a sign-in.
    async fn write(&mut self, shared: &Shared, receiver: &Receiver<Message>) {
        let mut backoff = BACKOFF.0;
        let mut last_attempts = 0;
        while !self.events.is_empty() {
            let Err(error) = shared.state.record(&self.events).await else {
                self.events.clear();
                break;
            };
            shared.failed(&error, self.events.len());
            self.tell();
            if receiver.is_closed() {
                last_attempts += 1;
                if last_attempts == LAST_ATTEMPTS {
                    shared.lose(self.events.len());
                    self.events.clear();
                    break;
                }
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        self.tell();
    }

    fn tell(&mut self) {
        for tried in self.waiting.drain(..) {
            // Who has gone away needs no answer.
            let _ = tried.send(());
        }
    }
}

/// Ends when the channel is closed and all of it was written or, at the very end, given up.
pub(super) async fn run(shared: Arc<Shared>, mut receiver: Receiver<Message>) {
    let mut group = Group::default();
    let mut sum_up_at: Option<Instant> = None;
    loop {
        tokio::select! {
            message = receiver.recv() => {
                let Some(message) = message else { break };
                group.add(message, &mut receiver);
                group.gather(&mut receiver).await;
            }
            () = shared.refusals.counted_one(), if sum_up_at.is_none() => {
                sum_up_at = Some(Instant::now() + WINDOW);
            }
            () = sleep_until(sum_up_at.unwrap_or_else(Instant::now)), if sum_up_at.is_some() => {
                sum_up_at = None;
                group.events.extend(shared.summary());
            }
        }
        group.write(&shared, &receiver).await;
    }
    group.events.extend(shared.summary());
    group.write(&shared, &receiver).await;
}
