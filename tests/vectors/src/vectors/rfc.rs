//! The examples of the RFCs, from `data/rfc.json`: each section's token and key, and the code of the refusal where the
//! verifier refuses by policy (symmetric keys, `none`, encryption, unencoded payloads).

use flyte_auth::verify::jwk::Key;
use serde_json::{Value, json};

use crate::signer::{base64url, key_set};

fn examples(rfc: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../../data/rfc.json")).unwrap();
    let of_rfc = |example: &Value| example["section"].as_str().unwrap().starts_with(rfc);
    all.into_iter().filter(of_rfc).collect()
}

fn section(name: &str) -> Value {
    let mut found = examples(name).into_iter();
    found.next().unwrap_or_else(|| panic!("no example {name}"))
}

/// Asserts each example's verdict; returns how many were accepted and how many refused.
fn judged(rfc: &str) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for example in examples(rfc) {
        let section = &example["section"];
        let keys = key_set(&[example["key"].as_object().unwrap().clone()]);
        let verdict = keys.verify(example["token"].as_str().unwrap());
        let code = verdict.as_ref().err().map(|refusal| refusal.code());
        assert_eq!(code, example["refused"].as_str(), "{section}");
        if verdict.is_ok() { accepted += 1 } else { refused += 1 }
    }
    (accepted, refused)
}

/// Appendix A: HS256 (A.1) and `none` (A.5) are refused; RS256, ES256 and ES512 are good.
#[test]
fn rfc_7515() {
    assert_eq!(judged("RFC 7515"), (3, 2));
    let verified = key_set(&[section("RFC 7515 A.4")["key"].as_object().unwrap().clone()]);
    let verified = verified.verify(section("RFC 7515 A.4")["token"].as_str().unwrap()).unwrap();
    assert_eq!(verified.payload, b"Payload");
}

/// Section 4: RS256, PS384 and ES512 are good, HS256 is refused; section 5: encrypted, no signed tokens.
#[test]
fn rfc_7520() {
    assert_eq!(judged("RFC 7520 4"), (3, 1));
    assert_eq!(judged("RFC 7520 5"), (0, 5));
}

/// Section 4.2: an unencoded payload, which `crit` says.
#[test]
fn rfc_7797() {
    assert_eq!(judged("RFC 7797"), (0, 1));
}

/// Appendix A.4: EdDSA with Ed25519.
#[test]
fn rfc_8037() {
    assert_eq!(judged("RFC 8037"), (1, 0));
}

/// RFC 9864: the same key and algorithm under the name that replaces `EdDSA`.
#[test]
fn rfc_9864_name_of_ed25519() {
    let signer = crate::signer::Signer::new(flyte_auth::verify::Algorithm::EdDSA, None);
    let token = signer.token_with(&json!({"alg": "Ed25519"}), &json!({}));
    signer.keys().verify(&token).unwrap();
}

/// RFC 7638 section 3.1 and RFC 8037 appendix A.3.
#[test]
fn thumbprints() {
    let rsa = json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
              oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA\
              ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-\
              kEgU8awapJzKnqDKgw",
    });
    let okp = section("RFC 8037 A.4")["key"].clone();
    for (jwk, expected) in
        [(rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), (okp, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    {
        let key = Key::from_jwk(jwk.as_object().unwrap()).unwrap();
        assert_eq!(base64url(key.thumbprint()), expected);
    }
}
