//! What the auth plane remembers between requests: authorization requests that wait for a person, codes, device codes,
//! families of refresh tokens, revocations, the sealed sessions of browsers, and the audit trail. Secrets are kept as
//! digests only ([`crate::random::digest`]).
//!
//! [`State`] is what a database must do; [`Sqlite`] is the embedded one, [`Memory`] keeps nothing. Each method is one transaction: what it did is
//! on disk when it returns, and two callers cannot both be told that they were first.

#[cfg(test)]
mod alike;
mod audit;
mod memory;
mod pruning;
mod records;
mod sessions;
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use flyte_auth::Timestamp;
use flyte_auth::error::Result;

pub use audit::Audit;
pub use memory::Memory;
pub use pruning::keep_pruned;
pub use records::{Code, Device, DeviceAnswer, Event, EventKind, Grant, Outcome, Pending, Refresh, Rotation};
pub use sessions::Sessions;
pub use sqlite::Sqlite;

/// Codes, device codes and refresh tokens stay so long after they lapsed: long enough to recognise a second use.
const KEPT_AFTER: Duration = Duration::from_secs(3600);

/// A database of the auth plane. Times are arguments: a database has no clock.
#[async_trait]
pub trait State: Send + Sync + fmt::Debug {
    /// Keeps an authorization request under the digest of its id, until `pending.expires_at`.
    async fn put_pending(&self, id: &str, pending: &Pending) -> Result<()>;
    /// The request, if it has not lapsed.
    async fn pending(&self, id: &str, now: Timestamp) -> Result<Option<Pending>>;
    /// As [`State::pending`], and removes it: of several callers one gets it.
    async fn take_pending(&self, id: &str, now: Timestamp) -> Result<Option<Pending>>;

    /// Keeps an authorization code under its digest.
    async fn put_code(&self, digest: &str, code: &Code) -> Result<()>;
    /// The code, whether it lapsed or was used or not; `None` once it was pruned.
    async fn code(&self, digest: &str) -> Result<Option<Code>>;
    /// Marks a code as used. False: it was used before, or is not there.
    async fn use_code(&self, digest: &str) -> Result<bool>;

    /// Keeps a device authorization under the digest of its device code. False: its user code is taken by one that has
    /// not lapsed at `now`.
    async fn put_device(&self, digest: &str, device: &Device, now: Timestamp) -> Result<bool>;
    /// The device authorization, lapsed or not; `None` once it was pruned or taken.
    async fn device(&self, digest: &str) -> Result<Option<Device>>;
    /// The one with this user code that is neither lapsed nor answered.
    async fn device_by_user_code(&self, user_code: &str, now: Timestamp) -> Result<Option<Device>>;
    /// Answers the one with this user code. False: it is not there, has lapsed or was answered.
    async fn answer_device(&self, user_code: &str, answer: &DeviceAnswer, now: Timestamp) -> Result<bool>;
    /// Notes a poll at `now`; `interval` seconds must lie between the next ones.
    async fn poll_device(&self, digest: &str, now: Timestamp, interval: u64) -> Result<()>;
    /// Removes a device authorization. False: it was not there.
    async fn take_device(&self, digest: &str) -> Result<bool>;

    /// Keeps the first refresh token of a family (`refresh.grant.session`).
    async fn put_refresh(&self, digest: &str, refresh: &Refresh) -> Result<()>;
    /// The refresh token, whatever became of it; `None` once it was pruned or its family was revoked.
    async fn refresh(&self, digest: &str) -> Result<Option<Refresh>>;
    /// Puts `successor` in the place of the refresh token `digest`. Without `grace` the old one is dead at once. With it,
    /// it stays good until the pair that replaced it is first used: so that a lost reply ends no session. Its use is
    /// what proves that its own predecessor arrived: every other one of the family is dead from then on, unless this one
    /// was already replaced and is presented again (then its successors stay, one of which may have arrived).
    async fn rotate(&self, digest: &str, successor_digest: &str, successor: &Refresh, grace: bool) -> Result<Rotation>;
    /// The access token `jti`, which came with a refresh token, was used: every other refresh token of its family is dead.
    /// False: nothing changed.
    async fn confirm(&self, access_token_id: &str) -> Result<bool>;

    /// Ends a session: its refresh tokens are gone, its access tokens no longer pass. `until`: when the last of them lapses.
    async fn revoke_session(&self, session: &str, until: Timestamp) -> Result<()>;
    /// Ends one access token by its `jti`.
    async fn revoke(&self, id: &str, until: Timestamp) -> Result<()>;
    /// Whether any of these (session ids, `jti`) was revoked. Answered from memory: no database is asked.
    fn any_revoked(&self, ids: &[&str]) -> bool;

    /// True once for each `key` until `until`: the single use of a client assertion's `jti` (RFC 7523 section 3).
    async fn first_use(&self, key: &str, until: Timestamp, now: Timestamp) -> Result<bool>;

    /// The sealed browser session under `key`.
    async fn session(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>>;
    /// Keeps a sealed browser session.
    async fn put_session(&self, key: &str, sealed: &[u8], until: Timestamp) -> Result<()>;
    /// Removes a browser session.
    async fn delete_session(&self, key: &str) -> Result<()>;

    /// Adds to the audit trail, in one transaction.
    async fn record(&self, events: &[Event]) -> Result<()>;
    /// The newest events first, at most `most`.
    async fn events(&self, most: u32) -> Result<Vec<Event>>;

    /// Removes what lapsed before `now` (codes and device codes an hour after: long enough to recognise a second use) and
    /// audit events older than `audit`. Returns how many rows.
    async fn prune(&self, now: Timestamp, audit: Duration) -> Result<u64>;
    /// Whether the database answers: the readiness probe.
    async fn ping(&self) -> Result<()>;
}
