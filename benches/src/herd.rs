//! Many processes find the same expired token at the same instant; refresh tokens rotate, and the second use of one ends
//! the session. Beside us: the shipped clients, in herds of 8.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flyte_auth::config::{self, Overrides, ProcessContext, Spelling};
use flyte_auth::session::Session;
use serde_json::{Value, json};

use crate::process::median;
use crate::sandbox::Sandbox;
use crate::stopwatch::Stopwatch;
use crate::{Row, report, rows};

/// How late the token endpoint answers, milliseconds.
const LATENCY: u32 = 50;
const PEER: &str = "benches/peers/herd.py";

/// What one herd did.
struct Run {
    requests: f64,
    failed: f64,
    /// Until the last was done.
    millis: f64,
}

pub(crate) fn rows(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    let Some(python) = rows::python_with_flytekit() else {
        report("the herds need .venv (make setup): left out");
        return Ok(Vec::new());
    };
    let sandbox = Sandbox::start(bin, &["--rotate-refresh-tokens"])?;
    sandbox.answers_late(LATENCY)?;
    let herd = Herd { bin, python, sandbox };
    let times = if quick { 3 } else { 7 };
    let mut all = Vec::new();

    let [requests, failed, last] = [
        "64 processes, expired token: requests",
        "64 processes, expired token: failures",
        "64 processes, expired token: time to the last",
    ];
    let runs = repeat(times, || herd.of_ours(64, true))?;
    let started = repeat(times, || herd.of_ours(64, false))?;
    all.extend([
        Row::lower("herd", requests, "flyte-auth", worst(&runs, |run| run.requests), "requests"),
        Row::lower("herd", requests, "limit", 1.0, "requests"),
        Row::lower("herd", failed, "flyte-auth", worst(&runs, |run| run.failed), "processes"),
        Row::lower("herd", failed, "limit", 0.0, "processes"),
        Row::lower("herd", last, "flyte-auth", middle(&runs, |run| run.millis), "ms"),
        // Issue 4: twice the latency, the start-up of all, and 300 ms.
        Row::lower("herd", last, "limit", 2.0 * f64::from(LATENCY) + middle(&started, |run| run.millis) + 300.0, "ms"),
        Row::lower("herd", last, "64 processes with a fresh token", middle(&started, |run| run.millis), "ms"),
    ]);

    let [requests, failed, last] = [
        "8 processes, expired token: requests",
        "8 processes, expired token: failures",
        "8 processes, expired token: time to the last",
    ];
    let of_peers = if quick { 1 } else { 3 };
    for subject in ["flyte-auth", "flytekit", "flyte"] {
        let runs = match subject {
            "flyte-auth" => repeat(times, || herd.of_ours(8, true))?,
            _ => repeat(of_peers, || herd.of_peers(subject, 8))?,
        };
        all.extend([
            Row::lower("herd", requests, subject, worst(&runs, |run| run.requests), "requests"),
            Row::lower("herd", failed, subject, worst(&runs, |run| run.failed), "processes"),
        ]);
        // Ours with its start-up; the clients' imports, a second each, are not counted.
        all.push(Row::lower("herd", last, subject, middle(&runs, |run| run.millis), "ms"));
    }
    Ok(all)
}

fn repeat(times: usize, run: impl Fn() -> Result<Run, String>) -> Result<Vec<Run>, String> {
    (0..times).map(|_| run()).collect()
}

fn worst(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(value).fold(0.0, f64::max)
}

fn middle(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(value).collect())
}

struct Herd<'a> {
    bin: &'a Path,
    python: String,
    sandbox: Sandbox,
}

