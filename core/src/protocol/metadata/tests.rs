use serde_json::json;

use super::*;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[test]
fn both_key_cases_read_the_same() {
    let snake = json!({
        "issuer": "https://i", "token_endpoint": "https://i/t", "device_authorization_endpoint": "",
        "scopes_supported": ["all", ""], "jwks_uri": null, "unknown": {"x": 1},
        "authorization_response_iss_parameter_supported": true, "grant_types_supported": "a b"
    });
    let camel = json!({
        "issuer": "https://i", "tokenEndpoint": "https://i/t", "scopesSupported": ["all"],
        "authorizationResponseIssParameterSupported": true, "grantTypesSupported": ["a", "b"]
    });
    let read = ServerMetadata::from_json(&map(snake)).unwrap();
    assert_eq!(read, ServerMetadata::from_json(&map(camel)).unwrap());
    assert_eq!(read.token_endpoint.as_deref(), Some("https://i/t"));
    assert_eq!((read.device_authorization_endpoint, read.jwks_uri), (None, None));
    assert_eq!(read.scopes_supported, ["all"]);
    assert!(read.authorization_response_iss_parameter_supported);
}

#[test]
fn wrong_types_name_the_member() {
    for (document, member) in [
        (json!({"token_endpoint": 1}), "token_endpoint"),
        (json!({"tokenEndpoint": ["x"]}), "token_endpoint"),
        (json!({"scopes_supported": {"a": 1}}), "scopes_supported"),
        (json!({"scopes_supported": ["a", 1]}), "scopes_supported"),
        (
            json!({"authorization_response_iss_parameter_supported": "yes"}),
            "authorization_response_iss_parameter_supported",
        ),
    ] {
        assert_eq!(ServerMetadata::from_json(&map(document)).unwrap_err().member, member);
    }
}

#[test]
fn public_client_gets_flytes_defaults() {
    let config =
        PublicClientConfig::from_json(&map(json!({"clientId": "flytectl", "redirectUri": "", "audience": ""})))
            .unwrap();
    assert_eq!(config.client_id.as_deref(), Some("flytectl"));
    assert_eq!(config.redirect_uri.as_deref(), Some("http://localhost:53593/callback"));
    assert_eq!(config.authorization_metadata_key.as_deref(), Some("authorization"));
    assert_eq!(config.audience, None);
    let message = flyteidl::PublicClientConfig {
        authorization_metadata_key: "Flyte-Authorization".to_owned(),
        scopes: vec!["all".to_owned(), String::new()],
        redirect_uri: "http://localhost:1/cb".to_owned(),
        ..Default::default()
    };
    let config = PublicClientConfig::from_message(message).unwrap();
    assert_eq!(config.metadata_key(), "flyte-authorization");
    assert_eq!(config.redirect_uri.as_deref(), Some("http://localhost:1/cb"));
    assert_eq!(config.scopes, ["all"]);
    assert_eq!(PublicClientConfig::default().metadata_key(), "authorization");
}

#[test]
fn header_names_that_take_a_token() {
    for (name, expected) in [
        ("Authorization", Some("authorization")),
        (" flyte-authorization ", Some("flyte-authorization")),
        ("proxy-authorization", Some("proxy-authorization")),
        ("x y", None),
        ("a\r\nb", None),
        ("a:b", None),
        ("", None),
        ("naïve", None),
        ("Host", None),
        ("content-length", None),
        ("grpc-timeout", None),
        ("token-bin", None),
    ] {
        assert_eq!(header_name(name).as_deref(), expected, "{name:?}");
    }
    assert!(PublicClientConfig::from_json(&map(json!({"authorization_metadata_key": "x y"}))).is_err());
}

#[test]
fn completing_takes_only_what_is_absent() {
    let mut mine = ServerMetadata {
        issuer: Some("https://i".into()),
        jwks_uri: Some("https://i/mine".into()),
        ..Default::default()
    };
    mine.complete_from(ServerMetadata {
        issuer: Some("https://other".into()),
        jwks_uri: Some("https://i/theirs".into()),
        token_endpoint: Some("https://i/t".into()),
        scopes_supported: vec!["openid".into()],
        ..Default::default()
    });
    assert_eq!(mine.issuer.as_deref(), Some("https://i"));
    assert_eq!(mine.jwks_uri.as_deref(), Some("https://i/mine"));
    assert_eq!(mine.token_endpoint.as_deref(), Some("https://i/t"));
    let named: Vec<_> = mine.endpoints().collect();
    assert_eq!(named, [("token_endpoint", "https://i/t"), ("jwks_uri", "https://i/mine")]);
}
