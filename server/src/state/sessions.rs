//! The sessions of browsers, for the relying party: in the database, with the recent ones in memory.

mod cache;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flyte_auth::clock::Clock;
use flyte_auth::error::{Error, Result};
use flyte_auth::relying_party::SessionStore;
use futures_util::future::{BoxFuture, FutureExt as _};

use self::cache::Cache;
use super::State;

/// [`SessionStore`] over a [`State`]. What was read or written is answered from memory for 30 s (4,096 sessions, 16 MiB
/// at most): for so long a session may outlive its deletion by *another* process. This one's own deletions hold at once.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    state: Arc<dyn State>,
    clock: Arc<dyn Clock>,
    cache: Cache,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("state", &self.0.state).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Keeps sessions in `state`, whose times come from `clock`.
    pub fn new(state: Arc<dyn State>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { state, clock, cache: Cache::default() }))
    }
}

/// Runs to its end even if the caller goes away: a browser that hangs up during its sign-out is signed out, and the
/// cache learns what became of the write.
async fn to_the_end(work: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    tokio::spawn(work).await.unwrap_or_else(|_| Err(Error::internal("a write of a session was aborted")))
}

impl SessionStore for Sessions {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        async move {
            let inner = &self.0;
            let now = inner.clock.now();
            if let Some(sealed) = inner.cache.get(key, now) {
                return Ok(Some(sealed));
            }
            let seen = inner.cache.watch(key);
            let found = inner.state.session(key, now).await?.map(Bytes::from);
            if let Some(sealed) = &found {
                inner.cache.put(key, sealed.clone(), now, seen);
            }
            Ok(found)
        }
        .boxed()
    }

    fn put<'a>(&'a self, key: &'a str, sealed: Bytes, lifetime: Duration) -> BoxFuture<'a, Result<()>> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        to_the_end(async move {
            let now = inner.clock.now();
            let began = inner.cache.begin(&key);
            let done = inner.state.put_session(&key, &sealed, now.plus(lifetime)).await;
            match done {
                Ok(()) => inner.cache.end_with(&key, sealed, now, lifetime, began),
                Err(_) => inner.cache.end(&key),
            }
            done
        })
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        let (inner, key) = (Arc::clone(&self.0), key.to_owned());
        to_the_end(async move {
            inner.cache.begin(&key);
            let done = inner.state.delete_session(&key).await;
            inner.cache.end(&key);
            done
        })
        .boxed()
    }

    /// `None` where it is not in memory: it may be in the database.
    fn get_now(&self, key: &str) -> Option<Option<Bytes>> {
        self.0.cache.get(key, self.0.clock.now()).map(Some)
    }
}
