//! Refresh, rotation, reuse detection, revocation and introspection.

use serde_json::Value;

use crate::common::{Server, basic, claims};

async fn rotating() -> Server {
    Server::start(|options| {
        options.auto_approve = Some("alice@example.org".to_owned());
        options.rotate_refresh_tokens = true;
    })
    .await
}

fn text<'a>(reply: &'a Value, name: &str) -> &'a str {
    reply[name].as_str().unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn without_rotation_the_refresh_token_stays() {
    let server = Server::approving().await;
    let first = server.sign_in("openid all offline").await;
    for _ in 0..2 {
        let reply = server.refresh(text(&first, "refresh_token")).await.json();
        assert!(reply.get("refresh_token").is_none(), "the old one goes on");
        assert_ne!(reply["access_token"], first["access_token"]);
        let id = claims(text(&reply, "id_token"));
        let before = claims(text(&first, "id_token"));
        assert_eq!((&id["sub"], &id["auth_time"], id.get("nonce")), (&before["sub"], &before["auth_time"], None));
    }
    assert_eq!(server.stats().await["refreshes"], 2);
}

#[tokio::test]
async fn rotation_with_reuse_ends_the_session() {
    let server = rotating().await;
    let first = server.sign_in("all offline").await;
    let bystander = server.sign_in("all offline").await;
    let second = server.refresh(text(&first, "refresh_token")).await.json();
    let third = server.refresh(text(&second, "refresh_token")).await.json();
    assert_ne!(second["refresh_token"], third["refresh_token"]);
    assert_eq!(server.me(text(&third, "access_token")).await.status, 200);
    assert_eq!(server.refresh(text(&first, "refresh_token")).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(server.refresh(text(&third, "refresh_token")).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(server.me(text(&third, "access_token")).await.status, 401, "its access tokens are gone too");
    assert_eq!(server.refresh(text(&bystander, "refresh_token")).await.status, 200, "other sessions live on");
    assert_eq!(server.stats().await["reuse_detections"], 1);
}

#[tokio::test]
async fn refresh_is_bound_to_client_and_scope() {
    let server = Server::approving().await;
    let first = server.sign_in("all offline").await;
    let token = text(&first, "refresh_token");
    let foreign = server
        .token(&[
            ("grant_type", "refresh_token"),
            ("client_id", "flytepropeller"),
            ("client_secret", "foobar"),
            ("refresh_token", token),
        ])
        .await;
    assert_eq!(foreign.error(), (400, "invalid_grant".to_owned()));
    let scoped = |scope: &'static str| {
        let server = &server;
        async move {
            server
                .token(&[
                    ("grant_type", "refresh_token"),
                    ("client_id", "flytectl"),
                    ("refresh_token", token),
                    ("scope", scope),
                ])
                .await
        }
    };
    assert_eq!(scoped("all openid").await.error(), (400, "invalid_scope".to_owned()));
    assert_eq!(scoped("all").await.json()["scope"], "all");
    assert_eq!(scoped("").await.json()["scope"], "all offline", "narrowing is for one access token only");
    assert_eq!(server.refresh("garbage").await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(server.refresh(text(&first, "access_token")).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn revocation_ends_a_session_or_one_access_token() {
    let server = Server::approving().await;
    let first = server.sign_in("all offline").await;
    let revoke = |token: String, id: &'static str, secret: &'static str| {
        let server = &server;
        async move {
            server.post("/oauth2/revoke", &[("token", &token), ("client_id", id), ("client_secret", secret)]).await
        }
    };
    let (access, refresh) = (text(&first, "access_token").to_owned(), text(&first, "refresh_token").to_owned());
    assert_eq!(revoke(access.clone(), "flytepropeller", "foobar").await.error().1, "unauthorized_client");
    assert_eq!(revoke(refresh.clone(), "flytepropeller", "foobar").await.error().1, "unauthorized_client");
    assert_eq!(server.me(&access).await.status, 200);

    assert_eq!(revoke(access.clone(), "flytectl", "").await.status, 200);
    assert_eq!(server.me(&access).await.status, 401);
    let second = server.refresh(&refresh).await.json();
    assert_eq!(
        server.me(text(&second, "access_token")).await.status,
        200,
        "one access token was meant, not the session"
    );

    assert_eq!(revoke(refresh.clone(), "flytectl", "").await.status, 200);
    assert_eq!(server.refresh(&refresh).await.error().1, "invalid_grant");
    assert_eq!(server.me(text(&second, "access_token")).await.status, 401);
    assert_eq!(revoke("unknown".to_owned(), "flytectl", "").await.status, 200, "RFC 7009 section 2.2");
    assert_eq!(revoke(refresh, "flytepropeller", "wrong").await.status, 401);
}

#[tokio::test]
async fn introspection_is_for_clients_with_a_secret() {
    let server = Server::approving().await;
    let first = server.sign_in("all offline").await;
    let ask = |token: String| {
        let server = &server;
        async move {
            let login = basic("flytepropeller", "foobar");
            server.post_with("/oauth2/introspect", &[("token", &token)], &[("authorization", &login)]).await.json()
        }
    };
    let access = ask(text(&first, "access_token").to_owned()).await;
    assert_eq!((&access["active"], &access["sub"]), (&true.into(), &"alice@example.org".into()));
    assert_eq!(ask(text(&first, "refresh_token").to_owned()).await["active"], true);
    assert_eq!(ask("unknown".to_owned()).await, serde_json::json!({ "active": false }));
    let public =
        server.post("/oauth2/introspect", &[("token", text(&first, "access_token")), ("client_id", "flytectl")]).await;
    assert_eq!(public.error(), (401, "invalid_client".to_owned()));
    server.set_clock(1801).await;
    assert_eq!(ask(text(&first, "access_token").to_owned()).await["active"], false);
}

#[tokio::test]
async fn lifetimes_are_settable() {
    let server = Server::start(|options| {
        options.auto_approve = Some("a".to_owned());
        options.access_token_lifetime = std::time::Duration::from_secs(2);
        options.refresh_token_lifetime = std::time::Duration::from_secs(5);
    })
    .await;
    let first = server.sign_in("all offline").await;
    assert_eq!(first["expires_in"], 2);
    server.set_clock(3).await;
    assert_eq!(server.me(text(&first, "access_token")).await.status, 401);
    assert_eq!(server.refresh(text(&first, "refresh_token")).await.status, 200);
    server.set_clock(6).await;
    assert_eq!(server.refresh(text(&first, "refresh_token")).await.error().1, "invalid_grant");
}
