//! The header is the attacker's: nothing in it is followed, and what it demands and we do not know is refused.

use serde_json::{Value, json};

use crate::scene::{ACCEPTED, HandClock, Recorder, claims, expect, online, verdict, verifier};
use crate::signer::{jwks, other_rsa, rsa};

fn header_with(changes: &Value) -> Value {
    let mut header = rsa().header();
    header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    header
}

fn expect_header(changes: &Value, expected: &str) {
    let token = rsa().token_with(&header_with(changes), &claims());
    expect(&verifier(rsa().keys()), &[(&changes.to_string(), token, expected)]);
}

#[test]
fn crit_with_an_unknown_extension() {
    expect_header(&json!({}), ACCEPTED);
    expect_header(&json!({"crit": ["x-policy"], "x-policy": "deny"}), "token_critical");
}

#[test]
fn crit_with_an_extension_that_is_not_there() {
    expect_header(&json!({"crit": ["x-policy"]}), "token_critical");
}

#[test]
fn crit_that_is_empty() {
    expect_header(&json!({"crit": []}), "token_critical");
}

#[test]
fn crit_of_a_registered_name() {
    expect_header(&json!({"crit": ["alg"]}), "token_critical");
    expect_header(&json!({"crit": ["exp"], "exp": 4_000_000_000_u64}), "token_critical");
}

#[test]
fn crit_of_another_type() {
    for crit in [json!("exp"), json!(null), json!(false), json!(0), json!({}), json!([1]), json!([["exp"]]), json!("")]
    {
        expect_header(&json!({ "crit": crit }), "token_critical");
    }
}

/// RFC 7797: a payload that is not encoded, with and without the `crit` that must say so.
#[test]
fn unencoded_payload() {
    expect_header(&json!({"b64": false, "crit": ["b64"]}), "token_critical");
    expect_header(&json!({"b64": true, "crit": ["b64"]}), "token_critical");
    for b64 in [json!(false), json!("false"), json!(0), json!(null)] {
        expect_header(&json!({ "b64": b64 }), "token_critical");
    }
    let header = header_with(&json!({"b64": false, "crit": ["b64"]})).to_string();
    let token = rsa().sign_parts(&crate::signer::base64url(header), &claims().to_string().replace('.', " "));
    expect(&verifier(rsa().keys()), &[("raw", token, "token_critical")]);
}

#[test]
fn duplicate_members() {
    let verifier = verifier(rsa().keys());
    let payload = claims().to_string();
    for header in [
        r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#,
        r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#,
        r#"{"alg":"RS256","kid":"rsa","kid":"rsa"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","typ":"JWT","kid":"rsa"}"#,
        // The same name, written with an escape.
        r#"{"alg":"RS256","\u0061lg":"none","kid":"rsa"}"#,
    ] {
        expect(&verifier, &[(header, rsa().sign_text(header, &payload), "token_malformed")]);
    }
}

/// Private header parameters of any type are nobody's business (RFC 7515 section 4.3): a library that takes all of them
/// for texts refuses good tokens.
#[test]
fn private_parameters_are_ignored() {
    for value in [json!(1), json!(1.5), json!(true), json!(null), json!(["a"]), json!({"a": 1}), json!("a")] {
        expect_header(&json!({"ver": value, "https://idp.example/x": value}), ACCEPTED);
    }
}

#[test]
fn typ_of_another_type() {
    for typ in [json!(1), json!(null), json!(["at+jwt"]), json!({})] {
        expect_header(&json!({ "typ": typ }), "token_malformed");
    }
}

/// flyteadmin's `key_id` panics on these.
#[test]
fn key_id_that_is_no_text() {
    for id in [json!(1), json!(null), json!(true), json!(["rsa"]), json!({"kid": "rsa"})] {
        expect_header(&json!({ "kid": id }), "token_malformed");
    }
    for id in [json!(1), json!(null), json!(["rsa"])] {
        expect_header(&json!({ "key_id": id }), ACCEPTED);
    }
}

#[test]
fn key_id_as_path() {
    for id in ["../../../../dev/null", "/etc/passwd", "file:///dev/null", "..\\..\\nul", "rsa/../rsa", "rsa\0", "./rsa"]
    {
        expect_header(&json!({ "kid": id }), "token_key_unknown");
    }
}

#[test]
fn key_id_as_query() {
    for id in
        ["' OR '1'='1", "rsa' UNION SELECT 'secret' --", "rsa\"; DROP TABLE keys; --", "${jndi:ldap://x}", "*", "%", ""]
    {
        expect_header(&json!({ "kid": id }), "token_key_unknown");
    }
}

#[test]
fn key_id_of_a_megabyte() {
    expect_header(&json!({"kid": "x".repeat(1024 * 1024)}), "token_too_large");
    // Within the size of a token, beyond that of a header.
    expect_header(&json!({"kid": "x".repeat(100_000)}), "token_too_large");
}

/// The stranger's own key in the header, as a JWK and as a certificate chain, signed by it (CVE-2018-0114).
#[test]
fn key_in_the_header_is_not_used() {
    let stranger = other_rsa();
    let chain = json!([base64_der(&stranger.pem())]);
    for (changes, expected) in [
        (json!({"jwk": stranger.jwk()}), "token_signature"),
        (json!({"jwk": stranger.jwk(), "kid": "strange"}), "token_key_unknown"),
        (json!({"x5c": chain}), "token_signature"),
        (json!({"x5c": chain, "x5t": "AAAA", "x5t#S256": "AAAA"}), "token_signature"),
    ] {
        let token = stranger.token_with(&header_with(&changes), &claims());
        expect(&verifier(rsa().keys()), &[(&changes.to_string(), token, expected)]);
        // The same members on a token of the issuer's own key do no harm.
        if expected == "token_signature" {
            expect_header(&changes, ACCEPTED);
        }
    }
}

fn base64_der(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("--")).collect()
}

/// Addresses in the header, on loopback and elsewhere: nothing but the issuer's own key set is ever asked for.
#[test]
fn addresses_in_the_header_are_never_followed() {
    let network = Recorder::serving(&jwks(&[rsa().jwk()]));
    let stranger = other_rsa();
    let theirs = jwks(&[stranger.jwk()]).to_string();
    for url in ["https://evil.example/jwks", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"] {
        network.serve(url, theirs.clone());
    }
    let verifier = online(&network, &HandClock::new());
    assert_eq!(verdict(&verifier, &rsa().token(&claims())), ACCEPTED);
    for url in ["https://evil.example/jwks", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"] {
        for member in ["jku", "x5u"] {
            let header = header_with(&json!({ member: url }));
            let stolen = stranger.token_with(&header, &claims());
            let elsewhere = header_with(&json!({ member: url, "kid": "elsewhere" }));
            expect(
                &verifier,
                &[
                    (url, stolen, "token_signature"),
                    (url, stranger.token_with(&elsewhere, &claims()), "token_key_unknown"),
                    (url, rsa().token_with(&header, &claims()), ACCEPTED),
                ],
            );
        }
    }
    let asked = network.asked();
    assert!(asked.iter().all(|url| url == crate::scene::JWKS_URI), "{asked:?}");
}
