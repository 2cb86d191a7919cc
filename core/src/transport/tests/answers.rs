//! What comes back, and what does not.

use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::{Body, Peer, Versions, head, hello, text};
use super::*;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";

#[tokio::test]
async fn one_connection_for_several_calls_and_no_roots_for_plaintext() {
    let peer = Peer::http(Versions::Both, hello).await;
    let transport = plain();
    for _ in 0..3 {
        assert_eq!(transport.send(get(&peer.url("http"))).await.unwrap().body[..], b"hello"[..]);
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
    assert!(!transport.has_tls_client(), "the platform's roots were loaded for a plaintext call");
}

#[tokio::test]
async fn what_is_sent() {
    fn echo(request: http::Request<Incoming>) -> http::Response<Body> {
        let lines: Vec<String> =
            request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        text(200, &lines.join("\n"))
    }
    let peer = Peer::http(Versions::Both, echo).await;
    let sent = String::from_utf8(plain().send(get(&peer.url("http"))).await.unwrap().body.to_vec()).unwrap();
    assert!(sent.contains(concat!("user-agent: flyte-auth/", env!("CARGO_PKG_VERSION"))), "{sent}");
    assert!(!sent.contains("accept-encoding") && !sent.contains("authorization"), "{sent}");
}

#[tokio::test]
async fn redirects_are_handed_back() {
    fn away(request: http::Request<Incoming>) -> http::Response<Body> {
        let mut response = text(if request.uri().path() == "/path" { 302 } else { 200 }, "");
        response.headers_mut().insert("location", "/elsewhere".parse().unwrap());
        response
    }
    let peer = Peer::http(Versions::Both, away).await;
    let reply = plain().send(get(&peer.url("http"))).await.unwrap();
    assert_eq!((reply.status.as_u16(), &reply.headers["location"]), (302, &"/elsewhere".parse().unwrap()));
}

#[tokio::test]
async fn trailers_come_through_on_plaintext_http2() {
    fn trailing(_: http::Request<Incoming>) -> http::Response<Body> {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [Ok(Frame::data(bytes::Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
        http::Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed())
    }
    let peer = Peer::http(Versions::Http2, trailing).await;
    let transport = plain();
    for _ in 0..2 {
        let reply = transport.send(Call { http2_only: true, ..get(&peer.url("http")) }).await.unwrap();
        assert_eq!((&reply.body[..], &reply.trailers["grpc-status"]), (&b"x"[..], &"0".parse().unwrap()));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
    // And the other way round: HTTP/1 to a port of HTTP/2, HTTP/2 to a port of HTTP/1.
    let failure = fails(&transport, get(&peer.url("http"))).await;
    assert!(matches!(failure.kind, FailureKind::Protocol | FailureKind::Broken), "{failure:?}");
    let old = Peer::http(Versions::Http1, hello).await;
    let failure = fails(&transport, Call { http2_only: true, ..get(&old.url("http")) }).await;
    assert_eq!(failure.kind, FailureKind::Protocol);
}

#[tokio::test]
async fn the_deadline_covers_the_whole_answer() {
    let drip = Peer::raw(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(HEAD).await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let silent = Peer::raw(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for peer in [drip, silent] {
        let started = tokio::time::Instant::now();
        let failure = fails(&plain(), Call { timeout: Duration::from_millis(200), ..get(&peer.url("http")) }).await;
        assert_eq!((failure.kind, failure.error.code()), (FailureKind::Timeout, "timeout"));
        assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let peer = Peer::raw(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let failure = fails(&plain(), get(&peer.url("http"))).await;
    assert_eq!((failure.kind, failure.error.kind()), (FailureKind::TooLarge, crate::ErrorKind::Server));
    let whole = Peer::raw(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {MAX_BODY}\r\n\r\n").as_bytes()).await;
        let _ = stream.write_all(&vec![b'x'; MAX_BODY]).await;
    })
    .await;
    assert_eq!(plain().send(get(&whole.url("http"))).await.unwrap().body.len(), MAX_BODY);
}

#[tokio::test]
async fn broken_answers() {
    for (bytes, kind) in [
        (HEAD, FailureKind::Broken),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", FailureKind::Broken),
        (b"", FailureKind::Broken),
        (b"SSH-2.0-OpenSSH_9.9\r\n", FailureKind::Protocol),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", FailureKind::Protocol),
    ] {
        let peer = Peer::bytes(bytes).await;
        let failure = fails(&plain(), get(&peer.url("http"))).await;
        assert_eq!(failure.kind, kind, "{bytes:?} {failure:?}");
        assert!(failure.error.to_string().contains("localhost"), "{}", failure.error);
    }
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for scheme in ["http", "https"] {
        let failure = fails(&plain(), get(&format!("{scheme}://127.0.0.1:{port}/"))).await;
        assert_eq!((failure.kind, failure.error.code()), (FailureKind::Connect, "connection_refused"));
        assert!(failure.error.is_retryable() && failure.error.to_string().contains("127.0.0.1"), "{}", failure.error);
    }
    let failure = fails(&plain(), get("http://no-such-host.invalid/?state=canary")).await;
    assert_eq!((failure.kind, failure.error.code()), (FailureKind::Dns, "dns"));
    let shown = format!("{} {:?}", failure.error, failure.error);
    assert!(shown.contains("no-such-host.invalid") && !shown.contains("canary"), "{shown}");
}
