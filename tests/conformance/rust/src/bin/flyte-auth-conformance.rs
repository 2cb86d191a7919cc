//! The Rust runner: does what the peer says, one JSON line in, one JSON line out (`tests/conformance/README.md`).
//! Nothing here decides anything; a runner of another language has the same few commands.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use flyte_auth::config::{Overrides, ProcessContext, Spelling, load, trust};
use flyte_auth::interaction::Flow;
use flyte_auth::interaction::surroundings::Surroundings;
use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth::session::login::{LoginOptions, PendingLogin};
use flyte_auth::session::{Session, Token};
use flyte_auth::{Error, Result, Timestamp};
use serde_json::{Map, Value, json};

#[derive(Default)]
struct Runner {
    sessions: HashMap<String, Session>,
    logins: HashMap<String, PendingLogin>,
    tokens: HashMap<String, Token>,
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut runner = Runner::default();
    for line in std::io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let answer = match runtime.block_on(runner.perform(&command)) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": {
                "kind": error.kind().name(),
                "code": error.code(),
                "retryable": error.is_retryable(),
                "message": error.to_string(),
            }}),
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

impl Runner {
    async fn perform(&mut self, command: &Value) -> Result<Value> {
        let text = |name: &str| command.get(name).and_then(Value::as_str);
        let name = text("session").unwrap_or("main");
        match text("do").unwrap_or_default() {
            "open" => {
                let session = open(command.get("options").and_then(Value::as_object))?;
                self.sessions.insert(name.to_owned(), session);
                Ok(json!({}))
            }
            "token" => {
                let session = self.session(name)?;
                let count = command.get("count").and_then(Value::as_u64);
                let Some(count) = count else {
                    let token = session.token().await?;
                    if let (Some(keep), Some(token)) = (text("keep"), &token) {
                        self.tokens.insert(keep.to_owned(), token.clone());
                    }
                    return Ok(shown(token.as_ref()));
                };
                let session = session.clone();
                let all: Vec<_> = (0..count)
                    .map(|_| {
                        tokio::spawn({
                            let session = session.clone();
                            async move { session.token().await }
                        })
                    })
                    .collect();
                let mut tokens = Vec::new();
                for one in all {
                    tokens.push(shown(one.await.map_err(internal)??.as_ref()));
                }
                Ok(tokens.into())
            }
            "headers" => {
                let header = self.session(name)?.header().await?;
                Ok(Value::Object(header.map(|(name, value)| (name, value.into())).into_iter().collect()))
            }
            "invalidate" => {
                let token =
                    text("token").map(|kept| self.tokens.get(kept).ok_or_else(|| internal(kept))).transpose()?;
                self.session(name)?.invalidate(token);
                Ok(json!({}))
            }
            "begin_login" => {
                let options = login_options(text("flow").unwrap_or_default())?;
                let Some(login) = self.session(name)?.begin_login(&options).await? else { return Ok(Value::Null) };
                let begun = json!({
                    "url": login.url(), "user_code": login.user_code(), "expires_at": login.expires_at().to_rfc3339(),
                });
                self.logins.insert(name.to_owned(), login);
                Ok(begun)
            }
            "finish" => {
                let login = self.logins.remove(name).ok_or_else(|| internal("no login"))?;
                login.finish(text("redirect_url").map(str::to_owned), None).await?;
                Ok(json!({}))
            }
            "cancel" => {
                self.logins.remove(name).ok_or_else(|| internal("no login"))?.cancel();
                Ok(json!({}))
            }
            "logout" => {
                let revoke = command.get("revoke").and_then(Value::as_bool).unwrap_or(false);
                let outcome = self.session(name)?.logout(revoke).await?;
                outcome.revocation.transpose()?;
                Ok(json!({ "was_signed_in": outcome.was_signed_in }))
            }
            "status" => serde_json::to_value(self.session(name)?.status()?).map_err(internal),
            "whoami" => serde_json::to_value(self.session(name)?.whoami().await?).map_err(internal),
            other => Err(internal(format!("no command is called {other}"))),
        }
    }

    fn session(&self, name: &str) -> Result<&Session> {
        self.sessions.get(name).ok_or_else(|| internal(format!("no session is called {name}")))
    }
}

/// A fault of the runner or of the case.
fn internal(cause: impl std::fmt::Display) -> Error {
    Error::internal(format!("the runner: {cause}"))
}

fn shown(token: Option<&Token>) -> Value {
    token.map_or(Value::Null, |token| {
        json!({
            "value": token.expose(), // EXPOSE: the peer compares it.
            "expires_at": token.expires_at().map(Timestamp::to_rfc3339),
            "header_name": token.header_name(),
        })
    })
}

fn login_options(flow: &str) -> Result<LoginOptions> {
    let flow = match flow {
        "auto" => Flow::Auto,
        "pkce" => Flow::Pkce,
        "device" => Flow::Device,
        "paste" => Flow::Paste,
        other => return Err(internal(format!("no flow is called {other}"))),
    };
    let surroundings = Surroundings::gather(&ProcessContext::env);
    Ok(LoginOptions { flow, timeout: Duration::from_secs(120), surroundings, ..LoginOptions::default() })
}

/// A session from the keyword arguments that every language has.
fn open(options: Option<&Map<String, Value>>) -> Result<Session> {
    let mut overrides = Overrides::default();
    for (name, value) in options.into_iter().flatten() {
        let text = || value.as_str().map(str::to_owned);
        let path = || value.as_str().map(PathBuf::from);
        match name.as_str() {
            "config" => overrides.config = path(),
            "endpoint" => overrides.endpoint = text(),
            "profile" => overrides.profile = text(),
            "account" => overrides.account = text(),
            "store" => overrides.store = text(),
            "interactive" => overrides.interactive = text(),
            "insecure" => overrides.insecure = value.as_bool(),
            "insecure_skip_verify" => overrides.insecure_skip_verify = value.as_bool(),
            "ca_cert" => overrides.ca_cert = path(),
            "auth_type" => overrides.auth_type = text(),
            "client_id" => overrides.client_id = text(),
            "client_secret" => overrides.client_secret = value.as_str().map(ClientSecret::new),
            "issuer" => overrides.issuer = text(),
            "audience" => overrides.audience = text(),
            "scopes" => overrides.scopes = serde_json::from_value(value.clone()).map_err(internal)?,
            "extra_params" => overrides.extra_params = serde_json::from_value(value.clone()).map_err(internal)?,
            other => return Err(internal(format!("no option is called {other}"))),
        }
    }
    let config = load(ProcessContext::current(false).request(overrides, Spelling::SnakeCase))?;
    config.ensure_trusted()?;
    let state = trust::state_dir(&ProcessContext::env).ok();
    Session::builder(config).state_folder(state).build()
}
