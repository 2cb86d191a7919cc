//! Removes what nobody asks for any more.

use std::time::Duration;

use flyte_auth::Timestamp;
use flyte_auth::error::Result;

use super::super::KEPT_AFTER;
use super::Sqlite;

/// Rows that go in one transaction: others get to write in between.
const BATCH: i64 = 1000;

/// When a row goes.
#[derive(Clone, Copy)]
pub(super) enum Goes {
    /// As soon as it lapsed.
    Lapsed,
    /// A while after.
    Later,
    /// When it is old: audit events never lapse.
    Old,
}

macro_rules! batch {
    ($table:literal, $column:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE rowid IN (SELECT rowid FROM ",
            $table,
            " WHERE ",
            $column,
            " <= ? LIMIT ?)"
        )
    };
}

pub(super) const BATCHES: [(&str, Goes); 8] = [
    (batch!("pending", "expires_at"), Goes::Lapsed),
    (batch!("codes", "expires_at"), Goes::Later),
    (batch!("devices", "expires_at"), Goes::Later),
    (batch!("refresh", "expires_at"), Goes::Later),
    (batch!("revoked", "expires_at"), Goes::Lapsed),
    (batch!("used", "expires_at"), Goes::Lapsed),
    (batch!("sessions", "expires_at"), Goes::Lapsed),
    (batch!("audit", "at"), Goes::Old),
];

impl Sqlite {
    /// In batches, each its own transaction.
    pub(super) async fn remove_lapsed(&self, now: Timestamp, audit: Duration) -> Result<u64> {
        let mut removed = 0;
        for (batch, goes) in BATCHES {
            let until = match goes {
                Goes::Lapsed => now,
                Goes::Later => now.minus(KEPT_AFTER),
                Goes::Old => now.minus(audit),
            };
            loop {
                let rows = self.write(sqlx::query(batch).bind(until.as_millis()).bind(BATCH)).await?;
                removed += rows;
                if rows < BATCH.unsigned_abs() {
                    break;
                }
            }
        }
        self.load_revoked(now).await?;
        Ok(removed)
    }
}
