//! Refusals as the RFCs word them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::json_no_store;

/// Longer descriptions are cut: they may repeat a name that the caller made up.
const LONGEST_DESCRIPTION: usize = 300;

/// An OAuth error (RFC 6749 section 5.2). The description names what was wrong and never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    /// HTTP status of the direct answer; an error that goes by redirect has none.
    pub status: StatusCode,
    /// `error`.
    pub code: &'static str,
    /// `error_description`: printable ASCII without quotes and backslashes (RFC 6749 section 5.2).
    pub description: String,
    /// Whether to answer with a challenge: the client used the `Authorization` header (RFC 6749 section 5.2).
    challenge: bool,
    /// `Retry-After`, in seconds.
    retry_after: Option<u32>,
}

impl OAuthError {
    /// A refusal with status 400.
    pub fn new(code: &'static str, description: impl Into<String>) -> Self {
        // What a caller sent may be named in a description, but only in the characters that the RFC allows there.
        let description = description
            .into()
            .chars()
            .take(LONGEST_DESCRIPTION)
            .map(|letter| if matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\') { letter } else { '?' })
            .collect();
        Self { status: StatusCode::BAD_REQUEST, code, description, challenge: false, retry_after: None }
    }

    /// `invalid_request`.
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// `invalid_grant`.
    pub fn invalid_grant(description: impl Into<String>) -> Self {
        Self::new("invalid_grant", description)
    }

    /// `invalid_client` with status 401.
    pub fn invalid_client(description: impl Into<String>, challenge: bool) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, challenge, ..Self::new("invalid_client", description) }
    }

    /// `temporarily_unavailable` with status 429: try again after so many seconds (RFC 6585 section 4).
    pub fn too_many(description: impl Into<String>, retry_after: u32) -> Self {
        let error = Self::new("temporarily_unavailable", description);
        Self { status: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(retry_after), ..error }
    }

    /// `server_error` with status 500.
    pub fn server_error(description: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::new("server_error", description) }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let mut response = json_no_store(&json!({ "error": self.code, "error_description": self.description }));
        *response.status_mut() = self.status;
        if self.challenge {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"flyte-auth\""));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
