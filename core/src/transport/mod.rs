//! Carries bytes. One factory ([`reqwest::ReqwestTransport`]) makes the client for every call (discovery, gRPC too,
//! token, device, JWKS, user info, revocation), so that CA, proxy and certificates hold for each of them (pain 11).
//!
//! A transport follows no redirect, adds no credential, decides nothing about auth, and caps what it reads.

pub mod dated;
mod failure;
pub mod grpc;
pub mod reqwest;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Timestamp;
use crate::error::Error;

/// Request and reply bodies beyond this are refused (1 MiB).
pub const MAX_BODY: usize = 1024 * 1024;
/// From the first byte sent to the last byte read, unless the call says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a call is for: names the endpoint in errors and logs, and counts in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Flyte's auth metadata or an issuer's metadata document.
    Discovery,
    /// The token endpoint.
    Token,
    /// The device authorization endpoint.
    DeviceAuthorization,
    /// The issuer's JWK set.
    Jwks,
    /// `IdentityService/UserInfo`, `/me` or the OpenID user info endpoint.
    UserInfo,
    /// The revocation endpoint.
    Revocation,
    /// The introspection endpoint.
    Introspection,
    /// A call of the program's own, through an integration.
    Call,
}

impl Purpose {
    /// Words for a message, for example `token endpoint`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Token => "token endpoint",
            Self::DeviceAuthorization => "device authorization endpoint",
            Self::Jwks => "key set (jwks_uri)",
            Self::UserInfo => "user info",
            Self::Revocation => "revocation endpoint",
            Self::Introspection => "introspection endpoint",
            Self::Call => "a call with its token",
        }
    }
}

/// One request. The URL must be absolute, `http` or `https`.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it is for.
    pub purpose: Purpose,
    /// The request; bodies are whole.
    pub request: http::Request<Vec<u8>>,
    /// From the first byte sent to the last byte read.
    pub timeout: Duration,
    /// Speak HTTP/2 without negotiation on a plaintext connection (gRPC); with TLS, ALPN decides and this means
    /// "fail unless it is HTTP/2".
    pub http2_only: bool,
}

impl Call {
    /// A call with the default timeout, HTTP version negotiated.
    pub fn new(purpose: Purpose, request: http::Request<Vec<u8>>) -> Self {
        Self { purpose, request, timeout: DEFAULT_TIMEOUT, http2_only: false }
    }

    /// Where it goes, without query or user info: fit for an error or a log.
    pub fn place(&self) -> String {
        place(self.request.uri())
    }
}

fn place(uri: &http::Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = uri.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or(""));
    format!("{scheme}://{host}{}", uri.path())
}

/// A whole reply.
#[derive(Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body, at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
    /// HTTP trailers (gRPC puts its status there).
    pub trailers: http::HeaderMap,
}

impl Reply {
    /// The server's clock: the `Date` header.
    pub fn date(&self) -> Option<Timestamp> {
        Timestamp::parse_http_date(self.headers.get(http::header::DATE)?.to_str().ok()?)
    }

    /// Media type of `Content-Type` in lower case without parameters; empty if absent.
    pub fn media_type(&self) -> String {
        self.headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|value| value.trim().to_ascii_lowercase())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Reply {
    // The body may hold tokens: its length only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("media_type", &self.media_type())
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How a call can fail before there is a whole reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The name does not resolve.
    Dns,
    /// Refused, unreachable, reset before any reply.
    Connect,
    /// Certificate or handshake.
    Tls,
    /// The proxy refused or failed.
    Proxy,
    /// The deadline passed.
    Timeout,
    /// The connection broke in the middle of a reply.
    Broken,
    /// The peer does not speak the HTTP version that was asked for (for example HTTP/1 to a gRPC-only port).
    Protocol,
    /// The reply is larger than [`MAX_BODY`].
    TooLarge,
}

/// A call that got no whole reply: the typed error for the user, and its kind for callers that probe.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// Kind `Network` (or `Config`, `Server`), names the host, the cause and the setting to use.
    pub error: Error,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Sends a request and reads the whole reply. Small on purpose: a host language may bring its own HTTP stack.
pub trait HttpTransport: Send + Sync + fmt::Debug {
    /// Sends `call`; follows no redirect; reads at most [`MAX_BODY`] bytes; ends by `call.timeout`.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>>;
}
