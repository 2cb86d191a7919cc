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

impl Session {
    pub(super) async fn try_login_lock(&self) -> Result<Box<dyn LockGuard>> {
        match keeping::blocking(&self.inner, |inner| inner.store.try_lock(&inner.key, LockKind::Login)).await? {
            Ok(lock) => Ok(lock),
            Err(holder) => Err(self.under_way(holder)),
        }
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
        match self.try_login_lock().await {
            Ok(_free) => Ok(None),
            Err(error) if error.code() == "login_under_way" => Ok(Some(error)),
            Err(error) => Err(error),
        }
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
            match keeping::blocking(&self.inner, |inner| inner.store.try_lock(&inner.key, LockKind::Login)).await? {
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
