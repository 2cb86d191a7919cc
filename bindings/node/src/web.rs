//! Requests and responses as JavaScript has them.

use flyte_auth::relying_party::{self, Request};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::relying_party::bytes;

/// A request.
#[napi(object, object_to_js = false)]
pub struct WebRequest {
    pub method: String,
    /// Path and query as received.
    pub target: String,
    /// Name, value, name, value; a name may come again.
    pub headers: Vec<String>,
    /// Where the route takes one.
    pub body: Option<Buffer>,
}

impl WebRequest {
    /// The request, or the answer to one that HTTP does not know.
    pub(crate) fn read(self) -> Result<Request, Box<WebResponse>> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| malformed())?;
        let mut headers = HeaderMap::with_capacity(self.headers.len() / 2);
        for pair in self.headers.chunks_exact(2) {
            let name = HeaderName::from_bytes(pair[0].as_bytes()).map_err(|_| malformed())?;
            // Node gives each byte as a character of its own (Latin-1).
            let value: Option<Vec<u8>> = pair[1].chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            let value = value.and_then(|value| HeaderValue::from_bytes(&value).ok()).ok_or_else(malformed)?;
            headers.append(name, value);
        }
        let mut request = Request::new(method, self.target, headers);
        request.body = bytes(self.body);
        Ok(request)
    }
}

fn malformed() -> Box<WebResponse> {
    Box::new(WebResponse { status: 400, headers: Vec::new(), body: String::new() })
}

/// A whole answer.
#[napi(object, object_from_js = false)]
pub struct WebResponse {
    pub status: u16,
    /// Name, value, name, value; `set-cookie` may come again.
    pub headers: Vec<String>,
    pub body: String,
}

impl From<relying_party::Response> for WebResponse {
    fn from(response: relying_party::Response) -> Self {
        let (parts, body) = response.into_parts();
        let flat = |(name, value): (&HeaderName, &HeaderValue)| [name.as_str().to_owned(), text(value)];
        Self { status: parts.status.as_u16(), headers: parts.headers.iter().flat_map(flat).collect(), body }
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Header values as texts.
pub(crate) fn texts(values: Vec<HeaderValue>) -> Vec<String> {
    values.iter().map(text).collect()
}
