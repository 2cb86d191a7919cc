//! Every probe path and every row of the classification, on a transport that routes by path. Real sockets are in
//! `transport/tests`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;
use prost::Message as _;

use super::*;
use crate::clock::fake::FakeClock;
use crate::error::{Error, ErrorKind};
use crate::protocol::flyteidl;
use crate::transport::scripted::{json, reply};
use crate::transport::{Call, Failure, FailureKind, Reply};

mod cache_rules;
mod identity;
mod issuers;

type Answer = Result<Reply, Failure>;

const V2: &str = "/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata";
const V2_CLIENT: &str = "/flyteidl2.auth.AuthMetadataService/GetPublicClientConfig";
const V1: &str = "/flyteidl.service.AuthMetadataService/GetOAuth2Metadata";
const V1_CLIENT: &str = "/flyteidl.service.AuthMetadataService/GetPublicClientConfig";
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
const FLYTE_CLIENT: &str = "/config/v1/flyte_client";

const DOCUMENT: &str = r#"{"issuer":"https://i.example","token_endpoint":"https://i.example/t"}"#;
const CAMEL: &str = r#"{"issuer":"https://i.example","tokenEndpoint":"https://i.example/t"}"#;
const CLIENT: &str = r#"{"client_id":"flytectl","authorization_metadata_key":"flyte-authorization","scopes":["all"]}"#;

/// Answers by `http2:` for gRPC and the path; what is not listed gets `other`.
#[derive(Debug)]
struct Router {
    routes: Mutex<HashMap<String, Answer>>,
    other: fn(&str) -> Answer,
    calls: Mutex<Vec<String>>,
}

impl Router {
    fn new(other: fn(&str) -> Answer, routes: Vec<(&str, Answer)>) -> Arc<Self> {
        let routes = routes.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect();
        Arc::new(Self { routes: Mutex::new(routes), other, calls: Mutex::default() })
    }
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl HttpTransport for Router {
    fn send(&self, call: Call) -> BoxFuture<'_, Answer> {
        let version = if call.http2_only { "http2:" } else { "" };
        let key = format!("{version}{}", call.request.uri().path());
        self.calls.lock().unwrap().push(key.clone());
        let answer = self.routes.lock().unwrap().get(&key).cloned().unwrap_or_else(|| (self.other)(&key));
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }
}

fn not_found(key: &str) -> Answer {
    if key.starts_with("http2:") { grpc_status(12) } else { reply(404, "text/plain", "no") }
}

fn everywhere_401(_: &str) -> Answer {
    json(401, "{}")
}

fn grpc_status(code: u32) -> Answer {
    let mut answer = reply(200, "application/grpc", "")?;
    answer.trailers.insert("grpc-status", code.into());
    Ok(answer)
}

