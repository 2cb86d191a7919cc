//! What SQLite says, in the words of the error table.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flyte_auth::error::{Error, ErrorKind};

/// The setting that names the file.
pub(super) const SETTING: &str = "gateway.database";

/// Where the database is, for a person.
#[derive(Debug, Clone)]
pub(super) struct Place(pub(super) Option<Arc<PathBuf>>);

impl Place {
    pub(super) fn new(path: Option<&Path>) -> Self {
        Self(path.map(|path| Arc::new(path.to_owned())))
    }

    /// An error of SQLite. Its words name tables and columns, never what is in them.
    pub(super) fn failed(&self, cause: sqlx::Error) -> Error {
        let primary = match &cause {
            // The low byte of an extended code is the primary one (<https://sqlite.org/rescode.html>).
            sqlx::Error::Database(error) => {
                error.code().and_then(|code| code.parse::<u32>().ok()).map_or(0, |code| code & 0xff)
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => CORRUPT,
            // All connections were busy for as long as one waits for one.
            sqlx::Error::PoolTimedOut => BUSY,
            _ => 0,
        };
        match primary {
            CORRUPT | NOT_A_DATABASE => self.malformed(&cause),
            BUSY | LOCKED => self
                .error("database_busy", format!("{self} is busy: {cause}"))
                .with_retryable(true)
                .with_next("Try again; if it lasts, see which other process uses the file"),
            FULL => self
                .error("database_full", format!("there is no room for {self}: {cause}"))
                .with_retryable(true)
                .with_next("Make room on its disk"),
            _ => self
                .error("database_unavailable", format!("cannot use {self}: {cause}"))
                .with_next(format!("Name a file in {SETTING} that this user may read and write, and so its folder")),
        }
        .with_source(cause)
    }

    /// The file is there but is no database of ours, or a damaged one. It stays as it is.
    pub(super) fn malformed(&self, cause: impl fmt::Display) -> Error {
        self.error("database_malformed", format!("{self} is damaged or not a database: {cause}"))
            .with_next("Restore it from a backup, or move it away: everybody signs in again then")
    }

    /// Written by a newer version.
    pub(super) fn newer(&self, found: i64, known: i64) -> Error {
        let message = format!("{self} is of version {found}, this program knows {known}: a newer one wrote it");
        self.error("database_newer", message)
            .with_next(format!("Start the newer version again, or name another file in {SETTING}"))
    }

    fn error(&self, code: &'static str, message: String) -> Error {
        let error = Error::new(ErrorKind::Store, code, message);
        if self.0.is_some() { error.with_setting(SETTING) } else { error }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => write!(f, "the database {}", path.display()),
            None => f.write_str("the database in memory"),
        }
    }
}

const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOT_A_DATABASE: u32 = 26;