impl Herd<'_> {
    /// A record of somebody who has signed in, its access token expired.
    fn record(&self) -> Result<Value, String> {
        let output = Command::new(&self.python)
            .args([PEER, "sign-in", &self.sandbox.http])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|cause| format!("{PEER}: {cause}"))?;
        serde_json::from_slice(&output.stdout).map_err(|cause| format!("{PEER} sign-in: {cause}"))
    }

    /// `flyte-auth token`, from the first start to the last end.
    fn of_ours(&self, count: usize, is_expired: bool) -> Result<Run, String> {
        let folder = tempfile::tempdir().map_err(|cause| cause.to_string())?;
        let state = folder.path().join("state");
        let mut record = self.record()?;
        if !is_expired && let Some(members) = record.as_object_mut() {
            // Without these it is never due.
            members.remove("expires_at");
            members.remove("obtained_at");
        }
        let session = session(&self.sandbox.http, &state).map_err(|error| error.to_string())?;
        flyte_auth_testkit::seed(&session, &record).map_err(|error| error.to_string())?;
        let mut command = Command::new(self.bin);
        command
            .args(["token", "--endpoint", &self.sandbox.http])
            .env("HOME", folder.path())
            .env("FLYTE_AUTH_HOME", &state)
            .env("FLYTE_AUTH_STORE", "file");
        self.released(&mut command, count, |_| Ok(false))
    }

    /// The shipped clients' own authenticators, from the instant at which all of them find the token expired.
    fn of_peers(&self, subject: &str, count: usize) -> Result<Run, String> {
        let folder = tempfile::tempdir().map_err(|cause| cause.to_string())?;
        let keyring = folder.path().join("keyring.json");
        let record = self.record()?;
        let host = self.sandbox.http.trim_start_matches("http://");
        let tokens = json!({"access_token": record["access_token"], "refresh_token": record["refresh_token"]});
        let items = json!({
            // flytekit: an item for each token, under the endpoint as it is; flyte: one item, without the scheme.
            format!("{} access_token", self.sandbox.http): record["access_token"],
            format!("{} refresh_token", self.sandbox.http): record["refresh_token"],
            format!("{host} tokens"): tokens.to_string(),
        });
        std::fs::write(&keyring, items.to_string()).map_err(|cause| cause.to_string())?;
        let mut command = Command::new(&self.python);
        command
            .args([PEER, subject, &self.sandbox.http])
            .env("HOME", folder.path())
            .env("HERD_KEYRING", &keyring)
            .env("PYTHONWARNINGS", "ignore");
        self.released(&mut command, count, |children| {
            for child in children.iter_mut() {
                let mut line = String::new();
                let stdout = child.stdout.as_mut().ok_or("no stdout")?;
                BufReader::new(stdout).read_line(&mut line).map_err(|cause| cause.to_string())?;
                if line != "ready\n" {
                    return Err(format!("{subject} is not ready"));
                }
            }
            Ok(true)
        })
    }

    /// Starts `count` of the command, waits until they are `ready` (which says whether the time counts from there only),
    /// lets them go, and counts.
    fn released(
        &self,
        command: &mut Command,
        count: usize,
        ready: impl FnOnce(&mut [Child]) -> Result<bool, String>,
    ) -> Result<Run, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let before = self.sandbox.token_requests()?;
        let mut watch = Stopwatch::start();
        let mut children =
            (0..count).map(|_| command.spawn().map_err(|cause| cause.to_string())).collect::<Result<Vec<_>, _>>()?;
        if ready(&mut children)? {
            watch = Stopwatch::start();
        }
        for child in &mut children {
            if let Some(mut stdin) = child.stdin.take() {
                // One of ours may have ended already: it reads no input.
                let _ = stdin.write_all(b"\n");
            }
        }
        let mut failed = 0_u32;
        for mut child in children {
            failed += u32::from(!child.wait().map_err(|cause| cause.to_string())?.success());
        }
        let millis = watch.elapsed().as_secs_f64() * 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let requests = (self.sandbox.token_requests()? - before) as f64;
        Ok(Run { requests, failed: f64::from(failed), millis })
    }
}

/// The session that `flyte-auth token --endpoint ENDPOINT` will look for.
fn session(endpoint: &str, state: &Path) -> flyte_auth::Result<Session> {
    let overrides =
        Overrides { endpoint: Some(endpoint.to_owned()), store: Some("file".to_owned()), ..Overrides::default() };
    let config = config::load(ProcessContext::current(false).request(overrides, Spelling::Flags))?;
    Session::builder(config).state_folder(Some(state.to_owned())).build()
}
