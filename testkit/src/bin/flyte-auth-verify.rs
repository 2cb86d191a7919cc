//! Verifies tokens that other programs made. Standard input: a line of settings, then a line for each token, all JSON.
//! Each token is answered by a line: who it is, or the code of the refusal. A closed input ends it.

use std::io::BufRead as _;
use std::process::ExitCode;

use flyte_auth::protocol::secret::{AccessToken, ClientSecret, IdToken};
use flyte_auth::verify::{Introspection, KeySet, Profile, Verifier};
use flyte_auth::{Error, Result};
use flyte_auth_testkit::say;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    issuer: String,
    /// None: any.
    audience: Option<String>,
    /// A key set, or else the issuer's metadata says where it is.
    jwks: Option<Map<String, Value>>,
    #[serde(default)]
    rfc9068: bool,
    /// Id and secret of the client that asks about opaque tokens.
    introspection: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Question {
    AccessToken(String),
    IdToken { token: String, client_id: String, nonce: Option<String> },
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(|cause| unreadable(&cause)).and_then(|runtime| runtime.block_on(run()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&json!({ "failed": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let settings = lines.next().ok_or_else(|| Error::internal("no settings"))?.map_err(|cause| unreadable(&cause))?;
    let verifier = verifier(serde_json::from_str(&settings).map_err(|cause| unreadable(&cause))?)?;
    say(&json!({"ready": std::process::id()}));
    for line in lines {
        let line = line.map_err(|cause| unreadable(&cause))?;
        let question = serde_json::from_str(&line).map_err(|cause| unreadable(&cause))?;
        say(&answer(&verifier, question).await.unwrap_or_else(
            |error| json!({"refused": error.code(), "kind": error.kind().name(), "message": error.to_string()}),
        ));
    }
    Ok(())
}

fn verifier(settings: Settings) -> Result<Verifier> {
    let mut builder = Verifier::builder(settings.issuer);
    builder = match settings.audience {
        Some(audience) => builder.audience(audience),
        None => builder.any_audience(),
    };
    if let Some(keys) = &settings.jwks {
        builder = builder.jwks(KeySet::from_object(keys).map_err(|refusal| unreadable(&refusal))?);
    }
    if settings.rfc9068 {
        builder = builder.profile(Profile::Rfc9068);
    }
    if let Some((client, secret)) = settings.introspection {
        builder = builder.introspection(Introspection::new(client, ClientSecret::new(secret)));
    }
    builder.build()
}

async fn answer(verifier: &Verifier, question: Question) -> Result<Value> {
    match question {
        Question::AccessToken(token) => {
            let found = verifier.verify(&AccessToken::new(token)).await?;
            Ok(json!({
                "subject": found.subject(), "client_id": found.client_id(), "scopes": found.scopes(),
                "audience": found.audience(),
            }))
        }
        Question::IdToken { token, client_id, nonce } => {
            let found = verifier.verify_id_token(&IdToken::new(token), &client_id, nonce.as_deref(), None).await?;
            Ok(json!({"subject": found.subject}))
        }
    }
}

fn unreadable(cause: &dyn std::fmt::Display) -> Error {
    Error::internal(cause.to_string())
}
