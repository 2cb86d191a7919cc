//! HTTP replies as text, so that seeds can be read and written by hand:
//!
//! ```text
//! 200
//! content-type: application/grpc
//! ~grpc-status: 0
//! !frame
//!
//! body
//! ====
//! the next reply
//! ```
//!
//! `~` is a trailer; `!frame` puts gRPC's prefix before the body; status 0 is no reply at all.

use flyte_auth::transport::Reply;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const BETWEEN: &[u8] = b"\n====\n";

/// A message's head, line by line, and its body.
pub(crate) struct Message<'a> {
    pub(crate) first: &'a [u8],
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl<'a> Message<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Self {
        let end = data.windows(2).position(|two| two == b"\n\n");
        let (head, body) = end.map_or((data, &b""[..]), |at| (&data[..at], &data[at + 2..]));
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut message = Self {
            first: lines.next().unwrap_or_default(),
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
            body: body.to_vec(),
        };
        let mut framed = false;
        for line in lines {
            framed |= line == b"!frame";
            let (fields, line) = match line.strip_prefix(b"~") {
                Some(line) => (&mut message.trailers, line),
                None => (&mut message.headers, line),
            };
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
                // More fields than a header map takes are none of a target's business.
                let _ = fields.try_append(name, value);
            }
        }
        if framed {
            message.body = framed_body(&message.body);
        }
        message
    }

    /// As a reply; `None` for status 0 and for what is no status.
    pub(crate) fn into_reply(self) -> Option<Reply> {
        let status = StatusCode::from_bytes(self.first.trim_ascii()).ok()?;
        Some(Reply { status, headers: self.headers, body: self.body.into(), trailers: self.trailers })
    }
}

/// gRPC's length prefix and the message.
pub(crate) fn framed_body(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("an input is small");
    [&[0], &length.to_be_bytes()[..], body].concat()
}

/// One message after the other.
pub(crate) fn messages(data: &[u8]) -> Vec<Message<'_>> {
    let mut messages = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|part| part == BETWEEN) {
        messages.push(Message::parse(&rest[..at]));
        rest = &rest[at + BETWEEN.len()..];
    }
    messages.push(Message::parse(rest));
    messages
}

/// The single reply of an input; status 200 where it names none.
pub(crate) fn reply(data: &[u8]) -> Reply {
    let message = Message::parse(data);
    let (headers, trailers, body) = (message.headers.clone(), message.trailers.clone(), message.body.clone());
    message.into_reply().unwrap_or(Reply { status: StatusCode::OK, headers, body: body.into(), trailers })
}
