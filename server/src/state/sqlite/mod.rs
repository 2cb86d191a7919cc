//! The embedded database: SQLite with a write-ahead log, one connection that writes and a few that read.
//!
//! Most methods are a single statement, which SQLite makes a transaction of its own. A caller that goes away in the
//! middle leaves either nothing or all of it: statements run on the connection's thread, and a transaction whose
//! handle is dropped is rolled back.

mod error;
mod events;
mod families;
mod file;
mod open;
mod prune;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use flyte_auth::Timestamp;
use flyte_auth::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteArguments, SqlitePool};

use self::error::Place;
use super::State;
use super::records::{Code, Device, DeviceAnswer, Event, Pending, Refresh, Rotation};

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

/// [`State`] in one SQLite file, or in memory.
///
/// Several processes may use a file at once, as an old and a new one do while one replaces the other; what another one
/// revokes is noticed at the next [`State::prune`].
pub struct Sqlite {
    place: Place,
    writer: SqlitePool,
    readers: SqlitePool,
    /// What was revoked, with the time after which it lapses: asked at each request, so not in the database.
    revoked: RwLock<HashMap<String, i64>>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// The database in the file `path`, which is made where there is none; without `path` in memory.
    ///
    /// # Errors
    /// Kind `Store`, with the file's name and the next step: `database_refused` (a symbolic link, somebody else's),
    /// `database_unavailable` (cannot be made, read or written), `database_malformed`, `database_newer` (a newer version
    /// wrote it: it is left as it is), `database_busy`, `database_full`.
    pub async fn open(path: Option<&Path>) -> Result<Self> {
        let path = path.map(file::prepare).transpose()?;
        let path = path.as_deref();
        let place = Place::new(path);
        let open::Pools { writer, readers } = open::open(path, &place).await?;
        let state = Self { place, writer, readers, revoked: RwLock::default() };
        state.load_revoked(Timestamp::from_millis(i64::MIN)).await?;
        Ok(state)
    }

    /// Closes the connections once they are idle; the last one of a file puts the log into it. Afterwards each call fails.
    /// A process that does not get to it loses nothing.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn failed(&self, cause: sqlx::Error) -> Error {
        self.place.failed(cause)
    }

    /// Runs a statement that changes something; how many rows it changed.
    async fn write(&self, statement: Query<'_>) -> Result<u64> {
        statement.execute(&self.writer).await.map(|done| done.rows_affected()).map_err(|cause| self.failed(cause))
    }

    /// The record of a row. What serde says could quote it, and is not passed on.
    fn parse<T: DeserializeOwned>(&self, table: &str, record: &str) -> Result<T> {
        serde_json::from_str(record)
            .map_err(|_| self.place.malformed(format_args!("a record of {table} cannot be understood")))
    }

    /// Adds what the database knows to be revoked after `now` to what is known here.
    async fn load_revoked(&self, now: Timestamp) -> Result<()> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT id, expires_at FROM revoked WHERE expires_at > ?")
            .bind(now.as_millis())
            .fetch_all(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))?;
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.retain(|_, until| *until > now.as_millis());
        for (id, until) in rows {
            later(&mut revoked, &id, until);
        }
        Ok(())
    }

    /// Before the database is told: should the caller go away in between, too much is refused rather than too little.
    fn remember_revoked(&self, id: &str, until: Timestamp) {
        later(&mut self.revoked.write().unwrap_or_else(PoisonError::into_inner), id, until.as_millis());
    }

    fn device_of(&self, row: DeviceRow) -> Result<Device> {
        let (record, answer, interval, polled_at) = row;
        let answer = match answer {
            Some(answer) => self.parse("devices", &answer)?,
            None => DeviceAnswer::Pending,
        };
        let device = self.parse::<Device>("devices", &record)?;
        Ok(Device { answer, interval: interval.unsigned_abs(), polled_at, ..device })
    }
}

/// Record, answer, interval, time of the last poll.
type DeviceRow = (String, Option<String>, i64, Option<i64>);

/// A revocation never gets shorter.
fn later(revoked: &mut HashMap<String, i64>, id: &str, until: i64) {
    match revoked.get_mut(id) {
        Some(known) => *known = until.max(*known),
        None => {
            revoked.insert(id.to_owned(), until);
        }
    }
}

