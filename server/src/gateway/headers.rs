//! What of a message belongs to one connection stays there (RFC 9110 section 7.6.1), and what a proxy says of the caller
//! is said by us, never believed.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

use super::trouble::Failure;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Of one connection whether or not `connection` names them.
const OF_THE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATION_INFO,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HTTP2_SETTINGS,
];

/// The words of a header that is a list, such as `connection`.
pub(super) fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|other| other.eq_ignore_ascii_case(word))
}

pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    has_word(headers, &header::CONNECTION, "upgrade")
}

/// Removes the headers that the caller's `connection` names. To be called before anything is added that a service behind
/// relies on: else a caller could have it taken away again, as `Connection: x-user-subject` asks.
///
/// A wish to upgrade stays, and `te`, for [`Gateway::forward`](super::Gateway::forward) to see. Calling it again changes
/// nothing.
pub fn settle(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    // Without those two nobody could tell any more how the message was framed.
    let framing = [header::TRANSFER_ENCODING, header::CONTENT_LENGTH];
    let kept = [header::CONNECTION, header::UPGRADE, header::TE, header::HOST];
    let named: Vec<HeaderName> = words(headers, &header::CONNECTION).filter_map(|name| name.parse().ok()).collect();
    let is_upgrade = named.contains(&header::UPGRADE);
    for name in named.iter().filter(|name| !kept.contains(name) && !framing.contains(name)) {
        headers.remove(name);
    }
    if is_upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::CONNECTION);
    }
}

fn strip(headers: &mut HeaderMap) {
    settle(headers);
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

/// Refuses a body in an encoding that would be lost on the way (RFC 9112 section 6.1: 501). hyper takes off `chunked`;
/// where a length stands beside it, it drops the length and closes the connection after the answer.
pub(super) fn check_framing(head: &Parts) -> Result<(), Failure> {
    let mut lines = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(value), None) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Failure::Refused(StatusCode::NOT_IMPLEMENTED, "transfer-encoding may be chunked and nothing else")),
    }
}

/// The host that was asked for: the target's, if it is absolute, as always in HTTP/2 (RFC 9112 section 3.2.2), or else
/// the header's.
pub(super) fn host(head: &Parts) -> Result<Option<Authority>, Failure> {
    let refused = Err(Failure::Refused(StatusCode::BAD_REQUEST, "the host is not one host"));
    let host = match head.uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => {
            let mut lines = head.headers.get_all(header::HOST).iter();
            match (lines.next(), lines.next()) {
                (None, _) => None,
                (Some(host), None) if host.is_empty() => None,
                (Some(host), None) => match Authority::try_from(host.as_bytes()) {
                    Ok(host) => Some(host),
                    Err(_) => return refused,
                },
                _ => return refused,
            }
        }
    };
    match host {
        Some(host) if host.as_str().contains('@') => refused,
        host => Ok(host),
    }
}

/// Readies a request's headers for a service behind.
pub(super) fn ready(head: &mut Parts, host: &Authority, secure: bool, over_http2: bool, is_grpc: bool) {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let was_http2 = head.version == Version::HTTP_2;
    let headers = &mut head.headers;
    // The one value of `te` that is end to end: gRPC's servers ask for it.
    let wants_trailers = is_grpc || has_word(headers, &header::TE, "trailers");
    strip(headers);
    headers.remove(header::TE);
    headers.remove(header::TRAILER);
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if !over_http2 {
            // RFC 9110 section 10.1.4.
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
    }
    if was_http2 && !over_http2 {
        join_cookies(headers);
    }

    headers.remove(header::FORWARDED);
    match peer {
        Some(peer) => {
            let mut all = String::new();
            for address in words(headers, &FORWARDED_FOR) {
                all.push_str(address);
                all.push_str(", ");
            }
            all.push_str(&peer.to_string());
            insert(headers, FORWARDED_FOR, &all);
        }
        // The last address is taken for the caller's. Without a peer that would be what the caller wrote.
        None => {
            headers.remove(FORWARDED_FOR);
        }
    }
    insert(headers, FORWARDED_HOST, host.as_str());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
    if over_http2 {
        headers.remove(header::HOST);
    } else {
        insert(headers, header::HOST, host.as_str());
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // An authority and addresses have no control characters: this does not fail, and if it did, nothing false would stay.
    match HeaderValue::from_str(value) {
        Ok(value) => headers.insert(name, value),
        Err(_) => headers.remove(name),
    };
}

/// HTTP/2 may split cookies into several fields, which HTTP/1.1 must not have (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// Readies an answer's headers for the caller.
pub(super) fn settle_answer(headers: &mut HeaderMap) {
    // A length beside chunks does not count (RFC 9112 section 6.3), and the chunks end here.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    strip(headers);
    headers.remove(header::TE);
}
