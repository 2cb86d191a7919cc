//! Whether this process lives and can work.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;

use crate::flyte::frame;
use crate::state::State;

/// gRPC's own health service.
pub(super) const HEALTH: &str = "grpc.health.v1.Health";
/// A database that takes longer is not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// `/readyz`: the database answers. The identity provider and the services behind are not asked: their outage is no
/// reason to take this process out too.
pub(super) async fn ready(state: &dyn State) -> Response {
    let (status, body) = match tokio::time::timeout(PATIENCE, state.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n"),
        Ok(Err(error)) => {
            tracing::error!(%error, "not ready: the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer in time\n"),
    };
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}

/// `Health/Watch`: says that it serves, and then holds the stream until the caller or this process ends it.
pub(super) fn watch() -> Response {
    // HealthCheckResponse{status: SERVING}.
    let first = stream::once(async { Ok::<_, Infallible>(Frame::data(frame(0, &[0x08, 0x01]))) });
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    (headers, Body::new(StreamBody::new(first.chain(stream::pending())))).into_response()
}
