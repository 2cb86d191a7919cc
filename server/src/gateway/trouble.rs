//! A service behind that fails, told in the caller's own protocol. No internal address is in it.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::flyte::service::Rpc;

/// Why there is no answer from a service behind.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No connection: the name, TCP or TLS.
    NoConnection(Arc<dyn Error + Send + Sync>),
    /// No connection in time.
    SlowConnection,
    /// TLS did not agree on HTTP/2.
    NoHttp2,
    /// The connection ended, or had something that is no answer.
    Broken(Arc<dyn Error + Send + Sync>),
    /// No answer in time.
    Silent,
    /// The request cannot be carried, by this status and for this reason.
    Refused(StatusCode, &'static str),
}

impl Failure {
    /// Tells the operator. `upstream` is the configured match.
    pub(super) fn log(&self, upstream: &str) {
        match self {
            Self::NoConnection(cause) => {
                tracing::warn!(upstream, error = chain(&**cause), "no connection to a service behind");
            }
            Self::SlowConnection => tracing::warn!(upstream, "no connection to a service behind within 5 s"),
            Self::NoHttp2 => tracing::warn!(upstream, "a service behind does not speak HTTP/2, which gRPC needs"),
            Self::Broken(cause) => tracing::warn!(upstream, error = chain(&**cause), "a service behind broke off"),
            Self::Silent => tracing::warn!(upstream, "a service behind does not answer"),
            Self::Refused(_, why) => tracing::debug!(upstream, why, "a request cannot be carried"),
        }
    }

    /// HTTP status, gRPC status, Connect code, and words for the caller.
    fn words(&self) -> (StatusCode, u16, &'static str, &'static str) {
        let unavailable = |http, words| (http, 14, "unavailable", words);
        match self {
            Self::NoConnection(_) => {
                unavailable(StatusCode::SERVICE_UNAVAILABLE, "the service behind cannot be reached")
            }
            Self::SlowConnection => {
                unavailable(StatusCode::GATEWAY_TIMEOUT, "the service behind cannot be reached in time")
            }
            Self::NoHttp2 => unavailable(StatusCode::BAD_GATEWAY, "the service behind does not speak HTTP/2"),
            Self::Broken(_) => unavailable(StatusCode::BAD_GATEWAY, "the service behind broke off"),
            Self::Silent => {
                (StatusCode::GATEWAY_TIMEOUT, 4, "deadline_exceeded", "the service behind does not answer in time")
            }
            Self::Refused(status, why) => (*status, 3, "invalid_argument", why),
        }
    }
}

/// The whole story of an error: hyper's own text says only the last line of it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Grpc,
    /// In the caller's own media type, which may be the text form.
    GrpcWeb {
        is_text: bool,
    },
    ConnectStream {
        is_json: bool,
    },
    ConnectUnary,
    /// With whether an error is better JSON.
    Http {
        json: bool,
    },
}

const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

fn begins(value: &[u8], with: &str) -> bool {
    value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

/// Whether `value` is this media type, with any suffix (`+proto`) or parameters.
fn is_type(value: &[u8], media_type: &str) -> bool {
    begins(value, media_type) && matches!(value.get(media_type.len()), None | Some(b'+' | b';' | b' '))
}

impl Dialect {
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if is_type(content_type, "application/grpc") && Rpc::is_called(request.method(), request.uri().path()) {
            return Self::Grpc;
        }
        if begins(content_type, "application/grpc-web") {
            return Self::GrpcWeb { is_text: begins(content_type, "application/grpc-web-text") };
        }
        if begins(content_type, "application/connect+") {
            return Self::ConnectStream { is_json: begins(content_type, "application/connect+json") };
        }
        let is_json = is_type(content_type, "application/json");
        let is_unary = match *request.method() {
            Method::POST => is_json || is_type(content_type, "application/proto"),
            // The Connect protocol's unary GET names its version in the query.
            Method::GET => request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "connect=v1")),
            _ => false,
        };
        if is_unary && (headers.contains_key(CONNECT_VERSION) || Rpc::parse(request.uri().path()).is_some()) {
            return Self::ConnectUnary;
        }
        let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self::Http { json: is_json || accepts.contains("json") }
    }

    /// Whether how long to wait is the caller's business: it names a deadline (`grpc-timeout`), or the call is a stream,
    /// whose answer may begin with its first message, however late that comes.
    pub(super) fn has_own_deadline(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Grpc | Self::GrpcWeb { .. } | Self::ConnectStream { .. } => true,
            Self::ConnectUnary => headers.contains_key(CONNECT_TIMEOUT),
            Self::Http { .. } => false,
        }
    }
}

/// The answer in place of the service's.
pub(super) fn answer(dialect: Dialect, failure: &Failure) -> Response {
    let (http, grpc, connect, words) = failure.words();
    let mut response = match dialect {
        // Trailers only: the status is in the headers. gRPC-Web allows the same.
        Dialect::Grpc => grpc_answer("application/grpc", grpc, words),
        Dialect::GrpcWeb { is_text: false } => grpc_answer("application/grpc-web+proto", grpc, words),
        Dialect::GrpcWeb { is_text: true } => grpc_answer("application/grpc-web-text+proto", grpc, words),
        Dialect::ConnectStream { is_json } => {
            let media_type = if is_json { "application/connect+json" } else { "application/connect+proto" };
            let message = json!({ "error": { "code": connect, "message": words } }).to_string();
            (StatusCode::OK, [(header::CONTENT_TYPE, media_type)], end_of_stream(&message)).into_response()
        }
        Dialect::ConnectUnary => {
            // Connect's own table of codes and statuses.
            let http = match connect {
                "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
                "deadline_exceeded" => StatusCode::GATEWAY_TIMEOUT,
                _ => StatusCode::BAD_REQUEST,
            };
            let body = json!({ "code": connect, "message": words }).to_string();
            (http, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        // The form of grpc-gateway, which Flyte's own clients read.
        Dialect::Http { json: true } => {
            let body = json!({ "code": grpc, "message": words, "details": [] }).to_string();
            (http, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Dialect::Http { json: false } => {
            (http, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], words).into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn grpc_answer(media_type: &'static str, status: u16, words: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert("grpc-status", HeaderValue::from(status));
    // All of ours are printable ASCII without `%`, which needs no encoding.
    headers.insert("grpc-message", HeaderValue::from_static(words));
    response
}

/// The last message of a Connect stream: flag 2, length, content.
fn end_of_stream(message: &str) -> Vec<u8> {
    let mut framed = vec![2];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message.as_bytes());
    framed
}
