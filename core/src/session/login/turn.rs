//! One login at a time for a session, machine-wide: whose turn it is.

use std::time::Duration;

use super::{Session, keeping};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::interaction::{LoginEvent, UserInteraction};
use crate::store::lock::describe_holder;
use crate::store::{LockGuard, LockKind};

/// Between two looks at a login that another process has under way.
const LOGIN_LOCK_POLL: Duration = Duration::from_millis(250);
/// Who only looks whether a login is under way is done after this.
const A_LOOK: Duration = Duration::from_millis(20);
/// Who may not wait for a login waits this long to learn whether there is one.
const LONGEST_LOOK: Duration = Duration::from_millis(500);

impl Session {
    async fn look(&self) -> Result<std::result::Result<Box<dyn LockGuard>, Option<u32>>> {
        keeping::blocking(&self.inner, |inner| inner.store.try_lock(&inner.key, LockKind::Login)).await
    }

    /// The login lock, or who has it. Somebody who only looks has it for an instant: hence the second try.
    async fn try_turn(&self) -> Result<std::result::Result<Box<dyn LockGuard>, Option<u32>>> {
        if let Ok(lock) = self.look().await? {
            return Ok(Ok(lock));
        }
        self.inner.context.clock.sleep(A_LOOK).await;
        self.look().await
    }

    pub(super) async fn try_login_lock(&self) -> Result<Box<dyn LockGuard>> {
        self.try_turn().await?.map_err(|holder| self.under_way(holder))
    }

    fn under_way(&self, holder: Option<u32>) -> Error {
        let place = &self.inner.place;
        let what = format!("not signed in to {place}; a login is under way{}", by_pid(holder));
        Error::new(ErrorKind::LoginRequired, "login_under_way", what)
            .with_endpoint(place.clone())
            .with_next("Finish it, or end it, and try again")
    }

    /// Another process's login for this session, as the error for whoever may not wait for it.
    ///
    /// # Errors
    /// Kind `Store`.
    pub async fn login_under_way(&self) -> Result<Option<Error>> {
        // Under the refresh lock nobody else looks: sixty who look at once must not take each other for a login.
        let alone = keeping::lock(&self.inner, LockKind::Refresh, LONGEST_LOOK).await;
        if alone.as_ref().is_err_and(|error| error.code() == "lock_timeout") {
            return Ok(None);
        }
        let _alone = alone?;
        Ok(self.look().await?.err().map(|holder| self.under_way(holder)))
    }

    /// Takes the login lock; whether we had to wait for it.
    pub(super) async fn wait_for_login_lock(
        &self,
        person: &dyn UserInteraction,
        deadline: Timestamp,
    ) -> Result<(Box<dyn LockGuard>, bool)> {
        let clock = &self.inner.context.clock;
        let mut waited = false;
        loop {
            match self.try_turn().await? {
                Ok(lock) => return Ok((lock, waited)),
                Err(holder) if !waited => {
                    waited = true;
                    let why = format!("A login to {} is under way{}; waiting for it", self.inner.place, by_pid(holder));
                    person.show(LoginEvent::Explain(why));
                }
                Err(_) => {
                    let remaining = deadline.since(clock.now());
                    person.show(LoginEvent::Waiting { what: "the other login", remaining });
                }
            }
            clock.sleep(LOGIN_LOCK_POLL).await;
        }
    }
}

fn by_pid(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" in {}", describe_holder(pid)))
}
