//! What reaches a service, on the wire.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{CALLER, Front, Service, canned, read_head, request, soon, text};
use crate::gateway::{Roots, settle};

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What a service behind, over HTTP/1.1, reads of the head of this request.
async fn head_behind(request: &str) -> String {
    let (service, mut heard) = canned(EMPTY).await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let mut stream = front.tcp().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon(heard.recv()).await.unwrap();
    let answer = soon(read_head(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    head
}

fn lines(head: &str) -> BTreeMap<String, String> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut lines = BTreeMap::new();
    for (name, value) in fields {
        let before = lines.insert(name.to_owned(), value.to_owned());
        assert!(before.is_none(), "{name} is there twice");
    }
    lines
}

fn expected(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn what_belongs_to_the_connection_stays_and_the_rest_goes_on() {
    let head = head_behind(
        "GET /a/%7e//b?c=%20 HTTP/1.1\r\nHost: flyte.example:8443\r\nConnection: keep-alive, X-Mine\r\nConnection: x-other\r\n\
         X-Mine: 1\r\nX-Other: 2\r\nX-Kept: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic canary\r\nProxy-Authenticate: x\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\
         Forwarded: for=198.51.100.9;host=evil\r\nX-Forwarded-For: 198.51.100.9\r\nX-Forwarded-For: 198.51.100.10\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Proto: http\r\nVia: 1.1 outside\r\n\
         Cookie: a=b\r\nAuthorization: Bearer t\r\n\r\n",
    )
    .await;
    assert_eq!(head.lines().next(), Some("GET /a/%7e//b?c=%20 HTTP/1.1"));
    let fields = [
        ("host", "flyte.example:8443"),
        ("x-kept", "3"),
        ("x-forwarded-for", "198.51.100.9, 198.51.100.10, 192.0.2.7"),
        ("x-forwarded-host", "flyte.example:8443"),
        ("x-forwarded-proto", "https"),
        ("via", "1.1 outside"),
        ("cookie", "a=b"),
        ("authorization", "Bearer t"),
    ];
    assert_eq!(lines(&head), expected(&fields));
}

#[tokio::test]
async fn a_caller_cannot_have_removed_what_is_said_of_it() {
    let head = head_behind(
        "GET / HTTP/1.1\r\nHost: flyte.example\r\nConnection: host, x-forwarded-for, x-forwarded-proto, x-forwarded-host\r\n\r\n",
    )
    .await;
    let fields = [
        ("host", "flyte.example"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "flyte.example"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(lines(&head), expected(&fields));
}

#[test]
fn what_is_added_after_settling_stays() {
    let mut headers = HeaderMap::new();
    headers.insert("connection", "Upgrade, X-User-Subject, te, Host".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    headers.insert("host", "a".parse().unwrap());
    headers.insert("x-user-subject", "forged".parse().unwrap());
    settle(&mut headers);
    assert!(!headers.contains_key("x-user-subject"));
    headers.insert("x-user-subject", "alice".parse().unwrap());
    settle(&mut headers);
    let names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["connection", "upgrade", "te", "host", "x-user-subject"]);
    assert_eq!(
        (&headers["connection"], &headers["x-user-subject"]),
        (&"upgrade".parse().unwrap(), &"alice".parse().unwrap())
    );
}

/// Else the check of transfer codings, which comes later, would see none.
#[test]
fn how_a_message_is_framed_is_nobodys_to_take_away() {
    let mut headers = HeaderMap::new();
    headers.insert("connection", "transfer-encoding, content-length".parse().unwrap());
    headers.insert("transfer-encoding", "gzip, chunked".parse().unwrap());
    headers.insert("content-length", "4".parse().unwrap());
    settle(&mut headers);
    assert!(headers.contains_key("transfer-encoding") && headers.contains_key("content-length"));
}

#[tokio::test]
async fn the_trailers_of_a_request_end_here() {
    let (service, mut heard) = canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let mut stream = front.tcp().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-User-Subject\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-User-Subject: admin\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon(heard.recv()).await.unwrap().to_lowercase();
    assert!(!head.contains("x-user-subject"), "{head}");
    let body = soon(heard.recv()).await.unwrap();
    assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn without_a_peer_no_address_is_claimed() {
    let (service, mut heard) = canned(EMPTY).await;
    let front = Front::with(&[("/", service.url("http"))], Roots::platform(), None).await;
    front.get(request("GET", "/").header("x-forwarded-for", "198.51.100.9").body(Body::empty()).unwrap()).await;
    assert!(!lines(&soon(heard.recv()).await.unwrap()).contains_key("x-forwarded-for"));
}

#[tokio::test]
async fn an_ipv4_address_in_ipv6s_clothes_is_told_as_what_it_is() {
    let (service, mut heard) = canned(EMPTY).await;
    let peer = "[::ffff:192.0.2.7]:99".parse().unwrap();
    let front = Front::with(&[("/", service.url("http"))], Roots::platform(), Some(peer)).await;
    front.get(request("GET", "/").body(Body::empty()).unwrap()).await;
    assert_eq!(lines(&soon(heard.recv()).await.unwrap())["x-forwarded-for"], "192.0.2.7");
    assert!(CALLER.starts_with("192.0.2.7:"));
}

#[tokio::test]
async fn an_absolute_target_is_the_host_whatever_the_header_says() {
    let head = head_behind("GET http://asked.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    assert_eq!(head.lines().next(), Some("GET /x HTTP/1.1"));
    let lines = lines(&head);
    assert_eq!((&*lines["host"], &*lines["x-forwarded-host"]), ("asked.example", "asked.example"));
}

#[tokio::test]
async fn http_2_becomes_http_1_with_a_host_and_one_cookie_header() {
    let (service, mut heard) = canned(EMPTY).await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let request = Request::builder()
        .uri("https://flyte.example/x?y")
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .header("te", "trailers")
        .body(Body::empty())
        .unwrap();
    let response = soon(front.http2().await.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let head = soon(heard.recv()).await.unwrap();
    assert_eq!(head.lines().next(), Some("GET /x?y HTTP/1.1"));
    let fields = [
        ("host", "flyte.example"),
        ("cookie", "a=b; c=d"),
        ("te", "trailers"),
        ("connection", "te"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "flyte.example"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(lines(&head), expected(&fields));
}

#[tokio::test]
async fn a_host_that_is_not_one_host_is_refused() {
    let (service, mut heard) = canned(EMPTY).await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    for host in ["Host: a\r\nHost: b\r\n", "Host: user@a\r\n", "Host: a b\r\n", "Host: a/b\r\n"] {
        let answer = front.bytes(&format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{host}: {answer}");
    }
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    for framing in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        let service = Service::new(Router::new().fallback(|request: Request| async move {
            let length = request.headers().get("content-length").cloned();
            assert_eq!((request.uri().path(), length), ("/outer", None));
            axum::body::to_bytes(request.into_body(), 1000).await.unwrap()
        }))
        .await;
        let front = Front::new(&[("/", service.url("http"))]).await;
        // By its length the body would end before "GET", which would be the next request.
        let body =
            "23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = front.bytes(&format!("POST /outer HTTP/1.1\r\nHost: a\r\n{framing}\r\n{body}")).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("GET /smuggled"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_in_another_encoding_is_refused() {
    let (service, mut heard) = canned(EMPTY).await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    for (encoding, status) in [
        ("Transfer-Encoding: gzip, chunked", "501"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "501"),
        ("Transfer-Encoding: gzip", "400"),
        ("Content-Length: 1\r\nContent-Length: 2", "400"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{encoding}\r\n\r\n0\r\n\r\n");
        let answer = front.bytes(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{encoding}: {answer}");
    }
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn a_tunnel_is_refused() {
    let gateway = Front::new(&[("/", "http://127.0.0.1:1".to_owned())]).await.gateway;
    let target = gateway.route("/").unwrap();
    let request = Request::builder().method("CONNECT").uri("evil.example:443").body(Body::empty()).unwrap();
    assert_eq!(gateway.forward(target, request, true).await.status(), 501);
}

#[tokio::test]
async fn of_an_answer_only_what_belongs_to_the_connection_goes() {
    let (service, _heard) = canned(
        "HTTP/1.1 299 Fine\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=1\r\nProxy-Authenticate: Basic\r\n\
         Upgrade: h3\r\nServer: behind\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n",
    )
    .await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let mut client = front.http2().await;
    let request = Request::builder().uri("http://flyte.example/").body(Body::empty()).unwrap();
    let response = soon(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 299);
    let mut names: Vec<&str> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["date", "server", "set-cookie", "trailer"]);
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(response.headers()["date"], "Thu, 01 Jan 1970 00:00:00 GMT");
    let collected = soon(http_body_util::BodyExt::collect(response.into_body())).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "9");
    assert_eq!(collected.to_bytes(), "ok");
}

#[tokio::test]
async fn a_length_beside_chunks_of_an_answer_does_not_count() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let (service, _heard) = canned(answer).await;
        let front = Front::new(&[("/", service.url("http"))]).await;
        let request = Request::builder().uri("http://flyte.example/").body(Body::empty()).unwrap();
        let response = soon(front.http2().await.send_request(request)).await.unwrap();
        assert!(!response.headers().contains_key("content-length"));
        let body = soon(http_body_util::BodyExt::collect(response.into_body())).await.unwrap().to_bytes();
        assert_eq!(body, "hello");
    }
}

#[tokio::test]
async fn an_http_1_0_service_does_not_make_the_caller_one() {
    let (service, _heard) = canned("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let mut stream = front.tcp().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let head = soon(read_head(&mut stream)).await;
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("close"), "{head}");
    let mut body = [0; 2];
    soon(stream.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"ok");
}

#[tokio::test]
async fn headers_of_sixty_kib_pass_both_ways_over_both_versions() {
    let app = Router::new().fallback(|headers: HeaderMap| async move {
        let length = headers["x-large"].len();
        let mut answer = HeaderMap::new();
        answer.insert("x-large", "b".repeat(60 * 1024).parse().unwrap());
        (answer, Json(length))
    });
    let service = Service::new(app).await;
    for scheme in ["http", "h2c"] {
        let front = Front::new(&[("/", service.url(scheme))]).await;
        let large = "a".repeat(60 * 1024);
        let request = request("GET", "/").header("x-large", large).body(Body::empty()).unwrap();
        let response = front.get(request).await;
        assert_eq!(response.headers()["x-large"].len(), 60 * 1024, "{scheme}");
        assert_eq!(text(response).await, "61440", "{scheme}");
    }
}
