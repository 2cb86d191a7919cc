//! Opens the database: its connections, its mode, its tables.

use std::path::Path;
use std::time::Duration;

use flyte_auth::error::Result;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlSafeStr as _};

use super::error::Place;

/// How long one waits for the database, be it for a connection or for another process, before it counts as busy.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that read while the one writes.
const READERS: u32 = 3;
/// After a checkpoint the log is cut to this many bytes, however far a burst had stretched it.
const LOG_KEPT: &str = "16777216";

/// Number, name and text. A number that was published never changes its text: SQLite's file remembers its hash.
const MIGRATIONS: [(i64, &str, &str); 1] = [(1, "state", include_str!("../../../migrations/sqlite/0001_state.sql"))];

/// The connection that writes and those that read; in memory they are the same one.
pub(super) struct Pools {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

pub(super) async fn open(path: Option<&Path>, place: &Place) -> Result<Pools> {
    let failed = |cause| place.failed(cause);
    let options = SqliteConnectOptions::new()
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        // What is said to be on disk is: the log is synced at each commit, on macOS through the drive's own cache.
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "ON")
        .pragma("journal_size_limit", LOG_KEPT);
    // Statements are constants and would say nothing new; that the database is slow shows in the metrics.
    let options = sqlx::ConnectOptions::disable_statement_logging(options);
    let Some(path) = path else {
        let writer = pool(1).connect_with(options.in_memory(true)).await.map_err(failed)?;
        migrate(&writer, place).await?;
        return Ok(Pools { readers: writer.clone(), writer });
    };
    let options = options.filename(path);
    let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
    refuse_newer(&writer, place).await?;
    write_ahead(&writer, place).await?;
    migrate(&writer, place).await?;
    let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(failed)?;
    Ok(Pools { writer, readers })
}

/// Connections that stay: one in memory is the database.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn newest() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

/// Before anything is written: a newer version's file is left as it is.
async fn refuse_newer(writer: &SqlitePool, place: &Place) -> Result<()> {
    let known = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    let known: i64 = sqlx::query_scalar(known).fetch_one(writer).await.map_err(|cause| place.failed(cause))?;
    if known == 0 {
        return Ok(());
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(writer)
        .await
        .map_err(|cause| place.failed(cause))?;
    match found {
        Some(found) if found > newest() => Err(place.newer(found, newest())),
        _ => Ok(()),
    }
}

/// Write-ahead log: readers go on while one writes. The switch does not wait for another process as other statements do
/// (`SQLITE_BUSY` comes at once): so it is tried again.
async fn write_ahead(writer: &SqlitePool, place: &Place) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode = WAL").fetch_one(writer).await;
        let error = match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(place.malformed(format!("its journal mode stays {mode}"))),
            Err(cause) => place.failed(cause),
        };
        if error.code() != "database_busy" || tokio::time::Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Brings the tables up to date in one transaction, which also shows that the file can be written. It begins as a
/// writer: of two processes that start at once, one waits and then finds it done.
async fn migrate(writer: &SqlitePool, place: &Place) -> Result<()> {
    let migrations = MIGRATIONS
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let migrator = Migrator::with_migrations(migrations);
    let mut connection = writer.acquire().await.map_err(|cause| place.failed(cause))?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|cause| place.failed(cause))?;
    migrator.run_direct(None, &mut *transaction, false).await.map_err(|cause| match cause {
        sqlx::migrate::MigrateError::Execute(cause) | sqlx::migrate::MigrateError::ExecuteMigration(cause, _) => {
            place.failed(cause)
        }
        // Written by a newer version since it was looked at.
        sqlx::migrate::MigrateError::VersionMissing(found) => place.newer(found, newest()),
        cause => place.malformed(cause),
    })?;
    transaction.commit().await.map_err(|cause| place.failed(cause))
}
