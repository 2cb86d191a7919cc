use std::fs;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};

use super::*;
use crate::random::digest;

async fn refused(path: &Path) -> flyte_auth::error::Error {
    let error = Sqlite::open(Some(path)).await.unwrap_err();
    assert_eq!(error.kind(), flyte_auth::error::ErrorKind::Store);
    assert_eq!(error.setting(), Some("gateway.database"));
    assert!(error.message().contains(path.to_str().unwrap()), "{error}");
    assert!(error.next_step().is_some(), "{error}");
    error
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
#[tokio::test]
async fn only_this_user_may_read_any_of_its_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("made/for it");
    let file = inner.join("state.db");
    let state = Sqlite::open(Some(&file)).await.unwrap();
    state.revoke("jti", after(60)).await.unwrap();
    assert_eq!((mode(&folder.path().join("made")), mode(&inner)), (0o700, 0o700));
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
    state.close().await;
    // As from a backup that was restored, or a volume that Kubernetes opened to a group.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    let state = Sqlite::open(Some(&file)).await.unwrap();
    assert_eq!(mode(&file), 0o600);
    assert!(state.any_revoked(&["jti"]));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_a_folder_and_somebody_elses_file_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link.db"), folder.path().join("target"));
    fs::write(&target, "precious").unwrap();
    symlink(&target, &link).unwrap();
    assert_eq!(refused(&link).await.code(), "database_refused");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    let dangling = folder.path().join("dangling.db");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    assert_eq!(refused(&dangling).await.code(), "database_refused");
    assert!(!folder.path().join("nowhere").exists());
    assert_eq!(refused(folder.path()).await.code(), "database_refused");
    // The log is as good as the file.
    let file = folder.path().join("state.db");
    symlink(&target, folder.path().join("state.db-wal")).unwrap();
    let error = Sqlite::open(Some(&file)).await.unwrap_err();
    assert_eq!(error.code(), "database_refused");
    assert!(error.message().contains("state.db-wal"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    // Only root can give a file away.
    if rustix::process::geteuid().is_root() {
        let foreign = folder.path().join("foreign.db");
        fs::write(&foreign, "").unwrap();
        std::os::unix::fs::chown(&foreign, Some(12_345), None).unwrap();
        assert_eq!(refused(&foreign).await.code(), "database_refused");
    }
}

#[tokio::test]
async fn any_name_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file:a?mode=memory", ":memory:", "with space % é'", "a#b"] {
        let file = folder.path().join(name);
        let state = Sqlite::open(Some(&file)).await.unwrap();
        state.revoke("jti", after(60)).await.unwrap();
        state.close().await;
        assert!(fs::metadata(&file).unwrap().len() > 0, "{name}");
        assert!(Sqlite::open(Some(&file)).await.unwrap().any_revoked(&["jti"]), "{name}");
    }
    let error = Sqlite::open(Some(Path::new(""))).await.unwrap_err();
    assert_eq!(error.code(), "database_unavailable");
}

