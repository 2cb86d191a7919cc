use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Semaphore, mpsc};
use tower::ServiceExt as _;

use super::echo::{Echo, Messages, call, framed, message};
use super::world::{Front, Service, pipe, request, soon, text};

#[tokio::test]
async fn two_hundred_callers_at_once_each_get_their_own_answer() {
    let app = Router::new().fallback(|request: Request| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        request.uri().to_string().rsplit('/').next().unwrap().to_owned()
    });
    let service = Service::new(app).await;
    for scheme in ["http", "h2c"] {
        let front = Arc::new(Front::new(&[("/", service.url(scheme))]).await);
        let mut calls = tokio::task::JoinSet::new();
        for index in 0..200 {
            let front = Arc::clone(&front);
            calls.spawn(async move {
                let answer = front.get(request("GET", &format!("/{index}")).body(Body::empty()).unwrap()).await;
                assert_eq!(text(answer).await, index.to_string());
            });
        }
        soon(calls.join_all()).await;
    }
}

#[tokio::test]
async fn one_call_after_another_takes_one_connection() {
    let service = Service::new(Router::new().fallback(|| async { "x" })).await;
    for (scheme, connections) in [("http", 1), ("h2c", 2)] {
        let front = Front::new(&[("/", service.url(scheme))]).await;
        for _ in 0..20 {
            assert_eq!(text(front.get(request("GET", "/").body(Body::empty()).unwrap()).await).await, "x");
        }
        assert_eq!(service.connections(), connections, "{scheme}");
    }
}

/// A service that says `x`, and the sockets of its connections.
async fn breakable() -> (Service, mpsc::UnboundedReceiver<std::net::TcpStream>) {
    let (sockets, heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(|| async { "x" });
    let service = Service::raw(move |stream| {
        let stream = stream.into_std().unwrap();
        sockets.send(stream.try_clone().unwrap()).unwrap();
        super::world::serve(tokio::net::TcpStream::from_std(stream).unwrap(), app.clone())
    })
    .await;
    (service, heard)
}

#[tokio::test]
async fn a_pooled_connection_that_closes_before_a_request_is_sent_costs_no_answer() {
    let (service, mut sockets) = breakable().await;
    let (bell, mut bells) = breakable().await;
    let gateway = Front::new(&[("/", service.url("http"))]).await.gateway;
    let target = gateway.route("/").unwrap();
    for count in 1..=5 {
        let post = request("POST", "/").body(Body::from("body")).unwrap();
        let response = soon(gateway.forward(target, post, true)).await;
        assert_eq!(response.status(), 200);
        soon(axum::body::to_bytes(response.into_body(), 9)).await.unwrap();
        assert_eq!(service.connections(), count);

        let heard = tokio::net::TcpStream::connect(bell.address).await.unwrap();
        let bell = soon(bells.recv()).await.unwrap();
        // Back into the pool.
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Both close at once, and this task is told of its own before the pool's runs: the request goes to a connection
        // that looks alive.
        sockets.try_recv().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
        bell.shutdown(std::net::Shutdown::Both).unwrap();
        heard.readable().await.unwrap();
    }
}

#[tokio::test]
async fn a_request_whose_http_2_connection_closed_before_it_was_sent_takes_another() {
    let (service, mut sockets) = breakable().await;
    let gateway = Front::new(&[("test.", service.url("h2c"))]).await.gateway;
    let lines = gateway.route("/test.A/B").unwrap().lines();
    let reserved = soon(lines.reserve()).await.unwrap();
    soon(sockets.recv()).await.unwrap().shutdown(std::net::Shutdown::Both).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let response = soon(lines.send(reserved, call("B", Body::from("body")))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(service.connections(), 2);
}

#[tokio::test]
async fn an_http_2_connection_that_goes_away_costs_nobody_an_answer() {
    // Says goodbye at once: requests in work end, and none comes after.
    let service = Service::raw(|stream| async move {
        let app = Router::new().fallback(|| async { [("grpc-status", "0")] });
        let answered = Arc::new(Semaphore::new(0));
        let noted = Arc::clone(&answered);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            noted.add_permits(1);
            app.clone().oneshot(request)
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut connection = std::pin::pin!(connection.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = &mut connection => return,
            _ = answered.acquire() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    })
    .await;
    let front = Front::new(&[("test.", service.url("h2c"))]).await;
    let mut client = front.http2().await;
    for index in 0..20 {
        let response = soon(client.send_request(call("Any", Body::empty()))).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "0", "call {index}");
    }
    assert!(service.connections() > 1);
}

#[tokio::test]
async fn callers_who_do_not_read_do_not_stop_the_others() {
    let taken = Arc::new(AtomicUsize::new(0));
    let sending = Arc::clone(&taken);
    let app = Router::new().fallback(move |request: Request| {
        let sending = Arc::clone(&sending);
        async move {
            if request.uri().path() == "/small" {
                return Body::from("small");
            }
            let stream = futures_util::stream::repeat_with(move || {
                sending.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[0; 16 * 1024]))
            });
            Body::from_stream(stream)
        }
    });
    let service = Service::new(app).await;
    let front = Front::new(&[("/", service.url("h2c"))]).await;
    let mut unread = Vec::new();
    for _ in 0..90 {
        let mut client = front.http2().await;
        let request = Request::builder().uri("http://a/endless").body(Body::empty()).unwrap();
        // The connection of this caller is not read either: its windows are full.
        unread.push((soon(client.send_request(request)).await.unwrap(), client));
    }
    // Until nothing moves any more.
    let mut before = usize::MAX;
    while before != taken.load(Ordering::SeqCst) {
        before = taken.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let answer = front.get(request("GET", "/small").body(Body::empty()).unwrap()).await;
    assert_eq!(text(answer).await, "small");
    assert_eq!(service.connections(), 1, "all of them share one connection");
}

#[tokio::test]
async fn a_service_that_allows_few_streams_gets_more_connections() {
    let (echo, _ended) = Echo::new();
    let app = echo.app();
    let service = Service::raw(move |stream| {
        let app = app.clone();
        async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| app.clone().oneshot(request));
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.max_concurrent_streams(4).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    let front = Front::new(&[("test.", service.url("http"))]).await;
    let mut client = front.http2().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let (writer, body) = pipe();
        // The answer of a fifth stream on the same connection would never begin.
        let response = soon(client.send_request(call("Bidi", body))).await.unwrap();
        let mut messages = Messages::new(response.into_body());
        writer.send(message("x")).await.unwrap();
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "x");
        streams.push((writer, messages));
    }
    assert!((5..=6).contains(&service.connections()), "{}", service.connections());
}

#[tokio::test]
async fn a_caller_who_leaves_while_the_connection_is_made_does_not_take_it_along() {
    let (echo, _ended) = Echo::new();
    let service = Service::new(echo.app()).await;
    let front = Front::new(&[("test.", service.url("http"))]).await;
    let target = front.gateway.route("/test.Echo/Unary").unwrap();
    let first = front.gateway.forward(target, call("Unary", Body::empty()), true);
    // Polled once, which begins to connect, and dropped.
    tokio::select! {
        biased;
        _ = first => panic!("an answer without a connection"),
        () = std::future::ready(()) => {}
    }
    let second = soon(front.gateway.forward(target, call("Unary", Body::from(framed(b"x"))), true)).await;
    assert_eq!(second.status(), 200);
    assert_eq!(service.connections(), 1);
}
