//! Key sets that are mistaken or hostile.

use flyte_auth::verify::{Algorithm, KeySet};
use serde_json::{Map, Value, json};

use crate::scene::{ACCEPTED, claims, expect, verifier};
use crate::signer::{Signer, base64url, jwks, key_set, other_rsa, p256, rsa};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Asserts the verdict on a good RS256 token where the key has these further members.
fn expect_with_members(members: &Value, expected: &str) {
    let keys = key_set(&[rsa().jwk_with(members)]);
    expect(&verifier(keys), &[(&members.to_string(), rsa().token(&claims()), expected)]);
}

#[test]
fn use_that_is_not_sig() {
    expect_with_members(&json!({"use": "sig"}), ACCEPTED);
    for usage in [json!("enc"), json!("SIG"), json!("sig "), json!(""), json!(1), json!(null), json!(["sig"])] {
        expect_with_members(&json!({ "use": usage }), "token_key_unknown");
    }
}

#[test]
fn key_ops_without_verify() {
    expect_with_members(&json!({"key_ops": ["verify"]}), ACCEPTED);
    expect_with_members(&json!({"key_ops": ["sign", "verify"]}), ACCEPTED);
    for operations in [
        json!([]),
        json!(["sign"]),
        json!(["encrypt", "wrapKey"]),
        json!(["Verify"]),
        json!("verify"),
        json!(null),
        json!([["verify"]]),
        json!({"verify": true}),
    ] {
        expect_with_members(&json!({ "key_ops": operations }), "token_key_unknown");
    }
}

/// An issuer that publishes its private key has lost it.
#[test]
fn private_keys() {
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        expect_with_members(&json!({ member: "AQAB" }), "token_key_unknown");
    }
    let private = key_set(&[p256().jwk_with(&json!({"d": base64url([1; 32])}))]);
    expect(&verifier(private), &[("EC", p256().token(&claims()), "token_key_unknown")]);
}

#[test]
fn symmetric_keys() {
    for members in [
        json!({"kty": "oct", "k": base64url([7; 32])}),
        json!({"kty": "oct", "k": base64url([7; 32]), "alg": "HS256", "use": "sig"}),
        json!({"kty": "RSA", "k": base64url([7; 32])}),
        json!({"kty": "oct"}),
    ] {
        expect_with_members(&members, "token_key_unknown");
    }
}

/// What an issuer may publish beside: other keys, other people's formats, garbage. The good one among them counts.
#[test]
fn garbage_beside_a_good_key() {
    let garbage = [
        json!(null),
        json!(1),
        json!("key"),
        json!([]),
        json!({}),
        json!({"kty": 1}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "rsa"}),
        json!({"kty": "OKP", "crv": "X25519", "x": base64url([9; 32]), "use": "enc"}),
        json!({"kty": "OKP", "crv": "Ed448", "x": base64url([9; 57])}),
        json!({"kty": "EC", "crv": "secp256k1", "x": base64url([9; 32]), "y": base64url([9; 32])}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!({"kty": "RSA", "n": 1, "e": "AQAB"}),
        json!({"kty": "RSA", "e": "AQAB"}),
        json!({"kty": "oct", "k": base64url([7; 32]), "kid": "rsa"}),
    ];
    let keys = garbage.iter().cloned().chain([Value::Object(rsa().jwk())]).collect::<Vec<_>>();
    let set = KeySet::parse(json!({"keys": keys, "more": [1, 2]}).to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 1);
    expect(&verifier(set), &[("good", rsa().token(&claims()), ACCEPTED)]);
}

