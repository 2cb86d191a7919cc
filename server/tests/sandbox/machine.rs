//! Client credentials and client authentication.

use crate::common::{Server, basic, claims, encode};

const PROPELLER: (&str, &str) = ("flytepropeller", "foobar");

#[tokio::test]
async fn a_client_acts_for_itself_by_header_and_by_form() {
    let server = Server::start(|options| {
        options.clients.push("id=odd:id,secret=p@ss word&=%+é".parse().unwrap());
    })
    .await;
    for (id, secret) in [PROPELLER, ("odd:id", "p@ss word&=%+é")] {
        let by_header = server
            .post_with(
                "/oauth2/token",
                &[("grant_type", "client_credentials")],
                &[("authorization", &basic(id, secret))],
            )
            .await;
        assert_eq!(by_header.status, 200, "{by_header:?}");
        let by_form = server
            .token(&[
                ("grant_type", "client_credentials"),
                ("client_id", id),
                ("client_secret", secret),
                ("scope", "all offline"),
            ])
            .await
            .json();
        assert!(by_form.get("refresh_token").is_none(), "RFC 6749 section 4.4.3");
        assert!(by_form.get("id_token").is_none());
        let access = claims(by_form["access_token"].as_str().unwrap());
        assert_eq!((&access["sub"], &access["client_id"]), (&id.into(), &id.into()));
        assert_eq!(by_header.json()["scope"], "all", "no scope asked for means all");
        assert_eq!(server.me(by_form["access_token"].as_str().unwrap()).await.json()["subject"], id);
    }
    assert_eq!(server.stats().await["grants"]["client_credentials"], 4);
    assert_eq!(server.stats().await["tokens_issued"], 4);
}

#[tokio::test]
async fn a_wrong_proof_is_invalid_client() {
    let server = Server::start(|_| {}).await;
    let grant = ("grant_type", "client_credentials");
    let (good, wrong) = (basic("flytepropeller", "foobar"), basic("flytepropeller", "foobaz"));
    for (params, authorization, status, error) in [
        (vec![grant], Some(wrong.as_str()), 401, "invalid_client"),
        (vec![grant], Some("Basic %%%"), 401, "invalid_client"),
        (vec![grant], Some("Bearer x"), 401, "invalid_client"),
        (vec![grant], None, 401, "invalid_client"),
        (vec![grant, ("client_id", "flytepropeller")], None, 401, "invalid_client"),
        (vec![grant, ("client_id", "flytepropeller"), ("client_secret", "")], None, 401, "invalid_client"),
        (vec![grant, ("client_id", "flytepropeller"), ("client_secret", "foobaz")], None, 401, "invalid_client"),
        (vec![grant, ("client_id", "nobody"), ("client_secret", "foobar")], None, 401, "invalid_client"),
        (vec![grant, ("client_id", "flytectl"), ("client_secret", "x")], None, 401, "invalid_client"),
        (
            vec![grant, ("client_id", "flytepropeller"), ("client_secret", "foobar")],
            Some(&good),
            400,
            "invalid_request",
        ),
        (vec![grant, ("client_id", "flytectl")], Some(&good), 400, "invalid_request"),
        (vec![grant, ("client_id", "flytectl")], None, 400, "unauthorized_client"),
        (vec![grant, ("scope", "all nonsense")], Some(&good), 400, "invalid_scope"),
        (vec![("grant_type", "password")], Some(&good), 400, "unsupported_grant_type"),
        (vec![], Some(&good), 400, "invalid_request"),
        (vec![grant, grant], Some(&good), 400, "invalid_request"),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
        let answer = server.post_with("/oauth2/token", &params, &headers).await;
        assert_eq!(answer.error(), (status, error.to_owned()), "{params:?} {authorization:?}");
        // RFC 6749 section 5.2: a challenge where the client used the header.
        let challenged = answer.header("www-authenticate").starts_with("Basic ");
        assert_eq!(challenged, status == 401 && authorization.is_some(), "{params:?} {authorization:?}");
    }
    assert_eq!(server.stats().await["tokens_issued"], 0);
}

#[tokio::test]
async fn golang_style_basic_with_an_empty_secret_is_a_public_client() {
    let server = Server::approving().await;
    let (verifier, challenge) = crate::common::pkce();
    let code = server.code("all", &challenge).await;
    let params = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", crate::common::REDIRECT),
        ("code_verifier", verifier.as_str()),
    ];
    let answer = server.post_with("/oauth2/token", &params, &[("authorization", &basic("flytectl", ""))]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn only_forms_by_post() {
    let server = Server::start(|_| {}).await;
    assert_eq!(server.get("/oauth2/token?grant_type=client_credentials").await.status, 405);
    let body =
        encode(&[("grant_type", "client_credentials"), ("client_id", PROPELLER.0), ("client_secret", PROPELLER.1)]);
    let request = server.client.post(server.url("/oauth2/token")).header("content-type", "application/json").body(body);
    assert_eq!(server.send(request).await.error().1, "invalid_request");
}

#[tokio::test]
async fn a_configured_client_takes_the_place_of_a_static_one() {
    let server = Server::start(|options| options.clients.push("id=flytepropeller,secret=other".parse().unwrap())).await;
    for (secret, status) in [("foobar", 401), ("other", 200)] {
        let answer = server
            .token(&[("grant_type", "client_credentials"), ("client_id", "flytepropeller"), ("client_secret", secret)])
            .await;
        assert_eq!(answer.status, status);
    }
    let ids: Vec<_> = server.sandbox.ready().clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["flytectl", "flytepropeller"]);
}
