//! The Python package beside flytekit, flyte, msal, azure-identity, google-auth and authlib, in an environment that has
//! the wheel of `dist/` (`scripts/python.sh bench`).

use std::path::Path;
use std::process::Command;

use crate::peer::{Server, measured};
use crate::process::{Subject, race};
use crate::sandbox::Sandbox;
use crate::{Row, text_of};

const PYTHON: &str = "target/bench-venv/bin/python";
const AREA: &str = "python";

pub(crate) fn rows(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    if !Path::new(PYTHON).exists() {
        crate::report("no target/bench-venv (scripts/python.sh bench makes it): the Python package is not measured");
        return Ok(Vec::new());
    }
    let sandbox = Sandbox::start(bin, &[])?;
    let mut rows = imports(quick)?;
    rows.extend(processes(&sandbox, quick)?);
    for script in ["benches/peers/warm_headers.py", "benches/peers/grpc_interceptor.py"] {
        let mut command = Command::new(PYTHON);
        command.args([script, &sandbox.http, "flytepropeller", "foobar"]).args(quick.then_some("--quick"));
        rows.extend(measured(AREA, &mut command)?);
    }
    let limit = |case, value, unit| Row::lower(AREA, case, "limit", value, unit);
    rows.push(limit("import, beyond an empty interpreter", 8.0, "ms"));
    rows.push(limit("warm headers()", 150.0, "ns"));
    rows.push(limit("cold to a client-credentials token", 30.0, "ms"));
    rows.push(limit("headers() from the file store", 27.0, "ms"));
    rows.push(limit("unary gRPC call, beyond an empty interceptor", 5.0, "us CPU"));
    rows.push(Row::higher(AREA, "32 threads' rate over one's", "limit", 0.9, "x"));
    Ok(rows)
}

fn subject(name: &'static str, words: &[&str], environment: &[(&str, &str)], wiped: Option<&Path>) -> Subject {
    Subject {
        name,
        argv: [&[PYTHON], words].concat().into_iter().map(str::to_owned).collect(),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        before: wiped.map(Path::to_owned),
    }
}

/// What an import costs beyond an empty interpreter.
fn imports(quick: bool) -> Result<Vec<Row>, String> {
    const CASE: &str = "import, beyond an empty interpreter";
    let subjects = [
        ("empty interpreter", "pass"),
        ("flyte-auth", "import flyte_auth"),
        ("flytekit", "import flytekit"),
        ("flyte", "import flyte"),
        ("msal", "import msal"),
        ("azure-identity", "import azure.identity"),
        ("google-auth", "import google.oauth2.credentials, google.auth.transport.requests"),
        ("authlib", "import authlib.integrations.requests_client"),
    ]
    .map(|(name, code)| subject(name, &["-c", code], &[], None));
    let times = race(&subjects, if quick { 5 } else { 21 })?;
    let beyond = |(subject, time): (&Subject, &f64)| Row::lower(AREA, CASE, subject.name, time - times[0], "ms");
    Ok(subjects.iter().zip(&times).skip(1).map(beyond).collect())
}

/// Whole processes: cold to a token by client credentials, and a header from the shared store.
fn processes(sandbox: &Sandbox, quick: bool) -> Result<Vec<Row>, String> {
    let folder = tempfile::tempdir().map_err(text_of)?;
    let home = folder.path().display().to_string();
    let state = folder.path().join("state");
    let endpoint = format!("{}/oauth2/token", sandbox.http);
    let entra = Server::entra(PYTHON)?;
    let environment = [
        ("HOME", home.as_str()),
        ("FLYTE_AUTH_HOME", state.to_str().unwrap_or_default()),
        ("FLYTE_AUTH_CLIENT_ID", "flytepropeller"),
        ("FLYTE_AUTH_CLIENT_SECRET", "foobar"),
        ("FLYTE_AUTH_ENDPOINT", &sandbox.http),
        ("BENCH_TOKEN_ENDPOINT", &endpoint),
        ("BENCH_CLIENT_ID", "flytepropeller"),
        ("BENCH_CLIENT_SECRET", "foobar"),
        ("BENCH_AUTHORITY", entra.told("authority")?),
        ("REQUESTS_CA_BUNDLE", entra.told("ca")?),
    ];
    let cold =
        |name, word, wiped: Option<&Path>| subject(name, &["benches/peers/cold_token.py", word], &environment, wiped);
    let runs = if quick { 7 } else { 21 };
    let mut rows = Vec::new();
    let empty = || cold("empty interpreter", "empty", None);
    let peers = [
        ("authlib", "authlib"),
        ("requests-oauthlib", "requests-oauthlib"),
        ("flytekit (token request alone)", "flytekit"),
        ("flyte (token request alone)", "flyte"),
        ("msal (https)", "msal"),
        ("azure-identity (https)", "azure-identity"),
    ]
    .map(|(name, word)| cold(name, word, None));
    let from_cold = vec![empty(), cold("flyte-auth", "flyte-auth", Some(&state))];
    let from_store = vec![empty(), cold("flyte-auth", "flyte-auth", None)];
    for (case, subjects) in [
        ("cold to a client-credentials token", from_cold.into_iter().chain(peers).collect()),
        ("headers() from the file store", from_store),
    ] {
        let times = race(&subjects, runs)?;
        rows.extend(
            subjects.iter().zip(&times).map(|(subject, time)| Row::lower(AREA, case, subject.name, *time, "ms")),
        );
    }
    Ok(rows)
}
