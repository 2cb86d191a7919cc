//! What of a message belongs to one connection stays there (RFC 9110 section 7.6.1), and what a proxy says of the caller
//! is said by us, never believed.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header};

const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
const FURTHER: [HeaderName; 2] =
    [HeaderName::from_static("proxy-connection"), HeaderName::from_static("http2-settings")];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION).chain(&FURTHER) {
        headers.remove(name);
    }
}

/// Readies a request for the service behind. `secure`: the caller reached this deployment over TLS.
pub(super) fn forward(request: &mut Request, secure: bool, is_grpc: bool) {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_string());
    let host = request.headers().get(header::HOST).cloned();
    let was_http2 = request.version() == Version::HTTP_2;
    let headers = request.headers_mut();
    strip(headers);
    // The one value of TE that is end to end: gRPC asks for trailers with it.
    let trailers = headers.get(header::TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    headers.remove(header::TE);
    if trailers || is_grpc {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if was_http2 {
        // HTTP/2 may split cookies into several fields; HTTP/1.1 must not (RFC 9113 section 8.2.3).
        join_cookies(headers);
    }
    headers.remove(header::FORWARDED);
    if let Some(peer) = peer {
        let before = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect::<Vec<_>>()
            .join(", ");
        let all = if before.is_empty() { peer } else { format!("{before}, {peer}") };
        if let Ok(value) = HeaderValue::from_str(&all) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
    match host {
        Some(host) => headers.insert(FORWARDED_HOST, host),
        None => headers.remove(FORWARDED_HOST),
    };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
}

fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() < 2 {
        return;
    }
    let joined = lines.join(&b"; "[..]);
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, value);
    }
}

/// Readies an answer for the caller.
pub(super) fn back(headers: &mut HeaderMap) {
    strip(headers);
}
