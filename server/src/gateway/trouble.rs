//! A service behind that fails, told in the caller's own protocol. No internal address is in it.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::flyte::encode_message;
use crate::flyte::service::Rpc;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection, or one that broke before the answer began.
    Unreachable,
    /// No answer in time.
    TooSlow,
    /// A path that is no address.
    Malformed,
}

/// How the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Grpc,
    GrpcWeb,
    Connect,
    Http,
}

impl Trouble {
    /// By the request's media type and path.
    pub(super) fn for_caller(media_type: &str, path: &str) -> Self {
        if media_type.starts_with("application/grpc-web") {
            return Self::GrpcWeb;
        }
        if media_type.starts_with("application/grpc") {
            return Self::Grpc;
        }
        let connect = media_type.starts_with("application/connect+")
            || matches!(media_type, "application/json" | "application/proto");
        if connect && Rpc::parse(path).is_some() { Self::Connect } else { Self::Http }
    }

    /// The answer.
    pub(super) fn answer(self, kind: Kind) -> Response {
        let (http, grpc, connect, message) = match kind {
            Kind::Unreachable => (StatusCode::BAD_GATEWAY, 14_u16, "unavailable", "the service behind does not answer"),
            Kind::TooSlow => {
                (StatusCode::GATEWAY_TIMEOUT, 4, "deadline_exceeded", "the service behind does not answer in time")
            }
            Kind::Malformed => (StatusCode::BAD_REQUEST, 3, "invalid_argument", "the path is no address"),
        };
        match self {
            Self::Grpc | Self::GrpcWeb => {
                let content_type = if self == Self::Grpc { "application/grpc" } else { "application/grpc-web+proto" };
                let mut response = Response::new(Body::empty());
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                headers.insert("grpc-status", HeaderValue::from(grpc));
                headers.insert("grpc-message", encode_message(message));
                response
            }
            Self::Connect => {
                // Connect's own table: unavailable is 503.
                let http = if http == StatusCode::BAD_GATEWAY { StatusCode::SERVICE_UNAVAILABLE } else { http };
                let body = json!({ "code": connect, "message": message }).to_string();
                (http, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            Self::Http => {
                let body = json!({ "code": grpc, "message": message, "details": [] }).to_string();
                (http, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
        }
    }
}
