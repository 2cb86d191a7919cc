//! Turns a scripted reply into bytes on the wire.

use std::convert::Infallible;

use bytes::Bytes;
use flyte_auth::Timestamp;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use crate::Verdict;
use crate::case::{Break, ReplySpec};
use crate::crypto::Signer;
use crate::template::{Variables, http_date};

/// A body that can break off.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A reply with everything filled in.
#[derive(Debug, Clone)]
pub struct Planned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
    broken: Option<Break>,
}

/// gRPC's code for "no such method".
const UNIMPLEMENTED: u32 = 12;

impl Planned {
    /// What `spec` says.
    ///
    /// # Errors
    /// A template that cannot be filled in, a header that cannot be sent.
    pub fn new(spec: &ReplySpec, variables: &Variables, now: Timestamp, signer: &Signer) -> Verdict<Self> {
        let mut headers = HeaderMap::new();
        let mut media_type = None;
        let mut trailers = None;
        let body = if let Some(json) = &spec.json {
            media_type = Some("application/json");
            Bytes::from(variables.value(json, now, signer)?.to_string())
        } else if let Some(text) = &spec.text {
            Bytes::from(variables.text(text)?)
        } else if let Some(count) = spec.fill {
            media_type = Some("application/json");
            // One JSON object of about that size, so that only the size can be what is refused.
            Bytes::from(format!(r#"{{"access_token":"too-much","padding":"{}"}}"#, "x".repeat(count)))
        } else if let Some(fields) = &spec.proto {
            media_type = Some("application/proto");
            Bytes::from(message(fields, variables)?)
        } else if let Some(fields) = &spec.grpc {
            media_type = Some("application/grpc");
            trailers = Some(grpc_status(0));
            Bytes::from(framed(&message(fields, variables)?))
        } else {
            Bytes::new()
        };
        if let Some(status) = spec.grpc_status {
            media_type = Some("application/grpc");
            headers = grpc_status(status);
        }
        if let Some(media_type) = spec.media_type.as_deref().or(media_type) {
            headers.insert(http::header::CONTENT_TYPE, header_value(media_type)?);
        }
        // The server's clock goes with the case's: a moved clock is not a wrong one.
        if !spec.headers.contains_key("date") {
            headers.insert(http::header::DATE, header_value(&http_date(now.as_secs()))?);
        }
        for (name, value) in &spec.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
            let value = variables.value(value, now, signer)?;
            headers.append(name, header_value(value.as_str().unwrap_or_default())?);
        }
        let status = StatusCode::from_u16(spec.status.unwrap_or(200)).map_err(|cause| cause.to_string())?;
        Ok(Self { status, headers, body, trailers, broken: spec.broken })
    }

    /// "Not served here": 404, in gRPC UNIMPLEMENTED.
    pub fn not_here(grpc: bool) -> Self {
        let mut headers = HeaderMap::new();
        if grpc {
            headers = grpc_status(UNIMPLEMENTED);
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        }
        let status = if grpc { StatusCode::OK } else { StatusCode::NOT_FOUND };
        Self { status, headers, body: Bytes::new(), trailers: None, broken: None }
    }

    /// For hyper. An error hangs up before the head is sent.
    ///
    /// # Errors
    /// Where the case wants that.
    pub fn response(self) -> std::io::Result<Response<Body>> {
        let broken = || std::io::Error::other("the case hangs up here");
        let body = match (self.broken, self.trailers) {
            (Some(Break::BeforeHead), _) => return Err(broken()),
            (Some(Break::InBody), _) => {
                let half = self.body.slice(..self.body.len() / 2);
                StreamBody::new(stream::iter([Ok(Frame::data(half)), Err(broken())])).boxed_unsync()
            }
            (None, Some(trailers)) => {
                let frames = [Ok(Frame::data(self.body)), Ok(Frame::trailers(trailers))];
                StreamBody::new(stream::iter(frames)).boxed_unsync()
            }
            (None, None) => Full::new(self.body).map_err(|never: Infallible| match never {}).boxed_unsync(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }

    /// The new refresh token in it, if there is one.
    pub fn refresh_token(&self) -> Option<String> {
        let document: Value = serde_json::from_slice(&self.body).ok()?;
        let token = document.get("refresh_token")?.as_str()?;
        // An empty one is none (issue 3): it replaces nothing.
        (self.status.is_success() && !token.is_empty()).then(|| token.to_owned())
    }
}

fn header_value(text: &str) -> Verdict<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| format!("{text:?} is no header value"))
}

fn grpc_status(code: u32) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers
}

/// One message of gRPC: not compressed, its length, itself.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    frame
}

/// A protobuf message of texts. Written out here and not with the core's types, whose field numbers are under test.
fn message(fields: &[(u32, String)], variables: &Variables) -> Verdict<Vec<u8>> {
    const LENGTH_DELIMITED: usize = 2;
    let mut bytes = Vec::new();
    for (number, text) in fields {
        let text = variables.text(text)?;
        varint(&mut bytes, (*number as usize) << 3 | LENGTH_DELIMITED);
        varint(&mut bytes, text.len());
        bytes.extend(text.as_bytes());
    }
    Ok(bytes)
}

fn varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_texts() {
        let fields = [(1, "testing".to_owned()), (16, "x".repeat(200))];
        let bytes = message(&fields, &Variables::default()).unwrap();
        assert_eq!(bytes[..9], [0x0a, 7, b't', b'e', b's', b't', b'i', b'n', b'g']);
        // Field 16 takes two bytes, and so does a length of 200.
        assert_eq!(bytes[9..13], [0x82, 0x01, 0xc8, 0x01]);
        assert_eq!(framed(&bytes)[..5], [0, 0, 0, 0, bytes.len() as u8]);
    }
}
