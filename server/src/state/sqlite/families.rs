//! Families of refresh tokens: all that came of one sign-in.
//!
//! A family is a chain with, at its end, the pairs that may or may not have reached the client. `replaced` says that a
//! successor was made; `dead` that the client is known to have a later one. What is not dead: the last token that was
//! used, and what was made from it.

use flyte_auth::Timestamp;
use flyte_auth::error::Result;
use sqlx::SqliteConnection;

use super::super::records::{Refresh, Rotation};
use super::{REVOKE, Sqlite, json};

const INSERT: &str = "INSERT INTO refresh (digest, session, access_token_id, expires_at, grant_record)
    SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM revoked WHERE id = ?2)";

/// Every other one of the family is dead.
pub(super) const ONLY: &str = "UPDATE refresh SET dead = 1 WHERE session = ? AND digest <> ? AND dead = 0";

/// Whether the use of an access token says nothing new: its refresh token is the only one that is alive, or is not alive,
/// or was replaced. One that was replaced has been used itself, which said the same, and its successors are to stay.
pub(super) const POINTLESS: &str = "SELECT NOT EXISTS (
    SELECT 1 FROM refresh AS this JOIN refresh AS other ON other.session = this.session
    WHERE this.access_token_id = ? AND this.dead = 0 AND this.replaced = 0
        AND other.digest <> this.digest AND other.dead = 0)";

impl Sqlite {
    /// Nothing is kept if the session was revoked meanwhile, as by a second use of its code: then the token is gone.
    pub(super) async fn put_first(&self, digest: &str, refresh: &Refresh) -> Result<()> {
        let mut writer = self.writer.acquire().await.map_err(|cause| self.failed(cause))?;
        self.insert(&mut writer, digest, refresh).await
    }

    async fn insert(&self, writer: &mut SqliteConnection, digest: &str, refresh: &Refresh) -> Result<()> {
        sqlx::query(INSERT)
            .bind(digest)
            .bind(&refresh.grant.session)
            .bind(&refresh.access_token_id)
            .bind(refresh.expires_at.as_millis())
            .bind(json(&refresh.grant)?)
            .execute(writer)
            .await
            .map(drop)
            .map_err(|cause| self.failed(cause))
    }

    pub(super) async fn find_refresh(&self, digest: &str) -> Result<Option<Refresh>> {
        let find = "SELECT grant_record, access_token_id, expires_at, dead FROM refresh WHERE digest = ?";
        let found: Option<(String, String, i64, bool)> = sqlx::query_as(find)
            .bind(digest)
            .fetch_optional(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))?;
        let Some((grant, access_token_id, expires_at, dead)) = found else { return Ok(None) };
        let grant = self.parse("refresh", &grant)?;
        Ok(Some(Refresh { grant, access_token_id, expires_at: Timestamp::from_millis(expires_at), dead }))
    }

    pub(super) async fn replace(
        &self,
        digest: &str,
        successor_digest: &str,
        successor: &Refresh,
        grace: bool,
    ) -> Result<Rotation> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|cause| self.failed(cause))?;
        let found: Option<(String, bool, bool)> =
            sqlx::query_as("SELECT session, dead, replaced FROM refresh WHERE digest = ?")
                .bind(digest)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(|cause| self.failed(cause))?;
        // A transaction that is dropped is rolled back; none of these has changed anything.
        let Some((session, dead, replaced)) = found else { return Ok(Rotation::Gone) };
        if dead {
            return Ok(Rotation::Reused);
        }
        sqlx::query("UPDATE refresh SET replaced = 1, dead = ? WHERE digest = ?")
            .bind(!grace)
            .bind(digest)
            .execute(&mut *transaction)
            .await
            .map_err(|cause| self.failed(cause))?;
        // Its first use: the client has it, so it needs neither the one before nor a twin that was made for a lost reply.
        // Presented again, it may be that one of its successors has arrived: they stay, until one of them is used.
        if !replaced {
            sqlx::query(ONLY)
                .bind(&session)
                .bind(digest)
                .execute(&mut *transaction)
                .await
                .map_err(|cause| self.failed(cause))?;
        }
        self.insert(&mut transaction, successor_digest, successor).await?;
        transaction.commit().await.map_err(|cause| self.failed(cause))?;
        Ok(Rotation::Rotated)
    }

    pub(super) async fn arrived(&self, access_token_id: &str) -> Result<bool> {
        // Most often there is nothing to do: so the readers are asked first, and the writer is left alone.
        let pointless: bool = sqlx::query_scalar(POINTLESS)
            .bind(access_token_id)
            .fetch_one(&self.readers)
            .await
            .map_err(|cause| self.failed(cause))?;
        if pointless {
            return Ok(false);
        }
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|cause| self.failed(cause))?;
        let find = "SELECT session, digest FROM refresh WHERE access_token_id = ? AND dead = 0 AND replaced = 0";
        let found: Option<(String, String)> = sqlx::query_as(find)
            .bind(access_token_id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|cause| self.failed(cause))?;
        let Some((session, digest)) = found else { return Ok(false) };
        let done = sqlx::query(ONLY)
            .bind(session)
            .bind(digest)
            .execute(&mut *transaction)
            .await
            .map_err(|cause| self.failed(cause))?;
        transaction.commit().await.map_err(|cause| self.failed(cause))?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn end_family(&self, session: &str, until: Timestamp) -> Result<()> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|cause| self.failed(cause))?;
        let statements = [
            sqlx::query("DELETE FROM refresh WHERE session = ?").bind(session),
            sqlx::query(REVOKE).bind(session).bind(until.as_millis()),
        ];
        for statement in statements {
            statement.execute(&mut *transaction).await.map_err(|cause| self.failed(cause))?;
        }
        transaction.commit().await.map_err(|cause| self.failed(cause))
    }
}
