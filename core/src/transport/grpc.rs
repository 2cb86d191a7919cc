//! Unary gRPC over [`HttpTransport`]: enough of the protocol for Flyte's four messages, without a gRPC stack
//! (gRPC over HTTP/2, `PROTOCOL-HTTP2.md`: length-prefixed messages, `grpc-status` in the trailers).

use http::HeaderMap;
use prost::Message;

use super::{Call, Failure, HttpTransport, Purpose, Reply};

/// Length of a message's prefix: one byte for compression, four for the length.
const PREFIX: usize = 5;

/// gRPC status codes that decide something here (`google.rpc.Code`).
pub mod code {
    /// Success.
    pub const OK: u32 = 0;
    /// The deadline passed at the server.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// Refused for this identity.
    pub const PERMISSION_DENIED: u32 = 7;
    /// Too many calls.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// No such service or method.
    pub const UNIMPLEMENTED: u32 = 12;
    /// Down, or not yet up.
    pub const UNAVAILABLE: u32 = 14;
    /// No identity, or one that is not believed.
    pub const UNAUTHENTICATED: u32 = 16;
}

/// Why there is no message.
#[derive(Debug, Clone)]
pub enum GrpcFailure {
    /// The server answered with a status other than OK.
    Status {
        /// The code.
        code: u32,
        /// `grpc-message`, percent-decoded. May repeat what was sent: fit for no message and no log.
        message: String,
    },
    /// Something else than gRPC answered: a proxy, a login page, a web server. The reply is handed on.
    NotGrpc(Box<Reply>),
    /// gRPC that cannot be read; says what is wrong with it.
    Malformed(&'static str),
    /// No whole reply.
    Transport(Failure),
}

/// Calls `service/method` with `message` and reads one message back.
///
/// `base_url` is without a trailing slash. `headers` go along as they are (the token's).
///
/// # Errors
/// [`GrpcFailure`].
pub async fn unary<T: Message + Default>(
    transport: &dyn HttpTransport,
    purpose: Purpose,
    base_url: &str,
    service: &str,
    method: &str,
    message: &impl Message,
    headers: &HeaderMap,
) -> Result<T, GrpcFailure> {
    let mut request = http::Request::post(format!("{base_url}/{service}/{method}"))
        .header(http::header::CONTENT_TYPE, "application/grpc+proto")
        .header(http::header::TE, "trailers")
        .body(frame(message))
        .map_err(|_| GrpcFailure::Malformed("the address is no URL"))?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    let call = Call { http2_only: true, ..Call::new(purpose, request) };
    let reply = transport.send(call).await.map_err(GrpcFailure::Transport)?;
    read(reply)
}

fn frame(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut framed = vec![0];
    // Our requests are empty messages: far below 4 GiB.
    framed.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&body);
    framed
}

fn read<T: Message + Default>(reply: Reply) -> Result<T, GrpcFailure> {
    let media_type = reply.media_type();
    let is_grpc = media_type == "application/grpc" || media_type.starts_with("application/grpc+");
    if reply.status != http::StatusCode::OK || !is_grpc {
        return Err(GrpcFailure::NotGrpc(Box::new(reply)));
    }
    // A reply without a body carries its status in the headers ("trailers-only").
    let status = match status(&reply.trailers)? {
        Some(status) => Some(status),
        None => status(&reply.headers)?,
    };
    let (code, message) = status.ok_or(GrpcFailure::Malformed("it ends without grpc-status"))?;
    if code != code::OK {
        return Err(GrpcFailure::Status { code, message });
    }
    let (prefix, body) = reply.body.split_at_checked(PREFIX).ok_or(GrpcFailure::Malformed("it has no message"))?;
    let length = prefix[1..].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    if prefix[0] != 0 {
        return Err(GrpcFailure::Malformed("it is compressed, which nobody asked for"));
    }
    if length != body.len() {
        return Err(GrpcFailure::Malformed("its length is wrong"));
    }
    T::decode(body).map_err(|_| GrpcFailure::Malformed("its message cannot be decoded"))
}

