//! Services behind, a front that carries to them, and clients of it. All end with the test's runtime.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::gateway::{Gateway, Roots, Upstream};

/// Far longer than anything here takes: what waits for this has failed.
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("this should have happened by now")
}

/// A service behind.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
}

impl Service {
    /// Runs `serve` for each connection.
    pub(super) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self { address: listener.local_addr().unwrap(), connections: Arc::default() };
        let connections = Arc::clone(&service.connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream));
            }
        });
        service
    }

    /// Speaks HTTP/1.1 and HTTP/2.
    pub(super) async fn new(app: Router) -> Self {
        Self::raw(move |stream| serve(stream, app.clone())).await
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.address.port())
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One connection of a service.
pub(super) async fn serve<S>(stream: S, app: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| app.clone().oneshot(request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().max_header_list_size(128 * 1024);
    // Connections that break are what some of the tests are about.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// An HTTP/1.1 service that reads one request's head, says `answer`, and shows what it read.
pub(super) async fn canned(answer: &'static str) -> (Service, mpsc::UnboundedReceiver<String>) {
    let (seen, heard) = mpsc::unbounded_channel();
    let service = Service::raw(move |mut stream| {
        let seen = seen.clone();
        async move {
            let head = read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            seen.send(head).unwrap();
            // What comes beyond the head.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = seen.send(String::from_utf8_lossy(&rest).into_owned());
        }
    })
    .await;
    (service, heard)
}

/// Up to the empty line.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub(super) const CALLER: &str = "192.0.2.7:1234";

/// Carries everything to the services behind; the peer is [`CALLER`].
#[derive(Debug)]
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pub(super) gateway: Gateway,
}

impl Front {
    pub(super) async fn new(upstreams: &[(&str, String)]) -> Self {
        Self::with(upstreams, Roots::platform(), Some(CALLER.parse().unwrap())).await
    }

    pub(super) async fn with(upstreams: &[(&str, String)], roots: Roots, peer: Option<SocketAddr>) -> Self {
        let upstreams: Vec<Upstream> = upstreams
            .iter()
            .map(|(matches, url)| Upstream { matches: (*matches).to_owned(), url: url.parse().unwrap() })
            .collect();
        let gateway = Gateway::new(&upstreams, roots).unwrap();
        let carrying = gateway.clone();
        let front = Service::raw(move |stream| {
            let gateway = carrying.clone();
            async move {
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let gateway = gateway.clone();
                    async move {
                        let mut request: Request = request.map(Body::new);
                        if let Some(peer) = peer {
                            request.extensions_mut().insert(ConnectInfo(peer));
                        }
                        let path = request.uri().path().to_owned();
                        Ok::<_, Infallible>(match gateway.route(&path) {
                            Some(target) => gateway.forward(target, request, true).await,
                            None => {
                                let mut response = Response::new(Body::empty());
                                *response.status_mut() = StatusCode::NOT_FOUND;
                                response
                            }
                        })
                    }
                });
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http2().max_header_list_size(128 * 1024).max_concurrent_streams(1000);
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            }
        })
        .await;
        Self { address: front.address, gateway }
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(super) async fn http1(&self) -> http1::SendRequest<Body> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.tcp().await)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    pub(super) async fn http2(&self) -> http2::SendRequest<Body> {
        self.http2_that_breaks().await.0
    }

    /// With its socket, to shut it down.
    pub(super) async fn http2_that_breaks(&self) -> (http2::SendRequest<Body>, std::net::TcpStream) {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(128 * 1024);
        let socket = self.tcp().await.into_std().unwrap();
        let stream = TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        (sender, socket)
    }

    /// One request over HTTP/1.1 with a connection of its own.
    pub(super) async fn get(&self, request: Request) -> Response<Incoming> {
        soon(self.http1().await.send_request(request)).await.unwrap()
    }

    /// The bytes of an answer to these bytes, until the connection is closed.
    pub(super) async fn bytes(&self, request: &str) -> String {
        let mut stream = self.tcp().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A request for `path` of `flyte.example`, as HTTP/1.1 has it.
pub(super) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "flyte.example")
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A body that is written piece by piece, and ends when its writer is dropped.
pub(super) fn pipe() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (writer, reader) = mpsc::channel::<Frame<Bytes>>(1);
    let stream = futures_util::stream::unfold(reader, |mut reader| async move {
        let frame = reader.recv().await?;
        Some((Ok::<_, Infallible>(frame), reader))
    });
    (writer, Body::new(StreamBody::new(stream)))
}

pub(super) fn data(text: &str) -> Frame<Bytes> {
    Frame::data(Bytes::from(text.to_owned()))
}
