use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use tokio::net::TcpListener;

use super::echo::call;
use super::world::{Front, Service, canned, read_head, request, soon, text};
use crate::gateway::trouble::Dialect;

/// The URL of a port where nobody listens.
async fn nobody(scheme: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("{scheme}://{}", listener.local_addr().unwrap())
}

async fn answer(front: &Front, content_type: &str, path: &str) -> (u16, HeaderMap, String) {
    let request = request("POST", path).header("content-type", content_type).body(Body::from("x")).unwrap();
    let response = front.get(request).await;
    (response.status().as_u16(), response.headers().clone(), text(response).await)
}

#[tokio::test]
async fn a_service_that_is_down_is_told_in_the_callers_protocol_without_its_address() {
    let url = nobody("http").await;
    let port = url.rsplit(':').next().unwrap().to_owned();
    let front = Front::new(&[("/", url.clone()), ("a.", url)]).await;
    let words = "the service behind cannot be reached";
    let unary = format!(r#"{{"code":"unavailable","message":"{words}"}}"#);
    let gateway = format!(r#"{{"code":14,"details":[],"message":"{words}"}}"#);
    let stream = format!(r#"{{"error":{{"code":"unavailable","message":"{words}"}}}}"#);
    let stream = format!("\u{2}\0\0\0{}{stream}", char::from(u8::try_from(stream.len()).unwrap()));
    for (content_type, path, status, answered, body) in [
        ("application/grpc+proto", "/a.B/C", 200, "application/grpc", ""),
        ("Application/GRPC", "/a.B/C", 200, "application/grpc", ""),
        ("application/grpc-web+proto", "/a.B/C", 200, "application/grpc-web+proto", ""),
        ("application/grpc-web-text", "/a.B/C", 200, "application/grpc-web-text+proto", ""),
        ("application/connect+proto", "/a.B/C", 200, "application/connect+proto", &*stream),
        ("application/connect+json", "/a.B/C", 200, "application/connect+json", &*stream),
        ("application/json", "/a.B/C", 503, "application/json", &*unary),
        ("application/proto; x=y", "/a.B/C", 503, "application/json", &*unary),
        ("application/json", "/api/v1/projects", 503, "application/json", &*gateway),
        ("application/grpcx", "/x", 503, "text/plain; charset=utf-8", words),
        ("text/plain", "/a.B/C", 503, "text/plain; charset=utf-8", words),
    ] {
        let (code, headers, text) = answer(&front, content_type, path).await;
        assert_eq!((code, &headers["content-type"]), (status, &answered.parse().unwrap()), "{content_type}");
        assert_eq!(text, body, "{content_type}");
        assert_eq!(headers["cache-control"], "no-store");
        let is_grpc = answered.starts_with("application/grpc");
        assert_eq!(headers.get("grpc-status").is_some_and(|status| status == "14"), is_grpc, "{content_type}");
        assert_eq!(headers.get("grpc-message").is_some_and(|message| message == words), is_grpc, "{content_type}");
        assert!(!format!("{headers:?}{text}").contains(&port), "{headers:?} {text}");
    }
}

#[tokio::test]
async fn a_grpc_caller_gets_trailers_alone() {
    let front = Front::new(&[("test.", nobody("http").await)]).await;
    let response = soon(front.http2().await.send_request(call("Unary", Body::empty()))).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"14".parse().unwrap()));
    assert!(http_body::Body::is_end_stream(response.body()));
}

#[tokio::test]
async fn a_service_that_breaks_off_before_its_answer_is_502_and_14() {
    let service = Service::raw(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let front = Front::new(&[("/", service.url("http")), ("test.", service.url("h2c"))]).await;
    let response = front.get(request("GET", "/").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 502);
    let response = soon(front.http2().await.send_request(call("Unary", Body::empty()))).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"14".parse().unwrap()));
}

#[tokio::test]
async fn a_service_that_speaks_something_else_is_502_and_14() {
    let (service, _heard) = canned("SSH-2.0-OpenSSH_9.9\r\n\r\n").await;
    let front = Front::new(&[("/", service.url("http")), ("test.", service.url("http"))]).await;
    assert_eq!(front.get(request("GET", "/").body(Body::empty()).unwrap()).await.status(), 502);
    let response = soon(front.http2().await.send_request(call("Unary", Body::empty()))).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
}

#[tokio::test]
async fn a_service_that_comes_back_is_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let front = Front::new(&[("/", format!("http://{address}")), ("test.", format!("http://{address}"))]).await;
    let call = || request("POST", "/test.A/B").header("content-type", "application/grpc").body(Body::empty()).unwrap();
    assert_eq!(front.get(call()).await.headers()["grpc-status"], "14");
    assert_eq!(front.get(request("GET", "/").body(Body::empty()).unwrap()).await.status(), 503);
    let listener = TcpListener::bind(address).await.unwrap();
    let app = Router::new().fallback(|| async { [("grpc-status", "0")] });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(super::world::serve(stream, app.clone()));
        }
    });
    assert_eq!(front.get(call()).await.headers()["grpc-status"], "0");
    assert_eq!(front.get(request("GET", "/").body(Body::empty()).unwrap()).await.status(), 200);
}

#[test]
fn deadlines_are_the_callers_business_where_it_names_one_or_streams() {
    let dialect = |content_type: &str, header: &'static str| {
        let request = Request::builder().method("POST").uri("/a.B/C").header("content-type", content_type);
        let request = request.header(header, "1").body(Body::empty()).unwrap();
        let dialect = Dialect::of(&request);
        (dialect, dialect.has_own_deadline(request.headers()))
    };
    assert_eq!(dialect("application/grpc", "x"), (Dialect::Grpc, true));
    assert_eq!(dialect("application/grpc-web", "x"), (Dialect::GrpcWeb { is_text: false }, true));
    assert_eq!(dialect("application/connect+json", "x"), (Dialect::ConnectStream { is_json: true }, true));
    assert_eq!(dialect("application/json", "x"), (Dialect::ConnectUnary, false));
    assert_eq!(dialect("application/json", "connect-timeout-ms"), (Dialect::ConnectUnary, true));
    assert_eq!(dialect("text/html", "connect-timeout-ms"), (Dialect::Http { json: false }, false));
    let get = Request::builder().uri("/a.B/C?encoding=json&connect=v1&message=").body(Body::empty()).unwrap();
    assert_eq!(Dialect::of(&get), Dialect::ConnectUnary);
    let get = Request::builder().uri("/a").header("accept", "text/html, application/json").body(Body::empty()).unwrap();
    assert_eq!(Dialect::of(&get), Dialect::Http { json: true });
}