/// What the headers or trailers say. A status that cannot be read is not "none": the other place must not speak for it.
fn status(headers: &HeaderMap) -> Result<Option<(u32, String)>, GrpcFailure> {
    let Some(code) = headers.get("grpc-status") else { return Ok(None) };
    let code = code.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let code = code.and_then(|text| text.parse().ok()).ok_or(GrpcFailure::Malformed("its grpc-status is no number"))?;
    let message = headers.get("grpc-message").map(|value| percent_decoded(value.as_bytes())).unwrap_or_default();
    Ok(Some((code, message)))
}

/// gRPC percent-encodes `grpc-message`; what is not valid is kept as it is.
fn percent_decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let decoded = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()));
        out.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::flyteidl::OAuth2Metadata;

    fn reply(status: u16, media_type: &str, body: &[u8], trailers: &[(&'static str, &str)]) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media_type.parse().unwrap());
        let trailers = trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Reply { status: http::StatusCode::from_u16(status).unwrap(), headers, body: body.to_vec().into(), trailers }
    }

    fn read_metadata(reply: Reply) -> Result<OAuth2Metadata, GrpcFailure> {
        read(reply)
    }

    #[test]
    fn a_message_comes_back() {
        let sent = OAuth2Metadata { issuer: "https://i".into(), ..Default::default() };
        for media_type in ["application/grpc", "application/grpc+proto", "application/grpc; charset=x"] {
            let read = read_metadata(reply(200, media_type, &frame(&sent), &[("grpc-status", "0")])).unwrap();
            assert_eq!(read, sent);
        }
    }

    #[test]
    fn status_in_trailers_or_headers() {
        let late =
            reply(200, "application/grpc", b"", &[("grpc-status", "16"), ("grpc-message", "token%20parse%zz%C3%A9")]);
        let Err(GrpcFailure::Status { code: 16, message }) = read_metadata(late) else { panic!() };
        assert_eq!(message, "token parse%zz\u{e9}");
        let mut only = reply(200, "application/grpc", b"", &[]);
        only.headers.insert("grpc-status", "12".parse().unwrap());
        assert!(matches!(read_metadata(only), Err(GrpcFailure::Status { code: code::UNIMPLEMENTED, .. })));
    }

    #[test]
    fn an_unreadable_status_is_none_of_the_good_ones() {
        let whole = frame(&OAuth2Metadata::default());
        for status in ["1w6", "+0", "-0", "", "99999999999"] {
            let mut both = reply(200, "application/grpc", &whole, &[("grpc-status", status)]);
            both.headers.insert("grpc-status", "0".parse().unwrap());
            assert!(matches!(read_metadata(both), Err(GrpcFailure::Malformed(_))), "{status}");
        }
    }

    #[test]
    fn what_is_not_grpc_is_told_apart_from_what_is_broken() {
        let ok = [("grpc-status", "0")];
        for (status, media_type) in
            [(200, "text/html"), (302, "application/grpc"), (200, "application/json"), (200, "application/grpc-web")]
        {
            assert!(matches!(read_metadata(reply(status, media_type, b"", &ok)), Err(GrpcFailure::NotGrpc(_))));
        }
        let whole = frame(&OAuth2Metadata { issuer: "https://i".into(), ..Default::default() });
        let mut compressed = whole.clone();
        compressed[0] = 1;
        for (body, trailers) in [
            (&whole[..], &[][..]),
            (&whole[..], &[("grpc-status", "x")][..]),
            (b"", &ok[..]),
            (&whole[..4], &ok[..]),
            (&whole[..whole.len() - 1], &ok[..]),
            (&compressed[..], &ok[..]),
            (&[0, 255, 255, 255, 255][..], &ok[..]),
            (&[0, 0, 0, 0, 2, 0x0a, 0x7f][..], &ok[..]),
        ] {
            let outcome = read_metadata(reply(200, "application/grpc", body, trailers));
            assert!(matches!(outcome, Err(GrpcFailure::Malformed(_))), "{outcome:?}");
        }
    }
}
