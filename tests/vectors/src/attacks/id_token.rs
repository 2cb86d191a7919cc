//! ID tokens (OpenID Connect Core section 3.1.3.7). One code for every refusal: the words say which check failed.

use aws_lc_rs::digest;
use flyte_auth::protocol::secret::{AccessToken, IdToken};
use flyte_auth::verify::{Algorithm, Verifier};
use serde_json::{Value, json};

use crate::scene::{ACCEPTED, ISSUER, NOW, claims as access_claims, spoken, verifier, wait};
use crate::signer::{Signer, base64url, other_rsa, rsa};

const CLIENT: &str = "flytectl";
const REFUSED: &str = "id_token_invalid";

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": CLIENT, "nonce": "n", "iat": NOW - 5, "exp": NOW + 300})
}

fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

fn signed(claims: &Value) -> String {
    rsa().token_with(&json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"}), claims)
}

fn judged(verifier: &Verifier, token: &str, access_token: Option<&str>) -> String {
    let access_token = access_token.map(AccessToken::new);
    let id_token = IdToken::new(token);
    spoken(wait(verifier.verify_id_token(&id_token, CLIENT, Some("n"), access_token.as_ref())), token)
}

fn expect(rows: &[(&str, String, &str)]) {
    let verifier = verifier(rsa().keys());
    for (what, token, expected) in rows {
        assert_eq!(judged(&verifier, token, None), *expected, "{what}");
    }
}

fn expect_claims(changes: &Value, expected: &str) {
    expect(&[(&changes.to_string(), signed(&claims_with(changes)), expected)]);
}

#[test]
fn issuer_audience_and_party() {
    expect_claims(&json!({}), ACCEPTED);
    expect_claims(&json!({"aud": [CLIENT]}), ACCEPTED);
    expect_claims(&json!({"aud": [CLIENT, "other"], "azp": CLIENT}), ACCEPTED);
    for changes in [
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"aud": ["other"]}),
        json!({"aud": [CLIENT, "other"]}),
        json!({"aud": [CLIENT, 1]}),
        json!({"azp": "other"}),
        json!({"azp": 1}),
    ] {
        expect_claims(&changes, REFUSED);
    }
}

#[test]
fn nonce_of_another_login() {
    for nonce in [json!("other"), json!(""), json!(null), json!(1), json!(["n"]), json!("n ")] {
        expect_claims(&json!({ "nonce": nonce }), REFUSED);
    }
}

#[test]
fn times() {
    for changes in [
        json!({"exp": NOW - 60}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"iat": NOW + 61}),
        json!({"nbf": NOW + 61}),
        json!({"exp": 1e308}),
        json!({"iat": -1}),
    ] {
        expect_claims(&changes, REFUSED);
    }
    for name in ["exp", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        expect(&[(name, signed(&claims), REFUSED)]);
    }
}

#[test]
fn subject() {
    for sub in [json!(null), json!(""), json!(1), json!("x".repeat(256))] {
        expect_claims(&json!({ "sub": sub }), REFUSED);
    }
}

/// `at_hash` with the hash of each algorithm: the access token of another login is noticed.
#[test]
fn access_token_of_another_login() {
    for (algorithm, hash) in [
        (Algorithm::RS256, &digest::SHA256),
        (Algorithm::ES384, &digest::SHA384),
        (Algorithm::ES512, &digest::SHA512),
        (Algorithm::EdDSA, &digest::SHA512),
    ] {
        let signer = Signer::new(algorithm, Some("k"));
        let whole = digest::digest(hash, b"the access token");
        let half = base64url(&whole.as_ref()[..whole.as_ref().len() / 2]);
        let token =
            signer.token_with(&json!({"alg": algorithm.name(), "kid": "k"}), &claims_with(&json!({"at_hash": half})));
        let verifier = verifier(signer.keys());
        assert_eq!(judged(&verifier, &token, Some("the access token")), ACCEPTED, "{algorithm}");
        assert_eq!(judged(&verifier, &token, Some("another access token")), REFUSED, "{algorithm}");
    }
}

#[test]
fn other_tokens_as_id_token() {
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let good = claims();
    let typed =
        |typ: &str, claims: &Value| rsa().token_with(&json!({"alg": "RS256", "kid": "rsa", "typ": typ}), claims);
    expect(&[
        ("no typ", rsa().token_with(&json!({"alg": "RS256", "kid": "rsa"}), &good), ACCEPTED),
        ("access token", rsa().token(&access_claims()), REFUSED),
        ("access token by type alone", typed("at+jwt", &good), REFUSED),
        ("logout token by type", typed("logout+jwt", &good), REFUSED),
        ("logout token by event", signed(&claims_with(&json!({ "events": events }))), REFUSED),
        ("user info", typed("JWT", &json!({"iss": ISSUER, "aud": CLIENT, "sub": "alice"})), REFUSED),
    ]);
}

/// What the access tokens' tests try at length, once each.
#[test]
fn signature_and_header() {
    let none = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(claims().to_string()));
    let header = |extra: Value| {
        let mut header = json!({"alg": "RS256", "kid": "rsa"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        rsa().token_with(&header, &claims())
    };
    expect(&[
        ("none", none, REFUSED),
        ("stranger", other_rsa().token_with(&json!({"alg": "RS256", "kid": "rsa"}), &claims()), REFUSED),
        ("crit", header(json!({"crit": ["x"], "x": 1})), REFUSED),
        ("b64", header(json!({"b64": false})), REFUSED),
        ("unknown key", header(json!({"kid": "other"})), REFUSED),
        ("twice", rsa().sign_text(r#"{"alg":"RS256"}"#, r#"{"sub":"a","sub":"b"}"#), REFUSED),
        ("opaque", "opaque".to_owned(), REFUSED),
        ("huge", "x".repeat(300_000), REFUSED),
    ]);
}
