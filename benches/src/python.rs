//! The Python package beside flytekit, flyte, msal, azure-identity, google-auth and authlib, in an environment that has
//! the wheel of `dist/` (`scripts/python.sh bench`).

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

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
        rows.extend(measured(script, &[&sandbox.http, "flytepropeller", "foobar"], quick)?);
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

fn python(name: &'static str, code: &str, environment: &[(&str, &str)], wiped: Option<&Path>) -> Subject {
    Subject {
        name,
        argv: [PYTHON, "-c", code].map(str::to_owned).to_vec(),
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
    .map(|(name, code)| python(name, code, &[], None));
    let times = race(&subjects, if quick { 5 } else { 21 })?;
    let beyond = |(subject, time): (&Subject, &f64)| Row::lower(AREA, CASE, subject.name, time - times[0], "ms");
    Ok(subjects.iter().zip(&times).skip(1).map(beyond).collect())
}

/// Whole processes: cold to a token by client credentials, and a header from the shared store.
fn processes(sandbox: &Sandbox, quick: bool) -> Result<Vec<Row>, String> {
    let folder = tempfile::tempdir().map_err(text_of)?;
    let home = folder.path().display().to_string();
    let state = folder.path().join("state");
    let environment = [
        ("HOME", home.as_str()),
        ("FLYTE_AUTH_HOME", state.to_str().unwrap_or_default()),
        ("FLYTE_AUTH_CLIENT_ID", "flytepropeller"),
        ("FLYTE_AUTH_CLIENT_SECRET", "foobar"),
        ("FLYTE_AUTH_ENDPOINT", &sandbox.http),
    ];
    let ours = "import flyte_auth; assert flyte_auth.Session.from_config().headers()";
    let token = format!("{}/oauth2/token", sandbox.http);
    let authlib = format!(
        "from authlib.integrations.requests_client import OAuth2Session as S; \
         assert S('flytepropeller', 'foobar').fetch_token({token:?}, grant_type='client_credentials')"
    );
    let oauthlib = format!(
        "import os; os.environ['OAUTHLIB_INSECURE_TRANSPORT'] = '1'; from oauthlib.oauth2 import BackendApplicationClient as C; \
         from requests_oauthlib import OAuth2Session as S; \
         assert S(client=C(client_id='flytepropeller')).fetch_token({token:?}, client_id='flytepropeller', client_secret='foobar')"
    );
    let flytekit = format!(
        "from flytekit.clients.auth.token_client import get_token; assert get_token({token:?}, None, \
         __import__('flytekit.clients.auth.token_client', fromlist=['x']).get_basic_authorization_header('flytepropeller', 'foobar'))"
    );
    let runs = if quick { 7 } else { 21 };
    let mut rows = Vec::new();
    for (case, wiped, ours_alone) in [
        ("cold to a client-credentials token", Some(state.as_path()), false),
        ("headers() from the file store", None, true),
    ] {
        let mut subjects =
            vec![python("empty interpreter", "pass", &[], None), python("flyte-auth", ours, &environment, wiped)];
        if !ours_alone {
            subjects.push(python("authlib", &authlib, &environment, None));
            subjects.push(python("requests-oauthlib", &oauthlib, &environment, None));
            subjects.push(python("flytekit (token request alone)", &flytekit, &environment, None));
        }
        let times = race(&subjects, runs)?;
        rows.extend(
            subjects.iter().zip(&times).map(|(subject, time)| Row::lower(AREA, case, subject.name, *time, "ms")),
        );
    }
    Ok(rows)
}

#[derive(Deserialize)]
struct Line {
    case: String,
    subject: String,
    value: f64,
    unit: String,
}

/// What a script in Python measured: JSON lines.
fn measured(script: &str, arguments: &[&str], quick: bool) -> Result<Vec<Row>, String> {
    let quick: &[&str] = if quick { &["--quick"] } else { &[] };
    let output = Command::new(PYTHON).arg(script).args(arguments).args(quick).output().map_err(text_of)?;
    if !output.status.success() {
        return Err(format!("{script} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Names live as long as the program, as every other row's.
    let named = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let lines = text.lines().map(|line| {
        let line: Line = serde_json::from_str(line).map_err(|cause| format!("{script}: {cause}: {line}"))?;
        let (case, subject, unit) = (named(line.case), named(line.subject), named(line.unit));
        let make = if unit == "x" { Row::higher } else { Row::lower };
        Ok(make(AREA, case, subject, line.value, unit))
    });
    lines.collect()
}
