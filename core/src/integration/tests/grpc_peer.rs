//! A real gRPC server on loopback that checks tokens: four methods, one per kind of call; messages are texts.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// How the server says that it does not believe the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A reply without a body: `grpc-status` in the headers, as an interceptor does.
    Headers,
    /// HTTP 401, as a proxy does.
    Http,
    /// Headers first, the status in the trailers.
    Trailers,
    /// A message first.
    AfterMessage,
    /// Status 7: the token is believed.
    Denied,
}

/// The server: believes one token.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) refusal: Arc<Mutex<Refusal>>,
    /// The tokens of each call, in order.
    pub(super) seen: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Peer {
    /// Serves until the test's runtime ends. Only `t2` is believed.
    pub(super) async fn start(refusal: Refusal) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Self { address, refusal: Arc::new(Mutex::new(refusal)), seen: Arc::default() };
        let server = Server::builder().add_service(peer.clone());
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        peer
    }

    /// The same behind TLS; the certificate is for `localhost`.
    pub(super) async fn start_tls(config: rustls::ServerConfig) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Self { address, refusal: Arc::new(Mutex::new(Refusal::Headers)), seen: Arc::default() };
        let (serving, acceptor) = (peer.clone(), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (peer, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service =
                        service_fn(move |request: http::Request<Incoming>| peer.clone().call(request.map(Body::new)));
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        peer
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|tokens| tokens.join("+")).collect()
    }

    fn refuse(&self) -> http::Response<Body> {
        let status = |code: &'static str| {
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))])
        };
        let reply =
            |body: Body| http::Response::builder().header("content-type", "application/grpc").body(body).unwrap();
        let ended = |code: &'static str| async move { Some(Ok::<_, Infallible>(status(code))) }.boxed();
        match *self.refusal.lock().unwrap() {
            Refusal::Http => http::Response::builder().status(401).body(Body::empty()).unwrap(),
            Refusal::Headers => Status::unauthenticated("who are you?").into_http(),
            Refusal::Denied => Status::permission_denied("not for you").into_http(),
            Refusal::Trailers => reply(Body::new(Empty::<Bytes>::new().with_trailers(ended("16")))),
            // Prefix of five bytes, then field 1 with a text of one byte.
            Refusal::AfterMessage => {
                reply(Body::new(Full::new(Bytes::from_static(b"\0\0\0\0\x03\x0a\x01m")).with_trailers(ended("16"))))
            }
        }
    }
}

impl NamedService for Peer {
    const NAME: &'static str = "test.Test";
}

impl Service<http::Request<Body>> for Peer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let values = request.headers().get_all("flyte-authorization").iter();
            let tokens: Vec<String> =
                values.map(|value| value.to_str().unwrap().trim_start_matches("Bearer ").to_owned()).collect();
            let believed = tokens == ["t2"] && *this.refusal.lock().unwrap() != Refusal::Denied;
            this.seen.lock().unwrap().push(tokens);
            if !believed {
                return Ok(this.refuse());
            }
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                "/test.Test/Unary" => grpc.unary(Echo, request).await,
                "/test.Test/ServerStream" => grpc.server_streaming(Letters, request).await,
                "/test.Test/ClientStream" => grpc.client_streaming(Join, request).await,
                "/test.Test/Both" => grpc.streaming(EchoEach, request).await,
                other => panic!("{other}"),
            })
        })
    }
}

type Reply<T> = BoxFuture<'static, Result<Response<T>, Status>>;
type Texts = Pin<Box<BoxStream<'static, Result<String, Status>>>>;

/// A method: what it is called with, what it answers.
macro_rules! method {
    ($name:ident, $takes:ty, $gives:ty, $body:expr) => {
        #[derive(Clone)]
        struct $name;
        impl Service<Request<$takes>> for $name {
            type Response = Response<$gives>;
            type Error = Status;
            type Future = Reply<$gives>;
            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
                Poll::Ready(Ok(()))
            }
            fn call(&mut self, request: Request<$takes>) -> Self::Future {
                let body: fn($takes) -> BoxFuture<'static, Result<$gives, Status>> = $body;
                let reply = body(request.into_inner());
                Box::pin(async move { reply.await.map(Response::new) })
            }
        }
    };
}

method!(Echo, String, String, |text| async move { Ok(text) }.boxed());
method!(Letters, String, Texts, |text| {
    async move {
        let letters: Vec<_> = text.chars().map(|letter| Ok(letter.to_string())).collect();
        Ok(Box::pin(futures_util::stream::iter(letters).boxed()))
    }
    .boxed()
});
method!(Join, Streaming<String>, String, |mut texts| {
    async move {
        let mut all = String::new();
        while let Some(text) = texts.message().await? {
            all.push_str(&text);
        }
        Ok(all)
    }
    .boxed()
});
method!(EchoEach, Streaming<String>, Texts, |texts| async move { Ok(Box::pin(texts.boxed())) }.boxed());
