//! What the programs of the race, crash, fork and soak suites share: a session made as the command line makes it, and
//! what may be said about a token without showing it.

use std::io::BufRead as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyte_auth::config::{self, Overrides, ProcessContext, Spelling, trust};
use flyte_auth::session::{Session, Token};
use flyte_auth::store::Record;
use flyte_auth::{Error, Result, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[cfg(unix)]
pub mod forked;
pub mod once;
pub mod soak;

/// A session from the environment (`FLYTE_AUTH_ENDPOINT`, `FLYTE_AUTH_ISSUER`, …), as `flyte-auth token` makes it.
///
/// # Errors
/// Kind `Config`.
pub fn session() -> Result<Session> {
    let context = ProcessContext::current(false);
    let config = config::load(context.request(Overrides::default(), Spelling::Flags))?;
    let state = trust::state_dir(&ProcessContext::env).ok();
    Session::builder(config).state_folder(state).build()
}

/// Makes tokens that were obtained elsewhere the stored session, as a login would: `reply` is a record in JSON that may
/// leave out what every record has (schema version, generation, endpoint, origin, header name).
///
/// # Errors
/// Kind `Store`.
pub fn seed(session: &Session, reply: &Value) -> Result<u64> {
    let before = session.store().load(session.key())?;
    let generation = before.map_or(0, |record| record.generation) + 1;
    let mut record = json!({
        "schema_version": flyte_auth::store::record::SCHEMA_VERSION,
        "generation": generation,
        "endpoint": session.place(),
        "origin": "authorization_code",
        "header_name": "authorization",
    });
    if let (Some(record), Some(reply)) = (record.as_object_mut(), reply.as_object()) {
        record.extend(reply.clone());
    }
    let bytes = serde_json::to_vec(&record).map_err(|cause| Error::internal(cause.to_string()))?;
    session.store().save(session.key(), &Record::from_json(&bytes, "standard input")?)?;
    Ok(generation)
}

/// A token as a test compares it: never its value.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Seen {
    /// SHA-256 of the access token, hexadecimal.
    pub sha256: Option<String>,
    /// The session's count of tokens.
    pub generation: Option<u64>,
    /// Milliseconds since the epoch, as the client believes.
    pub expires_at: Option<i64>,
    /// The code of the error in its place.
    pub error: Option<String>,
    /// The error in words.
    pub message: Option<String>,
}

impl Seen {
    /// What `token()` gave.
    pub fn of(outcome: &Result<Option<Token>>) -> Self {
        let empty = Self { sha256: None, generation: None, expires_at: None, error: None, message: None };
        match outcome {
            Ok(Some(token)) => Self {
                // EXPOSE: into a digest.
                sha256: Some(digest(token.expose())),
                generation: Some(token.generation()),
                expires_at: token.expires_at().map(Timestamp::as_millis),
                ..empty
            },
            Ok(None) => empty,
            Err(error) => Self { error: Some(error.code().to_owned()), message: Some(error.to_string()), ..empty },
        }
    }
}

/// SHA-256, hexadecimal.
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The `exp` of a JWT: when its issuer stops taking it. The signature is not checked; `None` for an opaque token.
pub fn issuers_expiry(token: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_i64().map(Timestamp::from_secs)
}

/// One line of JSON on standard output.
#[expect(clippy::print_stdout, reason = "the suites read this program's output")]
pub fn say(value: &impl Serialize) {
    println!("{}", serde_json::to_string(value).unwrap_or_default());
}

/// Says that everything is prepared and waits for a line: the wall-clock instant, in milliseconds, at which to start.
/// An empty line, or the end of the input, means now.
pub fn wait_for_the_start() -> Option<Timestamp> {
    say(&json!({ "ready": std::process::id() }));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).ok()?;
    line.trim().parse().ok().map(Timestamp::from_millis)
}
