//! Against real sockets: what browsers, scanners and attackers send to a loopback redirect.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::protocol::callback::MAX_CODE;
use crate::protocol::secret::AuthorizationCode;

const STATE: &str = "s-7f3a";

fn expected() -> Expected {
    Expected { path: "/callback".into(), state: STATE.into(), issuer: None, iss_required: false }
}

fn redirect(uri: &str) -> Redirect {
    Redirect::parse(uri).unwrap()
}

async fn bound(uri: &str) -> Loopback {
    Loopback::bind(&redirect(uri)).await.unwrap()
}

async fn send(host: &str, port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect((host, port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut reply)).await;
    read.expect("no reply").unwrap();
    String::from_utf8(reply).unwrap()
}

fn get(target: &str, port: u16) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: */*\r\n\r\n").into_bytes()
}

fn post(target: &str, port: u16, fields: &str, body: &str) -> Vec<u8> {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: https://idp.example\r\n{fields}\r\n");
    [head.as_bytes(), body.as_bytes()].concat()
}

fn right(code: &str) -> String {
    format!("/callback?code={code}&state={STATE}")
}

/// Serves while `browse` runs, and after it until an answer is there; both must end within three seconds.
async fn serve<F: Future<Output = ()>>(loopback: &Loopback, browse: F) -> (Answer, Vec<Refusal>) {
    let refusals = Mutex::new(Vec::new());
    let expected = expected();
    let answer = async {
        let arrived = loopback.answer(&expected, |refusal| refusals.lock().unwrap().push(refusal)).await;
        let answer = arrived.answer.clone();
        arrived.conclude(true).await;
        answer
    };
    let both = async { tokio::join!(answer, browse) };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(3), both).await.expect("hangs");
    (answer, refusals.into_inner().unwrap())
}

fn is_code(answer: &Answer, code: &str) -> bool {
    *answer == Answer::Code(AuthorizationCode::new(code))
}

#[tokio::test]
async fn stray_requests_do_not_end_the_wait() {
    let loopback = bound("http://localhost/callback").await;
    let port = loopback.port();
    let (answer, refusals) = serve(&loopback, async {
        // Browsers open connections ahead of need and leave them silent.
        let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut slow = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        slow.write_all(b"GET /callback?code=abc HTTP/1.1\r\nHo").await.unwrap();
        drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let head = format!("HEAD {} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n", right("abc"));
        for (request, status) in [
            (get("/favicon.ico", port), "404"),
            (get("/", port), "404"),
            (head.clone().into_bytes(), "405"),
            (head.replace("HEAD", "PUT").into_bytes(), "405"),
            (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec(), "400"),
            (b"GET\r\n\r\n".to_vec(), "400"),
            (get("/callback", port), "400"),
            (get("/callback?code=evil&state=wrong", port), "400"),
            (get("/callback?error=access_denied&state=wrong", port), "400"),
        ] {
            let reply = send("127.0.0.1", port, &request).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        }
        let reply = send("127.0.0.1", port, &get(&right("abc"), port)).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    })
    .await;
    assert!(is_code(&answer, "abc"));
    assert_eq!(refusals, [Refusal::NoState, Refusal::WrongState, Refusal::WrongState]);
}

#[tokio::test]
async fn the_page_keeps_and_shows_nothing() {
    let loopback = bound("http://localhost/callback").await;
    let port = loopback.port();
    let (answer, _) = serve(&loopback, async {
        let bad = send("127.0.0.1", port, &get("/callback?error=%3Cscript%3Ecanary&state=canary", port)).await;
        let good = send("127.0.0.1", port, &get(&right("canary"), port)).await;
        for reply in [bad, good] {
            let (head, body) = reply.split_once("\r\n\r\n").unwrap();
            assert!(!body.contains("canary") && !body.contains(STATE) && !body.contains("<script"), "{body}");
            for header in [
                "cache-control: no-store",
                "content-security-policy: default-src 'none'; style-src 'unsafe-inline'",
                "referrer-policy: no-referrer",
                "connection: close",
                "x-content-type-options: nosniff",
                &format!("content-length: {}", body.len()),
            ] {
                assert!(head.contains(header), "{header} is not in {head}");
            }
        }
    })
    .await;
    assert!(is_code(&answer, "canary"));
}

#[tokio::test]
async fn only_our_own_host_names() {
    let loopback = bound("http://localhost/callback").await;
    let port = loopback.port();
    let (answer, refusals) = serve(&loopback, async {
        let target = right("abc");
        for host in [
            format!("Host: evil.example:{port}\r\n"),
            "Host: localhost\r\n".to_owned(),
            format!("Host: localhost:{}\r\n", port ^ 1),
            format!("Host: localhost:+{port}\r\n"),
            format!("Host: localhost.evil.example:{port}\r\n"),
            format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n"),
            format!("Host: ::1:{port}\r\n"),
            "Host: \r\n".to_owned(),
            String::new(),
        ] {
            let reply = send("127.0.0.1", port, format!("GET {target} HTTP/1.1\r\n{host}\r\n").as_bytes()).await;
            assert!(reply.starts_with("HTTP/1.1 421 "), "{host}: {reply}");
        }
        let absolute = format!("GET http://evil.example:{port}{target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        assert!(send("127.0.0.1", port, absolute.as_bytes()).await.starts_with("HTTP/1.1 421 "));
        let last = format!("GET http://LOCALHOST:{port}{target} HTTP/1.1\r\nHOST: [::1]:{port}\r\n\r\n");
        assert!(send("127.0.0.1", port, last.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    })
    .await;
    assert!(is_code(&answer, "abc") && refusals.is_empty());
}

#[tokio::test]
async fn form_post() {
    let loopback = bound("http://127.0.0.1/callback").await;
    let port = loopback.port();
    let form = "Content-Type: application/x-www-form-urlencoded;charset=UTF-8\r\n";
    let body = format!("code=abc&state={STATE}");
    let (answer, refusals) = serve(&loopback, async {
        let length = |length: usize| format!("{form}Content-Length: {length}\r\n");
        for (fields, status) in [
            (form.to_owned(), "411"),
            (length(40_000), "413"),
            (format!("{form}Content-Length: x\r\n"), "400"),
            (format!("{form}Content-Length: -1\r\n"), "400"),
            (format!("{}Content-Length: 1\r\n", length(30)), "400"),
            (format!("{}Transfer-Encoding: chunked\r\n", length(30)), "400"),
            (format!("{form}Transfer-Encoding: chunked\r\n"), "411"),
            (format!("Content-Length: {}\r\n", body.len()), "415"),
            (format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()), "415"),
        ] {
            let reply = send("127.0.0.1", port, &post("/callback", port, &fields, &body)).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {reply}");
        }
        let reply = send("127.0.0.1", port, &post("/elsewhere", port, &length(body.len()), &body)).await;
        assert!(reply.starts_with("HTTP/1.1 404 "), "{reply}");
        let reply = send("127.0.0.1", port, &post("/callback", port, &length(body.len()), &body)).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    })
    .await;
    assert!(is_code(&answer, "abc") && refusals.is_empty());
}

#[tokio::test]
async fn long_codes_and_too_long_requests() {
    let loopback = bound("http://127.0.0.1/callback").await;
    let port = loopback.port();
    let code = "c".repeat(MAX_CODE);
    let (answer, _) = serve(&loopback, async {
        let huge = format!("GET /callback?{} HTTP/1.1\r\n", "x".repeat(64 * 1024));
        assert!(send("127.0.0.1", port, huge.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let many = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n{}\r\n", "a: b\r\n".repeat(200));
        assert!(send("127.0.0.1", port, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        assert!(send("127.0.0.1", port, &get(&right(&code), port)).await.starts_with("HTTP/1.1 200 "));
    })
    .await;
    assert!(is_code(&answer, &code));
}

#[tokio::test]
async fn a_request_in_pieces() {
    let loopback = bound("http://127.0.0.1/callback").await;
    let port = loopback.port();
    let (answer, _) = serve(&loopback, async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        for byte in get(&right("abc"), port) {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 "));
    })
    .await;
    assert!(is_code(&answer, "abc"));
}

#[tokio::test]
async fn the_first_of_two_answers_counts() {
    let loopback = bound("http://127.0.0.1/callback").await;
    let port = loopback.port();
    let (answer, _) = serve(&loopback, async {
        let (mut first, mut second) = (
            TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
            TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
        );
        first.write_all(&get(&right("first"), port)).await.unwrap();
        let mut reply = String::new();
        first.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 "));
        // Nobody serves it any more: it ends, with or without an error, but not with a page.
        let _ = second.write_all(&get(&right("second"), port)).await;
        let mut reply = Vec::new();
        let _ = second.read_to_end(&mut reply).await;
        assert!(reply.is_empty());
    })
    .await;
    assert!(is_code(&answer, "first"));
}

#[tokio::test]
async fn more_silent_connections_than_are_served() {
    let loopback = bound("http://127.0.0.1/callback").await;
    let port = loopback.port();
    let expected = expected();
    let browse = async {
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        drop(silent);
        stream
    };
    let both = async {
        let answer = loopback.answer(&expected, |_| {});
        let request = async {
            let mut stream = browse.await;
            stream.write_all(&get(&right("abc"), port)).await.unwrap();
            // Held open, so that the answer is what ends the race.
            std::future::pending::<()>().await;
            drop(stream);
        };
        tokio::select! { arrived = answer => arrived, () = request => unreachable!() }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(3), both).await.expect("hangs");
    assert!(is_code(&arrived.answer, "abc"));
}

#[tokio::test]
async fn both_families_or_the_one_that_was_registered() {
    let both = bound("http://localhost/callback").await;
    let port = both.port();
    let six = std::net::TcpListener::bind(("::1", 0)).is_ok();
    if six {
        let (answer, _) = serve(&both, async {
            assert!(send("::1", port, &get(&right("six"), port)).await.starts_with("HTTP/1.1 200 "));
        })
        .await;
        assert!(is_code(&answer, "six"));
        let only = bound("http://[::1]/callback").await;
        assert!(TcpStream::connect(("127.0.0.1", only.port())).await.is_err());
        let four = bound("http://127.0.0.1/callback").await;
        assert!(TcpStream::connect(("::1", four.port())).await.is_err());
    }
    let (answer, _) = serve(&both, async {
        assert!(send("127.0.0.1", port, &get(&right("four"), port)).await.starts_with("HTTP/1.1 200 "));
    })
    .await;
    assert!(is_code(&answer, "four"));
}

#[tokio::test]
async fn a_busy_port_is_named_with_its_owner() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Loopback::bind(&redirect(&format!("http://localhost:{port}/callback"))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "port_busy"));
    assert!(error.message().contains(&port.to_string()), "{error}");
    if cfg!(target_os = "linux") {
        assert!(error.message().contains(&format!("(pid {})", std::process::id())), "{error}");
    }
    assert!(error.next_step().unwrap().contains("--flow device"), "{error}");
    drop(taken);
    let freed = bound(&format!("http://localhost:{port}/callback")).await;
    drop(freed);
    bound(&format!("http://localhost:{port}/callback")).await;
}

#[tokio::test]
async fn a_port_taken_in_one_family_only_is_busy() {
    let Ok(taken) = std::net::TcpListener::bind(("::1", 0)) else { return };
    let port = taken.local_addr().unwrap().port();
    let error = Loopback::bind(&redirect(&format!("http://localhost:{port}/callback"))).await.unwrap_err();
    assert_eq!(error.code(), "port_busy");
    bound(&format!("http://127.0.0.1:{port}/callback")).await;
}

#[test]
fn redirects() {
    let table: &[(&str, usize, Option<u16>, &str)] = &[
        ("http://localhost:53593/callback", 2, Some(53593), "http://localhost:53593/callback"),
        ("http://LocalHost:53593", 2, Some(53593), "http://LocalHost:53593"),
        ("http://127.0.0.1:53593/cb", 1, Some(53593), "http://127.0.0.1:53593/cb"),
        ("http://127.0.0.1/cb", 1, Some(4711), "http://127.0.0.1:4711/cb"),
        ("http://[::1]:0/cb?x=1", 1, Some(4711), "http://[::1]:4711/cb?x=1"),
        ("https://localhost:53593/cb", 0, None, "https://localhost:53593/cb"),
        ("http://127.0.0.2:1/cb", 0, None, "http://127.0.0.2:1/cb"),
        ("https://app.example/done", 0, None, "https://app.example/done"),
        ("urn:ietf:wg:oauth:2.0:oob", 0, None, "urn:ietf:wg:oauth:2.0:oob"),
        ("http://localhost.evil.example:1/cb", 0, None, "http://localhost.evil.example:1/cb"),
    ];
    for (text, families, listening_on, uri) in table {
        let redirect = Redirect::parse(text).unwrap();
        assert_eq!((redirect.families.len(), redirect.is_loopback()), (*families, *families > 0), "{text}");
        assert_eq!(redirect.uri(*listening_on), *uri);
    }
    assert_eq!(Redirect::parse("localhost").unwrap_err().code(), "metadata_invalid");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_after_its_time() {
    let loopback = bound("http://127.0.0.1/callback").await;
    let (port, expected) = (loopback.port(), expected());
    let browse = async {
        let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        silent.write_all(b"GET /callback HTTP/1.1\r\n").await.unwrap();
        silent.read_to_end(&mut Vec::new()).await
    };
    tokio::select! {
        _ = loopback.answer(&expected, |_| {}) => unreachable!(),
        read = browse => assert_eq!(read.unwrap(), 0),
    }
}
