//! What Prometheus reads. No label holds what a caller made up: a scanner cannot fill the memory.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::authorization_server::paths;
use crate::metrics::Metrics;
use crate::state::Audit;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// Counters of `serve`.
#[derive(Debug)]
pub(super) struct Meters {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram>,
    in_work: Gauge,
    reloads: Family<Answered, Counter>,
    issued: Gauge,
    reuse: Gauge,
    audit_failures: Gauge,
    audit_lost: Gauge,
    grants: Arc<Metrics>,
    audit: Audit,
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// The part of the plane that a path belongs to.
pub(super) fn route(path: &str) -> &'static str {
    match path {
        "/login" | "/callback" | "/logout" => "sign_in",
        "/me" => "me",
        paths::TOKEN => "token",
        paths::AUTHORIZE | paths::CONSENT | paths::PAR => "authorize",
        paths::DEVICE | paths::DEVICE_DECISION | paths::DEVICE_AUTHORIZATION => "device",
        paths::REVOKE => "revoke",
        paths::INTROSPECT => "introspect",
        "/livez" | "/readyz" | "/healthcheck" => "probe",
        _ if path == paths::JWKS || path.starts_with("/.well-known/") || path == "/config/v1/flyte_client" => {
            "metadata"
        }
        _ => "gateway",
    }
}

impl Meters {
    pub(super) fn new(grants: Arc<Metrics>, audit: Audit) -> Self {
        let mut registry = Registry::with_prefix("flyte_auth");
        let requests = Family::<Answered, Counter>::default();
        let seconds =
            Family::<Route, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 15)));
        let in_work = Gauge::default();
        let reloads = Family::<Answered, Counter>::default();
        let [issued, reuse, audit_failures, audit_lost]: [Gauge; 4] = Default::default();
        registry.register("http_requests", "Requests by part and status class", requests.clone());
        registry.register("http_request_seconds", "Time to the headers of the answer", seconds.clone());
        registry.register("http_requests_in_work", "Requests that wait for their answer", in_work.clone());
        registry.register("config_reloads", "Configurations read after a change", reloads.clone());
        registry.register("tokens_issued", "Access tokens issued since the start", issued.clone());
        registry.register("reuse_detections", "Codes and refresh tokens used twice since the start", reuse.clone());
        registry.register("audit_failures", "Audit writes that failed since the start", audit_failures.clone());
        registry.register("audit_lost", "Audit events lost since the start", audit_lost.clone());
        Self { registry, requests, seconds, in_work, reloads, issued, reuse, audit_failures, audit_lost, grants, audit }
    }

    pub(super) fn begin(&self) -> InWork<'_> {
        self.in_work.inc();
        InWork(&self.in_work)
    }

    pub(super) fn answered(&self, route: &'static str, status: StatusCode, took: Duration) {
        self.requests.get_or_create(&Answered { route, status: class(status) }).inc();
        self.seconds.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    pub(super) fn reloaded(&self, good: bool) {
        let status = if good { "applied" } else { "refused" };
        self.reloads.get_or_create(&Answered { route: "config", status }).inc();
    }

    fn text(&self) -> Response {
        let seen = self.grants.snapshot();
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.issued.set(number(seen.tokens_issued));
        self.reuse.set(number(seen.reuse_detections));
        self.audit_failures.set(number(self.audit.failures()));
        self.audit_lost.set(number(self.audit.lost()));
        let mut body = String::new();
        match text::encode(&mut body, &self.registry) {
            Ok(()) => {
                let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, content_type)], body).into_response()
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    /// `GET /metrics`, on a port of its own.
    pub(super) fn router(self: &Arc<Self>) -> Router {
        let meters = Arc::clone(self);
        Router::new().route("/metrics", get(move || async move { meters.text() }))
    }
}

/// A request that waits for its answer.
pub(super) struct InWork<'a>(&'a Gauge);

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
