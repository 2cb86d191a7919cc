//! Authorization code with PKCE: the way it goes, and every way in which it must not.

use crate::common::{REDIRECT, Server, claims, pkce};
use serde_json::Value;

#[tokio::test]
async fn signs_in_and_the_tokens_say_who() {
    let server = Server::approving().await;
    let issuer = server.sandbox.ready().issuer.clone();
    let (verifier, challenge) = pkce();
    let answer = server
        .authorize(&[
            ("client_id", "flytectl"),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid profile email all offline"),
            ("state", "a state & more"),
            ("nonce", "n-1"),
            ("audience", "https://flyte.example"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .await;
    let (base, params) = answer.location();
    assert_eq!((answer.status, base.as_str()), (303, REDIRECT));
    assert_eq!(params["state"], "a state & more");
    assert_eq!(params["iss"], issuer.as_str());
    assert_eq!(answer.header("cache-control"), "no-store");

    let reply = server.redeem(params["code"].as_str().unwrap(), &verifier).await;
    assert_eq!((reply.status, reply.header("cache-control"), reply.header("pragma")), (200, "no-store", "no-cache"));
    let reply = reply.json();
    assert_eq!(reply["token_type"], "Bearer");
    assert_eq!(reply["expires_in"], 1800);
    assert_eq!(reply["scope"], "openid profile email all offline");
    assert!(reply["refresh_token"].as_str().unwrap().len() >= 43);
    let access = claims(reply["access_token"].as_str().unwrap());
    assert_eq!(access["sub"], "alice@example.org");
    assert_eq!(access["client_id"], "flytectl");
    assert_eq!(access["aud"], serde_json::json!([issuer, "https://flyte.example"]));
    assert_eq!(access["scp"][3], "all");
    assert_eq!(access["scope"], "openid profile email all offline");
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 1800);
    let id = claims(reply["id_token"].as_str().unwrap());
    assert_eq!(
        (&id["aud"], &id["nonce"], &id["email"]),
        (&"flytectl".into(), &"n-1".into(), &"alice@example.org".into())
    );
    assert!(id["at_hash"].is_string() && id["auth_time"].is_i64());

    let info = server
        .get_with("/userinfo", &[("authorization", &format!("Bearer {}", reply["access_token"].as_str().unwrap()))])
        .await;
    assert_eq!(info.json()["name"], "Alice");
    assert_eq!(server.me(reply["access_token"].as_str().unwrap()).await.json()["subject"], "alice@example.org");
    // An ID token is not an access token.
    assert_eq!(server.me(reply["id_token"].as_str().unwrap()).await.status, 401);
}

#[tokio::test]
async fn scopes_decide_about_refresh_and_id_tokens() {
    let server = Server::approving().await;
    for (scope, refresh, id) in
        [("all", false, false), ("all offline", true, false), ("openid offline_access", true, true), ("", false, false)]
    {
        let reply = server.sign_in(scope).await;
        assert_eq!(reply.get("refresh_token").is_some(), refresh, "{scope}");
        assert_eq!(reply.get("id_token").is_some(), id, "{scope}");
    }
    let plain = server.sign_in("all").await;
    let info = server
        .get_with("/userinfo", &[("authorization", &format!("Bearer {}", plain["access_token"].as_str().unwrap()))])
        .await;
    assert_eq!(info.status, 403, "user info needs openid");
}

#[tokio::test]
async fn requests_with_a_wrong_client_or_redirect_are_shown_never_redirected() {
    let server = Server::approving().await;
    let (_, challenge) = pkce();
    for (client, redirect) in [
        ("nobody", REDIRECT),
        ("flytectl", "http://localhost:53594/callback"),
        ("flytectl", "https://evil.example/callback"),
        ("flytectl", "http://localhost:53593/callback#fragment"),
        ("flytectl", "http://localhost:53593/callback#"),
        ("flytectl", "http://127.0.0.1:1234/other"),
        ("flytectl", "http://127.0.0.1@evil.example/callback"),
        ("flytectl", "javascript:alert(1)"),
        ("flytectl", ""),
        ("", REDIRECT),
        ("flytepropeller", REDIRECT),
    ] {
        let answer = server
            .authorize(&[
                ("client_id", client),
                ("redirect_uri", redirect),
                ("response_type", "code"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .await;
        assert_eq!((answer.status, answer.header("location")), (400, ""), "{client} {redirect}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
    }
    let twice =
        format!("/oauth2/authorize?client_id=flytectl&redirect_uri={REDIRECT}&redirect_uri=https://evil.example");
    assert_eq!(server.get(&twice).await.status, 400);
}

#[tokio::test]
async fn other_errors_go_back_to_the_client() {
    let server = Server::approving().await;
    let (_, challenge) = pkce();
    let good = [
        ("client_id", "flytectl"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "all"),
        ("state", "s"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("scope", "all nonsense", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("request", "eyJ", "request_not_supported"),
        ("request_uri", "https://evil.example", "request_uri_not_supported"),
    ] {
        let mut params: Vec<_> = good.iter().copied().filter(|(other, _)| *other != name).collect();
        params.push((name, value));
        let answer = server.authorize(&params).await;
        let (base, answered) = answer.location();
        assert_eq!((answer.status, base.as_str()), (303, REDIRECT), "{name}={value}");
        assert_eq!(answered["error"], error, "{name}={value}");
        assert_eq!(answered["state"], "s");
        assert_eq!(answered["iss"], server.sandbox.ready().issuer.as_str());
        assert!(!answered.contains_key("code"));
    }
}

#[tokio::test]
async fn codes_are_bound_and_used_once() {
    let server = Server::approving().await;
    let (verifier, challenge) = pkce();
    let (other_verifier, _) = pkce();
    let code = server.code("all offline", &challenge).await;
    for (redirect, verifier, client, what) in [
        (REDIRECT, other_verifier.as_str(), "flytectl", "another verifier"),
        (REDIRECT, "", "flytectl", "no verifier"),
        (REDIRECT, challenge.as_str(), "flytectl", "the challenge as verifier"),
        ("http://localhost:12345/callback", verifier.as_str(), "flytectl", "another redirect"),
        ("http://localhost:53593/callback/", verifier.as_str(), "flytectl", "a redirect that is almost it"),
    ] {
        let answer = server
            .token(&[
                ("grant_type", "authorization_code"),
                ("client_id", client),
                ("code", &code),
                ("redirect_uri", redirect),
                ("code_verifier", verifier),
            ])
            .await;
        assert_eq!(answer.error(), (400, "invalid_grant".to_owned()), "{what}");
    }
    let foreign = server
        .token(&[
            ("grant_type", "authorization_code"),
            ("client_id", "flytepropeller"),
            ("client_secret", "foobar"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
        ])
        .await;
    assert_eq!(foreign.error(), (400, "invalid_grant".to_owned()), "another client");

    let reply = server.redeem(&code, &verifier).await.json();
    let access = reply["access_token"].as_str().unwrap();
    assert_eq!(server.me(access).await.status, 200);
    // The second use ends what the first one gave.
    assert_eq!(server.redeem(&code, &verifier).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(server.me(access).await.status, 401);
    assert_eq!(server.refresh(reply["refresh_token"].as_str().unwrap()).await.error().1, "invalid_grant");
    assert_eq!(server.stats().await["reuse_detections"], 1);
}

#[tokio::test]
async fn codes_and_tokens_expire_by_the_clock() {
    let server = Server::approving().await;
    let (verifier, challenge) = pkce();
    let code = server.code("all", &challenge).await;
    server.set_clock(301).await;
    assert_eq!(server.redeem(&code, &verifier).await.error(), (400, "invalid_grant".to_owned()));
    let reply = server.sign_in("all offline").await;
    let access = reply["access_token"].as_str().unwrap();
    assert_eq!(server.me(access).await.status, 200);
    server.set_clock(301 + 1801).await;
    let refused = server.me(access).await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").contains("invalid_token"));
    let refresh = reply["refresh_token"].as_str().unwrap();
    assert_eq!(server.refresh(refresh).await.status, 200);
    server.set_clock(301 + 25 * 3600).await;
    assert_eq!(server.refresh(refresh).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn any_loopback_port_but_only_for_addresses() {
    let server = Server::approving().await;
    let (verifier, challenge) = pkce();
    for redirect in ["http://127.0.0.1:4711/callback", "http://[::1]:4711/callback", "http://localhost:12345/callback"]
    {
        let answer = server
            .authorize(&[
                ("client_id", "flytectl"),
                ("response_type", "code"),
                ("redirect_uri", redirect),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .await;
        let (base, params) = answer.location();
        assert_eq!((answer.status, base.as_str()), (303, redirect));
        assert!(!params.contains_key("state"), "no state came, none goes back");
        let reply = server
            .token(&[
                ("grant_type", "authorization_code"),
                ("client_id", "flytectl"),
                ("code", params["code"].as_str().unwrap()),
                ("redirect_uri", redirect),
                ("code_verifier", &verifier),
            ])
            .await;
        assert_eq!(reply.status, 200, "{redirect}");
    }
}

#[tokio::test]
async fn prompt_none_needs_a_session() {
    let server = Server::start(|_| {}).await;
    let (_, challenge) = pkce();
    let answer = server
        .authorize(&[
            ("client_id", "flytectl"),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("prompt", "none"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ])
        .await;
    assert_eq!(answer.location().1["error"], "login_required");
}

#[tokio::test]
async fn form_post_answers_with_a_form() {
    let server = Server::approving().await;
    let (_, challenge) = pkce();
    let base = [
        ("client_id", "flytectl"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("response_mode", "form_post"),
        ("state", "<s>\"&"),
        ("code_challenge", challenge.as_str()),
    ];
    let mut good = base.to_vec();
    good.push(("code_challenge_method", "S256"));
    let answer = server.authorize(&good).await;
    assert_eq!((answer.status, answer.header("location")), (200, ""));
    assert!(answer.body.contains(&format!("method=\"post\" action=\"{REDIRECT}\"")), "{}", answer.body);
    assert_eq!(answer.field("state"), "&lt;s&gt;&quot;&amp;");
    assert_eq!(answer.field("iss"), server.sandbox.ready().issuer);
    assert!(answer.field("code").len() >= 43);
    assert!(answer.header("content-security-policy").contains("form-action 'self' http://localhost:53593;"));
    let mut bad = base.to_vec();
    bad.push(("code_challenge_method", "plain"));
    assert_eq!(server.authorize(&bad).await.field("error"), "invalid_request");
}

#[tokio::test]
async fn post_authorization_requests_work() {
    let server = Server::approving().await;
    let (_, challenge) = pkce();
    let params = [
        ("client_id", "flytectl"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let answer = server.post("/oauth2/authorize", &params).await;
    assert_eq!(answer.status, 303);
    assert!(matches!(answer.location().1["code"], Value::String(_)));
}
