//! gRPC and gRPC-Web framing of unary calls: five bytes, one message, and the status in trailers.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use super::service::{FlyteAuth, Rpc, Status};

/// Requests of these services are empty; anything near this is an error or an attack.
const MAX_REQUEST: usize = 64 * 1024;

/// Which of the two framings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Status in HTTP trailers.
    Grpc,
    /// Status in a last frame of the body.
    GrpcWeb,
}

impl Dialect {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
        })
    }
}

/// Percent-encodes a message for `grpc-message`: printable ASCII but `%` stays.
pub(crate) fn encode_message(message: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            other => {
                encoded.push('%');
                encoded.push_str(&format!("{other:02X}"));
            }
        }
    }
    HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""))
}

/// A frame: flag, length, content.
pub(crate) fn frame(flag: u8, content: &[u8]) -> Bytes {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut framed = Vec::with_capacity(5 + content.len());
    framed.push(flag);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(content);
    framed.into()
}

/// Checks that the body is one whole uncompressed message. Its content does not matter: requests are empty messages, and
/// unknown fields are to be ignored.
fn check_request(body: &[u8]) -> Result<(), Status> {
    let Some((&[flag, a, b, c, d], message)) = body.split_first_chunk::<5>() else {
        return Err(Status::invalid_argument("the request has no whole message"));
    };
    if flag != 0 {
        return Err(Status::unimplemented("compressed requests are not supported"));
    }
    if usize::try_from(u32::from_be_bytes([a, b, c, d])) != Ok(message.len()) {
        return Err(Status::invalid_argument("the request is not exactly one message"));
    }
    Ok(())
}

async fn call(service: &FlyteAuth, request: Request) -> Result<Vec<u8>, Status> {
    let (head, body) = request.into_parts();
    let rpc = Rpc::parse(head.uri.path()).ok_or_else(|| Status::unimplemented("malformed method name"))?;
    let body = axum::body::to_bytes(body, MAX_REQUEST)
        .await
        .map_err(|_| Status::invalid_argument("the request is too large or broke off"))?;
    check_request(&body)?;
    Ok(service.answer(rpc, &head.headers).await?.proto)
}

/// Answers a unary call.
pub(super) async fn answer(service: &FlyteAuth, request: Request, dialect: Dialect) -> Response {
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let outcome = call(service, request).await;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, dialect.content_type());
    let message = match outcome {
        Ok(message) => message,
        Err(status) => {
            // Trailers-only: status and message where headers are, no body.
            headers.insert("grpc-status", HeaderValue::from(u16::from(status.grpc)));
            headers.insert("grpc-message", encode_message(&status.message));
            return (headers, Body::empty()).into_response();
        }
    };
    let last = match dialect {
        Dialect::Grpc => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            Frame::trailers(trailers)
        }
        Dialect::GrpcWeb => Frame::data(frame(0x80, b"grpc-status: 0\r\n")),
    };
    let frames = [Frame::data(frame(0, &message)), last].map(Ok::<_, Infallible>);
    (headers, Body::new(StreamBody::new(stream::iter(frames)))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_one_whole_message() {
        assert_eq!(check_request(&frame(0, b"")), Ok(()));
        assert_eq!(check_request(&frame(0, b"\x0a\x01x")), Ok(()));
        for (bad, grpc) in [
            (&b""[..], 3),
            (&b"\0\0\0"[..], 3),
            (&b"\0\0\0\0\x05abc"[..], 3),
            (&b"\0\0\0\0\0extra"[..], 3),
            (&b"\x01\0\0\0\0"[..], 12),
        ] {
            assert_eq!(check_request(bad).unwrap_err().grpc, grpc, "{bad:?}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(encode_message("50% \u{e9}\n"), "50%25 %C3%A9%0A");
    }
}
