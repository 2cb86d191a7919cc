//! A request as a server received it, and what its headers say about who sent it.

use std::fmt;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::protocol::callback;
use crate::protocol::secret::SecretBytes;

/// Most bytes of a body that is looked at (64 KiB); a larger one is refused.
pub const MAX_BODY: usize = 64 * 1024;

/// A whole answer, to be sent as it is.
pub type Response = http::Response<String>;

/// A request. Of the headers only those are read that [`HEADERS`] names.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, as received.
    pub target: String,
    /// Headers; several of one name are kept apart.
    pub headers: HeaderMap,
    /// The body, where the route takes one (POST at the callback and logout paths).
    pub body: Option<SecretBytes>,
}

/// Every header that is read.
pub const HEADERS: [&str; 10] = [
    "accept",
    "content-type",
    "cookie",
    "origin",
    "referer",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-purpose",
    "x-requested-with",
];

impl fmt::Debug for Request {
    // Query, headers and body hold codes and cookies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("path", &self.path()).finish_non_exhaustive()
    }
}

/// A header as often as it may come.
pub(super) enum Header<'a> {
    Absent,
    One(&'a str),
    /// Twice, or no text: nobody can say what it means.
    Unclear,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, target: impl Into<String>, headers: HeaderMap) -> Self {
        Self { method, target: target.into(), headers, body: None }
    }

    /// The path, as it was sent.
    pub(super) fn path(&self) -> &str {
        self.split().0
    }

    pub(super) fn query(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        let target = callback::path_and_query(&self.target);
        target.split_once('?').unwrap_or((target, ""))
    }

    /// The value of a query parameter that came once and is not empty.
    pub(super) fn parameter(&self, names: &[&str]) -> Option<String> {
        let mut found = url::form_urlencoded::parse(self.query().as_bytes())
            .filter(|(name, value)| names.contains(&&**name) && !value.is_empty());
        let (_, value) = found.next()?;
        found.next().is_none().then(|| value.into_owned())
    }

    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Header<'_> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Header::Absent,
            (Some(value), None) => value.to_str().map_or(Header::Unclear, |text| Header::One(text.trim())),
            (Some(_), Some(_)) => Header::Unclear,
        }
    }

    fn text(&self, name: impl http::header::AsHeaderName) -> &str {
        match self.header(name) {
            Header::One(text) => text,
            Header::Absent | Header::Unclear => "",
        }
    }

    /// Whether a person's browser goes to a page, and so can follow a redirect to the provider.
    pub(super) fn is_navigation(&self) -> bool {
        if !matches!(self.method, Method::GET | Method::HEAD) {
            return false;
        }
        match self.header("sec-fetch-mode") {
            Header::One(mode) => mode.eq_ignore_ascii_case("navigate"),
            Header::Unclear => false,
            Header::Absent => {
                self.accepts_html() && !self.text("x-requested-with").eq_ignore_ascii_case("XMLHttpRequest")
            }
        }
    }

    fn accepts_html(&self) -> bool {
        let types = self.headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        types.flat_map(|list| list.split(',')).any(|item| {
            let kind = item.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
        })
    }

    /// Whether an answer in words is a page; JSON otherwise.
    pub(super) fn wants_page(&self) -> bool {
        self.accepts_html() || self.text("sec-fetch-mode").eq_ignore_ascii_case("navigate")
    }

    /// Whether the body is a form (RFC 9110 section 8.3.1: case-insensitive, parameters aside).
    pub(super) fn is_form(&self) -> bool {
        let kind = self.text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Whether it may change something: every method that is not safe (RFC 9110 section 9.2.1), and the handshake of a
    /// WebSocket, which is a GET that no browser keeps to its own site.
    pub(super) fn may_change_state(&self) -> bool {
        let safe = matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        !safe || self.text("sec-fetch-mode").eq_ignore_ascii_case("websocket")
    }
}

/// Headers of every answer of the routes: kept by nobody, framed by nobody, told to nobody.
fn guarded(status: StatusCode) -> Response {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // The answer depends on all of these.
        (header::VARY, "Accept, Cookie, Sec-Fetch-Mode, Sec-Fetch-Site"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A redirect without a body. `to` is an address that was written by a URL parser or checked by one.
pub(super) fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = guarded(status);
    if let Ok(mut to) = HeaderValue::from_str(to) {
        // `state`, an ID token hint: not for a log.
        to.set_sensitive(true);
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// JSON.
pub(super) fn json(status: StatusCode, body: String) -> Response {
    let mut response = guarded(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = body;
    response
}

/// A failure as JSON.
pub(super) fn json_error(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, json!({ "error": code, "message": message }).to_string())
}

/// A page with its own content security policy.
pub(super) fn page(status: StatusCode, policy: &str, body: String) -> Response {
    let mut response = guarded(status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    *response.body_mut() = body;
    response
}

/// Adds a header whose value is plain text.
pub(super) fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Adds cookies.
pub(super) fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
