//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6): a forged one signs people out.

use flyte_auth::verify::Verifier;
use serde_json::{Value, json};

use crate::scene::{ACCEPTED, ISSUER, NOW, claims as access_claims, spoken, verifier, wait};
use crate::signer::{base64url, other_rsa, rsa};

const CLIENT: &str = "flyte-console";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "alice", "sid": "s-1", "jti": "j-1", "iat": NOW - 5, "exp": NOW + 120,
        "events": {EVENT: {}},
    })
}

fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

fn claims_without(names: &[&str]) -> Value {
    let mut claims = claims();
    for name in names {
        claims.as_object_mut().unwrap().remove(*name).unwrap();
    }
    claims
}

fn typed(typ: Option<&str>, claims: &Value) -> String {
    let mut header = json!({"alg": "RS256", "kid": "rsa"});
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    rsa().token_with(&header, claims)
}

fn signed(claims: &Value) -> String {
    typed(Some("logout+jwt"), claims)
}

fn judged(verifier: &Verifier, token: &str) -> String {
    spoken(wait(verifier.verify_logout_token(token, CLIENT)), token)
}

fn expect(rows: &[(&str, String, &str)]) {
    let verifier = verifier(rsa().keys());
    for (what, token, expected) in rows {
        assert_eq!(judged(&verifier, token), *expected, "{what}");
    }
}

#[test]
fn good_ones() {
    expect(&[
        ("both", signed(&claims()), ACCEPTED),
        ("subject", signed(&claims_without(&["sid"])), ACCEPTED),
        ("session", signed(&claims_without(&["sub"])), ACCEPTED),
        ("full type", typed(Some("application/logout+jwt"), &claims()), ACCEPTED),
        // Recommended, not required (section 2.4): older issuers.
        ("JWT", typed(Some("JWT"), &claims()), ACCEPTED),
        ("no type", typed(None, &claims()), ACCEPTED),
        ("another event beside", signed(&claims_with(&json!({"events": {EVENT: {}, "urn:x": {}}}))), ACCEPTED),
    ]);
}

#[test]
fn without_the_event() {
    expect(&[("none", signed(&claims_without(&["events"])), "token_type")]);
    for events in [
        json!({}),
        json!(null),
        json!([EVENT]),
        json!(EVENT),
        json!({"urn:x": {}}),
        json!({EVENT: null}),
        json!({EVENT: true}),
        json!({EVENT: []}),
        json!({format!("{EVENT}/"): {}}),
        json!({"https://schemas.openid.net/event/backchannel-logout": {}}),
    ] {
        expect(&[(&events.to_string(), signed(&claims_with(&json!({ "events": events }))), "token_type")]);
    }
}

#[test]
fn with_a_nonce() {
    for nonce in [json!("n"), json!(""), json!(null), json!(1)] {
        expect(&[(&nonce.to_string(), signed(&claims_with(&json!({ "nonce": nonce }))), "token_type")]);
    }
}

#[test]
fn without_subject_and_session() {
    expect(&[
        ("neither", signed(&claims_without(&["sub", "sid"])), "token_claims"),
        ("both empty", signed(&claims_with(&json!({"sub": "", "sid": ""}))), "token_claims"),
        ("both null", signed(&claims_with(&json!({"sub": null, "sid": null}))), "token_claims"),
        ("subject is a number", signed(&claims_with(&json!({"sub": 1}))), "token_claims"),
        ("session is a list", signed(&claims_with(&json!({"sid": ["s-1"]}))), "token_claims"),
    ]);
}

#[test]
fn without_an_id() {
    expect(&[("none", signed(&claims_without(&["jti"])), "token_claims")]);
    for jti in [json!(""), json!(null), json!(1)] {
        expect(&[(&jti.to_string(), signed(&claims_with(&json!({ "jti": jti }))), "token_claims")]);
    }
}

#[test]
fn of_another_issuer_or_client() {
    for (changes, code) in [
        (json!({"iss": "https://evil.example"}), "token_issuer"),
        (json!({"iss": format!("{ISSUER}/")}), "token_issuer"),
        (json!({"iss": null}), "token_issuer"),
        (json!({"aud": "other"}), "token_audience"),
        (json!({"aud": []}), "token_audience"),
        (json!({"aud": null}), "token_audience"),
    ] {
        expect(&[(&changes.to_string(), signed(&claims_with(&changes)), code)]);
    }
}

#[test]
fn times() {
    for (changes, code) in [
        (json!({"exp": NOW - 60}), "token_expired"),
        (json!({"iat": NOW + 61}), "token_issued_in_future"),
        (json!({"nbf": NOW + 61}), "token_not_yet_valid"),
        (json!({"exp": "soon"}), "token_claims"),
    ] {
        expect(&[(&changes.to_string(), signed(&claims_with(&changes)), code)]);
    }
    for name in ["exp", "iat"] {
        expect(&[(name, signed(&claims_without(&[name])), "token_claims")]);
    }
}

#[test]
fn other_tokens_as_logout_token() {
    let id_token = json!({"iss": ISSUER, "sub": "alice", "aud": CLIENT, "nonce": "n", "iat": NOW, "exp": NOW + 300});
    expect(&[
        ("ID token", typed(Some("JWT"), &id_token), "token_type"),
        ("ID token that says it is one", signed(&id_token), "token_type"),
        ("access token", rsa().token(&access_claims()), "token_type"),
        ("access token with the event", typed(Some("at+jwt"), &claims()), "token_type"),
        ("other event", typed(Some("secevent+jwt"), &claims()), "token_type"),
    ]);
}

#[test]
fn signature_and_header() {
    let none = format!("{}.{}.", base64url(r#"{"alg":"none","typ":"logout+jwt"}"#), base64url(claims().to_string()));
    let header = json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"});
    let crit = json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt", "crit": ["x"], "x": 1});
    let twice = claims().to_string().replacen('{', r#"{"sub":"mallory","#, 1);
    expect(&[
        ("none", none, "token_algorithm"),
        ("stranger", other_rsa().token_with(&header, &claims()), "token_signature"),
        ("crit", rsa().token_with(&crit, &claims()), "token_critical"),
        ("a claim twice", rsa().sign_text(&header.to_string(), &twice), "token_malformed"),
    ]);
}
