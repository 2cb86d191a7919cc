//! What one answer says about an endpoint. Judged by status, content type and gRPC code, never by words.

use std::time::Duration;

use http::StatusCode;
use http::header::LOCATION;

use super::Generation;
use crate::error::{Error, ErrorKind};
use crate::protocol::{json, reply::retry_after};
use crate::transport::grpc::{GrpcFailure, code};
use crate::transport::{Failure, FailureKind, Purpose, Reply};

/// What one answer says.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    /// The answer that was asked for.
    Found(T),
    /// The peer answered that this is not served here; the generation of Flyte, where the answer gives it away.
    NotHere(Option<Generation>),
    /// The peer cannot be talked to in this HTTP version: says nothing about auth.
    Unspoken(Error),
    /// The peer refuses the request for a reason of its own (an odd 4xx): says nothing about auth.
    Refused(Error),
    /// A proxy, a login page or trouble behind it: another path may still get through.
    Obstacle(Error),
    /// Asking further is no use.
    Failed(Error),
}

impl<T> Verdict<T> {
    /// The same about something else, if nothing was found.
    pub(super) fn map<U>(self, with: impl FnOnce(T) -> Verdict<U>) -> Verdict<U> {
        match self {
            Self::Found(value) => with(value),
            Self::NotHere(generation) => Verdict::NotHere(generation),
            Self::Unspoken(error) => Verdict::Unspoken(error),
            Self::Refused(error) => Verdict::Refused(error),
            Self::Obstacle(error) => Verdict::Obstacle(error),
            Self::Failed(error) => Verdict::Failed(error),
        }
    }
}

/// A reply that is unusable whatever it was asked for.
fn server(code: &'static str, place: &str, message: String, next: &str) -> Error {
    Error::new(ErrorKind::Server, code, message).with_endpoint(place).with_next(next)
}

/// The answer of `place` cannot be read.
pub(super) fn malformed(purpose: Purpose, place: &str, why: impl std::fmt::Display) -> Error {
    let message = format!("the {} answer of {place} is unusable: {why}", purpose.words());
    server("malformed", place, message, "Check the endpoint; report it to the administrator of the server")
}

pub(super) fn in_front(place: &str, what: &str) -> Error {
    let message = format!("a proxy or a console page stands in front of {place}: {what}");
    let next = "Let the proxy pass the auth metadata without a login, or give the address that Flyte's clients use; \
                --issuer skips this discovery";
    server("proxy_in_front", place, message, next)
}

fn unavailable(place: &str, what: &str, retry_after: Option<Duration>) -> Error {
    let message = format!("{place} cannot answer now: {what}");
    server("unavailable", place, message, "Try again later").with_retryable(true).with_retry_after(retry_after)
}

fn is_html(reply: &Reply) -> bool {
    matches!(reply.media_type().as_str(), "text/html" | "application/xhtml+xml")
}

/// Connect writes its code as a word, the gRPC gateway of Flyte 1 as a number.
fn generation(reply: &Reply) -> Option<Generation> {
    let object = json::parse_object(&reply.body).ok()?;
    match object.get("code")? {
        serde_json::Value::Number(_) if object.contains_key("message") => Some(Generation::Flyte1),
        serde_json::Value::String(word) if word == "unimplemented" => Some(Generation::Flyte2),
        _ => None,
    }
}

/// What URLs call a host may be any text; shown is what looks like one.
fn can_be_shown(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// The verdict on a reply that is not the one asked for: anything but 2xx, and 2xx with HTML. `None`: 2xx, to be read.
pub(super) fn refusal<T>(reply: &Reply, place: &str) -> Option<Verdict<T>> {
    let status = reply.status.as_u16();
    Some(match status {
        200..=299 if !is_html(reply) => return None,
        200..=299 => Verdict::Obstacle(in_front(place, &format!("it answers with a web page (HTTP {status})"))),
        300..=399 => {
            // The host only: the query of a login page's address holds a state.
            let to = reply
                .headers
                .get(LOCATION)
                .and_then(|location| location.to_str().ok())
                .and_then(|location| url::Url::parse(location).ok())
                .and_then(|url| url.host_str().filter(|host| can_be_shown(host)).map(|host| format!(" to {host}")))
                .unwrap_or_default();
            Verdict::Obstacle(in_front(place, &format!("it redirects{to} (HTTP {status})")))
        }
        401 | 403 => {
            Verdict::Obstacle(in_front(place, &format!("it demands a login for what must be public (HTTP {status})")))
        }
        404 | 405 | 415 | 501 | 505 => Verdict::NotHere(generation(reply)),
        408 => Verdict::Obstacle(unavailable(place, "HTTP 408", retry_after(reply))),
        429 => {
            let next = "Try again later";
            let error = server("too_many_requests", place, format!("{place} takes no more calls (HTTP 429)"), next);
            Verdict::Obstacle(error.with_retryable(true).with_retry_after(retry_after(reply)))
        }
        500.. => Verdict::Obstacle(unavailable(place, &format!("HTTP {status}"), retry_after(reply))),
        // A router, a load balancer or a TLS port that was asked in plaintext: no answer to the question.
        _ => {
            let next = "Check host and port, and whether the endpoint needs TLS (https://, without --insecure)";
            Verdict::Refused(server("refused", place, format!("{place} refuses the request (HTTP {status})"), next))
        }
    })
}

/// The verdict on a call without a reply.
pub(super) fn failure<T>(failure: Failure) -> Verdict<T> {
    match failure.kind {
        // A peer of another HTTP version often just hangs up.
        FailureKind::Protocol | FailureKind::Broken => Verdict::Unspoken(failure.error),
        _ => Verdict::Failed(failure.error),
    }
}

/// The verdict on a gRPC call without a message.
pub(super) fn grpc<T>(outcome: Result<T, GrpcFailure>, purpose: Purpose, place: &str) -> Verdict<T> {
    match outcome {
        Ok(message) => Verdict::Found(message),
        Err(GrpcFailure::Transport(failed)) => failure(failed),
        Err(GrpcFailure::NotGrpc(reply)) => refusal(&reply, place).unwrap_or(Verdict::NotHere(None)),
        Err(GrpcFailure::Malformed(why)) => Verdict::Failed(malformed(purpose, place, why)),
        Err(GrpcFailure::Status { code, .. }) => match code {
            code::UNIMPLEMENTED => Verdict::NotHere(None),
            code::UNAUTHENTICATED | code::PERMISSION_DENIED => {
                let what = format!("it demands a login for what must be public (gRPC status {code})");
                Verdict::Obstacle(in_front(place, &what))
            }
            _ => Verdict::Obstacle(unavailable(place, &format!("gRPC status {code}"), None)),
        },
    }
}

/// 401 and gRPC 16, 403 and gRPC 7 mean something else where a token was sent.
pub(super) fn denied(place: &str, status: StatusCode) -> Option<Error> {
    match status {
        StatusCode::UNAUTHORIZED => Some(
            Error::new(ErrorKind::Denied, "unauthenticated", format!("{place} does not accept the token"))
                .with_endpoint(place)
                .with_next("Sign in again: flyte-auth login"),
        ),
        StatusCode::FORBIDDEN => Some(
            Error::new(
                ErrorKind::Denied,
                "permission_denied",
                format!("{place} accepts the token but refuses this call"),
            )
            .with_endpoint(place)
            .with_next("Ask the administrator for access"),
        ),
        _ => None,
    }
}
