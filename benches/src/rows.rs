//! The rows, issue by issue.

use std::path::Path;
use std::sync::Arc;

use flyte_auth::clock::SystemClock;
use flyte_auth::config::{Config, Origin, Setting};
use flyte_auth::protocol::secret::AccessToken;
use flyte_auth::session::Session;
use flyte_auth::store::memory::MemoryStore;
use flyte_auth::store::record::{SCHEMA_VERSION, TokenOrigin};
use flyte_auth::store::{Record, TokenStore as _};

use crate::process::{Subject, median, race};
use crate::sandbox::Sandbox;
use crate::stopwatch::Stopwatch;
use crate::{Row, allocations, contended, herd, jvm, node, python, serve, verify};

pub(crate) fn all(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    let mut rows = fresh_token_in_memory()?;
    rows.extend(contended::rows()?);
    rows.extend(verify::rows(quick)?);
    rows.extend(processes(bin, quick)?);
    rows.extend(herd::rows(bin, quick)?);
    rows.extend(python::rows(bin, quick)?);
    rows.extend(node::rows(bin, quick)?);
    rows.extend(jvm::rows(bin, quick)?);
    rows.extend(serve::rows(bin, quick)?);
    Ok(rows)
}

/// `token()` with a fresh token in memory.
fn fresh_token_in_memory() -> Result<Vec<Row>, String> {
    const CALLS: u32 = 2_000_000;
    const CASE: &str = "token() with a fresh token";
    let session = session_with_token()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| cause.to_string())?;
    runtime.block_on(async {
        let mut nanoseconds = Vec::new();
        let mut allocated = 0;
        for _ in 0..5 {
            let before = allocations::count();
            let watch = Stopwatch::start();
            for _ in 0..CALLS {
                let token = session.token().await.map_err(|error| error.to_string())?;
                std::hint::black_box(&token);
            }
            nanoseconds.push(watch.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
            allocated = allocations::count() - before;
        }
        let mut clock = Vec::new();
        for _ in 0..5 {
            let watch = Stopwatch::start();
            for _ in 0..CALLS {
                std::hint::black_box(SystemClock::read());
            }
            clock.push(watch.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of allocations")]
        let per_call = allocated as f64 / f64::from(CALLS);
        Ok(vec![
            Row::lower("memory", CASE, "flyte-auth", median(nanoseconds), "ns"),
            Row::lower("memory", CASE, "limit", 50.0, "ns"),
            Row::lower("memory", CASE, "reading the clock once", median(clock), "ns"),
            Row::lower("memory", "allocations of token()", "flyte-auth", per_call, "per call"),
            Row::lower("memory", "allocations of token()", "limit", 0.0, "per call"),
        ])
    })
}

pub(crate) fn session_with_token() -> Result<Session, String> {
    let text = |error: flyte_auth::Error| error.to_string();
    let config =
        Config { issuer: Some(Setting::new("http://127.0.0.1:9".to_owned(), Origin::Default)), ..Config::default() };
    let store = MemoryStore::new("benchmark");
    let session = Session::builder(config).store(Arc::new(store.clone())).build().map_err(text)?;
    let now = SystemClock::read();
    let record = Record {
        schema_version: SCHEMA_VERSION,
        generation: 1,
        endpoint: "benchmark".to_owned(),
        profile: None,
        account: None,
        flyte_generation: None,
        origin: TokenOrigin::AuthorizationCode,
        issuer: None,
        token_endpoint_origin: None,
        client_id: None,
        client_auth_method: None,
        scopes: Vec::new(),
        audience: None,
        subject: None,
        email: None,
        header_name: "authorization".to_owned(),
        access_token: AccessToken::new("x".repeat(900)),
        expires_at: Some(now.plus(std::time::Duration::from_secs(3600))),
        obtained_at: Some(now),
        refresh_token: None,
        session_expires_at: None,
        adopted_from: None,
    };
    store.save(session.key(), &record).map_err(text)?;
    session.stored().map_err(text)?.ok_or("the token is not fresh")?;
    Ok(session)
}

/// Whole processes: a token from the store, and a cold start to a client-credentials token.
fn processes(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    let runs = if quick { 11 } else { 41 };
    let sandbox = Sandbox::start(bin, &[])?;
    let folder = tempfile::tempdir().map_err(|cause| cause.to_string())?;
    let state = folder.path().join("state");
    let environment = |state: &Path| {
        [
            ("HOME", folder.path().display().to_string()),
            ("FLYTE_AUTH_HOME", state.display().to_string()),
            ("FLYTE_AUTH_CLIENT_ID", "flytepropeller".to_owned()),
            ("FLYTE_AUTH_CLIENT_SECRET", "foobar".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    };
    let argv = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let program = bin.display().to_string();
    let empty = bin.with_file_name("empty-process").display().to_string();
    let token = argv(&[&program, "token", "--endpoint", &sandbox.http]);
    let nothing = Subject { name: "empty process", argv: vec![empty], environment: Vec::new(), before: None };
    let mut warm = vec![
        Subject { name: "flyte-auth", argv: token.clone(), environment: environment(&state), before: None },
        nothing,
    ];
    // Fills the store: the first, uncounted run of the race would do it too, but its failure is clearer here.
    race(&warm[..1], 1)?;
    if let Some(python) = python_with_flytekit() {
        warm.push(Subject {
            name: "flytekit 1.16 (import alone)",
            argv: argv(&[&python, "-c", "import flytekit.clients.auth.authenticator"]),
            environment: Vec::new(),
            before: None,
        });
    }
    const WARM: &str = "`token` from the file store";
    let times = race(&warm, if quick { 11 } else { runs })?;
    let mut rows: Vec<Row> =
        warm.iter().zip(&times).map(|(subject, time)| Row::lower("process", WARM, subject.name, *time, "ms")).collect();
    rows.push(Row::lower("process", "`token` beyond an empty process", "flyte-auth", times[0] - times[1], "ms"));
    rows.push(Row::lower("process", "`token` beyond an empty process", "limit", 1.5, "ms"));

    const COLD: &str = "cold to a client-credentials token";
    let cold_state = folder.path().join("cold");
    let mut cold = vec![Subject {
        name: "flyte-auth",
        argv: token,
        environment: environment(&cold_state),
        before: Some(cold_state),
    }];
    if std::process::Command::new("curl").arg("--version").output().is_ok_and(|done| done.status.success()) {
        let endpoint = format!("{}/oauth2/token", sandbox.http);
        cold.push(Subject {
            name: "curl, token request alone",
            argv: argv(&[
                "curl",
                "-sf",
                "-u",
                "flytepropeller:foobar",
                "-d",
                "grant_type=client_credentials",
                &endpoint,
            ]),
            environment: Vec::new(),
            before: None,
        });
    }
    let times = race(&cold, runs)?;
    rows.extend(cold.iter().zip(&times).map(|(subject, time)| Row::lower("process", COLD, subject.name, *time, "ms")));
    rows.push(Row::lower("process", COLD, "limit", 6.0, "ms"));
    Ok(rows)
}

/// The project's own virtual environment, where `make setup` put the real clients.
pub(crate) fn python_with_flytekit() -> Option<String> {
    let python = Path::new(".venv/bin/python");
    python.exists().then(|| python.display().to_string())
}
