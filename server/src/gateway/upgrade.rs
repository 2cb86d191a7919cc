//! Connections that become WebSockets (RFC 6455; RFC 9110 section 7.8): bytes go both ways until either side ends.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::headers;
use super::trouble::Failure;

/// What never goes through: another version of HTTP, or TLS, would be a tunnel past everything that is checked here; and
/// nothing else is known to be none.
fn is_tunnel(protocol: &str) -> bool {
    !protocol.eq_ignore_ascii_case("websocket")
}

/// The protocols that a caller would change to. A wish that is not passed on is no error: the request goes on without.
pub(super) fn asked(head: &Parts) -> Option<HeaderValue> {
    if head.version != Version::HTTP_11 || !headers::wants_upgrade(&head.headers) {
        return None;
    }
    let mut protocols = headers::words(&head.headers, &header::UPGRADE).peekable();
    protocols.peek()?;
    if protocols.any(is_tunnel) { None } else { head.headers.get(header::UPGRADE).cloned() }
}

/// Asks a service behind to change, or tells the caller that it did.
pub(super) fn ask(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

/// Joins both connections once each has changed over, and tells the caller. A service that changes to what nobody asked
/// for has broken the protocol.
pub(super) fn join(
    mut response: Response,
    caller: Option<OnUpgrade>,
    asked: Option<&HeaderValue>,
) -> Result<Response, Failure> {
    let broken = || {
        let text = "the service changed to a protocol that was not asked for";
        Failure::Broken(std::sync::Arc::new(std::io::Error::other(text)))
    };
    let (Some(caller), Some(asked), Some(chosen)) = (caller, asked, response.headers().get(header::UPGRADE).cloned())
    else {
        return Err(broken());
    };
    let is_asked = asked.to_str().unwrap_or_default().split(',').any(|protocol| {
        let chosen = chosen.as_bytes().trim_ascii();
        protocol.trim().as_bytes().eq_ignore_ascii_case(chosen)
    });
    let service = response.extensions_mut().remove::<OnUpgrade>().filter(|_| is_asked).ok_or_else(broken)?;
    headers::settle_answer(response.headers_mut());
    ask(response.headers_mut(), &chosen);
    *response.body_mut() = Body::empty();
    tokio::spawn(async move {
        match tokio::try_join!(caller, service) {
            Ok((caller, service)) => {
                let (mut caller, mut service) = (TokioIo::new(caller), TokioIo::new(service));
                if let Err(error) = tokio::io::copy_bidirectional(&mut caller, &mut service).await {
                    tracing::debug!(%error, "an upgraded connection broke");
                }
            }
            Err(error) => tracing::debug!(%error, "an upgrade did not come about"),
        }
    });
    Ok(response)
}
