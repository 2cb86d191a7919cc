//! The client factory as a tower service: what a program calls through it has the session's CA, proxy and client
//! certificate, like every call of the session itself.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower_service::Service;

use crate::error::{Error, Result};
use crate::session::Session;
use crate::transport::Purpose;
use crate::transport::reqwest::ReqwestTransport;

/// Sends requests with absolute addresses; follows no redirect. Has connections of its own; a forked child makes new
/// ones.
#[derive(Debug, Clone)]
pub(super) struct HttpService {
    transport: Arc<ReqwestTransport>,
    http2_only: bool,
}

impl HttpService {
    pub(super) fn new(session: &Session, http2_only: bool) -> Result<Self> {
        Ok(Self { transport: Arc::new(ReqwestTransport::new(&session.config().network)?), http2_only })
    }

    /// A client that makes request builders; what it sends itself has no token.
    #[cfg(feature = "reqwest")]
    pub(super) fn requests(&self) -> Result<reqwest::Client> {
        self.transport.plain_client()
    }

    /// As `call`, with a deadline for the whole reply.
    pub(super) fn send(
        &self,
        request: Request<reqwest::Body>,
        timeout: Option<std::time::Duration>,
    ) -> BoxFuture<'static, Result<Response<reqwest::Body>>> {
        let Self { transport, http2_only } = self.clone();
        Box::pin(async move { Ok(transport.open(Purpose::Call, request, timeout, http2_only).await?) })
    }
}

impl Service<Request<reqwest::Body>> for HttpService {
    type Response = Response<reqwest::Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<reqwest::Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<reqwest::Body>) -> Self::Future {
        self.send(request, None)
    }
}
