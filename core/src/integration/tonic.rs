//! [`tonic`](::tonic) clients with the session's token (feature `tonic`).
//!
//! ```no_run
//! # struct AdminServiceClient<T>(T);
//! # impl<T> AdminServiceClient<T> { fn new(channel: T) -> Self { Self(channel) } }
//! # fn example(session: flyte_auth::session::Session) -> flyte_auth::Result<()> {
//! let channel = flyte_auth::tonic::channel(&session)?;
//! let client = AdminServiceClient::new(channel);   // any client that tonic generates
//! # Ok(())
//! # }
//! ```
//!
//! [`channel`] connects to the session's endpoint through the session's own client factory, so that CA, proxy, client
//! certificate and `insecureSkipVerify` hold as they do for discovery and login; no feature of tonic's transport is
//! needed. A `tonic::transport::Channel` of your own, with its balancing and keep-alive, takes the token by
//! [`AuthChannel::over`]; it must be connected to the session's endpoint, which nothing here can check.
//!
//! What happens to a call is told in [`tower`](crate::tower): one header, and one replay after HTTP 401 or status 16,
//! where no message was delivered and the request was not a stream that is still open. A deadline (`set_timeout`) holds
//! from the wait for the token to the end of the reply's headers, with [`channel`] to the end of the reply.
//!
//! Failures are [`Status`]: what the server said, or an [`Error`] of ours by `Status::from(error)`, with the error as
//! its source: `status.source()` and `downcast_ref::<flyte_auth::Error>()`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use sync_wrapper::SyncWrapper;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_layer::Layer as _;
use tower_service::Service;

use super::http_service::HttpService;
use super::tower::{AuthLayer, AuthService, BoxError};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;

/// A channel to the session's endpoint for any client that tonic generates. Connects with the first call.
///
/// # Errors
/// Kind `Config`: no endpoint is configured, or a certificate or proxy setting cannot be used.
pub fn channel(session: &Session) -> Result<AuthChannel> {
    let endpoint = session.config().endpoint.as_ref().ok_or_else(|| {
        Error::config("endpoint_missing", "admin.endpoint", "no endpoint is configured to open a channel to")
            .with_next("Set admin.endpoint or --endpoint")
    })?;
    let channel = HttpChannel(HttpService::new(session, true)?);
    Ok(AuthChannel { base_url: Some(endpoint.value.base_url()), ..AuthChannel::over(session, channel) })
}

/// A gRPC service whose calls carry the session's token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct AuthChannel<S = HttpChannel> {
    service: AuthService<S>,
    base_url: Option<String>,
}

impl<S> AuthChannel<S> {
    /// A channel of your own with the session's token; connect it to the session's endpoint.
    pub fn over(session: &Session, channel: S) -> Self {
        Self { service: AuthLayer::new(session).layer(channel), base_url: None }
    }
}

impl<S> fmt::Debug for AuthChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthChannel").field("session", self.service.session()).finish_non_exhaustive()
    }
}

impl<S, R> Service<Request<Body>> for AuthChannel<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.service.poll_ready(context).map_err(status)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(base_url) = &self.base_url
            && request.uri().authority().is_none()
        {
            // tonic's clients name the method only.
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            match Uri::try_from(format!("{base_url}{path}")) {
                Ok(uri) => *request.uri_mut() = uri,
                Err(_) => return Box::pin(async { Err(Status::internal("the method is no path of an address")) }),
            }
        }
        let deadline = deadline(request.headers());
        let reply = self.service.call(request);
        Box::pin(async move {
            let too_late = || Status::deadline_exceeded(TOO_LATE);
            let reply = match deadline {
                Some(deadline) => match tokio::time::timeout(deadline, reply).await {
                    Ok(Err(error)) if timed_out(&error) => return Err(too_late()),
                    Ok(reply) => reply,
                    Err(_) => return Err(too_late()),
                },
                None => reply.await,
            };
            Ok(reply.map_err(status)?.map(|body| Body::new(body.map_err(status))))
        })
    }
}

/// gRPC over the session's client factory.
#[derive(Debug, Clone)]
pub struct HttpChannel(HttpService);

impl Service<Request<Body>> for HttpChannel {
    type Response = Response<reqwest::Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<reqwest::Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = deadline(request.headers());
        let request = request.map(|body| reqwest::Body::wrap(Shareable(SyncWrapper::new(body))));
        self.0.send(request, deadline)
    }
}

/// tonic's body is not `Sync`, which reqwest asks of its bodies though only one task reads them.
struct Shareable(SyncWrapper<Body>);

impl http_body::Body for Shareable {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        Pin::new(self.0.get_mut()).poll_frame(context)
    }
}

/// The call's `grpc-timeout` (`PROTOCOL-HTTP2.md`: at most eight digits and a unit).
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (amount, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount = amount.parse::<u64>().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Said of a call whose deadline passed.
const TOO_LATE: &str = "the call's deadline passed";

/// The client below has the same deadline as the call, and may notice first.
fn timed_out(error: &BoxError) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.code() == "timeout")
}

/// What tonic's clients hand to their callers.
fn status(error: BoxError) -> Status {
    let error = match error.downcast::<Error>() {
        Ok(error) => return Status::from(*error),
        Err(error) => error,
    };
    match error.downcast::<reqwest::Error>() {
        Ok(cause) => {
            let mut status = if cause.is_timeout() {
                Status::deadline_exceeded(TOO_LATE)
            } else {
                Status::unavailable("the connection broke before the reply was complete")
            };
            status.set_source(Arc::new(cause.without_url()));
            status
        }
        Err(error) => Status::from_error(error),
    }
}

impl From<Error> for Status {
    /// The code that fits the error's kind; the message is the error's, the error its source.
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::LoginRequired => Code::Unauthenticated,
            ErrorKind::Denied => Code::PermissionDenied,
            ErrorKind::Config => Code::FailedPrecondition,
            ErrorKind::Cancelled => Code::Cancelled,
            ErrorKind::Network => Code::Unavailable,
            _ if error.is_retryable() => Code::Unavailable,
            ErrorKind::Server | ErrorKind::Store | ErrorKind::Internal => Code::Internal,
        };
        let mut status = Self::new(code, error.to_string());
        status.set_source(Arc::new(error));
        status
    }
}