#[test]
fn documents_that_are_no_key_set() {
    for document in
        ["", "null", "[]", "{}", "\"keys\"", r#"{"keys":null}"#, r#"{"keys":{}}"#, r#"{"keys":"x"}"#, "<html>"]
    {
        assert_eq!(KeySet::parse(document.as_bytes()).unwrap_err().code(), "keys_invalid", "{document}");
    }
}

#[test]
fn duplicate_members_in_a_key_set() {
    let key = Value::Object(rsa().jwk()).to_string();
    let twice = format!(r#"{{"keys":[{key}],"keys":[]}}"#);
    let inside = format!(r#"{{"keys":[{}]}}"#, key.replacen('{', r#"{"kty":"oct","#, 1));
    for document in [twice, inside] {
        assert_eq!(KeySet::parse(document.as_bytes()).unwrap_err().code(), "keys_invalid", "{document}");
    }
}

/// Two keys under one `kid`, as during a careless rotation: each may have signed, nobody else.
#[test]
fn duplicate_key_id() {
    let second = Signer::new(Algorithm::RS256, Some("rsa"));
    let keys = key_set(&[second.jwk(), rsa().jwk()]);
    expect(
        &verifier(keys),
        &[
            ("the first", second.token(&claims()), ACCEPTED),
            ("the second", rsa().token(&claims()), ACCEPTED),
            ("neither", other_rsa().token(&claims()), "token_signature"),
        ],
    );
}

/// A `kid` shared by keys of different types: the algorithm decides which is meant.
#[test]
fn one_key_id_for_two_types() {
    let mut ec = p256().jwk();
    ec.insert("kid".to_owned(), "rsa".into());
    let keys = key_set(&[ec, rsa().jwk()]);
    let header = json!({"alg": "ES256", "kid": "rsa"});
    expect(
        &verifier(keys),
        &[
            ("RS256", rsa().token(&claims()), ACCEPTED),
            ("ES256", p256().token_with(&header, &claims()), ACCEPTED),
            ("ES256 by the RSA key", rsa().token_with(&header, &claims()), "token_signature"),
        ],
    );
}

#[test]
fn token_without_key_id_and_one_key() {
    let header = json!({"alg": "RS256"});
    expect(
        &verifier(rsa().keys()),
        &[
            ("the key's", rsa().token_with(&header, &claims()), ACCEPTED),
            ("a stranger's", other_rsa().token_with(&header, &claims()), "token_signature"),
        ],
    );
}

#[test]
fn token_without_key_id_and_several_keys() {
    let nameless = Signer::new(Algorithm::RS256, None);
    let keys = key_set(&[p256().jwk(), nameless.jwk(), rsa().jwk()]);
    let header = json!({"alg": "RS256"});
    expect(
        &verifier(keys),
        &[
            ("one", nameless.token_with(&header, &claims()), ACCEPTED),
            ("another", rsa().token_with(&header, &claims()), ACCEPTED),
            ("a stranger's", other_rsa().token_with(&header, &claims()), "token_signature"),
            // A key without a name is not the one that is named.
            ("named", nameless.token_with(&json!({"alg": "RS256", "kid": "x"}), &claims()), "token_key_unknown"),
        ],
    );
}

/// flyteadmin's own tokens name their key in `key_id`, which nobody else reads.
#[test]
fn flyteadmins_key_id() {
    let header = json!({"alg": "RS256", "key_id": "thumbprint", "typ": "JWT"});
    expect(&verifier(rsa().keys()), &[("key_id", rsa().token_with(&header, &claims()), ACCEPTED)]);
}

/// 10,000 keys: the first hundred are read.
#[test]
fn ten_thousand_keys() {
    let filler: Vec<_> = (0..10_000)
        .map(|number: u32| {
            let mut x = p256().jwk();
            x.insert("kid".to_owned(), number.to_string().into());
            x
        })
        .collect();
    let set = |keys: &[&[Map<String, Value>]]| KeySet::from_object(&object(jwks(&keys.concat()))).unwrap();
    let first = set(&[&[rsa().jwk()], &filler]);
    assert_eq!(first.len(), 100);
    expect(&verifier(first), &[("first", rsa().token(&claims()), ACCEPTED)]);
    let last = set(&[&filler, &[rsa().jwk()]]);
    assert_eq!(last.len(), 100);
    expect(&verifier(last), &[("last", rsa().token(&claims()), "token_key_unknown")]);
    // As a document it is larger than any answer that is read at all.
    assert_eq!(KeySet::parse(jwks(&filler).to_string().as_bytes()).unwrap_err().code(), "keys_invalid");
}

/// A key set that is nested without end, or larger than any.
#[test]
fn key_set_bombs() {
    let deep = format!(r#"{{"keys":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!(r#"{{"keys":[{}]}}"#, "{},".repeat(1_000_000));
    for document in [deep, wide] {
        assert_eq!(KeySet::parse(document.as_bytes()).unwrap_err().code(), "keys_invalid");
    }
}
