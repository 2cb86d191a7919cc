//! The device grant (RFC 8628).

use serde_json::Value;

use crate::common::{Answer, Server, claims, pkce};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(server: &Server) -> Value {
    let answer = server
        .post("/oauth2/device_authorization", &[("client_id", "flytectl"), ("scope", "openid all offline")])
        .await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    answer.json()
}

async fn poll(server: &Server, device: &Value) -> Answer {
    let code = device["device_code"].as_str().unwrap();
    server.token(&[("grant_type", GRANT), ("client_id", "flytectl"), ("device_code", code)]).await
}

/// Answers the page as a person: opens the link, then presses a button.
async fn press(server: &Server, device: &Value, action: &str) -> Answer {
    let link = device["verification_uri_complete"].as_str().unwrap();
    let page = server.send(server.client.get(link)).await;
    assert!(page.body.contains(device["user_code"].as_str().unwrap()), "the code is shown for comparison");
    let (csrf, code) = (page.field("csrf"), page.field("user_code"));
    let params = [("csrf", csrf.as_str()), ("user_code", &code), ("user", "bob@example.org"), ("action", action)];
    server.post_with("/device/decision", &params, &[("cookie", &page.cookie())]).await
}

#[tokio::test]
async fn a_person_approves() {
    let server = Server::start(|_| {}).await;
    let device = begin(&server).await;
    assert_eq!((&device["interval"], &device["expires_in"]), (&5.into(), &600.into()));
    assert_eq!(device["verification_uri"], server.url("/device"));
    assert_eq!(poll(&server, &device).await.error(), (400, "authorization_pending".to_owned()));
    assert!(press(&server, &device, "approve").await.body.contains("signed in"));
    server.set_clock(5).await;
    let reply = poll(&server, &device).await.json();
    assert_eq!(claims(reply["access_token"].as_str().unwrap())["sub"], "bob@example.org");
    assert!(reply["refresh_token"].is_string() && reply["id_token"].is_string());
    assert_eq!(poll(&server, &device).await.error(), (400, "invalid_grant".to_owned()), "once");
    assert_eq!(press_again(&server, &device).await, 200);
}

/// A used code leads back to the empty form, with a message.
async fn press_again(server: &Server, device: &Value) -> u16 {
    let page = server.send(server.client.get(device["verification_uri_complete"].as_str().unwrap())).await;
    assert!(page.body.contains("role=\"alert\""));
    page.status
}

#[tokio::test]
async fn a_person_denies() {
    let server = Server::start(|_| {}).await;
    let device = begin(&server).await;
    press(&server, &device, "deny").await;
    assert_eq!(poll(&server, &device).await.error(), (400, "access_denied".to_owned()));
}

#[tokio::test]
async fn polling_too_fast_slows_down_for_good() {
    let server = Server::start(|_| {}).await;
    let device = begin(&server).await;
    let mut time = 0;
    for (wait, error) in [
        (0, "authorization_pending"),
        (1, "slow_down"),
        (6, "slow_down"),
        (15, "authorization_pending"),
        (14, "slow_down"),
        (20, "authorization_pending"),
    ] {
        time += wait;
        server.set_clock(time).await;
        assert_eq!(poll(&server, &device).await.error(), (400, error.to_owned()), "at {time}");
    }
}

#[tokio::test]
async fn codes_expire_and_unknown_ones_are_refused() {
    let server = Server::start(|_| {}).await;
    let device = begin(&server).await;
    server.set_clock(601).await;
    assert_eq!(poll(&server, &device).await.error(), (400, "expired_token".to_owned()));
    assert_eq!(press_again(&server, &device).await, 200);
    let unknown = server.token(&[("grant_type", GRANT), ("client_id", "flytectl"), ("device_code", "x")]).await;
    assert_eq!(unknown.error(), (400, "invalid_grant".to_owned()));
    let foreign = begin(&server).await;
    let code = foreign["device_code"].as_str().unwrap();
    let other = server
        .token(&[
            ("grant_type", GRANT),
            ("client_id", "flytepropeller"),
            ("client_secret", "foobar"),
            ("device_code", code),
        ])
        .await;
    assert_eq!(other.error(), (400, "invalid_grant".to_owned()), "another client's code");
}

#[tokio::test]
async fn wrong_starts_are_refused() {
    let server = Server::start(|_| {}).await;
    for (params, status, error) in [
        (vec![], 401, "invalid_client"),
        (vec![("client_id", "nobody")], 401, "invalid_client"),
        (vec![("client_id", "flytepropeller"), ("client_secret", "foobar")], 400, "unauthorized_client"),
        (vec![("client_id", "flytectl"), ("scope", "nonsense")], 400, "invalid_scope"),
        (
            vec![("client_id", "flytectl"), ("code_challenge", "x"), ("code_challenge_method", "plain")],
            400,
            "invalid_request",
        ),
    ] {
        let answer = server.post("/oauth2/device_authorization", &params).await;
        assert_eq!(answer.error(), (status, error.to_owned()), "{params:?}");
    }
}

#[tokio::test]
async fn pkce_holds_on_the_device_grant_too() {
    let server = Server::approving().await;
    let (verifier, challenge) = pkce();
    let start = [("client_id", "flytectl"), ("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let device = server.post("/oauth2/device_authorization", &start).await.json();
    assert_eq!(poll(&server, &device).await.error(), (400, "invalid_grant".to_owned()), "no verifier");
    let code = device["device_code"].as_str().unwrap();
    let params =
        [("grant_type", GRANT), ("client_id", "flytectl"), ("device_code", code), ("code_verifier", verifier.as_str())];
    assert_eq!(server.token(&params).await.status, 200);
}

#[tokio::test]
async fn the_page_takes_sloppy_codes_and_refuses_forged_forms() {
    let server = Server::start(|_| {}).await;
    let device = begin(&server).await;
    let page = server.get("/device").await;
    let csrf = page.field("csrf");
    let sloppy = device["user_code"].as_str().unwrap().to_lowercase().replace('-', " ");
    let typed = [("csrf", csrf.as_str()), ("user_code", sloppy.as_str())];
    let confirm = server.post_with("/device", &typed, &[("cookie", &page.cookie())]).await;
    assert_eq!(confirm.field("user_code"), device["user_code"].as_str().unwrap());
    let wrong = [("csrf", csrf.as_str()), ("user_code", "<b>BBBB")];
    let wrong = server.post_with("/device", &wrong, &[("cookie", &page.cookie())]).await;
    assert!(wrong.body.contains("role=\"alert\"") && !wrong.body.contains("<b>"));
    assert_eq!(server.post("/device", &typed).await.status, 403, "no cookie");
    let answer = [("user_code", device["user_code"].as_str().unwrap()), ("user", "bob"), ("action", "approve")];
    assert_eq!(server.post_with("/device/decision", &answer, &[("cookie", &page.cookie())]).await.status, 403);
    assert_eq!(poll(&server, &device).await.error().1, "authorization_pending");
}
