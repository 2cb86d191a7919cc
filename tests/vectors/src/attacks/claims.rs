//! Who issued it, for whom, and every claim of the type it should have: nothing is guessed.

use flyte_auth::verify::{Profile, Verifier};
use serde_json::{Value, json};

use crate::scene::{
    ACCEPTED, AUDIENCE, HandClock, ISSUER, NOW, builder, claims, claims_with, claims_without, expect, verifier,
};
use crate::signer::rsa;

fn expect_claims(changes: &Value, expected: &str) {
    let token = rsa().token(&claims_with(changes));
    expect(&verifier(rsa().keys()), &[(&changes.to_string(), token, expected)]);
}

/// The good claims as text, with one more member at the end.
fn expect_text(extra: &str, expected: &str) {
    let text = claims().to_string();
    let text = format!("{},{extra}}}", text.strip_suffix('}').unwrap());
    let token = rsa().sign_text(&rsa().header().to_string(), &text);
    expect(&verifier(rsa().keys()), &[(extra, token, expected)]);
}

/// Two parsers that disagree about a claim: the first has the good one, the second the attacker's.
#[test]
fn duplicate_claims() {
    expect_text("\"more\":1", ACCEPTED);
    for name in ["exp", "aud", "sub", "iss", "iat", "scope", "client_id", "jti"] {
        let value = claims()[name].to_string();
        expect_text(&format!("\"{name}\":{value}"), "token_malformed");
    }
    expect_text("\"exp\":99999999999", "token_malformed");
    expect_text("\"aud\":\"https://elsewhere.example\"", "token_malformed");
    expect_text("\"\\u0061ud\":\"https://elsewhere.example\"", "token_malformed");
    expect_text("\"act\":{\"sub\":\"a\",\"sub\":\"b\"}", "token_malformed");
}

#[test]
fn audience_missing() {
    let token = rsa().token(&claims_without("aud"));
    expect(&verifier(rsa().keys()), &[("no aud", token, "token_audience")]);
}

/// A service that looks at the audience itself still gets one to look at.
#[test]
fn audience_missing_where_any_is_taken() {
    let builder = Verifier::builder(ISSUER).any_audience().clock(HandClock::new());
    let verifier = builder.jwks(rsa().keys()).build().unwrap();
    expect(
        &verifier,
        &[
            ("any", rsa().token(&claims_with(&json!({"aud": "https://elsewhere.example"}))), ACCEPTED),
            ("none", rsa().token(&claims_without("aud")), "token_audience"),
            ("an empty list", rsa().token(&claims_with(&json!({"aud": []}))), "token_audience"),
        ],
    );
}

#[test]
fn audience_empty_or_null() {
    for aud in [json!(null), json!([]), json!(""), json!([""]), json!([[]])] {
        let code = if aud == json!([[]]) { "token_claims" } else { "token_audience" };
        expect_claims(&json!({ "aud": aud }), code);
    }
}

#[test]
fn audience_as_a_list() {
    expect_claims(&json!({"aud": [AUDIENCE]}), ACCEPTED);
    expect_claims(&json!({"aud": ["https://elsewhere.example", AUDIENCE]}), ACCEPTED);
    expect_claims(&json!({"aud": ["https://elsewhere.example", "account"]}), "token_audience");
}

#[test]
fn audience_of_another_type() {
    for aud in [json!(1), json!(true), json!({AUDIENCE: true}), json!([AUDIENCE, 1]), json!([[AUDIENCE]])] {
        expect_claims(&json!({ "aud": aud }), "token_claims");
    }
}

#[test]
fn audience_that_is_only_similar() {
    for aud in [
        "https://flyte.example/",
        "https://flyte.example.evil.example",
        "https://flyte.example:443",
        "https://Flyte.example",
        "http://flyte.example",
        "https://flyte",
        "https://flyte.example\0",
        " https://flyte.example",
        "https://flyte.example https://elsewhere.example",
        "*",
    ] {
        expect_claims(&json!({ "aud": aud }), "token_audience");
    }
}

#[test]
fn issuer_missing_or_of_another_type() {
    let token = rsa().token(&claims_without("iss"));
    expect(&verifier(rsa().keys()), &[("no iss", token, "token_issuer")]);
    expect_claims(&json!({"iss": null}), "token_issuer");
    for iss in [json!([ISSUER]), json!(1), json!({"iss": ISSUER})] {
        expect_claims(&json!({ "iss": iss }), "token_claims");
    }
}