fn json(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record).map_err(|_| Error::internal("a record cannot be written as JSON"))
}

/// `None` while there is no answer.
fn answer_json(answer: &DeviceAnswer) -> Result<Option<String>> {
    if *answer == DeviceAnswer::Pending { Ok(None) } else { json(answer).map(Some) }
}

/// Seconds that do not fit are as good as for ever.
fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

const REVOKE: &str = "INSERT INTO revoked (id, expires_at) VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)";

#[async_trait]
impl State for Sqlite {
    async fn put_pending(&self, id: &str, pending: &Pending) -> Result<()> {
        let put = "INSERT OR REPLACE INTO pending (id, expires_at, record) VALUES (?, ?, ?)";
        let put = sqlx::query(put).bind(id).bind(pending.expires_at.as_millis()).bind(json(pending)?);
        self.write(put).await.map(drop)
    }

    async fn pending(&self, id: &str, now: Timestamp) -> Result<Option<Pending>> {
        let found: Option<String> = sqlx::query_scalar("SELECT record FROM pending WHERE id = ? AND expires_at > ?")
            .bind(id)
            .bind(now.as_millis())
            .fetch_optional(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))?;
        found.map(|record| self.parse("pending", &record)).transpose()
    }

    async fn take_pending(&self, id: &str, now: Timestamp) -> Result<Option<Pending>> {
        // All rows are fetched, so that the statement runs to its end and an error of its commit is seen.
        let taken: Vec<String> =
            sqlx::query_scalar("DELETE FROM pending WHERE id = ? AND expires_at > ? RETURNING record")
                .bind(id)
                .bind(now.as_millis())
                .fetch_all(&self.writer)
                .await
                .map_err(|cause| self.failed(cause))?;
        taken.first().map(|record| self.parse("pending", record)).transpose()
    }

    async fn put_code(&self, digest: &str, code: &Code) -> Result<()> {
        let put = "INSERT INTO codes (digest, expires_at, used, record) VALUES (?, ?, ?, ?)";
        let put = sqlx::query(put).bind(digest).bind(code.expires_at.as_millis()).bind(code.used).bind(json(code)?);
        self.write(put).await.map(drop)
    }

    async fn code(&self, digest: &str) -> Result<Option<Code>> {
        let found: Option<(String, bool)> = sqlx::query_as("SELECT record, used FROM codes WHERE digest = ?")
            .bind(digest)
            .fetch_optional(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))?;
        let Some((record, used)) = found else { return Ok(None) };
        let code = self.parse::<Code>("codes", &record)?;
        Ok(Some(Code { used, ..code }))
    }

    async fn use_code(&self, digest: &str) -> Result<bool> {
        let mark = sqlx::query("UPDATE codes SET used = 1 WHERE digest = ? AND used = 0").bind(digest);
        Ok(self.write(mark).await? == 1)
    }

    async fn put_device(&self, digest: &str, device: &Device, now: Timestamp) -> Result<bool> {
        let put = "INSERT INTO devices (digest, user_code, expires_at, answer, interval_seconds, polled_at, record)
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
            WHERE NOT EXISTS (SELECT 1 FROM devices WHERE user_code = ?2 AND expires_at > ?8)";
        let put = sqlx::query(put)
            .bind(digest)
            .bind(&device.user_code)
            .bind(device.expires_at.as_millis())
            .bind(answer_json(&device.answer)?)
            .bind(signed(device.interval))
            .bind(device.polled_at)
            .bind(json(device)?)
            .bind(now.as_millis());
        Ok(self.write(put).await? == 1)
    }

    async fn device(&self, digest: &str) -> Result<Option<Device>> {
        let found: Option<DeviceRow> =
            sqlx::query_as("SELECT record, answer, interval_seconds, polled_at FROM devices WHERE digest = ?")
                .bind(digest)
                .fetch_optional(&self.readers)
                .await
                .map_err(|cause| self.failed(cause))?;
        found.map(|row| self.device_of(row)).transpose()
    }

    async fn device_by_user_code(&self, user_code: &str, now: Timestamp) -> Result<Option<Device>> {
        let find = "SELECT record, answer, interval_seconds, polled_at FROM devices
            WHERE user_code = ? AND expires_at > ? AND answer IS NULL";
        let found: Option<DeviceRow> = sqlx::query_as(find)
            .bind(user_code)
            .bind(now.as_millis())
            .fetch_optional(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))?;
        found.map(|row| self.device_of(row)).transpose()
    }

    async fn answer_device(&self, user_code: &str, answer: &DeviceAnswer, now: Timestamp) -> Result<bool> {
        let set = "UPDATE devices SET answer = ? WHERE user_code = ? AND expires_at > ? AND answer IS NULL";
        let set = sqlx::query(set).bind(answer_json(answer)?).bind(user_code).bind(now.as_millis());
        Ok(self.write(set).await? > 0)
    }

    async fn poll_device(&self, digest: &str, now: Timestamp, interval: u64) -> Result<()> {
        let set = "UPDATE devices SET polled_at = ?, interval_seconds = ? WHERE digest = ?";
        let set = sqlx::query(set).bind(now.as_millis()).bind(signed(interval)).bind(digest);
        self.write(set).await.map(drop)
    }

    async fn take_device(&self, digest: &str) -> Result<bool> {
        Ok(self.write(sqlx::query("DELETE FROM devices WHERE digest = ?").bind(digest)).await? == 1)
    }

    async fn put_refresh(&self, digest: &str, refresh: &Refresh) -> Result<()> {
        self.put_first(digest, refresh).await
    }

    async fn refresh(&self, digest: &str) -> Result<Option<Refresh>> {
        self.find_refresh(digest).await
    }

    async fn rotate(&self, digest: &str, successor_digest: &str, successor: &Refresh, grace: bool) -> Result<Rotation> {
        self.replace(digest, successor_digest, successor, grace).await
    }

    async fn confirm(&self, access_token_id: &str) -> Result<bool> {
        self.arrived(access_token_id).await
    }

    async fn revoke_session(&self, session: &str, until: Timestamp) -> Result<()> {
        self.remember_revoked(session, until);
        self.end_family(session, until).await
    }

    async fn revoke(&self, id: &str, until: Timestamp) -> Result<()> {
        self.remember_revoked(id, until);
        self.write(sqlx::query(REVOKE).bind(id).bind(until.as_millis())).await.map(drop)
    }

    fn any_revoked(&self, ids: &[&str]) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        ids.iter().any(|id| revoked.contains_key(*id))
    }

    async fn first_use(&self, key: &str, until: Timestamp, now: Timestamp) -> Result<bool> {
        // One that has lapsed but was not pruned yet counts as not there.
        let put = "INSERT INTO used (id, expires_at) VALUES (?, ?)
            ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?";
        let put = sqlx::query(put).bind(key).bind(until.as_millis()).bind(now.as_millis());
        Ok(self.write(put).await? == 1)
    }

    async fn session(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>> {
        sqlx::query_scalar("SELECT sealed FROM sessions WHERE id = ? AND expires_at > ?")
            .bind(key)
            .bind(now.as_millis())
            .fetch_optional(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))
    }

    async fn put_session(&self, key: &str, sealed: &[u8], until: Timestamp) -> Result<()> {
        let put = "INSERT OR REPLACE INTO sessions (id, expires_at, sealed) VALUES (?, ?, ?)";
        self.write(sqlx::query(put).bind(key).bind(until.as_millis()).bind(sealed)).await.map(drop)
    }

    async fn delete_session(&self, key: &str) -> Result<()> {
        self.write(sqlx::query("DELETE FROM sessions WHERE id = ?").bind(key)).await.map(drop)
    }

    async fn record(&self, events: &[Event]) -> Result<()> {
        self.put_events(events).await
    }

    async fn events(&self, most: u32) -> Result<Vec<Event>> {
        self.newest_events(most).await
    }

    async fn prune(&self, now: Timestamp, audit: Duration) -> Result<u64> {
        self.remove_lapsed(now, audit).await
    }

    async fn ping(&self) -> Result<()> {
        let count: std::result::Result<i64, _> =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&self.readers).await;
        count.map(drop).map_err(|cause| self.failed(cause))
    }
}
