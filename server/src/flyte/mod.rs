//! Flyte's own services: auth metadata, public client config and user info of both generations, over gRPC, gRPC-Web,
//! Connect and REST. What they say is in [`service`]; the other files only carry it.

mod connect;
mod grpc;
pub(crate) mod rest;
pub mod service;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub(crate) use grpc::{encode_message, frame};
pub use service::{FlyteAuth, Generations, PublicClient};

/// The REST routes, and the fallback that takes all remote procedure calls.
pub fn router(service: &Arc<FlyteAuth>) -> Router {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(rest::metadata))
        .route("/config/v1/flyte_client", get(rest::public_client))
        .route("/me", get(rest::me))
        .route("/healthcheck", get(|| async { StatusCode::OK }))
        // Browsers ask for it on every page; a 404 would litter consoles and the counters.
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .fallback(call)
        .with_state(Arc::clone(service))
}

/// Media type of `Content-Type` in lower case without parameters; empty if absent.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    // What is no text in a parameter hides no type: the service behind may read it.
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(media_type.trim_ascii()).to_ascii_lowercase()
}

/// Whether `service` is one that is answered here, for either generation.
pub(crate) fn is_own(service: &str) -> bool {
    use flyte_auth::protocol::flyteidl::{
        FLYTE1_IDENTITY_SERVICE, FLYTE1_METADATA_SERVICE, FLYTE2_IDENTITY_SERVICE, FLYTE2_METADATA_SERVICE,
    };
    [FLYTE1_IDENTITY_SERVICE, FLYTE1_METADATA_SERVICE, FLYTE2_IDENTITY_SERVICE, FLYTE2_METADATA_SERVICE]
        .contains(&service)
}

/// Answers a remote procedure call, in whichever protocol it came.
pub(crate) async fn call(State(service): State<Arc<FlyteAuth>>, request: Request) -> Response {
    let media_type = media_type(request.headers());
    if media_type == "application/grpc" || media_type.starts_with("application/grpc+") {
        return grpc::answer(&service, request, grpc::Dialect::Grpc).await;
    }
    if media_type.starts_with("application/grpc-web") {
        return grpc::answer(&service, request, grpc::Dialect::GrpcWeb).await;
    }
    if service::Rpc::parse(request.uri().path()).is_some() {
        return connect::answer(&service, request, &media_type).await;
    }
    StatusCode::NOT_FOUND.into_response()
}
