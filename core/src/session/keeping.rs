//! The engine's way to the store: off the async threads, under the lock, and nothing is ever lost to a failed save.

use std::sync::Arc;
use std::time::Duration;

use super::{Inner, locked};
use crate::config::Setting;
use crate::credential::TokenSet;
use crate::discovery::ServerAuth;
use crate::error::{Error, Result};
use crate::store::lock::timed_out;
use crate::store::record::{SCHEMA_VERSION, TokenOrigin};
use crate::store::{LockGuard, LockKind, Record};
use crate::testing::stop_point;

/// Between two looks at a lock that is taken.
const LOCK_POLL: Duration = Duration::from_millis(10);

pub(super) fn new_record(
    inner: &Inner,
    server: Option<&ServerAuth>,
    before: Option<&Record>,
    origin: TokenOrigin,
    tokens: TokenSet,
) -> Record {
    let text = |setting: &Option<Setting<String>>| setting.as_ref().map(|setting| setting.value.clone());
    let asked = server.map(|server| inner.asked(server, true));
    Record {
        schema_version: SCHEMA_VERSION,
        generation: before.map_or(0, |record| record.generation) + 1,
        endpoint: inner.place.clone(),
        profile: text(&inner.config.profile),
        account: text(&inner.config.account),
        flyte_generation: server.and_then(|server| server.generation),
        origin,
        issuer: server.and_then(|server| server.metadata.issuer.clone()),
        // Neither a command's token nor another client's login was granted by a server that we asked.
        token_endpoint_origin: server
            .filter(|_| !matches!(origin, TokenOrigin::ExternalCommand))
            .and_then(|server| inner.authorization_server(server).binding()),
        client_id: before
            .and_then(|record| record.client_id.clone())
            .or_else(|| server.and_then(|server| inner.client_id(server).ok())),
        client_auth_method: before.and_then(|record| record.client_auth_method),
        scopes: tokens
            .scopes
            .or_else(|| before.map(|record| record.scopes.clone()))
            .or_else(|| asked.as_ref().map(|asked| asked.scopes.clone()))
            .unwrap_or_default(),
        audience: asked.and_then(|asked| asked.audience),
        subject: before.and_then(|record| record.subject.clone()),
        email: before.and_then(|record| record.email.clone()),
        header_name: inner.header_name(server),
        access_token: tokens.access_token,
        expires_at: tokens.expires_at,
        obtained_at: Some(tokens.obtained_at),
        // RFC 6749 section 6: a reply without a refresh token keeps the old one.
        refresh_token: tokens.refresh_token.or_else(|| before.and_then(|record| record.refresh_token.clone())),
        session_expires_at: tokens.refresh_expires_at.or_else(|| before.and_then(|record| record.session_expires_at)),
        adopted_from: before.and_then(|record| record.adopted_from.clone()),
    }
}

/// A record that exists nowhere but in this process.
#[derive(Debug, Clone)]
pub(super) struct Unsaved {
    record: Record,
    /// What the store had when the save failed; `None` if that could not be read.
    over: Option<Option<Record>>,
}

impl Unsaved {
    /// Whether the store has moved on since: somebody else refreshed, signed in or signed out. What was ended by a person
    /// must not come back.
    fn is_superseded(&self, stored: Option<&Record>) -> bool {
        match (&self.over, stored) {
            (Some(over), stored) => stored != over.as_ref(),
            (None, stored) => stored.is_some_and(|stored| stored.generation >= self.record.generation),
        }
    }
}

/// The newest record: a save that failed in this process comes before what is on disk.
pub(super) async fn load(inner: &Arc<Inner>) -> Result<Option<Record>> {
    let unsaved = locked(&inner.unsaved).clone();
    let (stored, is_damaged) = blocking(inner, |inner| match inner.store.load(&inner.key) {
        Err(error) if error.code() == "store_corrupt" => Ok((ignored(&error), true)),
        stored => Ok((stored?, false)),
    })
    .await?;
    Ok(match unsaved {
        Some(unsaved) if is_damaged || !unsaved.is_superseded(stored.as_ref()) => Some(unsaved.record),
        _ => stored,
    })
}

fn ignored(error: &Error) -> Option<Record> {
    tracing::warn!(%error, "the stored session is ignored");
    None
}

/// What the store has. A damaged record is as if there were none, so that a login can mend it; a newer or foreign one is
/// an error.
pub(super) fn load_stored(inner: &Inner) -> Result<Option<Record>> {
    match inner.store.load(&inner.key) {
        Err(error) if error.code() == "store_corrupt" => Ok(ignored(&error)),
        other => other,
    }
}

/// The session that a login is about to replace; an error if the new one could not be kept, before anybody is asked.
pub(super) async fn load_for_login(inner: &Arc<Inner>) -> Result<Option<Record>> {
    blocking(inner, |inner| match inner.store.load_for_login(&inner.key) {
        Err(error) if error.code() == "store_corrupt" => Ok(None),
        other => other,
    })
    .await
}

/// Saves before anything is published. If that cannot be done the token still serves this process, and the record is
/// kept for the next try: an error here would throw away a refresh token that exists nowhere else.
pub(super) async fn save(inner: &Arc<Inner>, record: &Record) {
    let unsaved = match save_strictly(inner, record).await {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(%error, "the session could not be saved; it serves this process only");
            let over = blocking(inner, load_stored).await.ok();
            Some(Unsaved { record: record.clone(), over })
        }
    };
    *locked(&inner.unsaved) = unsaved;
}

/// A save that failed is tried again, under the lock; what somebody else did meanwhile stays.
pub(super) async fn save_what_could_not_be_saved(inner: &Arc<Inner>) {
    if locked(&inner.unsaved).is_none() {
        return;
    }
    let Ok(_lock) = lock(inner, LockKind::Refresh, Duration::from_secs(1)).await else { return };
    let Some(unsaved) = locked(&inner.unsaved).clone() else { return };
    match load(inner).await {
        Ok(newest) if newest.as_ref() != Some(&unsaved.record) => *locked(&inner.unsaved) = None,
        _ => save(inner, &unsaved.record).await,
    }
}

/// Saves, or says why not: after a login the person is there to hear it.
pub(super) async fn save_strictly(inner: &Arc<Inner>, record: &Record) -> Result<()> {
    let record = record.clone();
    blocking(inner, move |inner| inner.store.save(&inner.key, &record)).await
}

/// The lock of a refresh, with a stop point before it is let go.
pub(super) struct Held(#[expect(dead_code, reason = "held while it lives")] pub(super) Box<dyn LockGuard>);

impl Drop for Held {
    fn drop(&mut self) {
        stop_point("unlock.before");
    }
}

/// Takes a lock, looking again every few milliseconds: a waiter can be cancelled, and nothing blocks a thread.
pub(super) async fn lock(inner: &Arc<Inner>, kind: LockKind, timeout: Duration) -> Result<Box<dyn LockGuard>> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let holder = match blocking(inner, move |inner| inner.store.try_lock(&inner.key, kind)).await? {
            Ok(guard) => return Ok(guard),
            Err(holder) => holder,
        };
        if tokio::time::Instant::now() >= deadline {
            let what = format!("the lock of the session with {}", inner.place);
            return Err(timed_out(holder, &what, timeout).with_endpoint(inner.place.clone()));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Runs a store call off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    call: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
) -> Result<T> {
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || call(&inner))
        .await
        .map_err(|cause| Error::internal("a store call panicked").with_source(cause))?
}
