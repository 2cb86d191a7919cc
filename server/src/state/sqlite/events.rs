//! The audit trail.

use flyte_auth::error::Result;
use serde::de::DeserializeOwned;

use super::super::records::Event;
use super::{Sqlite, json};

type Row = (i64, String, String, Option<String>, Option<String>, Option<String>, Option<String>, String);

impl Sqlite {
    /// One statement for all: a group of five hundred is one call of the connection's thread, not five hundred.
    pub(super) async fn put_events(&self, events: &[Event]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let put = "INSERT INTO audit (at, kind, outcome, client_id, subject, session, peer, detail)
            SELECT value ->> 'at', value ->> 'kind', value ->> 'outcome', value ->> 'client_id', value ->> 'subject',
                value ->> 'session', value ->> 'peer', value ->> 'detail'
            FROM json_each(?) ORDER BY key";
        self.write(sqlx::query(put).bind(json(&events)?)).await.map(drop)
    }

    pub(super) async fn newest_events(&self, most: u32) -> Result<Vec<Event>> {
        let find = "SELECT at, kind, outcome, client_id, subject, session, peer, detail FROM audit
            ORDER BY id DESC LIMIT ?";
        let rows: Vec<Row> =
            sqlx::query_as(find).bind(most).fetch_all(&self.readers).await.map_err(|cause| self.failed(cause))?;
        rows.into_iter().map(|row| self.event_of(row)).collect()
    }

    fn event_of(&self, row: Row) -> Result<Event> {
        let (at, kind, outcome, client_id, subject, session, peer, detail) = row;
        let (kind, outcome) = (self.word(kind)?, self.word(outcome)?);
        Ok(Event { at, kind, outcome, client_id, subject, session, peer, detail })
    }

    /// A value of an enum that serde writes as a word.
    fn word<T: DeserializeOwned>(&self, word: String) -> Result<T> {
        serde_json::from_value(word.into()).map_err(|_| self.place.malformed("a record of audit cannot be understood"))
    }
}