fn grpc_message(message: &impl prost::Message) -> Answer {
    let mut answer = grpc_status(0)?;
    let body = message.encode_to_vec();
    answer.body = [&[0], &u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
    Ok(answer)
}

fn failed(kind: FailureKind) -> Answer {
    let code = format!("{kind:?}").to_lowercase();
    Err(Failure { kind, error: Error::new(ErrorKind::Network, code, "no answer") })
}

fn metadata_message() -> flyteidl::OAuth2Metadata {
    let text = str::to_owned;
    flyteidl::OAuth2Metadata {
        issuer: text("https://i.example"),
        token_endpoint: text("https://i.example/t"),
        ..Default::default()
    }
}

fn client_message() -> flyteidl::PublicClientConfig {
    flyteidl::PublicClientConfig { client_id: "flytectl".to_owned(), ..Default::default() }
}

fn secure() -> Target {
    Target::Endpoint(Endpoint::parse("dns:///flyte.example", false, "test").unwrap())
}

fn plaintext() -> Target {
    Target::Endpoint(Endpoint::parse("http://flyte.example:8089", false, "test").unwrap())
}

fn discoverer(router: &Arc<Router>) -> Discoverer {
    Discoverer::new(Arc::<Router>::clone(router), Arc::new(FakeClock::default()), None)
}

async fn ask(router: &Arc<Router>, target: &Target) -> Result<Discovery> {
    discoverer(router).discover(target).await
}

fn auth(found: Result<Discovery>) -> ServerAuth {
    match found {
        Ok(Discovery::Auth(server)) => *server,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn flyte2_over_connect_needs_one_round_trip() {
    for (metadata, client) in [
        (json(200, CAMEL), json(200, r#"{"clientId":"flytectl"}"#)),
        (
            reply(200, "application/proto", &String::from_utf8(metadata_message().encode_to_vec()).unwrap()),
            reply(200, "application/proto", &String::from_utf8(client_message().encode_to_vec()).unwrap()),
        ),
    ] {
        let router = Router::new(not_found, vec![(V2, metadata), (V2_CLIENT, client)]);
        let server = auth(ask(&router, &secure()).await);
        assert_eq!(server.generation, Some(Generation::Flyte2));
        assert_eq!(server.metadata.token_endpoint.as_deref(), Some("https://i.example/t"));
        assert_eq!(server.public_client.client_id.as_deref(), Some("flytectl"));
        assert_eq!(server.public_client.redirect_uri.as_deref(), Some("http://localhost:53593/callback"));
        assert_eq!(server.public_client.metadata_key(), "authorization");
        assert_eq!(router.calls(), [V2, V2_CLIENT]);
    }
}

#[tokio::test]
async fn grpc_asks_both_generations_and_flyte2_wins() {
    let h2 = |path: &str| format!("http2:{path}");
    let (v2, v2c, v1, v1c) = (h2(V2), h2(V2_CLIENT), h2(V1), h2(V1_CLIENT));
    let one = || [(v1.as_str(), grpc_message(&metadata_message())), (v1c.as_str(), grpc_message(&client_message()))];
    let two = || [(v2.as_str(), grpc_message(&metadata_message())), (v2c.as_str(), grpc_message(&client_message()))];
    for (routes, expected) in [
        (one().to_vec(), Generation::Flyte1),
        (two().to_vec(), Generation::Flyte2),
        ([one(), two()].concat(), Generation::Flyte2),
    ] {
        let router = Router::new(not_found, routes);
        let server = auth(ask(&router, &secure()).await);
        assert_eq!(server.generation, Some(expected));
        assert_eq!(server.public_client.client_id.as_deref(), Some("flytectl"));
        assert!(!router.calls().iter().any(|call| call == WELL_KNOWN));
    }
}

#[tokio::test]
async fn rest_in_both_key_cases() {
    for (document, client, generation, header) in [
        (DOCUMENT, Some(CLIENT), Generation::Flyte1, "flyte-authorization"),
        (
            CAMEL,
            Some(r#"{"authorizationMetadataKey":"flyte-authorization"}"#),
            Generation::Flyte1,
            "flyte-authorization",
        ),
        (CAMEL, None, Generation::Flyte2, "authorization"),
        (DOCUMENT, None, Generation::Flyte1, "authorization"),
    ] {
        let mut routes = vec![(WELL_KNOWN, json(200, document))];
        routes.extend(client.map(|client| (FLYTE_CLIENT, json(200, client))));
        let server = auth(ask(&Router::new(not_found, routes), &secure()).await);
        assert_eq!((server.generation, server.public_client.metadata_key()), (Some(generation), header));
        assert_eq!(server.metadata.token_endpoint.as_deref(), Some("https://i.example/t"));
    }
}

#[tokio::test]
async fn not_here_everywhere_is_no_auth() {
    for status in [404, 405, 415, 501, 505] {
        let rest = json(status, "{}");
        let routes = [V2, V2_CLIENT, WELL_KNOWN, FLYTE_CLIENT].map(|path| (path, rest.clone())).to_vec();
        let found = ask(&Router::new(not_found, routes), &secure()).await.unwrap();
        assert_eq!(found, Discovery::NoAuth { generation: None }, "{status}");
    }
    // nginx's 404 page is a 404.
    let pages = |_: &str| reply(404, "text/html", "<html>");
    assert_eq!(ask(&Router::new(pages, vec![]), &secure()).await.unwrap(), Discovery::NoAuth { generation: None });
    // A peer without HTTP/2.
    let old = |key: &str| if key.starts_with("http2:") { failed(FailureKind::Protocol) } else { reply(404, "", "") };
    assert_eq!(ask(&Router::new(old, vec![]), &plaintext()).await.unwrap(), Discovery::NoAuth { generation: None });
}

#[tokio::test]
async fn no_auth_tells_the_generation_where_the_answer_does() {
    let unconfigured = (V2, json(501, r#"{"code":"unimplemented","message":"x"}"#));
    let found = ask(&Router::new(not_found, vec![unconfigured]), &secure()).await.unwrap();
    assert_eq!(found, Discovery::NoAuth { generation: Some(Generation::Flyte2) });
    let gateway = (WELL_KNOWN, json(501, r#"{"code":12,"message":"unknown service"}"#));
    let found = ask(&Router::new(not_found, vec![gateway]), &secure()).await.unwrap();
    assert_eq!(found, Discovery::NoAuth { generation: Some(Generation::Flyte1) });
}

#[tokio::test]
async fn what_stands_in_front_is_said() {
    let mut to_login = reply(302, "text/html", "").unwrap();
    to_login.headers.insert("location", "https://sso.example/login?state=canary".parse().unwrap());
    let rows: [fn(&str) -> Answer; 4] = [
        everywhere_401,
        |_| reply(403, "text/html", "<html>canary"),
        |_| reply(200, "text/html; charset=utf-8", "<html>canary"),
        |key| if key.starts_with("http2:") { grpc_status(16) } else { reply(307, "", "") },
    ];
    for row in rows {
        let error = ask(&Router::new(row, vec![]), &secure()).await.unwrap_err();
        assert_eq!((error.kind(), error.code(), error.is_retryable()), (ErrorKind::Server, "proxy_in_front", false));
        assert!(error.to_string().contains("flyte.example") && error.next_step().is_some(), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let error = ask(&Router::new(not_found, vec![(V2, Ok(to_login))]), &secure()).await.unwrap_err();
    assert!(error.to_string().contains("sso.example") && !error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn a_path_that_gets_through_wins_over_an_obstacle() {
    let h2 = format!("http2:{V1}");
    let routes = vec![(h2.as_str(), grpc_message(&metadata_message()))];
    let other = |key: &str| if key.starts_with("http2:") { grpc_status(12) } else { json(401, "{}") };
    assert_eq!(auth(ask(&Router::new(other, routes), &secure()).await).generation, Some(Generation::Flyte1));
    let busy = Router::new(not_found, vec![(V2, json(503, "")), (WELL_KNOWN, json(200, DOCUMENT))]);
    assert!(ask(&busy, &secure()).await.is_ok());
}

#[tokio::test]
async fn trouble_is_retryable_and_not_no_auth() {
    for (status, code) in [(500, "unavailable"), (502, "unavailable"), (503, "unavailable"), (429, "too_many_requests")]
    {
        let mut busy = reply(status, "text/html", "<html>").unwrap();
        busy.headers.insert("retry-after", "7".parse().unwrap());
        let error = ask(&Router::new(not_found, vec![(V2, Ok(busy))]), &secure()).await.unwrap_err();
        assert_eq!((error.kind(), error.code(), error.is_retryable()), (ErrorKind::Server, code, true), "{status}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
    let h2 = format!("http2:{V1}");
    let router = Router::new(not_found, vec![(h2.as_str(), grpc_status(14))]);
    assert_eq!(ask(&router, &secure()).await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn no_answer_stops_at_once() {
    for kind in [
        FailureKind::Dns,
        FailureKind::Connect,
        FailureKind::Tls,
        FailureKind::Proxy,
        FailureKind::Timeout,
        FailureKind::TooLarge,
    ] {
        let router = Router::new(not_found, vec![(V2, failed(kind))]);
        let error = ask(&router, &secure()).await.unwrap_err();
        assert_eq!(error.code(), format!("{kind:?}").to_lowercase());
        assert_eq!(router.calls().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_port_that_speaks_only_http2_or_no_http_at_all() {
    // gRPC only: no REST attempt follows.
    let grpc_only = |key: &str| if key.starts_with("http2:") { grpc_status(12) } else { failed(FailureKind::Protocol) };
    let router = Router::new(grpc_only, vec![]);
    assert_eq!(ask(&router, &plaintext()).await.unwrap(), Discovery::NoAuth { generation: None });
    assert_eq!(router.calls().len(), 6);
    let h2 = format!("http2:{V1}");
    let router = Router::new(grpc_only, vec![(h2.as_str(), grpc_message(&metadata_message()))]);
    assert_eq!(auth(ask(&router, &plaintext()).await).generation, Some(Generation::Flyte1));
    // No HTTP: never "no auth".
    for kind in [FailureKind::Protocol, FailureKind::Broken] {
        let router = Router::new(|_| failed(FailureKind::Protocol), vec![(V2, failed(kind))]);
        assert_eq!(ask(&router, &plaintext()).await.unwrap_err().code(), format!("{kind:?}").to_lowercase());
    }
    // A TLS port asked in plaintext answers 400 to everything.
    let tls_port = |key: &str| {
        if key.starts_with("http2:") { failed(FailureKind::Protocol) } else { reply(400, "text/plain", "") }
    };
    let error = ask(&Router::new(tls_port, vec![]), &plaintext()).await.unwrap_err();
    assert_eq!(error.code(), "refused");
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn unreadable_metadata_names_the_place() {
    let huge = "[".repeat(200);
    for body in [
        "{\"issuer\":\"canary",
        "[]",
        "",
        "not json canary",
        r#"{"issuer":"https://i","issuer":"https://j"}"#,
        r#"{"tokenEndpoint":1}"#,
        r#"{"scopesSupported":{"canary":1}}"#,
        huge.as_str(),
    ] {
        let router = Router::new(not_found, vec![(V2, json(200, body))]);
        let error = ask(&router, &secure()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, "malformed"), "{body}");
        assert!(error.to_string().contains("flyte.example") && error.next_step().is_some(), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    let bad_key = (V2_CLIENT, json(200, r#"{"authorizationMetadataKey":"x\r\ny"}"#));
    let error = ask(&Router::new(not_found, vec![(V2, json(200, CAMEL)), bad_key]), &secure()).await.unwrap_err();
    assert!(error.to_string().contains("authorization_metadata_key"), "{error}");
    let h2 = format!("http2:{V1}");
    let error = ask(&Router::new(not_found, vec![(h2.as_str(), reply(200, "application/grpc", "xx"))]), &secure())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "malformed");
}

#[tokio::test]
async fn addresses_in_metadata_are_checked() {
    for (member, url, refused) in [
        ("token_endpoint", "http://idp.example/t", true),
        ("token_endpoint", "http://127.0.0.1:1/t", false),
        ("jwks_uri", "file:///etc/passwd", true),
        ("device_authorization_endpoint", "/device", true),
        ("authorization_endpoint", "javascript:alert(1)", true),
        ("revocation_endpoint", "https://a:b@idp.example/", true),
    ] {
        let mut document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        document[member] = url.into();
        let routes = || vec![(WELL_KNOWN, json(200, &document.to_string()))];
        let found = ask(&Router::new(not_found, routes()), &secure()).await;
        assert_eq!(found.is_err(), refused, "{member} {url}");
        if let Err(error) = found {
            assert_eq!(error.code(), "metadata_refused");
            assert!(error.to_string().contains(member), "{error}");
        }
        if url.starts_with("http:") {
            // An endpoint on this machine, or one without TLS, is no word about other hosts.
            let here = Target::Endpoint(Endpoint::parse("http://localhost:30080", true, "test").unwrap());
            for target in [&plaintext(), &here] {
                let router = Router::new(not_found, routes());
                assert_eq!(ask(&router, target).await.is_err(), refused, "{url}");
                assert!(discoverer(&router).plaintext(Plaintext::ByUser).discover(target).await.is_ok());
            }
        }
    }
}

#[tokio::test]
async fn a_missing_token_endpoint_is_looked_up_at_the_issuer() {
    let routes = |issuer: Answer| {
        vec![
            (V2, json(200, r#"{"issuer":"https://i.example","authorizationEndpoint":"https://i.example/a"}"#)),
            ("/.well-known/openid-configuration", issuer),
        ]
    };
    let router = Router::new(not_found, routes(json(200, DOCUMENT)));
    let server = auth(ask(&router, &secure()).await);
    assert_eq!(server.metadata.token_endpoint.as_deref(), Some("https://i.example/t"));
    assert_eq!(server.metadata.authorization_endpoint.as_deref(), Some("https://i.example/a"));
    assert_eq!(server.public_client, PublicClientConfig::default());
    let router = Router::new(not_found, routes(json(200, r#"{"issuer":"https://i.example"}"#)));
    let error = ask(&router, &secure()).await.unwrap_err();
    assert_eq!(error.code(), "metadata_incomplete");
    assert!(error.to_string().contains("token_endpoint"), "{error}");
    let error = ask(&Router::new(not_found, vec![(V2, json(200, "{}"))]), &secure()).await.unwrap_err();
    assert_eq!(error.code(), "metadata_incomplete");
}

#[tokio::test]
async fn a_client_config_that_is_refused_is_no_empty_one() {
    let router = Router::new(not_found, vec![(V2, json(200, CAMEL)), (V2_CLIENT, json(403, "{}"))]);
    assert_eq!(ask(&router, &secure()).await.unwrap_err().code(), "proxy_in_front");
    let router = Router::new(not_found, vec![(V2, json(200, CAMEL)), (V2_CLIENT, json(501, "{}"))]);
    assert_eq!(auth(ask(&router, &secure()).await).public_client, PublicClientConfig::default());
}
