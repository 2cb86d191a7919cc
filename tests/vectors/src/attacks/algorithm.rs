//! The algorithm is the verifier's choice, never the token's (RFC 8725 sections 3.1 and 3.2).

use aws_lc_rs::hmac;
use flyte_auth::verify::Algorithm;
use serde_json::{Value, json};

use crate::scene::{ACCEPTED, builder, claims, expect, verifier};
use crate::signer::{Signer, base64url, key_set, p256, rsa};

/// A token with an HMAC in place of a signature: what a verifier accepts that takes a public key for a secret.
fn hmac_token(algorithm: &str, key_id: Option<&str>, secret: &[u8]) -> String {
    let function = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let mut header = json!({"alg": algorithm, "typ": "at+jwt"});
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(function, secret), signed.as_bytes());
    format!("{signed}.{}", base64url(tag))
}

fn expect_hmac_is_refused(signer: &Signer, secrets: &[Vec<u8>]) {
    let verifier = verifier(signer.keys());
    for secret in secrets {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let with_id = hmac_token(algorithm, signer.id, secret);
            let without = hmac_token(algorithm, None, secret);
            expect(&verifier, &[("kid", with_id, "token_algorithm"), ("no kid", without, "token_algorithm")]);
        }
    }
}

#[test]
fn none_in_every_casing() {
    let verifier = verifier(rsa().keys());
    let good = rsa().token(&claims());
    expect(&verifier, &[("good", good.clone(), ACCEPTED)]);
    let signature = good.rsplit('.').next().unwrap();
    for casing in 0..16_u8 {
        let letter = |(at, letter): (usize, char)| {
            if casing >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
        };
        let none: String = "none".chars().enumerate().map(letter).collect();
        for header in [json!({"alg": none}), json!({"alg": none, "kid": "rsa", "typ": "at+jwt"})] {
            let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
            let unsigned = format!("{signed}.");
            let borrowed = format!("{signed}.{signature}");
            expect(&verifier, &[(&none, unsigned, "token_algorithm"), (&none, borrowed, "token_algorithm")]);
        }
    }
}

#[test]
fn rsa_public_key_pem_as_hmac_secret() {
    let pem = rsa().pem();
    let crlf = pem.replace('\n', "\r\n");
    expect_hmac_is_refused(rsa(), &[pem.trim_end().into(), pem.into(), crlf.into()]);
}

#[test]
fn ec_public_key_pem_as_hmac_secret() {
    let pem = p256().pem();
    expect_hmac_is_refused(p256(), &[pem.trim_end().into(), pem.into()]);
}

#[test]
fn public_key_jwk_as_hmac_secret() {
    for signer in [rsa(), p256()] {
        let jwk = Value::Object(signer.jwk());
        let pretty = serde_json::to_vec_pretty(&jwk).unwrap();
        expect_hmac_is_refused(signer, &[jwk.to_string().into(), pretty]);
    }
}

/// The allow-list is the caller's: a good signature with another algorithm is refused.
#[test]
fn algorithm_not_in_the_allow_list() {
    let token = rsa().token(&claims());
    let limited =
        |algorithms: &[Algorithm]| builder().jwks(rsa().keys()).algorithms(algorithms.iter().copied()).build().unwrap();
    expect(&limited(&[Algorithm::ES256, Algorithm::RS256]), &[("RS256", token.clone(), ACCEPTED)]);
    expect(&limited(&[Algorithm::ES256, Algorithm::PS256]), &[("RS256", token, "token_algorithm")]);
}

/// RFC 8725 section 3.1: each key is used with exactly one algorithm, where it says which.
#[test]
fn algorithm_other_than_the_keys() {
    let keys = key_set(&[rsa().jwk_with(&json!({"alg": "RS256"}))]);
    let verifier = verifier(keys);
    let signed_with = |algorithm: Algorithm| {
        let header = json!({"alg": algorithm.name(), "kid": "rsa"});
        let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
        let signature = rsa().signature_with(algorithm, signed.as_bytes());
        format!("{signed}.{}", base64url(signature))
    };
    expect(&verifier, &[("RS256", signed_with(Algorithm::RS256), ACCEPTED)]);
    for other in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        expect(&verifier, &[(other.name(), signed_with(other), "token_key_unknown")]);
    }
}

/// A header that names an algorithm of another family than the key's.
#[test]
fn algorithm_of_another_key_type() {
    for (signer, names) in [
        (rsa(), ["ES256", "ES384", "ES512", "EdDSA", "Ed25519"]),
        (p256(), ["RS256", "PS256", "ES384", "ES512", "EdDSA"]),
    ] {
        let verifier = verifier(signer.keys());
        for name in names {
            let header = json!({"alg": name, "kid": signer.id});
            expect(&verifier, &[(name, signer.token_with(&header, &claims()), "token_key_unknown")]);
        }
    }
}

#[test]
fn unknown_algorithms() {
    let verifier = verifier(rsa().keys());
    let names = [
        "",
        " ",
        "RS",
        "RS1",
        "rs256",
        "RS256 ",
        " RS256",
        "RS256\0",
        "RS256,none",
        "ES521",
        "ES256K",
        "Ed448",
        "EDDSA",
        "HS256",
        "HS384",
        "HS512",
        "A128KW",
        "dir",
        "RSA1_5",
        "RSA-OAEP",
        "ECDH-ES",
        "PBES2-HS256+A128KW",
        "RЅ256",
    ];
    for name in names {
        let header = json!({"alg": name, "kid": "rsa"});
        expect(&verifier, &[(name, rsa().token_with(&header, &claims()), "token_algorithm")]);
    }
}

#[test]
fn algorithm_missing_or_no_text() {
    let verifier = verifier(rsa().keys());
    let header = json!({"kid": "rsa"});
    expect(&verifier, &[("missing", rsa().token_with(&header, &claims()), "token_malformed")]);
    for alg in [json!(null), json!(256), json!(true), json!(["RS256"]), json!({"name": "RS256"})] {
        let header = json!({"alg": alg, "kid": "rsa"});
        expect(&verifier, &[(&alg.to_string(), rsa().token_with(&header, &claims()), "token_malformed")]);
    }
}

/// P-521 signs ES512 (RFC 7518 section 3.4); `ES521` is a common mistake and no algorithm.
#[test]
fn p521_is_es512() {
    let signer = Signer::new(Algorithm::ES512, Some("p521"));
    let named = |name: &str| json!({"alg": name, "kid": "p521"});
    expect(
        &verifier(signer.keys()),
        &[
            ("ES512", signer.token_with(&named("ES512"), &claims()), ACCEPTED),
            ("ES521", signer.token_with(&named("ES521"), &claims()), "token_algorithm"),
        ],
    );
    let misnamed = key_set(&[signer.jwk_with(&json!({"alg": "ES521"}))]);
    assert_eq!(misnamed.len(), 0);
    expect(&verifier(misnamed), &[("ES512", signer.token_with(&named("ES512"), &claims()), "token_key_unknown")]);
}
