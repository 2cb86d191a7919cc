//! A refusal in the caller's own protocol: HTTP, gRPC, gRPC-Web or Connect.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::flyte::service::{Rpc, Status};
use crate::flyte::{encode_message, media_type};
use crate::resource::Refused;

/// What a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// Connect.
    Connect,
    /// Anything else over HTTP.
    Http,
}

impl Speech {
    /// By the content type, as each protocol demands, and the path.
    pub(super) fn of(request: &Request) -> Self {
        let media_type = media_type(request.headers());
        // The content type alone would let whoever writes it choose between the rules of gRPC and those of HTTP.
        let is_call = Rpc::is_called(request.method(), request.uri().path());
        if is_call && (media_type == "application/grpc" || media_type.starts_with("application/grpc+")) {
            return Self::Grpc;
        }
        if media_type.starts_with("application/grpc-web") {
            return Self::GrpcWeb;
        }
        let connect = media_type.starts_with("application/connect+")
            || request.headers().contains_key("connect-protocol-version")
            || matches!(media_type.as_str(), "application/json" | "application/proto");
        if connect && Rpc::parse(request.uri().path()).is_some() { Self::Connect } else { Self::Http }
    }

    /// Whether flyteadmin would call it gRPC: `disableForGrpc`, `disableForHttp`.
    pub(super) fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc)
    }
}

/// gRPC's answer without a message: the status stands in the headers ("Trailers-Only").
fn trailers_only(content_type: &'static str, status: &Status) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("grpc-status", HeaderValue::from(u16::from(status.grpc)));
    headers.insert("grpc-message", encode_message(&status.message));
    (headers, Body::empty()).into_response()
}

/// `status`, as `speech` says it.
pub(super) fn say(speech: Speech, status: &Status) -> Response {
    let http = StatusCode::from_u16(status.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match speech {
        Speech::Grpc => return trailers_only("application/grpc", status),
        Speech::GrpcWeb => return trailers_only("application/grpc-web+proto", status),
        Speech::Connect => {
            let body = json!({ "code": status.connect, "message": status.message });
            (http, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        }
        Speech::Http => {
            // grpc-gateway's form, which Flyte's own clients read.
            let body = json!({ "code": status.grpc, "message": status.message, "details": [] });
            (http, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A request that is not let through. `metadata`: where a client learns how to get a token (RFC 9728 section 5.1).
pub(super) fn refuse(speech: Speech, refused: &Refused, metadata: &str) -> Response {
    let status = Status::from(refused.clone());
    let mut response = say(speech, &status);
    if matches!(speech, Speech::Grpc | Speech::GrpcWeb) {
        return response;
    }
    if speech == Speech::Http {
        let body = json!({
            "error": refused.code(), "error_description": refused.message(),
            "code": status.grpc, "message": status.message, "details": [],
        });
        *response.body_mut() = Body::from(body.to_string());
    }
    if *refused == Refused::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    } else if let Ok(challenge) = HeaderValue::from_str(&refused.challenge(Some(metadata))) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
