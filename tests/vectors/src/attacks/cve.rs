//! Defects that other libraries had, by their numbers.

use serde_json::json;

use crate::scene::{ACCEPTED, claims, expect, verifier};
use crate::signer::{base64url, p256, rsa};

/// Authlib before 1.6.4 ignored `crit`: a token bound to a client's key was taken as a plain one.
#[test]
fn cve_2025_59420_authlib_crit() {
    let header = json!({
        "alg": "ES256", "kid": "p256", "crit": ["cnf"], "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}},
    });
    let plain = json!({"alg": "ES256", "kid": "p256", "cnf": {"kid": "x"}});
    expect(
        &verifier(p256().keys()),
        &[
            ("cnf", p256().token_with(&header, &claims()), "token_critical"),
            ("not critical", p256().token_with(&plain, &claims()), ACCEPTED),
        ],
    );
}

/// PyJWT before 2.12 ignored `crit`.
#[test]
fn cve_2026_32597_pyjwt_crit() {
    let header = json!({"alg": "RS256", "kid": "rsa", "crit": ["x-custom-policy"], "x-custom-policy": "require-mfa"});
    let known = json!({"alg": "RS256", "kid": "rsa", "x-custom-policy": "require-mfa"});
    expect(
        &verifier(rsa().keys()),
        &[
            ("policy", rsa().token_with(&header, &claims()), "token_critical"),
            ("not critical", rsa().token_with(&known, &claims()), ACCEPTED),
        ],
    );
}

/// PyJWT before 2.13 took a public JWK, as text, for an HMAC secret.
#[test]
fn cve_2026_48526_pyjwt_jwk_as_hmac_secret() {
    use aws_lc_rs::hmac;
    let secret = serde_json::Value::Object(rsa().jwk()).to_string();
    let header = json!({"alg": "HS256", "kid": "rsa", "typ": "JWT"});
    let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    let token = format!("{signed}.{}", base64url(tag));
    expect(&verifier(rsa().keys()), &[("HS256", token, "token_algorithm")]);
}

/// Java 15 to 18 took r = s = 0 for a signature of everything ("psychic signatures").
#[test]
fn cve_2022_21449_psychic_signature() {
    let good = p256().token(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let blank = format!("{signed}.{}", base64url([0; 64]));
    expect(&verifier(p256().keys()), &[("good", good.clone(), ACCEPTED), ("r = s = 0", blank, "token_signature")]);
}
