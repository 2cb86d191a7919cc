//! The deadline of a wait for a person, told second by second.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::interaction::{LoginEvent, UserInteraction};

/// How often the time left is told.
const TICK: Duration = Duration::from_secs(1);

/// Ends when the clock reaches the deadline (so that time asleep in suspend counts), and at the latest when as much has
/// been waited as was allowed (so that a clock set back cannot prolong it).
#[derive(Debug)]
pub(super) struct Countdown {
    clock: Arc<dyn Clock>,
    ends_at: Timestamp,
    left: Duration,
    what: &'static str,
}

impl Countdown {
    /// Starts now.
    pub(super) fn start(clock: &Arc<dyn Clock>, limit: Duration, what: &'static str) -> Self {
        Self { clock: clock.clone(), ends_at: clock.now().plus(limit), left: limit, what }
    }

    /// When it ends.
    pub(super) fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// What is left; zero at the end.
    pub(super) fn remaining(&self) -> Duration {
        self.left.min(self.ends_at.since(self.clock.now()))
    }

    /// Waits `duration`, or to the end if that is sooner, telling the person how much is left.
    pub(super) async fn wait(&mut self, duration: Duration, person: &dyn UserInteraction) {
        let mut rest = duration;
        loop {
            let remaining = self.remaining();
            let step = TICK.min(rest).min(remaining);
            if step.is_zero() {
                return;
            }
            person.show(LoginEvent::Waiting { what: self.what, remaining });
            self.clock.sleep(step).await;
            self.left -= step.min(self.left);
            rest -= step;
        }
    }

    /// Waits to the end.
    pub(super) async fn run_out(&mut self, person: &dyn UserInteraction) {
        self.wait(Duration::MAX, person).await;
    }
}
