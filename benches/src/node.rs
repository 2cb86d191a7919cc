//! The Node package beside openid-client, oauth4webapi, simple-oauth2, msal-node, jose and express-openid-connect, with
//! the packages of `dist/npm` (`scripts/node.sh bench`). The scripts are in `benches/peers/node`.

use std::path::Path;
use std::process::Command;

use crate::peer::{Server, measured};
use crate::process::{Subject, race};
use crate::sandbox::Sandbox;
use crate::{Row, text_of};

const AREA: &str = "node";
const HERE: &str = "benches/peers/node";
/// The identity provider of the middleware's row is that of the package's tests.
const PROVIDER: &str = "tests/node/node_modules/oidc-provider";
/// For the stand-in of Microsoft's hosts.
const PYTHONS: [&str; 2] = ["target/bench-venv/bin/python", ".venv/bin/python"];

/// What processes are told: the sandbox as a Flyte endpoint and as an OAuth server, and a home of their own.
struct Surroundings {
    _folder: tempfile::TempDir,
    state: std::path::PathBuf,
    environment: Vec<(String, String)>,
}

pub(crate) fn rows(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    let package = Path::new(HERE).join("node_modules/flyte-auth");
    if !package.exists() {
        let missing = package.display();
        crate::report(&format!("no {missing} (scripts/node.sh bench puts it there): the Node package is not measured"));
        return Ok(Vec::new());
    }
    let sandbox = Sandbox::start(bin, &[])?;
    let around = surroundings(&sandbox)?;
    let mut rows = loads(&around, quick)?;
    rows.extend(cold(&around, quick)?);
    for script in ["warm.mjs", "verify.mjs"] {
        rows.extend(measured(AREA, &mut script_of(script, &around, quick))?);
    }
    if Path::new(PROVIDER).exists() {
        rows.extend(measured(AREA, &mut script_of("web.mjs", &around, quick))?);
    } else {
        crate::report(&format!("no {PROVIDER} (make setup): the middleware is not measured"));
    }
    let limit = |case, value, unit| Row::lower(AREA, case, "limit", value, unit);
    rows.push(limit(LOAD, 10.0, "ms"));
    rows.push(limit(COLD, 80.0, "ms"));
    rows.push(limit("warm token()", 2.0, "us"));
    rows.push(limit("warm headers()", 2.0, "us"));
    rows.push(limit("tryToken()", 250.0, "ns"));
    Ok(rows)
}

const LOAD: &str = "load, beyond an empty Node";
const COLD: &str = "cold to a client-credentials token";

fn surroundings(sandbox: &Sandbox) -> Result<Surroundings, String> {
    let folder = tempfile::tempdir().map_err(text_of)?;
    let state = folder.path().join("state");
    let environment = [
        ("HOME", folder.path().display().to_string()),
        ("FLYTE_AUTH_HOME", state.display().to_string()),
        ("FLYTE_AUTH_STORE", "file".to_owned()),
        ("FLYTE_AUTH_ENDPOINT", sandbox.http.clone()),
        ("FLYTE_AUTH_CLIENT_ID", "flytepropeller".to_owned()),
        ("FLYTE_AUTH_CLIENT_SECRET", "foobar".to_owned()),
        ("BENCH_ENDPOINT", sandbox.http.clone()),
        ("BENCH_TOKEN_ENDPOINT", format!("{}/oauth2/token", sandbox.http)),
        ("BENCH_CLIENT_ID", "flytepropeller".to_owned()),
        ("BENCH_CLIENT_SECRET", "foobar".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Ok(Surroundings { _folder: folder, state, environment })
}

fn script_of(script: &str, around: &Surroundings, quick: bool) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(HERE).join(script)).args(quick.then_some("--quick")).envs(around.environment.iter().cloned());
    command
}

fn subject(name: &'static str, script: &str, words: &[&str], around: &Surroundings, wiped: bool) -> Subject {
    let script = format!("{HERE}/{script}");
    Subject {
        name,
        argv: [&["node", &script], words].concat().into_iter().map(str::to_owned).collect(),
        environment: around.environment.clone(),
        before: wiped.then(|| around.state.clone()),
    }
}

/// What loading a package costs beyond an empty Node.
fn loads(around: &Surroundings, quick: bool) -> Result<Vec<Row>, String> {
    let subjects = [
        ("empty Node", &[][..]),
        ("flyte-auth", &["flyte-auth"]),
        // The package loads it with the first use.
        ("flyte-auth and its native library", &["flyte-auth", "native"]),
        ("oauth4webapi", &["oauth4webapi"]),
        ("openid-client", &["openid-client"]),
        ("msal-node", &["@azure/msal-node"]),
        ("simple-oauth2", &["simple-oauth2"]),
    ]
    .map(|(name, words)| subject(name, "load.mjs", words, around, false));
    let times = race(&subjects, if quick { 15 } else { 41 })?;
    let beyond = |(subject, time): (&Subject, &f64)| Row::lower(AREA, LOAD, subject.name, time - times[0], "ms");
    Ok(subjects.iter().zip(&times).skip(1).map(beyond).collect())
}

/// Whole processes: cold to a token by client credentials. The peers make the token request alone, and know where.
fn cold(around: &Surroundings, quick: bool) -> Result<Vec<Row>, String> {
    let subjects = [
        ("empty Node", "empty"),
        ("flyte-auth", "flyte-auth"),
        ("simple-oauth2", "simple-oauth2"),
        ("oauth4webapi", "oauth4webapi"),
        ("openid-client", "openid-client"),
    ]
    .map(|(name, word)| subject(name, "cold.mjs", &[word], around, word == "flyte-auth"));
    let mut subjects = Vec::from(subjects);
    let python = PYTHONS.iter().find(|python| Path::new(python).exists());
    let entra = python.map(|python| Server::entra(python)).transpose()?;
    if let Some(entra) = &entra {
        let mut msal = subject("msal-node (https)", "cold.mjs", &["msal-node"], around, false);
        for (name, member) in [("BENCH_AUTHORITY", "authority"), ("NODE_EXTRA_CA_CERTS", "ca")] {
            msal.environment.push((name.to_owned(), entra.told(member)?.to_owned()));
        }
        subjects.push(msal);
    }
    let times = race(&subjects, if quick { 7 } else { 21 })?;
    Ok(subjects.iter().zip(&times).map(|(subject, time)| Row::lower(AREA, COLD, subject.name, *time, "ms")).collect())
}
