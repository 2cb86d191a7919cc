//! A reverse proxy that only carries: who may pass is decided before it is called. HTTP/1.1, HTTP/2, gRPC and Connect,
//! unary and streaming, without buffering; trailers and upgrades go through.
//!
//! [`Gateway::route`] says where a path goes, [`Gateway::forward`] takes a request there. gRPC goes out over HTTP/2, the
//! rest over HTTP/1.1 or what TLS agrees on. A service behind that fails is an answer in the caller's own protocol.

mod client;
mod headers;
mod http2;
mod patience;
mod roots;
mod routes;
#[cfg(test)]
mod tests;
mod trailers;
mod trouble;
mod upgrade;

use std::fmt;
use std::sync::Arc;

pub use self::headers::settle;
pub use self::roots::Roots;
pub use self::routes::Target;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Version};
use axum::response::Response;
use flyte_auth::error::Result;

use self::client::Http1;
use self::http2::Reserved;
use self::patience::PATIENCE;
use self::routes::Routes;
use self::trouble::{Dialect, Failure};
use crate::config::model::Upstream;

/// The services behind and the connections to them. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    routes: Routes,
    http1: Http1,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("routes", &self.inner.routes).finish_non_exhaustive()
    }
}

/// What a request goes out over.
enum Wire {
    Http1,
    Http2(Reserved),
}

impl Gateway {
    /// Connects to nothing yet; the platform's certificates are loaded if an upstream is `https`.
    ///
    /// # Errors
    /// Kind `Config`: an upstream's `match` or `url` cannot be used, or there is no certificate to trust.
    pub fn new(upstreams: &[Upstream], roots: Roots) -> Result<Self> {
        let secure = upstreams.iter().any(|upstream| upstream.url.scheme() == "https");
        let dials = client::dials(if secure { Some(&roots) } else { None })?;
        let routes = Routes::new(upstreams, &dials.negotiated)?;
        Ok(Self { inner: Arc::new(Inner { routes, http1: Http1::new(dials.http1) }) })
    }

    /// Where the path of a request goes. A remote procedure (`/package.Service/Method`) goes by its service, everything
    /// else by its path; the longest match wins. A path with a dot segment, however it is encoded, matches no path.
    pub fn route(&self, path: &str) -> Option<&Target> {
        self.inner.routes.find(path)
    }

    /// Takes a request to a service behind. `secure`: the caller reached this deployment over TLS, which
    /// `x-forwarded-proto` tells the service. The peer's address is in the request's `ConnectInfo<SocketAddr>`.
    ///
    /// Never fails: what goes wrong is an answer in the caller's protocol. For a caller's upgrade, the connection that the
    /// request came on must be served "with upgrades".
    pub async fn forward(&self, target: &Target, request: Request, secure: bool) -> Response {
        let dialect = Dialect::of(&request);
        match self.carry(target, request, secure, dialect).await {
            Ok(response) => response,
            Err(failure) => {
                failure.log(target.matches());
                trouble::answer(dialect, &failure)
            }
        }
    }

    async fn carry(
        &self,
        target: &Target,
        request: Request,
        secure: bool,
        dialect: Dialect,
    ) -> std::result::Result<Response, Failure> {
        let (mut head, body) = request.into_parts();
        if head.method == Method::CONNECT {
            return Err(Failure::Refused(StatusCode::NOT_IMPLEMENTED, "tunnels are not offered here"));
        }
        headers::check_framing(&head)?;
        let host = headers::host(&head)?;
        let upgrade = if target.is_http2_only() { None } else { upgrade::asked(&head) };
        let caller = upgrade.as_ref().and_then(|_| head.extensions.remove::<hyper::upgrade::OnUpgrade>());
        let is_grpc = dialect == Dialect::Grpc;
        let body = trailers::without(body);
        let limited = !dialect.has_own_deadline(&head.headers);
        let (body, progress) = if limited { patience::watch(body) } else { (body, None) };

        let exchange = async {
            let wire = if upgrade.is_some() { Wire::Http1 } else { target.wire(is_grpc).await? };
            let over_http2 = matches!(wire, Wire::Http2(_));
            let host = host.unwrap_or_else(|| target.authority().clone());
            headers::ready(&mut head, &host, secure, over_http2, is_grpc);
            if let Some(protocol) = &upgrade {
                upgrade::ask(&mut head.headers, protocol);
            }
            // Over HTTP/2 the authority is the host that was asked for; over HTTP/1.1 it says where to connect, and the
            // `host` header has the other.
            head.uri = target.address(&head.uri, if over_http2 { &host } else { target.authority() })?;
            head.version = if over_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
            // What the listener left there is nobody's business behind.
            head.extensions.clear();
            let request = Request::from_parts(head, body);
            match wire {
                Wire::Http1 => self.inner.http1.send(request).await,
                Wire::Http2(reserved) => target.lines().send(reserved, request).await,
            }
        };
        let response = if limited { patience::within(PATIENCE, progress, exchange).await? } else { exchange.await? };

        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return upgrade::join(response, caller, upgrade.as_ref());
        }
        let mut response: Response = response;
        headers::settle_answer(response.headers_mut());
        // What the service speaks says nothing of what the caller speaks.
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }
}
