//! `AuthLayer` over a service in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use tower::ServiceExt as _;
use tower_layer::Layer as _;
use tower_service::Service;

use super::*;
use crate::tower::{AuthLayer, BoxError, RequestBody};

const ENDPOINT: &str = "http://flyte.example";
const HEADER: &str = "flyte-authorization";

type Reply = Response<UnsyncBoxBody<Bytes, BoxError>>;

fn body(frames: Vec<Frame<Bytes>>) -> UnsyncBoxBody<Bytes, BoxError> {
    StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok))).boxed_unsync()
}

fn status(status: u16) -> Reply {
    Response::builder().status(status).body(body(vec![])).unwrap()
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())])
}

/// A gRPC reply: headers, these frames.
fn grpc(frames: Vec<Frame<Bytes>>) -> Reply {
    Response::builder().header("content-type", "application/grpc").body(body(frames)).unwrap()
}

fn message(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn status_in_trailers(status: &'static str) -> Frame<Bytes> {
    Frame::trailers(trailers(status))
}

/// A reply that is all headers ("trailers-only").
fn trailers_only(status: &'static str) -> Reply {
    let mut reply = grpc(vec![]);
    reply.headers_mut().extend(trailers(status));
    reply
}

/// What arrived: the values of the session's header, whether one was sensitive, the body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrived {
    tokens: Vec<String>,
    body: String,
}

/// Answers from a script; insists on tower's contract: ready before each call, on the very instance that is called.
struct Scripted {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    ready: bool,
    reads_bodies: bool,
}

impl Clone for Scripted {
    fn clone(&self) -> Self {
        let Self { replies, arrived, reads_bodies, .. } = self;
        Self { replies: replies.clone(), arrived: arrived.clone(), ready: false, reads_bodies: *reads_bodies }
    }
}

impl Scripted {
    fn new(replies: Vec<Reply>) -> Self {
        let replies = Arc::new(Mutex::new(replies.into()));
        Self { replies, arrived: Arc::default(), ready: false, reads_bodies: true }
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    fn tokens(&self) -> Vec<String> {
        self.arrived().into_iter().map(|arrived| arrived.tokens.join("+")).collect()
    }
}

impl<B: RequestBody> Service<Request<B>> for Scripted
where
    B::Error: std::fmt::Debug,
{
    type Response = Reply;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being asked whether it is ready");
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let values = parts.headers.get_all(HEADER).iter();
            let tokens = values.map(|value| {
                assert!(value.is_sensitive() || !value.as_bytes().starts_with(b"Bearer t"));
                value.to_str().unwrap().trim_start_matches("Bearer ").to_owned()
            });
            let tokens = tokens.collect();
            let body = if this.reads_bodies { body.collect().await.unwrap().to_bytes() } else { Bytes::new() };
            let body = String::from_utf8(body.to_vec()).unwrap();
            this.arrived.lock().unwrap().push(Arrived { tokens, body });
            Ok(this.replies.lock().unwrap().pop_front().expect("one call too many"))
        })
    }
}

fn request(body: &'static str) -> Request<Full<Bytes>> {
    Request::post(format!("{ENDPOINT}/call")).body(Full::from(body)).unwrap()
}

