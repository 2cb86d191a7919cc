use std::time::Duration;

use serde_json::json;

use super::*;
use crate::transport::scripted;

const NOW: Timestamp = Timestamp::from_secs(1_795_489_920);
const ENDPOINT: &str = "https://idp.example/introspect";

fn read_with(reply: Value, audience: &[&str]) -> Result<VerifiedToken, &'static str> {
    let audience: Vec<String> = audience.iter().map(ToString::to_string).collect();
    let rules = Expectations {
        issuer: "https://idp.example",
        audience: &audience,
        profile: super::super::Profile::Jwt,
        clock_skew: Duration::from_secs(60),
    };
    read(reply.to_string().into_bytes(), &rules, NOW).map_err(Refusal::code)
}

fn active() -> Value {
    json!({
        "active": true, "iss": "https://idp.example", "aud": "api", "sub": "alice", "client_id": "flytectl",
        "scope": "all offline", "exp": NOW.as_secs() + 60, "iat": NOW.as_secs(), "token_type": "Bearer",
    })
}

#[test]
fn a_reply_becomes_a_token() {
    let token = read_with(active(), &["api"]).unwrap();
    assert_eq!((token.subject(), token.client_id()), (Some("alice"), Some("flytectl")));
    assert_eq!(token.scopes(), ["all", "offline"]);
    assert_eq!(token.expires_at(), Some(NOW.plus(Duration::from_secs(60))));
    let short = read_with(json!({"active": true, "token_type": "bearer"}), &[]).unwrap();
    assert_eq!((short.issuer(), short.subject(), short.expires_at()), (None, None, None));
}

#[test]
fn replies_that_are_refused() {
    let now = NOW.as_secs();
    for (name, value, expected) in [
        ("active", json!(false), "token_inactive"),
        ("active", json!("true"), "token_claims"),
        ("active", json!(1), "token_claims"),
        ("active", json!(null), "token_claims"),
        ("iss", json!("https://evil.example"), "token_issuer"),
        ("iss", json!(null), "token_issuer"),
        ("aud", json!("other"), "token_audience"),
        ("aud", json!([]), "token_audience"),
        ("exp", json!(now - 60), "token_expired"),
        ("exp", json!("soon"), "token_claims"),
        ("nbf", json!(now + 61), "token_not_yet_valid"),
        ("iat", json!(now + 61), "token_issued_in_future"),
        ("token_type", json!("refresh_token"), "token_type"),
        ("token_type", json!("DPoP"), "token_type"),
        ("token_use", json!("refresh_token"), "token_type"),
        ("typ", json!("Refresh"), "token_type"),
        ("cnf", json!({"jkt": "x"}), "token_type"),
        ("scope", json!(7), "token_claims"),
        ("sub", json!(7), "token_claims"),
    ] {
        let mut reply = active();
        reply[name] = value.clone();
        assert_eq!(read_with(reply, &["api"]).unwrap_err(), expected, "{name} {value}");
    }
    let mut without = active();
    without.as_object_mut().unwrap().remove("aud");
    assert_eq!(read_with(without, &["api"]).unwrap_err(), "token_audience", "an audience that is wanted is required");
    // oidc-provider's word on a refresh token.
    let refresh = json!({"active": true, "client_id": "c", "exp": now + 9, "iss": "https://idp.example", "scope": "a"});
    assert_eq!(read_with(refresh, &[]).unwrap_err(), "token_type");
}

#[test]
fn what_is_sent_and_to_whom_it_is_told() {
    let token = AccessToken::new("opaque-1");
    let basic = Introspection::new("my service", ClientSecret::new("s:ecret"));
    let request = basic.request(ENDPOINT, &token).unwrap();
    // RFC 6749 section 2.3.1: both parts are form-encoded first.
    let expected = format!("Basic {}", STANDARD.encode("my+service:s%3Aecret"));
    assert_eq!(request.headers()["authorization"], expected.as_str());
    assert!(request.headers()["authorization"].is_sensitive());
    assert_eq!(request.body(), b"token=opaque-1&token_type_hint=access_token");
    let post = basic.method(ClientAuthMethod::Post).request(ENDPOINT, &token).unwrap();
    assert!(!post.headers().contains_key("authorization"));
    assert_eq!(
        post.body(),
        b"token=opaque-1&token_type_hint=access_token&client_id=my+service&client_secret=s%3Aecret"
    );
}

#[test]
fn answers_that_are_no_replies() {
    let introspection = Introspection::new("svc", ClientSecret::new("canary-secret"));
    for (status, body, code, retryable) in [
        (401, "{}", "introspection_refused", false),
        (403, "", "introspection_refused", false),
        (503, "", "introspection_unusable", true),
        (429, "", "introspection_unusable", true),
        (302, "", "introspection_unusable", false),
        (404, "", "introspection_unusable", false),
        (200, "<html>", "introspection_unusable", false),
        (200, r#"{"active":false,"active":true}"#, "introspection_unusable", false),
        (200, "[]", "introspection_unusable", false),
    ] {
        let reply = scripted::json(status, body).unwrap();
        let error = introspection.check(&reply, ENDPOINT).unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), (code, retryable), "{status} {body}");
        assert!(error.to_string().contains("idp.example") && !error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn only_what_can_be_a_token_is_sent() {
    for good in ["abc", "v4.public.eyJ-_~+/", "MTIz=="] {
        assert!(is_opaque(good), "{good}");
    }
    for bad in ["", "a b", "a\nb", "a\"b", "é", &"x".repeat(MAX_OPAQUE + 1)] {
        assert!(!is_opaque(bad));
    }
}
