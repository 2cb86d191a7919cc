//! reqwest against HTTP servers on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::reqwest::{client, redirect_policy, wrap};

/// Path, token and body of a request.
type Seen = (String, Option<String>, String);

/// A server that notes what it was sent.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Peer {
    async fn start(
        answer: impl Fn(&str, Option<&str>) -> http::Response<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, answer) = (Arc::clone(&peer.seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let path = parts.uri.path().to_owned();
                        let mut tokens = parts.headers.get_all("flyte-authorization").iter();
                        let token = tokens.next().map(|token| token.to_str().unwrap().to_owned());
                        assert!(tokens.next().is_none(), "one header");
                        let reply = answer(&path, token.as_deref());
                        seen.lock().unwrap().push((path, token, String::from_utf8_lossy(&body).into_owned()));
                        Ok::<_, Infallible>(reply.map(|text| Full::new(Bytes::from_static(text.as_bytes()))))
                    }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await });
            }
        });
        peer
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn entry(path: &str, token: Option<&str>, body: &str) -> Seen {
    (path.to_owned(), token.map(|token| format!("Bearer {token}")), body.to_owned())
}

fn reply(status: u16, text: &'static str) -> http::Response<&'static str> {
    http::Response::builder().status(status).body(text).unwrap()
}

fn redirect(to: &str) -> http::Response<&'static str> {
    http::Response::builder().status(307).header("location", to).body("").unwrap()
}

/// A client as programs make one of their own.
fn own(session: &Session) -> reqwest::Client {
    #[expect(clippy::disallowed_methods, reason = "the program's own client is the subject")]
    let builder = reqwest::Client::builder();
    builder.redirect(redirect_policy(session)).no_proxy().build().unwrap()
}

#[tokio::test]
async fn replaced_and_replayed_once() {
    let peer = Peer::start(|_, token| reply(if token == Some("Bearer t2") { 200 } else { 401 }, "text")).await;
    for given in [false, true] {
        peer.seen.lock().unwrap().clear();
        let session = session(&peer.url(), &["t1", "t2"]);
        let flyte = if given { wrap(&session, own(&session)) } else { client(&session).unwrap() };
        let request = flyte.post("/a").header("flyte-authorization", "mine").body("body");
        let reply = flyte.send(request).await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.url().path()), (200, "/a"));
        assert_eq!(reply.url().port(), Some(peer.address.port()), "the reply knows where it came from");
        assert_eq!(reply.text().await.unwrap(), "text");
        assert_eq!(peer.seen(), [entry("/a", Some("t1"), "body"), entry("/a", Some("t2"), "body")]);
    }
}

#[tokio::test]
async fn a_second_401_is_the_callers() {
    let peer = Peer::start(|_, _| reply(401, "still no")).await;
    let session = session(&peer.url(), &["t1", "t2"]);
    let flyte = client(&session).unwrap();
    let reply = flyte.send(flyte.get("/a")).await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.text().await.unwrap().as_str()), (401, "still no"));
    assert_eq!(peer.seen().len(), 2);
}

#[tokio::test]
async fn a_stream_is_not_repeated() {
    let peer = Peer::start(|_, _| reply(401, "")).await;
    let session = session(&peer.url(), &["t1", "t2"]);
    session.token().await.unwrap();
    let flyte = client(&session).unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel::<Bytes>();
    let body = reqwest::Body::wrap_stream(futures_util::stream::once(receiver));
    let mut call = Box::pin(flyte.send(flyte.post("/a").body(body)));
    assert!((&mut call).now_or_never().is_none(), "under way");
    sender.send(Bytes::from_static(b"late")).unwrap();
    assert_eq!(call.await.unwrap().status(), 401);
    assert_eq!(peer.seen(), [entry("/a", Some("t1"), "late")]);
    assert_eq!(session.token().await.unwrap().unwrap().expose(), "t2");
}

#[tokio::test]
async fn no_redirect_takes_the_token_elsewhere() {
    let other = Peer::start(|_, _| reply(200, "other")).await;
    let elsewhere = other.url();
    let peer = Peer::start(move |path, _| match path {
        "/out" => redirect(&format!("{elsewhere}/in")),
        "/home" => redirect("/a"),
        _ => reply(200, "home"),
    })
    .await;
    let session = session(&peer.url(), &["t1"]);
    let flyte = client(&session).unwrap();
    assert_eq!(flyte.send(flyte.get("/out")).await.unwrap().status(), 307);
    assert_eq!(flyte.send(flyte.get("/home")).await.unwrap().status(), 307, "ours follows none");
    let own = wrap(&session, own(&session));
    assert_eq!(own.send(own.get("/out")).await.unwrap().status(), 307);
    let followed = own.send(own.get("/home")).await.unwrap();
    assert_eq!((followed.status().as_u16(), followed.url().path()), (200, "/a"), "within the endpoint");
    assert!(other.seen().is_empty());
    assert!(peer.seen().contains(&entry("/a", Some("t1"), "")));
}

#[tokio::test]
async fn another_host_gets_nothing() {
    let peer = Peer::start(|_, _| reply(200, "")).await;
    let session = session("dns:///flyte.example", &["t1"]);
    let flyte = client(&session).unwrap();
    let error = flyte.send(flyte.get(&peer.url())).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (crate::ErrorKind::Config, "foreign_host"));
    assert!(peer.seen().is_empty());
}

#[tokio::test]
async fn no_answer_is_a_typed_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let session = session(&closed, &["t1"]);
    for flyte in [client(&session).unwrap(), wrap(&session, own(&session))] {
        let error = flyte.send(flyte.get("/a")).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Network, "{error}");
    }
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn no_grpc_call_follows_a_redirect() {
    let other = Peer::start(|_, _| reply(200, "other")).await;
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = other.url();
        let peer = Peer::start(move |path, _| {
            let mut answer = redirect(&format!("{elsewhere}{path}"));
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            answer
        })
        .await;
        let mut grpc = tonic::client::Grpc::new(crate::tonic::channel(&session(&peer.url(), &["t1"])).unwrap());
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.Test/Unary");
        let codec = tonic_prost::ProstCodec::<String, String>::default();
        grpc.unary(tonic::Request::new("canary".to_owned()), path, codec).await.unwrap_err();
        assert_eq!((peer.seen().len(), other.seen().len()), (1, 0), "{status}");
        assert_eq!(peer.seen()[0].1.as_deref(), Some("Bearer t1"));
    }
}
