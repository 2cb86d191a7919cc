//! Connections that become WebSockets (RFC 6455; RFC 9110 section 7.8). No other protocol: HTTP/2 in the clear (`h2c`)
//! would be a tunnel to the service behind, past everything that is checked and said here.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

/// The protocol that a caller asks for. HTTP/2 has another way, which nobody behind speaks.
pub(super) fn asked(request: &Request) -> Option<HeaderValue> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let mut connection = request.headers().get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let wanted = connection.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")));
    let protocol = request.headers().get(header::UPGRADE).filter(|_| wanted)?;
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket").then(|| protocol.clone())
}

/// Asks the service behind for it.
pub(super) fn ask(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

/// Joins the two connections once both have changed over, and says so to the caller.
pub(super) fn join(response: axum::http::Response<Incoming>, caller: OnUpgrade, protocol: &HeaderValue) -> Response {
    let (mut head, body) = response.into_parts();
    let mut response = axum::http::Response::from_parts(head.clone(), body);
    let service = hyper::upgrade::on(&mut response);
    super::headers::back(&mut head.headers);
    ask(&mut head.headers, protocol);
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    tokio::spawn(async move {
        match tokio::try_join!(caller, service) {
            Ok((caller, service)) => copy(caller, service).await,
            Err(error) => tracing::debug!(%error, "an upgrade did not come about"),
        }
    });
    Response::from_parts(head, Body::empty())
}

async fn copy(caller: Upgraded, service: Upgraded) {
    let (mut caller, mut service) = (TokioIo::new(caller), TokioIo::new(service));
    if let Err(error) = tokio::io::copy_bidirectional(&mut caller, &mut service).await {
        tracing::debug!(%error, "an upgraded connection broke");
    }
}
