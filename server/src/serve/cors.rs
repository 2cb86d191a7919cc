//! Requests from other origins (Fetch standard, CORS protocol). flyteadmin answers `*` together with
//! `Allow-Credentials`, which browsers refuse; here credentials are allowed to origins that are named, and to no other.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::config::model::Cors;

/// What flyteadmin allows (`pkg/server/service.go`).
const METHODS: &str = "GET, POST, DELETE, HEAD, PUT, PATCH";
/// How long a browser remembers the answer, in seconds.
const MAX_AGE: &str = "600";

/// Whether a browser asks if it may ask.
pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn allows(cors: &Cors, origin: &HeaderValue) -> bool {
    cors.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

/// The answer to a preflight.
pub(super) fn preflight(cors: &Cors, origin: &HeaderValue) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    mark(cors, origin, headers);
    if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        if let Ok(allowed) = HeaderValue::from_str(&cors.headers.join(", ")) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
    }
    response
}

/// Takes away what a service behind says of it.
pub(super) fn forget(headers: &mut HeaderMap) {
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        header::ACCESS_CONTROL_ALLOW_METHODS,
    ] {
        headers.remove(name);
    }
}

/// Says in an answer which origin may read it.
pub(super) fn mark(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if allows(cors, origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else if cors.origins.iter().any(|allowed| allowed == "*") {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(origins: &[&str], origin: &str) -> (Option<String>, bool) {
        let cors = Cors { origins: origins.iter().map(|origin| (*origin).to_owned()).collect(), headers: Vec::new() };
        let mut headers = HeaderMap::new();
        mark(&cors, &HeaderValue::from_str(origin).unwrap(), &mut headers);
        let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap().to_owned());
        (allowed, headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS))
    }

    #[test]
    fn credentials_are_for_named_origins_only() {
        assert_eq!(marked(&["*"], "https://evil.example"), (Some("*".to_owned()), false));
        let named = ["https://ui.example"];
        assert_eq!(marked(&named, "https://ui.example"), (Some("https://ui.example".to_owned()), true));
        assert_eq!(marked(&named, "https://ui.example.evil.example"), (None, false));
        assert_eq!(
            marked(&["*", "https://ui.example"], "https://ui.example"),
            (Some("https://ui.example".to_owned()), true)
        );
        assert_eq!(marked(&named, "null"), (None, false));
    }
}
