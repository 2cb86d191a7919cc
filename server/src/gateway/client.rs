//! Connections: how they are made, and the pool of those that speak HTTP/1.1.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use flyte_auth::error::Result;
use futures_util::future::BoxFuture;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::Service;

use super::roots::{Roots, no_tls};
use super::trouble::Failure;

/// Name, TCP and TLS together. What takes longer does not come.
const CONNECT: Duration = Duration::from_secs(5);
/// The kernel asks an idle connection for a sign of life after this, and then so often.
const ALIVE: Duration = Duration::from_secs(30);
const ALIVE_AGAIN: Duration = Duration::from_secs(10);
const ALIVE_TIMES: u32 = 3;
/// An HTTP/1.1 connection that nobody used for so long is closed; Go's servers and proxies close theirs after 60 s or more.
const IDLE: Duration = Duration::from_secs(50);
/// So many idle ones are kept for each service.
const IDLE_CONNECTIONS: usize = 128;

pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections, within a time.
#[derive(Debug, Clone)]
pub(super) struct Dial(HttpsConnector<HttpConnector>);

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Stream, Cause>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no connection within 5 s").into()),
            }
        })
    }
}

/// How to connect, by what TLS offers.
pub(super) struct Dials {
    /// HTTP/1.1 alone.
    pub(super) http1: Dial,
    /// HTTP/2, or else HTTP/1.1.
    pub(super) negotiated: Dial,
}

/// With `roots`: for TLS too.
pub(super) fn dials(roots: Option<&Roots>) -> Result<Dials> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    // A service whose machine is gone says nothing. HTTP/2's own pings would tell, but gRPC's servers take more than two
    // within five minutes for an attack ("too_many_pings") and end every stream.
    tcp.set_keepalive(Some(ALIVE));
    tcp.set_keepalive_interval(Some(ALIVE_AGAIN));
    tcp.set_keepalive_retries(Some(ALIVE_TIMES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(ALIVE + ALIVE_AGAIN * ALIVE_TIMES));
    let dial = |protocols: &[&[u8]]| -> Result<Dial> {
        let tls = match roots {
            Some(roots) => roots.tls(protocols)?,
            None => no_tls()?,
        };
        Ok(Dial(HttpsConnector::from((tcp.clone(), tls))))
    };
    Ok(Dials { http1: dial(&[b"http/1.1"])?, negotiated: dial(&[b"h2", b"http/1.1"])? })
}

/// What an error of connecting means.
pub(super) fn not_connected(cause: Cause) -> Failure {
    let mut error: Option<&(dyn std::error::Error + 'static)> = Some(cause.as_ref());
    while let Some(current) = error {
        if current.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return Failure::SlowConnection;
        }
        error = current.source();
    }
    Failure::NoConnection(Arc::from(cause))
}

/// HTTP/1.1 to every service.
pub(super) struct Http1(Client<Dial, Body>);

impl Http1 {
    pub(super) fn new(dial: Dial) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            // A pooled connection that was closed before anything was sent is not the caller's concern.
            .retry_canceled_requests(true)
            // The host is the one that was asked for, and is in the request.
            .set_host(false);
        Self(builder.build(dial))
    }

    /// Sends a request whose URI says where to connect. The answer's body streams.
    pub(super) async fn send(&self, request: Request) -> Result<Response, Failure> {
        match self.0.request(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(error) if error.is_connect() => Err(not_connected(error.into())),
            Err(error) => Err(Failure::Broken(Arc::new(error))),
        }
    }
}
