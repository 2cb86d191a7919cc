//! Sockets: both loopback addresses on one port, HTTP/1.1 and HTTP/2 on each, TLS where there is a certificate.

mod work;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use flyte_auth::error::{Error, ErrorKind, Result};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::io::InspectReader;
use tower::Service as _;

use self::work::Work;

/// Headers of a request over HTTP/2, in bytes; hyper's own limit for HTTP/1.1 is larger.
const LARGEST_HEADERS: u32 = 128 * 1024;

/// A peer over HTTP/2 that went away without a word is found out after so long, and so long.
const PING: Duration = Duration::from_secs(60);
const PONG: Duration = Duration::from_secs(20);

/// From the word that a connection ends to its end.
const PARTING: Duration = Duration::from_secs(1);

/// How long a port waits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From connection to the end of the TLS handshake, and to the end of the request's headers.
    pub headers: Duration,
    /// Without a request in work. HTTP/1.1 has less: the next headers are to come within `headers`.
    pub idle: Duration,
    /// How long requests in work may go on after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // Clients of gRPC keep a connection between their calls, and make another without being asked to.
        let idle = Duration::from_secs(300);
        Self { headers: Duration::from_secs(10), idle, drain: Duration::from_secs(2) }
    }
}

/// A bound port.
#[derive(Debug)]
pub struct Port {
    listeners: Vec<TcpListener>,
    /// Its number.
    pub number: u16,
}

impl Port {
    /// Binds `127.0.0.1` and, where it is free, `::1`. Number 0 is a free port. `setting` names it in an error.
    ///
    /// # Errors
    /// Kind `Config`: the port is taken or not allowed.
    pub async fn bind(number: u16, setting: &'static str) -> Result<Self> {
        let failed = |error: io::Error| {
            let error_kind = error.kind();
            let message = match error_kind {
                io::ErrorKind::AddrInUse => format!("port {number} on 127.0.0.1 is taken by another program"),
                _ => format!("port {number} on 127.0.0.1 cannot be used: {error}"),
            };
            Error::config("port_unavailable", setting, message)
                .with_next("Choose another port, or 0 for any free one")
                .with_source(error)
        };
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).await.map_err(failed)?;
        let number = first.local_addr().map_err(failed)?.port();
        let mut listeners = vec![first];
        // Machines without IPv6 exist; a client that tries ::1 first then goes on to 127.0.0.1.
        if let Ok(second) = TcpListener::bind((Ipv6Addr::LOCALHOST, number)).await {
            listeners.push(second);
        }
        Ok(Self { listeners, number })
    }

    /// Binds `address`, an IP address; `0.0.0.0` is every address of the machine, of both families. Number 0 is a free
    /// port. `setting` names it in an error.
    ///
    /// # Errors
    /// Kind `Config`: the port is taken or not allowed, or the address is none of this machine.
    pub async fn bind_at(address: &str, number: u16, setting: &'static str) -> Result<Self> {
        let parsed: IpAddr = address.parse().map_err(|_| {
            Error::config("address_invalid", "gateway.address", format!("{address:?} is no IP address"))
                .with_next("Give the address to listen on, for example 127.0.0.1 or 0.0.0.0")
        })?;
        if parsed.is_loopback() {
            return Self::bind(number, setting).await;
        }
        let failed = |error: io::Error| {
            Error::config("port_unavailable", setting, format!("port {number} on {address} cannot be used: {error}"))
                .with_next("Choose another port, or 0 for any free one")
                .with_source(error)
        };
        // One socket for both families; machines without IPv6 have the other kind only.
        let both = match parsed {
            IpAddr::V4(v4) if v4.is_unspecified() => TcpListener::bind((Ipv6Addr::UNSPECIFIED, number)).await.ok(),
            _ => None,
        };
        let listener = match both {
            Some(listener) => listener,
            None => TcpListener::bind((parsed, number)).await.map_err(failed)?,
        };
        let number = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listeners: vec![listener], number })
    }

    /// Serves `app` until `stop` is true, then lets requests in work end for a moment. Each request knows its peer by
    /// `ConnectInfo<SocketAddr>`.
    pub async fn serve(self, tls: Option<TlsAcceptor>, app: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, tls.clone(), app.clone(), limits, stop.clone()));
        }
        // An error means that the sender is gone, which is a stop too.
        let _ = stop.wait_for(|stop| *stop).await;
        while accepting.join_next().await.is_some() {}
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, tls.clone(), app.clone(), limits, stop.clone()));
            }
            // Out of file descriptors, most likely: wait, or the loop would spin.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.drain, async { while connections.join_next().await.is_some() {} }).await;
    // Dropping the set ends what is left.
}

/// In each request's extensions: ends its connection with a TCP reset instead of an answer.
#[derive(Debug, Clone)]
pub struct Reset(Arc<ResetState>);

#[derive(Debug, Default)]
struct ResetState {
    wanted: AtomicBool,
    notify: Notify,
}

impl Reset {
    /// Resets the connection now.
    pub fn now(&self) {
        self.0.wanted.store(true, Ordering::Release);
        self.0.notify.notify_one();
    }
}

/// A socket that closes with a reset when that was asked for.
struct Socket {
    stream: TcpStream,
    reset: Reset,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.0.wanted.load(Ordering::Acquire) {
            // Zero linger: the kernel forgets what is unsent and sends RST. If it fails, the peer sees a plain close.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Router,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    // Without this, a reply in two packets waits for the peer's delayed acknowledgement (40 ms).
    let _ = stream.set_nodelay(true);
    let reset = Reset(Arc::default());
    let socket = Socket { stream, reset: reset.clone() };
    match tls {
        None => exchange(socket, peer, reset, app, limits, stop).await,
        Some(tls) => match tokio::time::timeout(limits.headers, tls.accept(socket)).await {
            Ok(Ok(stream)) => exchange(stream, peer, reset, app, limits, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        },
    }
}

async fn exchange<S>(
    stream: S,
    peer: SocketAddr,
    reset: Reset,
    app: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let in_requests = reset.clone();
    let work = Work::new();
    let in_work = Arc::clone(&work);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(in_requests.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = app.clone().call(Request::from(request));
        let request = in_work.begin();
        async move { answer.await.map(|answer| answer.map(|body| request.with(body))) }
    });
    let read = Arc::clone(&work);
    let stream = InspectReader::new(stream, move |bytes| read.read(bytes.len()));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(LARGEST_HEADERS)
        .keep_alive_interval(Some(PING))
        .keep_alive_timeout(PONG);
    let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut stopping = false;
    // hyper has no time by which a connection must say anything at all, and for HTTP/2 none by which it must ask.
    let mut idle = std::pin::pin!(tokio::time::sleep(limits.headers));
    let mut parting = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection broke");
                }
                return;
            }
            // Returning drops the socket, and with it goes the reset.
            () = reset.0.notify.notified() => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut idle => {
                let now = Instant::now();
                match work.until(&limits) {
                    None => idle.as_mut().reset(now + limits.headers),
                    Some(until) if until > now => idle.as_mut().reset(until),
                    Some(_) if parting => return,
                    // Whoever speaks HTTP/2 is told that it ends (GOAWAY), and loses no request that is on its way.
                    Some(_) => {
                        parting = true;
                        connection.as_mut().graceful_shutdown();
                        idle.as_mut().reset(now + PARTING);
                    }
                }
            }
        }
    }
}

/// An error that means the server itself could not start.
pub(crate) fn not_started(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "start_failed", format!("{what}: {error}")).with_source(error)
}
