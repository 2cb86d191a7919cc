use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{Front, Service, data, pipe, read_head, request, soon, text};
use crate::gateway::patience;
use crate::gateway::trouble::Failure;

const PIECE: usize = 64 * 1024;

/// So many pieces, counted as they are taken.
fn pieces(count: usize, taken: Arc<AtomicUsize>) -> Body {
    let piece = Bytes::from(vec![7; PIECE]);
    let stream = futures_util::stream::unfold(0, move |index| {
        let next = (index < count).then(|| {
            taken.fetch_add(1, Ordering::SeqCst);
            (Ok::<_, Infallible>(piece.clone()), index + 1)
        });
        std::future::ready(next)
    });
    Body::from_stream(stream)
}

async fn count(mut body: impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug> + Unpin) -> usize {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
    }
    length
}

/// Sends what it gets, `X-Count` times 64 KiB on `/down`, and how much it got on `/up`.
async fn service(taken: Arc<AtomicUsize>) -> Service {
    Service::new(
        Router::new()
            .route(
                "/down/{count}",
                axum::routing::any(move |axum::extract::Path(count): axum::extract::Path<usize>| async move {
                    Response::new(pieces(count, taken))
                }),
            )
            .route(
                "/up",
                axum::routing::post(|request: Request| async move { count(request.into_body()).await.to_string() }),
            )
            .route("/echo", axum::routing::post(|request: Request| async move { Response::new(request.into_body()) }))
            .route(
                "/stall",
                axum::routing::post(|request: Request| async move {
                    let _unread = request.into_body();
                    std::future::pending::<()>().await;
                }),
            )
            .route("/empty", axum::routing::any(|| async { axum::http::StatusCode::NO_CONTENT }))
            .route("/same", axum::routing::any(|| async { axum::http::StatusCode::NOT_MODIFIED }))
            .route("/sized", axum::routing::get(|| async { "twelve bytes" })),
    )
    .await
}

