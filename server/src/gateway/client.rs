//! Connections to the services behind: one pool for HTTP/1.1 or whatever TLS negotiates, one for HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use flyte_auth::error::Result;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::listen::not_started;

/// A connection that takes longer will not come.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that nobody used for so long is closed; shorter than what services behind allow.
const IDLE: Duration = Duration::from_secs(50);
/// An HTTP/2 connection is asked for a sign of life this often, and given this long for it.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// Flow control of HTTP/2 connections: enough for a message of some MiB without a stop.
const WINDOW: u32 = 4 * 1024 * 1024;

type Pool = Client<HttpsConnector<HttpConnector>, Body>;

#[derive(Clone)]
pub(super) struct Clients {
    any: Pool,
    http2: Pool,
}

impl Clients {
    pub(super) fn new() -> Result<Self> {
        let connector = || {
            let mut connector = HttpConnector::new();
            connector.enforce_http(false);
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(CONNECT));
            connector.set_keepalive(Some(Duration::from_secs(60)));
            connector
        };
        let tls = || -> std::result::Result<rustls::ClientConfig, rustls::Error> {
            // The provider is named: with two in a process, rustls would ask which is the default and panic.
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder =
                rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
            Ok(builder.try_with_platform_verifier()?.with_no_client_auth())
        };
        let tls = || tls().map_err(|error| not_started("TLS to the services behind", error));
        let any = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(connector());
        let http2 = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http2()
            .wrap_connector(connector());
        let builder = || {
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                // A pooled connection that closed before anything was sent is not the caller's concern.
                .retry_canceled_requests(true)
                // The host is the one that was asked for, and comes with the request.
                .set_host(false)
                .http1_max_headers(200)
                .http2_adaptive_window(false)
                .http2_initial_stream_window_size(WINDOW)
                .http2_initial_connection_window_size(4 * WINDOW)
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PONG);
            builder
        };
        Ok(Self { any: builder().build(any), http2: builder().http2_only(true).build(http2) })
    }

    pub(super) async fn send(&self, request: Request, http2: bool) -> std::result::Result<Response<Incoming>, Error> {
        let pool = if http2 { &self.http2 } else { &self.any };
        pool.request(request).await
    }
}
