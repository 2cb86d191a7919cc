use serde_json::json;

use super::*;

const ISSUER: &str = "https://idp.example";

fn header(typ: Option<&str>) -> Header {
    Header { algorithm: super::super::Algorithm::ES256, key_id: None, typ: typ.map(str::to_owned) }
}

fn read_as(typ: Option<&str>, profile: Profile, claims: &Value) -> Result<VerifiedToken, &'static str> {
    let audience = ["api".to_owned()];
    let rules = Expectations { issuer: ISSUER, audience: &audience, profile, clock_skew: Duration::ZERO };
    read(&header(typ), claims.to_string().into_bytes(), &rules).map_err(Refusal::code)
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ["api", "other"], "exp": 2000, "iat": 1000, "jti": "1", "sub": "alice",
        "client_id": "flytectl", "scope": "all offline",
    })
}

fn changed(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn what_a_token_says() {
    let token = read_as(Some("at+jwt"), Profile::Rfc9068, &claims()).unwrap();
    assert_eq!(token.issuer(), Some(ISSUER));
    assert_eq!((token.subject(), token.client_id()), (Some("alice"), Some("flytectl")));
    assert_eq!(token.audience(), ["api", "other"]);
    assert!(token.has_scope("all") && !token.has_scope("al"));
    assert_eq!(token.claim("jti"), Some(&json!("1")));
    assert_eq!(token.expires_at(), Some(Timestamp::from_secs(2000)));
    assert!(!format!("{:?}", read_as(None, Profile::Jwt, &changed(json!({"x": "hidden"})))).contains("hidden"));
}

#[test]
fn types() {
    use Profile::{Jwt, Rfc9068};
    for (typ, profile, good) in [
        (Some("at+jwt"), Rfc9068, true),
        (Some("application/at+jwt"), Rfc9068, true),
        (Some("AT+JWT"), Rfc9068, true),
        (Some("JWT"), Rfc9068, false),
        (None, Rfc9068, false),
        (Some("at+jwt"), Jwt, true),
        (Some("JWT"), Jwt, true),
        (Some("application/jwt"), Jwt, true),
        (None, Jwt, true),
        (Some("logout+jwt"), Jwt, false),
        (Some("secevent+jwt"), Jwt, false),
        (Some("dpop+jwt"), Jwt, false),
        (Some(""), Jwt, false),
        (Some("application/"), Jwt, false),
    ] {
        let outcome = read_as(typ, profile, &claims());
        assert_eq!(outcome.as_ref().err(), (!good).then_some(&"token_type"), "{typ:?} {profile:?}");
    }
}

#[test]
fn tokens_of_other_kinds_with_the_common_type() {
    for (changes, good) in [
        (json!({"nonce": "n"}), false),
        (json!({"at_hash": "h"}), false),
        (json!({"c_hash": "h"}), false),
        (json!({"events": {}}), false),
        (json!({"typ": "Bearer"}), true),
        // Keycloak before 25 repeated the login's nonce in access tokens.
        (json!({"typ": "Bearer", "nonce": "n"}), true),
        (json!({"typ": "Bearer", "events": {}}), false),
        (json!({"cnf": {"jkt": "x"}}), false),
        (json!({"typ": "ID"}), false),
        (json!({"typ": "Refresh"}), false),
        (json!({"typ": "Offline"}), false),
        (json!({"token_use": "access"}), true),
        (json!({"token_use": "id"}), false),
        // flyteadmin: refresh token and code, then the access token of a first login.
        (json!({"scope": null, "scp": ["f.all", "offline", "access_token"]}), false),
        (json!({"scope": null, "scp": ["all", "offline", "f.all", "access_token"]}), true),
        (json!({"scope": "f."}), true),
    ] {
        let outcome = read_as(Some("JWT"), Profile::Jwt, &changed(changes.clone()));
        assert_eq!(outcome.as_ref().err(), (!good).then_some(&"token_type"), "{changes}");
    }
    assert!(read_as(Some("at+jwt"), Profile::Jwt, &changed(json!({"nonce": "n"}))).is_ok(), "its typ says it all");
}

#[test]
fn what_each_profile_requires() {
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    for (name, jwt) in [
        ("iss", Some("token_issuer")),
        ("aud", Some("token_audience")),
        ("exp", Some("token_claims")),
        ("iat", None),
        ("sub", None),
        ("client_id", None),
        ("jti", None),
    ] {
        assert_eq!(read_as(None, Profile::Jwt, &without(name)).err(), jwt, "{name}");
        let strict = read_as(Some("at+jwt"), Profile::Rfc9068, &without(name)).err();
        assert_eq!(strict, jwt.or(Some("token_claims")), "{name}");
    }
    // In the strict profile other names of the client do not stand in for `client_id`.
    let mut other_name = without("client_id");
    other_name["azp"] = "flytectl".into();
    assert!(read_as(Some("at+jwt"), Profile::Rfc9068, &other_name).is_err());
}

#[test]
fn wrong_values() {
    for (changes, code) in [
        (json!({"iss": "https://idp.example/"}), "token_issuer"),
        (json!({"iss": "https://IDP.example"}), "token_issuer"),
        (json!({"iss": ["https://idp.example"]}), "token_claims"),
        (json!({"aud": "api2"}), "token_audience"),
        (json!({"aud": []}), "token_audience"),
        (json!({"sub": 7}), "token_claims"),
        (json!({"sub": "x".repeat(256)}), "token_claims"),
        (json!({"scope": {"all": 1}}), "token_claims"),
        (json!({"client_id": ["a"]}), "token_claims"),
    ] {
        assert_eq!(read_as(None, Profile::Jwt, &changed(changes.clone())).unwrap_err(), code, "{changes}");
    }
}
