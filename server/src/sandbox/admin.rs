//! The admin interface: faults, clock, key rotation, counters. It has a port of its own and is built only here, so that
//! no other server can carry it by accident.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use flyte_auth::clock::Clock as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::clock::MovableClock;
use super::faults::{Fault, Faults};
use crate::keys::Keys;
use crate::metrics::Metrics;

/// What the admin interface can move.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    pub(super) faults: Arc<Faults>,
    pub(super) clock: Arc<MovableClock>,
    /// `None` where another server issues the tokens.
    pub(super) keys: Option<Arc<Keys>>,
    pub(super) metrics: Arc<Metrics>,
}

/// `POST /faults`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    /// A name, or a status as text or number.
    kind: Value,
    #[serde(default = "one")]
    count: u64,
    path: Option<String>,
}

fn one() -> u64 {
    1
}

/// `POST /clock`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    offset: f64,
}

/// Offsets beyond this many seconds, about 300 years, are refused: dates would leave their range.
const MAX_OFFSET: f64 = 1.0e10;

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn bad(message: &str) -> Response {
    json_answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_request", "error_description": message }))
}

#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn parse<T: DeserializeOwned>(body: &[u8], expected: &str) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|_| bad(&format!("expected {expected}")))
}

async fn order_fault(State(admin): State<Admin>, body: Bytes) -> Response {
    let order: FaultOrder = match parse(
        &body,
        "{\"kind\": \"503|html|slow|reset|garbage|delay-500\", \"count\": 1, \"path\": \"/oauth2\"}",
    ) {
        Ok(order) => order,
        Err(response) => return response,
    };
    let kind = match &order.kind {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    };
    match kind.parse() {
        Ok(kind) => {
            admin.faults.order(Fault { kind, count: order.count, path: order.path });
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => bad(&error.to_string()),
    }
}

async fn clear_faults(State(admin): State<Admin>) -> Response {
    admin.faults.clear();
    StatusCode::NO_CONTENT.into_response()
}

fn clock_answer(admin: &Admin) -> Response {
    let answer = json!({ "now": admin.clock.now().to_rfc3339(), "offset": admin.clock.offset() });
    json_answer(StatusCode::OK, &answer)
}

async fn show_clock(State(admin): State<Admin>) -> Response {
    clock_answer(&admin)
}

async fn move_clock(State(admin): State<Admin>, body: Bytes) -> Response {
    match parse::<ClockOrder>(&body, "{\"offset\": SECONDS}") {
        Ok(order) if order.offset.abs() <= MAX_OFFSET => {
            admin.clock.set_offset(order.offset);
            clock_answer(&admin)
        }
        Ok(_) => bad("the offset is out of range"),
        Err(response) => response,
    }
}

async fn rotate_keys(State(admin): State<Admin>) -> Response {
    let Some(keys) = admin.keys else { return bad("another issuer has the keys (--external-issuer)") };
    // Making an RSA key takes a tenth of a second of a core: not on the thread that serves everybody.
    match tokio::task::spawn_blocking(move || keys.rotate()).await {
        Ok(Ok(kid)) => json_answer(StatusCode::OK, &json!({ "kid": kid })),
        Ok(Err(error)) => json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn stats(State(admin): State<Admin>) -> Response {
    json_answer(StatusCode::OK, &serde_json::to_value(admin.metrics.snapshot()).unwrap_or_default())
}

/// Only programs on this machine: no web page (it sends `Origin`, or comes by a name that was rebound to loopback).
async fn local_only(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    if headers.contains_key(header::ORIGIN) || !["127.0.0.1", "[::1]", "localhost"].contains(&name) {
        return (StatusCode::FORBIDDEN, "the admin interface answers programs on this machine only\n").into_response();
    }
    next.run(request).await
}

pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/faults", post(order_fault).delete(clear_faults))
        .route("/clock", get(show_clock).post(move_clock))
        .route("/keys/rotate", post(rotate_keys))
        .route("/stats", get(stats))
        .with_state(admin)
        .layer(middleware::from_fn(local_only))
}