#[tokio::test]
async fn a_caller_who_does_not_read_stops_the_service_from_sending() {
    for scheme in ["http", "h2c"] {
        let taken = Arc::new(AtomicUsize::new(0));
        let service = service(Arc::clone(&taken)).await;
        let front = Front::new(&[("/", service.url(scheme))]).await;
        let pieces = 16 * 1024;
        let uri = format!("http://flyte.example/down/{pieces}");
        let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
        // A gibibyte, of which nothing is read.
        let response = soon(front.http2().await.send_request(request)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let sent = taken.load(Ordering::SeqCst);
        assert!(sent < pieces / 16, "{scheme}: {} MiB were sent", (sent * PIECE) >> 20);
        drop(response);
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_the_caller_from_sending() {
    let service = service(Arc::default()).await;
    for scheme in ["http", "h2c"] {
        let front = Front::new(&[("/", service.url(scheme))]).await;
        let taken = Arc::new(AtomicUsize::new(0));
        let body = pieces(16 * 1024, Arc::clone(&taken));
        let mut client = front.http1().await;
        let answer = tokio::spawn(client.send_request(request("POST", "/stall").body(body).unwrap()));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let sent = taken.load(Ordering::SeqCst);
        assert!(sent > 1 && sent < 1024, "{scheme}: {} MiB were sent", (sent * PIECE) >> 20);
        answer.abort();
    }
}

#[tokio::test]
async fn bodies_of_a_quarter_gibibyte_pass_both_ways() {
    let service = service(Arc::default()).await;
    let pieces_each = 4 * 1024;
    for scheme in ["http", "h2c"] {
        let front = Front::new(&[("/", service.url(scheme))]).await;
        let down = front.get(request("GET", &format!("/down/{pieces_each}")).body(Body::empty()).unwrap()).await;
        let length = tokio::time::timeout(Duration::from_secs(60), count(down.into_body())).await.unwrap();
        assert_eq!(length, pieces_each * PIECE, "{scheme}");
        let up = request("POST", "/up").body(pieces(pieces_each, Arc::default())).unwrap();
        let mut client = front.http1().await;
        let answer = tokio::time::timeout(Duration::from_secs(60), client.send_request(up)).await.unwrap().unwrap();
        assert_eq!(text(answer).await, (pieces_each * PIECE).to_string(), "{scheme}");
    }
}

#[tokio::test]
async fn pieces_arrive_as_they_are_sent() {
    let service = service(Arc::default()).await;
    for scheme in ["http", "h2c"] {
        let front = Front::new(&[("/", service.url(scheme))]).await;
        let (writer, body) = pipe();
        let mut client = front.http1().await;
        let answer = client.send_request(request("POST", "/echo").body(body).unwrap());
        writer.send(data("first")).await.unwrap();
        let mut body = soon(answer).await.unwrap().into_body();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
        writer.send(data("second")).await.unwrap();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "second");
        drop(writer);
        assert!(soon(body.frame()).await.is_none());
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_keep_the_connection() {
    let service = service(Arc::default()).await;
    for scheme in ["http", "h2c"] {
        let front = Front::new(&[("/", service.url(scheme))]).await;
        let mut stream = front.tcp().await;
        let mut direct = tokio::net::TcpStream::connect(service.address).await.unwrap();
        for asked in ["HEAD /sized", "GET /empty", "GET /same", "HEAD /empty", "HEAD /down/3"] {
            // A body, or the wait for one, would be taken for the next answer.
            stream.write_all(format!("{asked} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            direct.write_all(format!("{asked} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            let lines = |head: String| {
                let lines: BTreeSet<String> = head.lines().map(str::to_owned).collect();
                lines.into_iter().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>()
            };
            let (carried, said) = (soon(read_head(&mut stream)).await, soon(read_head(&mut direct)).await);
            assert!(said.starts_with("HTTP/1.1 "), "{said}");
            assert_eq!(lines(carried), lines(said), "{scheme} {asked}");
        }
        let response = soon(
            front
                .http2()
                .await
                .send_request(Request::builder().method("HEAD").uri("http://a/sized").body(Body::empty()).unwrap()),
        )
        .await
        .unwrap();
        assert_eq!(response.headers()["content-length"], "12");
        assert_eq!(text(response).await, "");
    }
}

#[tokio::test]
async fn a_caller_who_waits_to_be_told_to_continue_is_told() {
    let service = service(Arc::default()).await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let mut stream = front.tcp().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(soon(read_head(&mut stream)).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.unwrap();
    assert!(soon(read_head(&mut stream)).await.starts_with("HTTP/1.1 200"));
    let mut body = [0; 5];
    soon(stream.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"hello");
}

#[tokio::test]
async fn a_body_that_breaks_behind_is_no_whole_body_for_the_caller() {
    // By its length, and by chunks.
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let service = Service::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let front = Front::new(&[("/", service.url("http"))]).await;
        let response = front.get(request("GET", "/").body(Body::empty()).unwrap()).await;
        assert!(soon(response.into_body().collect()).await.is_err());
        let request = Request::builder().uri("http://a/").body(Body::empty()).unwrap();
        let response = soon(front.http2().await.send_request(request)).await.unwrap();
        assert!(soon(response.into_body().collect()).await.is_err());
    }
}

#[tokio::test]
async fn patience_ends_unless_the_body_moves() {
    let limit = Duration::from_millis(200);
    let never = || std::future::pending::<Result<(), Failure>>();
    assert!(matches!(patience::within(limit, None, never()).await, Err(Failure::Silent)));
    assert!(patience::watch(Body::empty()).1.is_none());

    // Eight pieces in 400 ms, and then nothing: twice the limit, and once more.
    let (writer, body) = pipe();
    let (mut body, progress) = patience::watch(body);
    let started = tokio::time::Instant::now();
    let writing = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            writer.send(data("x")).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        while body.frame().await.is_some() {}
        Ok(())
    };
    tokio::select! {
        outcome = patience::within(limit, progress, reading) => assert!(matches!(outcome, Err(Failure::Silent))),
        () = writing => unreachable!(),
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(590), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
