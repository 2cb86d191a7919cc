//! A [`tower`](https://docs.rs/tower) layer that puts the session's token into every request (feature `tower`).
//!
//! ```no_run
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! # async fn example<S>(http: S) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
//! # where
//! #     S: tower_service::Service<http::Request<Full<Bytes>>, Response = http::Response<Full<Bytes>>>,
//! #     S: Clone + Send + 'static,
//! #     S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
//! #     S::Future: Send,
//! # {
//! use flyte_auth::session::Session;
//! use flyte_auth::tower::AuthLayer;
//! use tower_layer::Layer as _;
//! # use tower_service::Service as _;
//!
//! let session = Session::builder(flyte_auth::config::Config::default()).build()?;
//! // `http`: hyper-util's client, a tonic channel, your own stack of middleware.
//! let mut flyte = AuthLayer::new(&session).layer(http);
//! std::future::poll_fn(|context| flyte.poll_ready(context)).await?;
//! let request = http::Request::get("https://flyte.example.org/api/v1/projects").body(Full::default())?;
//! let reply = flyte.call(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does to a request
//! - The header that the server asks for (`authorization_metadata_key`) is there exactly once: one that the request
//!   brought is replaced. Other headers stay, also an `authorization` for a proxy where the server's has another name.
//!   The value is marked sensitive, so that no `Debug` shows it and HTTP/2 does not index it.
//! - An endpoint without auth: the request goes on untouched.
//! - No token to be had: the call fails with [`Error`](crate::Error) and nothing is sent.
//!
//! # Where the token goes
//! To the host and port of the session's endpoint, and to what [`AuthLayer::also_for`] names. A request to anywhere else
//! fails with the code `foreign_host` and is not sent: a program that mixes hosts in one client finds out at once, and
//! not from another host's log. Beyond loopback a request without TLS fails with `plaintext_refused`, unless the
//! endpoint itself is configured without TLS.
//!
//! A request without an authority, as tonic's generated clients make them, goes where the service below is connected
//! to. The layer cannot see that: give it a channel to the session's own endpoint, or take `flyte_auth::tonic::channel`,
//! which makes one. HTTP clients that follow redirects by themselves do so below this layer: forbid it, or keep it to
//! the endpoint's own host.
//!
//! # When the server rejects the token
//! HTTP 401 and gRPC status 16 invalidate the token (by its generation: late rejections of an old token start nothing)
//! and the request is sent once more with a new one, where nothing was delivered to the caller and the request's body
//! is at hand: it was ready at once and is not longer than [`AuthLayer::replay_limit`]. That holds for unary and server
//! streaming gRPC calls and for ordinary HTTP requests; a request stream that was still open is not repeated. A second
//! rejection is the caller's to see. 403 and gRPC status 7 are answers, not rejections of a token.
//!
//! gRPC's status 16 may also come in the trailers; then the call is repeated while the reply's body is read, as long as
//! no message was in it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::config::endpoint::Endpoint;
use crate::firewall::calls::Scope;
use crate::session::Session;

mod exchange;
mod reply;
mod request;

pub use reply::AuthBody;
pub use request::{Outgoing, RequestBody};

/// Any error, as tower's middleware passes it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bodies up to this are kept for a replay unless [`AuthLayer::replay_limit`] says otherwise: 1 MiB.
pub const DEFAULT_REPLAY_LIMIT: usize = 1024 * 1024;

/// What a layer and its services share.
struct Shared {
    session: Session,
    scope: Scope,
    replay_limit: usize,
}

/// Makes an [`AuthService`] of any HTTP service. Cheap to clone.
#[derive(Clone)]
pub struct AuthLayer {
    shared: Arc<Shared>,
}

impl AuthLayer {
    /// Tokens of `session`, for its own endpoint.
    pub fn new(session: &Session) -> Self {
        let scope = Scope::new(session);
        Self { shared: Arc::new(Shared { session: session.clone(), scope, replay_limit: DEFAULT_REPLAY_LIMIT }) }
    }

    /// The token may also go to `endpoint`: another address of the same control plane. A session that was configured by
    /// its issuer alone has no endpoint of its own and needs this.
    #[must_use]
    pub fn also_for(self, endpoint: Endpoint) -> Self {
        let Shared { session, scope, replay_limit } = &*self.shared;
        let shared = Shared { session: session.clone(), scope: scope.and(endpoint), replay_limit: *replay_limit };
        Self { shared: Arc::new(shared) }
    }

    /// Bodies up to `bytes` are kept until the reply begins, so that a rejected request can be sent again; 0: no request
    /// with a body is. Keeping shares the body's memory, it makes no copy.
    #[must_use]
    pub fn replay_limit(self, bytes: usize) -> Self {
        let Shared { session, scope, .. } = &*self.shared;
        Self { shared: Arc::new(Shared { session: session.clone(), scope: scope.clone(), replay_limit: bytes }) }
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").field("session", &self.shared.session).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { shared: Arc::clone(&self.shared), inner }
    }
}

/// An HTTP service whose requests carry the session's token: see the [module](self).
///
/// Errors are those of the service below, or a boxed [`Error`](crate::Error): `error.downcast_ref::<flyte_auth::Error>()`.
#[derive(Clone)]
pub struct AuthService<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> AuthService<S> {
    /// Its session.
    pub fn session(&self) -> &Session {
        &self.shared.session
    }
}

impl<S: fmt::Debug> fmt::Debug for AuthService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthService").field("session", &self.shared.session).field("inner", &self.inner).finish()
    }
}

/// The future of an [`AuthService`].
pub type AuthFuture<B> = Pin<Box<dyn Future<Output = Result<Response<AuthBody<B>>, BoxError>> + Send>>;

impl<S, B, ResBody> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: RequestBody,
    B::Error: Into<BoxError>,
    ResBody: Body + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<AuthBody<ResBody>>;
    type Error = BoxError;
    type Future = AuthFuture<ResBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that said it is ready takes this request; its clone has yet to be asked.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        Box::pin(exchange::exchange(Arc::clone(&self.shared), ready, request))
    }
}
