//! The admin interface and the faults it orders.

use flyte_auth::Timestamp;
use serde_json::json;

use crate::common::{Server, claims};

#[tokio::test]
async fn faults_hit_the_next_requests_only() {
    let server = Server::start(|options| options.faults = vec!["503:2".parse().unwrap()]).await;
    for _ in 0..2 {
        let refused = server.get("/healthcheck").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    }
    assert_eq!(server.get("/healthcheck").await.status, 200);
    server.admin("/faults", json!({ "kind": "html", "path": "/oauth2/" })).await;
    server.admin("/faults", json!({ "kind": "garbage", "count": 1 })).await;
    server.admin("/faults", json!({ "kind": 429 })).await;
    let garbage = server.get("/me").await;
    assert_eq!((garbage.status, garbage.header("content-type")), (200, "application/json"));
    assert!(serde_json::from_str::<serde_json::Value>(&garbage.body).is_err());
    assert_eq!(server.get("/me").await.status, 429);
    assert!(server.get("/oauth2/jwks").await.header("content-type").starts_with("text/html"));
    assert_eq!(server.get("/oauth2/jwks").await.status, 200);
    assert_eq!(server.stats().await["faults"], 5);
    assert_eq!(server.stats().await["requests"]["/healthcheck"], 3);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_slow_is_slow() {
    let server = Server::start(|_| {}).await;
    server.admin("/faults", json!({ "kind": "reset" })).await;
    let error = server.client.get(server.url("/healthcheck")).send().await.unwrap_err();
    let mut cause: &dyn std::error::Error = &error;
    let mut reset = false;
    while let Some(next) = cause.source() {
        cause = next;
        reset |=
            cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionReset);
    }
    assert!(reset, "{error:?}");
    assert_eq!(server.get("/healthcheck").await.status, 200, "only that connection");

    server.admin("/faults", json!({ "kind": "slow" })).await;
    let response = server.client.get(server.url("/healthcheck")).send().await.unwrap();
    assert_eq!(response.status(), 200, "headers come at once");
    let whole = tokio::time::timeout(std::time::Duration::from_millis(400), response.bytes()).await;
    assert!(whole.is_err(), "the body does not");
}

#[tokio::test]
async fn the_clock_and_the_keys_can_be_moved() {
    let server = Server::approving().await;
    let first = server.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    let shown = server.admin("/clock", json!({ "offset": 3600 })).await.json();
    let now = Timestamp::parse_rfc3339(shown["now"].as_str().unwrap()).unwrap().as_secs();
    assert!(now - claims(&first)["iat"].as_i64().unwrap() >= 3599);
    let ahead = server.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    assert!(claims(&ahead)["iat"].as_i64().unwrap() - claims(&first)["iat"].as_i64().unwrap() >= 3599);
    assert_eq!(server.me(&first).await.status, 401);
    server.set_clock(0).await;
    assert_eq!(server.me(&first).await.status, 200, "set, not added");

    let kid = server.admin("/keys/rotate", json!({})).await.json()["kid"].as_str().unwrap().to_owned();
    let keys = server.get("/oauth2/jwks").await.json();
    assert_eq!((keys["keys"].as_array().unwrap().len(), &keys["keys"][0]["kid"]), (2, &kid.as_str().into()));
    assert_eq!(server.me(&first).await.status, 200, "older keys still verify");
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let server = Server::start(|_| {}).await;
    for (path, order) in [
        ("/faults", json!({ "kind": "nonsense" })),
        ("/faults", json!({ "kind": 200 })),
        ("/faults", json!({ "kind": "503", "cuont": 2 })),
        ("/faults", json!({})),
        ("/clock", json!({})),
        ("/clock", json!({ "offset": "soon" })),
        ("/clock", json!({ "offset": 1e300 })),
    ] {
        let answer = server.admin(path, order.clone()).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{path} {order}");
    }
}

#[tokio::test]
async fn the_admin_interface_is_for_local_programs_and_on_no_other_port() {
    let server = Server::start(|_| {}).await;
    let admin = format!("{}/stats", server.sandbox.ready().admin);
    for (name, value) in
        [("origin", "http://localhost"), ("origin", "null"), ("host", "evil.example"), ("host", "evil.example:80")]
    {
        let answer = server.send(server.client.get(&admin).header(name, value)).await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    for path in ["/faults", "/clock", "/keys/rotate", "/stats", "/admin/stats"] {
        let there = server.send(server.client.post(server.url(path)).body("{}")).await.status;
        assert_eq!(there, 404, "{path}");
    }
}
