//! `--issuer` and the issuer's own metadata.

use super::*;

const OPENID: &str = "/.well-known/openid-configuration";

async fn at(issuer: &str, routes: Vec<(&str, Answer)>) -> Result<Discovery> {
    ask(&Router::new(|_| reply(404, "", ""), routes), &Target::Issuer(issuer.to_owned())).await
}

fn document(issuer: &str) -> Answer {
    json(
        200,
        &format!(
            r#"{{"issuer":"{issuer}","token_endpoint":"https://i.example/t","revocation_endpoint":"https://i.example/r"}}"#
        ),
    )
}

#[tokio::test]
async fn each_place_of_the_document_is_found() {
    for (issuer, path) in [
        ("https://i.example", OPENID),
        ("https://i.example", WELL_KNOWN),
        ("https://i.example/a", "/a/.well-known/openid-configuration"),
        ("https://i.example/a", "/.well-known/oauth-authorization-server/a"),
        ("https://i.example/a", "/a/.well-known/oauth-authorization-server"),
        ("https://i.example/a", "/.well-known/openid-configuration/a"),
    ] {
        let server = auth(at(issuer, vec![(path, document(issuer))]).await);
        assert_eq!((server.generation, server.metadata.issuer.as_deref()), (None, Some(issuer)), "{path}");
    }
    // flyteadmin sends the first path to its identity provider: the second is its own.
    let routes = vec![(OPENID, reply(303, "", "")), (WELL_KNOWN, document("https://i.example"))];
    assert!(at("https://i.example", routes).await.is_ok());
}

#[tokio::test]
async fn one_request_where_the_first_place_answers() {
    let router = Router::new(not_found, vec![(OPENID, document("https://i.example"))]);
    ask(&router, &Target::Issuer("https://i.example".to_owned())).await.unwrap();
    assert_eq!(router.calls(), [OPENID]);
}

#[tokio::test]
async fn what_the_document_says_is_kept() {
    let server = auth(at("https://i.example", vec![(OPENID, document("https://i.example/"))]).await);
    assert_eq!(server.metadata.issuer.as_deref(), Some("https://i.example/"));
}

#[tokio::test]
async fn refused_with_a_reason() {
    for (issuer, answer, code) in [
        ("https://i.example", document("https://evil.example"), "issuer_mismatch"),
        ("https://i.example", json(200, "{}"), "issuer_mismatch"),
        ("https://i.example", json(200, r#"{"issuer":"https://i.example"}"#), "metadata_incomplete"),
        ("https://i.example", json(200, "{"), "malformed"),
        ("https://i.example", reply(404, "", ""), "no_metadata"),
        ("https://i.example", reply(200, "text/html", "<html>"), "proxy_in_front"),
        ("https://i.example", reply(302, "", ""), "proxy_in_front"),
        ("https://i.example", reply(503, "", ""), "unavailable"),
        ("https://i.example", failed(FailureKind::Timeout), "timeout"),
        ("i.example", json(200, "{}"), "issuer_invalid"),
        ("https://i.example?x=1", json(200, "{}"), "metadata_refused"),
    ] {
        let error = at(issuer, vec![(OPENID, answer)]).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.next_step().is_some() || error.kind() == ErrorKind::Network, "{error}");
    }
}

#[tokio::test]
async fn plaintext_only_where_the_user_gave_it() {
    let issuer = "http://i.example";
    let router = Router::new(not_found, vec![(OPENID, document(issuer))]);
    let target = Target::Issuer(issuer.to_owned());
    let refused = ask(&router, &target).await.unwrap_err();
    assert_eq!(refused.code(), "issuer_invalid");
    assert!(refused.next_step().is_some_and(|next| next.contains("--insecure")), "{refused}");
    assert!(discoverer(&router).plaintext(Plaintext::ByUser).discover(&target).await.is_ok());
    let discoverer = discoverer(&router);
    assert_eq!(discoverer.issuer_metadata(issuer).await.unwrap_err().code(), "metadata_refused");
    let router = Router::new(not_found, vec![(OPENID, document("http://localhost:1"))]);
    assert!(super::discoverer(&router).issuer_metadata("http://localhost:1").await.is_ok());
}

#[tokio::test]
async fn own_metadata_is_remembered_and_may_lack_a_token_endpoint() {
    let body = r#"{"issuer":"https://i.example","authorization_response_iss_parameter_supported":true}"#;
    let router = Router::new(not_found, vec![(OPENID, json(200, body))]);
    let discoverer = discoverer(&router);
    for _ in 0..2 {
        let metadata = discoverer.issuer_metadata("https://i.example").await.unwrap();
        assert!(metadata.authorization_response_iss_parameter_supported);
    }
    assert_eq!(router.calls().len(), 1);
}