/// What the caller sees: status, `grpc-status` wherever it was, the body's text.
async fn seen<B>(reply: Response<B>) -> (u16, Option<String>, String)
where
    B: http_body::Body<Data = Bytes, Error = BoxError>,
{
    let (parts, body) = reply.into_parts();
    let collected = body.collect().await.unwrap();
    let grpc_status = parts.headers.get("grpc-status").or(collected.trailers().and_then(|all| all.get("grpc-status")));
    let grpc_status = grpc_status.map(|status| status.to_str().unwrap().to_owned());
    (parts.status.as_u16(), grpc_status, String::from_utf8(collected.to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn exactly_one_header_whatever_the_request_brought() {
    let scripted = Scripted::new(vec![status(200), status(200)]);
    let service = AuthLayer::new(&session(ENDPOINT, &["t1"])).layer(scripted.clone());
    let mut brought = request("a");
    for value in ["Bearer stale", "Bearer staler"] {
        brought.headers_mut().append(HEADER, value.parse().unwrap());
    }
    brought.headers_mut().insert("authorization", "Basic for-a-proxy".parse().unwrap());
    service.clone().oneshot(brought).await.unwrap();
    service.oneshot(request("b")).await.unwrap();
    assert_eq!(scripted.tokens(), ["t1", "t1"]);
}

#[tokio::test]
async fn an_endpoint_without_auth_gets_what_the_caller_made() {
    let scripted = Scripted::new(vec![status(401)]);
    let service = AuthLayer::new(&session_without_auth(ENDPOINT)).layer(scripted.clone());
    let mut brought = request("a");
    brought.headers_mut().insert(HEADER, "mine".parse().unwrap());
    assert_eq!(service.oneshot(brought).await.unwrap().status(), 401);
    assert_eq!(scripted.tokens(), ["mine"]);
}

/// Replies in turn, tokens that arrive, what the caller sees.
type Row = (&'static str, Vec<Reply>, &'static [&'static str], (u16, Option<&'static str>, &'static str));

#[tokio::test]
async fn one_replay_where_nothing_was_delivered() {
    let rejected = || vec![status_in_trailers("16")];
    let fine = || grpc(vec![message("m"), status_in_trailers("0")]);
    let rows: Vec<Row> = vec![
        ("401, then fine", vec![status(401), status(200)], &["t1", "t2"], (200, None, "")),
        ("401 twice: the second reply", vec![status(401), status(401)], &["t1", "t2"], (401, None, "")),
        ("403 is an answer", vec![status(403)], &["t1"], (403, None, "")),
        ("500 is an answer", vec![status(500)], &["t1"], (500, None, "")),
        ("16 in the headers", vec![trailers_only("16"), fine()], &["t1", "t2"], (200, Some("0"), "m")),
        ("16 twice", vec![trailers_only("16"), trailers_only("16")], &["t1", "t2"], (200, Some("16"), "")),
        ("7 is an answer", vec![trailers_only("7")], &["t1"], (200, Some("7"), "")),
        ("16 in the trailers", vec![grpc(rejected()), fine()], &["t1", "t2"], (200, Some("0"), "m")),
        ("16 in the trailers twice", vec![grpc(rejected()), grpc(rejected())], &["t1", "t2"], (200, Some("16"), "")),
        ("then 7 in the headers", vec![grpc(rejected()), trailers_only("7")], &["t1", "t2"], (200, Some("7"), "")),
        ("then no gRPC at all", vec![grpc(rejected()), status(503)], &["t1", "t2"], (200, Some("16"), "")),
        ("7 in the trailers", vec![grpc(vec![status_in_trailers("7")])], &["t1"], (200, Some("7"), "")),
        (
            "16 after a message",
            vec![grpc(vec![message("m"), status_in_trailers("16")])],
            &["t1"],
            (200, Some("16"), "m"),
        ),
        (
            "an empty frame is no message",
            vec![grpc(vec![message(""), status_in_trailers("16")]), fine()],
            &["t1", "t2"],
            (200, Some("0"), "m"),
        ),
    ];
    for (name, replies, arrived, expected) in rows {
        let scripted = Scripted::new(replies);
        let session = session(ENDPOINT, arrived);
        let service = AuthLayer::new(&session).layer(scripted.clone());
        let reply = service.oneshot(request("text")).await.unwrap();
        let (status, grpc_status, text) = seen(reply).await;
        assert_eq!((status, grpc_status.as_deref(), text.as_str()), expected, "{name}");
        assert_eq!(scripted.tokens(), arrived, "{name}");
        assert!(scripted.arrived().iter().all(|arrived| arrived.body == "text"), "{name}: the whole body each time");
        let invalidated = session.fresh().is_none();
        assert_eq!(invalidated, name == "16 after a message", "{name}: what the server rejected is not served again");
    }
}

/// A body that never ends by itself, as an open request stream; gives `first` at once.
fn open_body(first: Option<&'static str>) -> UnsyncBoxBody<Bytes, BoxError> {
    use futures_util::StreamExt as _;
    let first = futures_util::stream::iter(first.map(|text| Ok(message(text))));
    StreamBody::new(first.chain(futures_util::stream::pending())).boxed_unsync()
}

#[tokio::test]
async fn what_cannot_be_replayed_is_not_but_the_token_goes() {
    let large: &'static str = Box::leak("x".repeat(40).into_boxed_str());
    let boxed = |text: &'static str| Full::from(text).map_err(|never| match never {}).boxed_unsync();
    let in_pieces = || body(vec![message("ab"), message("cd")]);
    for (name, body, replayed, first_body) in [
        ("at the limit", boxed("01234567890123456789"), true, "01234567890123456789"),
        ("beyond the limit", boxed(large), false, large),
        ("several pieces", in_pieces(), true, "abcd"),
        ("an open stream", open_body(None), false, ""),
        ("an open stream that has begun", open_body(Some("x")), false, ""),
        ("no body", Empty::new().map_err(|never| match never {}).boxed_unsync(), true, ""),
    ] {
        let mut scripted = Scripted::new(vec![status(401), status(200)]);
        scripted.reads_bodies = !name.starts_with("an open");
        let session = session(ENDPOINT, &["t1", "t2"]);
        let service = AuthLayer::new(&session).replay_limit(20).layer(scripted.clone());
        let request = Request::post(format!("{ENDPOINT}/call")).body(body).unwrap();
        let reply = service.oneshot(request).await.unwrap();
        assert_eq!(reply.status(), if replayed { 200 } else { 401 }, "{name}");
        assert_eq!(scripted.tokens(), if replayed { vec!["t1", "t2"] } else { vec!["t1"] }, "{name}");
        assert!(scripted.arrived().iter().all(|arrived| arrived.body == first_body), "{name}");
        assert_eq!(session.token().await.unwrap().unwrap().expose(), "t2", "{name}");
    }
}

#[tokio::test]
async fn a_begun_body_arrives_whole() {
    let scripted = Scripted::new(vec![status(200)]);
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(4);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|text| (Ok::<_, BoxError>(message(text)), receiver))
    });
    sender.send("ready ").await.unwrap();
    let session = session(ENDPOINT, &["t1"]);
    session.token().await.unwrap();
    let service = AuthLayer::new(&session).layer(scripted.clone());
    let request = Request::post(ENDPOINT).body(StreamBody::new(stream).boxed_unsync()).unwrap();
    let mut call = Box::pin(service.oneshot(request));
    assert!((&mut call).now_or_never().is_none(), "the stream is open");
    sender.send("later").await.unwrap();
    drop(sender);
    call.await.unwrap();
    assert_eq!(scripted.arrived()[0].body, "ready later");
}

#[tokio::test]
async fn a_token_that_cannot_be_replaced_is_not_sent_twice() {
    let token = crate::config::StaticToken::Value(crate::protocol::secret::AccessToken::new("t1"));
    let config = Config { static_token: Some(setting(token)), client_secret: None, ..config(ENDPOINT) };
    let scripted = Scripted::new(vec![status(401)]);
    let service = AuthLayer::new(&session_of(config, &tokens(&[]))).layer(scripted.clone());
    assert_eq!(service.oneshot(request("a")).await.unwrap().status(), 401);
    assert_eq!(scripted.tokens(), ["t1"]);
}

#[tokio::test]
async fn no_token_no_call() {
    let scripted = Scripted::new(vec![]);
    let person = Config { client_secret: None, ..config(ENDPOINT) };
    let service = AuthLayer::new(&session_of(person, &tokens(&[]))).layer(scripted.clone());
    let error = service.oneshot(request("a")).await.unwrap_err();
    let error = error.downcast_ref::<crate::Error>().expect("our error");
    assert_eq!(error.kind(), crate::ErrorKind::LoginRequired);
    assert!(scripted.arrived().is_empty());
}

#[tokio::test]
async fn a_hundred_rejections_at_once_are_one_refresh() {
    let barrier = Arc::new(tokio::sync::Barrier::new(100));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let inner = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (barrier, calls) = (Arc::clone(&barrier), Arc::clone(&counted));
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            let stale = request.headers()[HEADER] == "Bearer t1";
            if stale {
                barrier.wait().await;
            }
            Ok::<_, BoxError>(status(if stale { 401 } else { 200 }))
        }
    });
    let transport = tokens(&["t1", "t2"]);
    let service = AuthLayer::new(&session_of(config(ENDPOINT), &transport)).layer(inner);
    let all = (0..100).map(|_| tokio::spawn(service.clone().oneshot(request("a"))));
    for reply in futures_util::future::join_all(all).await {
        assert_eq!(reply.unwrap().unwrap().status(), 200);
    }
    assert_eq!((calls.load(Ordering::SeqCst), transport.left(), transport.sent().len()), (200, 0, 3));
}

