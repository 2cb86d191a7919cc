//! What the trait promises, on a real file.

mod families;
mod files;
mod records;

use std::sync::Arc;
use std::time::Duration;

use flyte_auth::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::records::{Code, Device, DeviceAnswer, Event, EventKind, Grant, Outcome, Pending, Refresh};
use super::super::{Rotation, State};
use super::Sqlite;

const NOW: Timestamp = Timestamp::from_secs(1_795_489_920);

fn after(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

/// A database in a folder that goes with it.
struct Scratch {
    folder: TempDir,
    state: Arc<Sqlite>,
}

impl Scratch {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(Sqlite::open(Some(&folder.path().join("state.db"))).await.unwrap());
        Self { folder, state }
    }

    /// Closes it and opens it again, as a restart does.
    async fn restarted(self) -> Self {
        self.state.close().await;
        let state = Arc::new(Sqlite::open(Some(&self.folder.path().join("state.db"))).await.unwrap());
        Self { folder: self.folder, state }
    }
}

fn grant(session: &str) -> Grant {
    Grant {
        session: session.to_owned(),
        client_id: "flytectl".to_owned(),
        issuer: "https://flyte.example".to_owned(),
        subject: Some("alice".to_owned()),
        claims: json!({ "name": "Alice Ünal", "groups": ["a", "b"] }).as_object().unwrap().clone(),
        scopes: vec!["all".to_owned()],
        audience: vec!["https://flyte.example".to_owned()],
        auth_time: NOW.as_secs(),
        ends_at: after(3600).as_millis(),
    }
}

fn refresh(session: &str, access_token_id: &str) -> Refresh {
    Refresh { grant: grant(session), access_token_id: access_token_id.to_owned(), expires_at: after(3600), dead: false }
}

fn code() -> Code {
    Code {
        grant: grant("session"),
        redirect_uri: "http://localhost:53593/callback".to_owned(),
        redirect_uri_named: true,
        challenge: Some("challenge".to_owned()),
        nonce: None,
        expires_at: after(60),
        used: false,
    }
}

fn device(user_code: &str) -> Device {
    Device {
        user_code: user_code.to_owned(),
        client_id: "flytectl".to_owned(),
        issuer: "https://flyte.example".to_owned(),
        scopes: vec!["all".to_owned()],
        audience: Vec::new(),
        challenge: None,
        answer: DeviceAnswer::Pending,
        expires_at: after(600),
        interval: 5,
        polled_at: None,
    }
}

fn approved() -> DeviceAnswer {
    DeviceAnswer::Approved { subject: "alice".to_owned(), claims: serde_json::Map::new(), auth_time: NOW.as_secs() }
}

fn pending() -> Pending {
    let request: Value = json!({
        "client_id": "flytectl", "redirect_uri": "http://localhost:53593/callback", "response_mode": "Query",
        "state": "s", "scopes": ["all"], "audience": [], "challenge": "c", "nonce": null, "login_hint": null,
        "redirect_uri_named": true, "issuer": "https://flyte.example", "silent": false,
    });
    Pending { request: serde_json::from_value(request).unwrap(), expires_at: after(60) }
}

fn event(detail: &str) -> Event {
    Event {
        at: NOW.as_millis(),
        kind: EventKind::SignIn,
        outcome: Outcome::Success,
        client_id: Some("flytectl".to_owned()),
        subject: None,
        session: Some("session".to_owned()),
        peer: Some("[::1]:1".to_owned()),
        detail: detail.to_owned(),
    }
}

/// How many of 50 callers at once are told that they were first.
async fn winners<F, R>(call: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = R> + Send + 'static,
    R: Wins + Send + 'static,
{
    let tasks: Vec<_> = (0..50).map(|at| tokio::spawn(call(at))).collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(task.await.unwrap().won());
    }
    won
}

trait Wins {
    fn won(self) -> bool;
}

impl Wins for bool {
    fn won(self) -> bool {
        self
    }
}

impl Wins for Option<Pending> {
    fn won(self) -> bool {
        self.is_some()
    }
}