#[tokio::test]
async fn what_is_no_database_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    for content in [&b"not a database, but long enough to be taken for the header of one"[..], &[0xa5; 8192]] {
        fs::write(&file, content).unwrap();
        let error = refused(&file).await;
        assert_eq!(error.code(), "database_malformed", "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_page_is_a_typed_error() {
    let scratch = Scratch::new().await;
    let file = scratch.folder.path().join("state.db");
    scratch.state.put_refresh("T1", &refresh("family", "at")).await.unwrap();
    scratch.state.close().await;
    let mut content = fs::read(&file).unwrap();
    // All but the first page, which has the header.
    content[4096..].fill(0xa5);
    fs::write(&file, &content).unwrap();
    let error = match Sqlite::open(Some(&file)).await {
        Ok(state) => state.refresh("T1").await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.code(), "database_malformed", "{error}");
    assert!(error.message().contains("state.db") && error.next_step().is_some());
}

#[tokio::test]
async fn a_record_that_cannot_be_understood_is_not_quoted() {
    let scratch = Scratch::new().await;
    scratch.state.put_code("c", &code()).await.unwrap();
    let planted = r#"{"grant": "planted"}"#;
    sqlx::query("UPDATE codes SET record = ?").bind(planted).execute(&scratch.state.writer).await.unwrap();
    let error = scratch.state.code("c").await.unwrap_err();
    assert_eq!(error.code(), "database_malformed");
    assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    // The kernel's own folders take no file, not even from root.
    #[cfg(target_os = "linux")]
    for path in ["/proc/state.db", "/proc/flyte/state.db"] {
        let error = refused(Path::new(path)).await;
        assert_eq!(error.code(), "database_unavailable", "{error}");
    }
    // A file in the place of the folder.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(refused(&folder.path().join("file/state.db")).await.code(), "database_unavailable");
}

/// A file that this user may only read; root may write to any, so SQLite is told not to.
#[tokio::test]
async fn a_database_that_cannot_be_written_is_a_typed_error() {
    let scratch = Scratch::new().await;
    let file = scratch.folder.path().join("state.db");
    let error = sqlx::query("DELETE FROM codes").execute(&scratch.state.readers).await.unwrap_err();
    let error = scratch.state.place.failed(error);
    assert_eq!(error.code(), "database_unavailable", "{error}");
    assert!(error.message().contains(file.to_str().unwrap()), "{error}");
    #[cfg(unix)]
    if !rustix::process::geteuid().is_root() {
        use std::os::unix::fs::PermissionsExt as _;
        scratch.state.close().await;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(refused(&file).await.code(), "database_unavailable");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_untouched() {
    let scratch = Scratch::new().await;
    let file = scratch.folder.path().join("state.db");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9, 'later', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&scratch.state.writer).await.unwrap();
    scratch.state.close().await;
    // Even the mode, which is kept in the file, is the newer version's business.
    let mut other = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    other.execute("PRAGMA journal_mode = DELETE").await.unwrap();
    other.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let error = refused(&file).await;
    assert_eq!(error.code(), "database_newer");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_that_open_a_new_file_at_once_all_get_it() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let tasks: Vec<_> = (0..6)
            .map(|at| {
                let file = file.clone();
                tokio::spawn(async move {
                    let state = Sqlite::open(Some(&file)).await.unwrap();
                    state.first_use(&format!("by {at}"), after(60), NOW).await.unwrap()
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap());
        }
    }
}

/// The files as a process that was killed leaves them: nothing was closed, the log was not put into the database.
#[tokio::test]
async fn what_was_said_to_be_kept_survives_a_crash() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    state.put_refresh("T1", &refresh("family", "at")).await.unwrap();
    state.rotate("T1", "T2", &refresh("family", "at 2"), true).await.unwrap();
    state.revoke("jti", after(60)).await.unwrap();
    state.record(&[event("last")]).await.unwrap();
    let after_it = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(scratch.folder.path().join(name), after_it.path().join(name)).unwrap();
    }
    // And the beginning of a transaction that never ended.
    let log = after_it.path().join("state.db-wal");
    let mut content = fs::read(&log).unwrap();
    content.extend_from_slice(&[0x5a; 5000]);
    fs::write(&log, content).unwrap();
    let state = Sqlite::open(Some(&after_it.path().join("state.db"))).await.unwrap();
    assert_eq!(state.refresh("T2").await.unwrap(), Some(refresh("family", "at 2")));
    assert!(state.any_revoked(&["jti"]));
    assert_eq!(state.events(1).await.unwrap(), [event("last")]);
}

#[tokio::test]
async fn a_closed_database_answers_with_an_error() {
    let scratch = Scratch::new().await;
    scratch.state.close().await;
    let error = scratch.state.ping().await.unwrap_err();
    assert_eq!(error.code(), "database_unavailable");
    assert!(scratch.state.revoke("jti", after(60)).await.is_err());
    assert!(scratch.state.any_revoked(&["jti"]), "what could not be written is still refused by this process");
}

#[tokio::test]
async fn no_secret_is_in_the_files() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    let secrets = ["CanaryRefreshToken", "CanarySuccessor", "CanaryCode", "CanaryDeviceCode", "CanaryRequestId"];
    let [token, successor, plain_code, device_code, request_id] = secrets;
    state.put_refresh(&digest(token), &refresh("family", "at")).await.unwrap();
    state.rotate(&digest(token), &digest(successor), &refresh("family", "at 2"), true).await.unwrap();
    state.put_code(&digest(plain_code), &code()).await.unwrap();
    state.use_code(&digest(plain_code)).await.unwrap();
    state.put_device(&digest(device_code), &device("WDJB-MJHT"), NOW).await.unwrap();
    state.put_pending(&digest(request_id), &pending()).await.unwrap();
    state.take_pending(&digest(request_id), NOW).await.unwrap();
    let mut content = Vec::new();
    for name in ["state.db", "state.db-wal"] {
        content.extend(fs::read(scratch.folder.path().join(name)).unwrap());
    }
    let has = |text: &str| content.windows(text.len()).any(|found| found == text.as_bytes());
    for secret in secrets {
        assert!(!has(secret), "{secret}");
        assert!(has(&digest(secret)), "{secret}: its digest is there, so the search would find it");
    }
}
