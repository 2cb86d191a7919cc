use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Limits, Port};

const HEADERS: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_millis(2_500);

/// The client's half of HTTP/2's preface, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// HEADERS of stream 1 without END_HEADERS: `:method: GET` and nothing more.
const HALF_A_HEAD: &[u8] = b"\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82";

async fn served() -> (SocketAddr, watch::Sender<bool>) {
    let port = Port::bind(0, "port").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.number));
    let slow = || async {
        sleep(IDLE + IDLE).await;
        "slow"
    };
    let app = Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow));
    let (stop, stopped) = watch::channel(false);
    let limits = Limits { headers: HEADERS, idle: IDLE, drain: Duration::ZERO };
    tokio::spawn(port.serve(None, app, limits, stopped));
    (address, stop)
}

/// Says `bytes` and gives how long the connection then stays open.
async fn open_for(bytes: &[u8]) -> Duration {
    let (address, _stop) = served().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(IDLE + IDLE + IDLE, stream.read_to_end(&mut answer)).await.expect("it is open for ever").ok();
    begun.elapsed()
}

#[tokio::test]
async fn whoever_says_nothing_is_not_waited_for() {
    for bytes in
        [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let open = open_for(bytes).await;
        assert!((HEADERS..IDLE).contains(&open), "{:?}: {open:?}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn http_2_without_a_request_ends_later() {
    for more in [&b""[..], HALF_A_HEAD] {
        let open = open_for(&[PREFACE, more].concat()).await;
        assert!((IDLE..IDLE + IDLE).contains(&open), "{more:?}: {open:?}");
    }
}

#[tokio::test]
async fn a_connection_lives_as_long_as_it_is_used() {
    let (address, _stop) = served().await;
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    let mut connection = tokio::spawn(connection);
    let ask = |path: &str| {
        axum::http::Request::builder().uri(format!("http://{address}{path}")).body(axum::body::Body::empty()).unwrap()
    };
    // Longer than it may be idle, and then again.
    assert_eq!(client.send_request(ask("/slow")).await.unwrap().status(), 200);
    for _ in 0..3 {
        sleep(IDLE / 2).await;
        assert_eq!(client.send_request(ask("/")).await.unwrap().status(), 200);
    }
    assert!(timeout(IDLE / 2, &mut connection).await.is_err(), "not yet");
    timeout(IDLE + IDLE, connection).await.expect("it ends").unwrap().unwrap();
}
