//! A sandbox that takes the tokens of another issuer; here the issuer is a second sandbox.

use serde_json::json;

use crate::common::{Server, transport};

async fn pair(audience: Vec<String>) -> (Server, Server) {
    let issuer = Server::approving().await;
    let url = issuer.sandbox.ready().issuer.clone();
    let relying = Server::start(|options| {
        options.external_issuer = Some(url.clone());
        options.transport = Some(transport());
        options.audience = if audience.is_empty() { vec![url] } else { audience };
        options.clients.push("id=flyte-cli,redirect=http://localhost:53593/callback".parse().unwrap());
    })
    .await;
    (issuer, relying)
}

#[tokio::test]
async fn it_discovers_and_verifies_but_issues_nothing() {
    let (issuer, relying) = pair(Vec::new()).await;
    let url = issuer.sandbox.ready().issuer.clone();
    assert_eq!(relying.sandbox.ready().issuer, url);
    let document = relying.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(document["token_endpoint"], format!("{url}/oauth2/token"));
    let client = relying.get("/config/v1/flyte_client").await.json();
    assert_eq!((&client["clientId"], &client["audience"]), (&"flyte-cli".into(), &url.as_str().into()));
    for path in ["/oauth2/authorize", "/oauth2/token", "/oauth2/jwks", "/device", "/userinfo"] {
        assert_eq!(relying.get(path).await.status, 404, "{path}");
    }
    let redirect = relying.get("/.well-known/openid-configuration").await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (303, format!("{url}/.well-known/openid-configuration").as_str())
    );
    assert_eq!(relying.admin("/keys/rotate", json!({})).await.status, 400);

    let reply = issuer.sign_in("openid all").await;
    let token = reply["access_token"].as_str().unwrap();
    let me = relying.me(token).await;
    assert_eq!(me.json()["subject"], "alice@example.org", "{me:?}");
    for (bad, what) in [
        (reply["id_token"].as_str().unwrap().to_owned(), "an ID token"),
        (format!("{}x", token), "a broken signature"),
        ("opaque".to_owned(), "no JWT"),
    ] {
        assert_eq!(relying.me(&bad).await.status, 401, "{what}");
    }
    let stranger = Server::approving().await.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(relying.me(&stranger).await.status, 401, "another issuer's token");
    // A minute of leeway: the two clocks are not the same one.
    relying.set_clock(1861).await;
    assert_eq!(relying.me(token).await.status, 401, "expired");
}

#[tokio::test]
async fn new_keys_are_fetched_but_not_for_every_made_up_id() {
    let (issuer, relying) = pair(Vec::new()).await;
    let first = issuer.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(relying.me(&first).await.status, 200);
    issuer.admin("/keys/rotate", json!({})).await;
    let second = issuer.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(relying.me(&second).await.status, 401, "the key set is fresh: not asked again yet");
    relying.set_clock(60).await;
    assert_eq!(relying.me(&second).await.status, 200);
    assert_eq!(issuer.stats().await["requests"]["/oauth2/jwks"], 2);
}

#[tokio::test]
async fn audiences_count() {
    let (issuer, relying) = pair(vec!["https://flyte.example".to_owned()]).await;
    let token = issuer.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(relying.me(&token).await.status, 401);
    let reply = issuer
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", "flytepropeller"),
            ("client_secret", "foobar"),
            ("audience", "https://flyte.example"),
        ])
        .await
        .json();
    assert_eq!(relying.me(reply["access_token"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_unavailable_not_unauthenticated() {
    let (issuer, relying) = pair(Vec::new()).await;
    let token = issuer.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    issuer.sandbox.shutdown().await;
    assert_eq!(relying.me(&token).await.status, 503);
    assert_eq!(relying.get("/.well-known/oauth-authorization-server").await.status, 503);
}