#[test]
fn issuer_with_a_trailing_slash() {
    expect_claims(&json!({"iss": format!("{ISSUER}/")}), "token_issuer");
    let slashed = builder_of(&format!("{ISSUER}/"));
    expect(
        &slashed,
        &[
            ("without", rsa().token(&claims()), "token_issuer"),
            ("with", rsa().token(&claims_with(&json!({"iss": format!("{ISSUER}/")}))), ACCEPTED),
        ],
    );
}

fn builder_of(issuer: &str) -> Verifier {
    let builder = Verifier::builder(issuer).audience(AUDIENCE).clock(HandClock::new());
    builder.jwks(rsa().keys()).build().unwrap()
}

#[test]
fn issuer_in_another_case() {
    for iss in ["https://IDP.example", "HTTPS://idp.example", "https://idp.Example"] {
        expect_claims(&json!({ "iss": iss }), "token_issuer");
    }
}

#[test]
fn issuer_that_is_only_similar() {
    for iss in [
        "https://idp.example.evil.example",
        "https://idp.example:443",
        "https://idp.example@evil.example",
        "https://idp.example/../other",
        "https://idp.example/realms/other",
        "https://idp%2eexample",
        "http://idp.example",
        "https://idp.example\0",
        "https://idp.example ",
        "https://idp.ехample",
        "",
    ] {
        expect_claims(&json!({ "iss": iss }), "token_issuer");
    }
}

/// Claims that a resource server reads later: of another type they refuse the token, and nothing panics (flyteadmin
/// answers 500 to several of these).
#[test]
fn claims_of_another_type() {
    for changes in [
        json!({"sub": 1}),
        json!({"sub": ["alice"]}),
        json!({"sub": {"name": "alice"}}),
        json!({"client_id": 7}),
        json!({"client_id": null, "azp": ["flytectl"]}),
        json!({"scope": 1}),
        json!({"scope": {"all": true}}),
        json!({"scope": [1]}),
        json!({"scope": [["all"]]}),
        json!({"scp": [1]}),
        json!({"scp": true}),
    ] {
        expect_claims(&changes, "token_claims");
    }
}

/// Those that are nobody's business here may be anything.
#[test]
fn other_claims_of_any_type() {
    for value in [json!(1), json!(null), json!([1, [2]]), json!({"a": {}}), json!(true), json!("")] {
        expect_claims(&json!({"email": value, "user_info": value, "https://idp.example/groups": value}), ACCEPTED);
    }
}

#[test]
fn subject_of_256_characters() {
    expect_claims(&json!({"sub": "x".repeat(255)}), ACCEPTED);
    expect_claims(&json!({"sub": "x".repeat(256)}), "token_claims");
}

/// The profile of RFC 9068 wants every claim of section 2.2.
#[test]
fn rfc_9068_without_a_required_claim() {
    let strict = builder().jwks(rsa().keys()).profile(Profile::Rfc9068).build().unwrap();
    expect(&strict, &[("complete", rsa().token(&claims()), ACCEPTED)]);
    for (name, code) in [
        ("iss", "token_issuer"),
        ("aud", "token_audience"),
        ("exp", "token_claims"),
        ("sub", "token_claims"),
        ("client_id", "token_claims"),
        ("iat", "token_claims"),
        ("jti", "token_claims"),
    ] {
        expect(&strict, &[(name, rsa().token(&claims_without(name)), code)]);
    }
}

/// A token bound to a key (RFC 9449, RFC 8705) is not a bearer token: whoever stole it has no proof.
#[test]
fn bound_token_without_its_proof() {
    for cnf in [json!({"jkt": "AAAA"}), json!({"x5t#S256": "AAAA"}), json!({}), json!(null)] {
        expect_claims(&json!({ "cnf": cnf }), "token_type");
    }
}

#[test]
fn required_scope_that_is_only_similar() {
    let verifier = builder().jwks(rsa().keys()).required_scope("all").build().unwrap();
    let with_scope = |scope: Value| rsa().token(&claims_with(&json!({ "scope": scope })));
    for (scope, expected) in [
        (json!("offline all"), ACCEPTED),
        (json!(["all"]), ACCEPTED),
        (json!("all:read"), "insufficient_scope"),
        (json!("ALL"), "insufficient_scope"),
        (json!("all,offline"), "insufficient_scope"),
        (json!(["offline all"]), "insufficient_scope"),
        (json!(""), "insufficient_scope"),
        (json!(null), "insufficient_scope"),
    ] {
        expect(&verifier, &[(&scope.to_string(), with_scope(scope.clone()), expected)]);
    }
    // `roles` stand for scopes only where an issuer writes no scope at all.
    let roles = claims_with(&json!({"scope": "offline", "roles": ["all"], "exp": NOW + 60}));
    expect(&verifier, &[("roles beside scope", rsa().token(&roles), "insufficient_scope")]);
}