#[tokio::test]
async fn the_limit_below_is_respected_and_a_replay_fits_into_it() {
    // One call at a time: a replay that held on to the first call's permit would wait for ever.
    let scripted = Scripted::new(vec![status(401), status(200), status(200)]);
    let limited = tower::limit::ConcurrencyLimit::new(scripted.clone(), 1);
    let mut service = AuthLayer::new(&session(ENDPOINT, &["t1", "t2"])).layer(limited);
    let ready = |service: &mut crate::tower::AuthService<_>| {
        let mut context = Context::from_waker(std::task::Waker::noop());
        Service::<Request<Full<Bytes>>>::poll_ready(service, &mut context).is_ready()
    };
    assert!(ready(&mut service), "the one permit");
    // Whoever asks stands in the queue until it is dropped.
    assert!(!ready(&mut service.clone()), "backpressure comes through");
    let reply = service.call(request("a")).await.unwrap();
    assert_eq!(reply.status(), 200);
    drop(reply);
    service.oneshot(request("b")).await.unwrap();
    assert_eq!(scripted.tokens(), ["t1", "t2", "t2"]);
}

#[tokio::test]
async fn nothing_secret_in_debug() {
    let scripted = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        assert!(!format!("{request:?}").contains("canary"), "the header is sensitive");
        Ok::<_, BoxError>(status(200))
    });
    let layer = AuthLayer::new(&session(ENDPOINT, &["canary"]));
    layer.layer(scripted).oneshot(request("a")).await.unwrap();
    assert!(!format!("{layer:?}").contains("canary"));
}
