use axum::body::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{Front, Service, canned, read_head, request, soon};

/// Changes to `protocol` and then sends back what it gets, until the caller ends.
async fn echo(protocol: &'static str) -> Service {
    Service::raw(move |mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: websocket"), "{head}");
        assert!(head.contains("\r\nsec-websocket-key: k\r\n") && head.contains("\r\nx-forwarded-for: 192.0.2.7\r\n"));
        // The first bytes of the new protocol come with the head.
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Accept: a\r\n\r\nhi"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.write_all(b"bye").await.unwrap();
    })
    .await
}

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

#[tokio::test]
async fn a_websocket_goes_through_until_either_side_ends() {
    let service = echo("WebSocket").await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let mut stream = front.tcp().await;
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let head = soon(read_head(&mut stream)).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: a\r\n"), "{head}");
    let mut greeting = [0; 2];
    soon(stream.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"hi");
    for text in ["ping", "pong"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut back = [0; 4];
        soon(stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, text.as_bytes());
    }
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "bye");
}

#[tokio::test]
async fn a_service_that_refuses_to_change_answers_as_ever() {
    let (service, _heard) = canned("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let request = request("GET", "/ws").header("connection", "upgrade").header("upgrade", "websocket");
    let response = front.get(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 403);
    assert_eq!(super::world::text(response).await, "no");
}

#[tokio::test]
async fn a_change_to_another_protocol_than_was_asked_for_is_502() {
    let service = echo("h2c").await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    let answer = front.bytes(&ASK.replace("keep-alive, ", "close, ")).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    // And one that nobody asked for.
    let (service, _heard) =
        canned("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    let front = Front::new(&[("/", service.url("http"))]).await;
    assert_eq!(front.get(request("GET", "/").body(Body::empty()).unwrap()).await.status(), 502);
}

#[tokio::test]
async fn a_tunnel_for_another_version_of_http_is_never_asked_for() {
    for protocol in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.0"] {
        let (service, mut heard) = canned("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let front = Front::new(&[("/", service.url("http"))]).await;
        let request = request("GET", "/").header("connection", "upgrade, http2-settings").header("upgrade", protocol);
        let request = request.header("http2-settings", "AAMAAABk").body(Body::empty()).unwrap();
        assert_eq!(front.get(request).await.status(), 200, "{protocol}");
        let head = soon(heard.recv()).await.unwrap();
        assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
    }
}
