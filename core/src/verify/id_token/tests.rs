use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Signing, EncodingKey, Header};
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};

use super::super::signer::{Signer, key_set};
use super::*;

const ISSUER: &str = "https://idp.example";
const NOW: Timestamp = Timestamp::from_secs(1_795_489_920);

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "flytectl", "sub": "alice", "email": "alice@example.org", "nonce": "n",
        "iat": NOW.as_secs() - 5, "exp": NOW.as_secs() + 300, "at_hash": half_hash(Algorithm::ES256, "the-access-token"),
    })
}

fn expected(access_token: &AccessToken) -> Expectations<'_> {
    Expectations { issuer: ISSUER, client_id: "flytectl", nonce: Some("n"), access_token: Some(access_token) }
}

fn validated(token: &str, keys: &KeySet) -> Result<Claims> {
    validate(&IdToken::new(token), &expected(&AccessToken::new("the-access-token")), keys, NOW)
}

#[test]
fn good_tokens_of_each_key_type() {
    for signer in [
        Signer::es256(),
        Signer::new(&PKCS_ECDSA_P384_SHA384, Signing::ES384, "k1"),
        Signer::new(&PKCS_ED25519, Signing::EdDSA, "k1"),
    ] {
        let name = format!("{:?}", signer.algorithm);
        let mut claims = claims();
        claims["at_hash"] = half_hash(Algorithm::from_name(&name).unwrap(), "the-access-token").into();
        let found = validated(&signer.sign(&claims), &signer.keys()).unwrap();
        assert_eq!((found.subject.as_str(), found.email.as_deref()), ("alice", Some("alice@example.org")), "{name}");
    }
}

#[test]
fn every_claim_is_checked() {
    let signer = Signer::es256();
    let now = NOW.as_secs();
    let refused: &[(&str, Value)] = &[
        ("iss", json!("https://idp.example/")),
        ("iss", json!("https://evil.example")),
        ("iss", json!(null)),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["other", "another"])),
        ("aud", json!(["flytectl", "other"])),
        ("aud", json!(7)),
        ("azp", json!("other")),
        ("exp", json!(now - 61)),
        ("exp", json!("tomorrow")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("iat", json!(now + 120)),
        ("nbf", json!(now + 120)),
        ("nonce", json!("another")),
        ("nonce", json!(7)),
        ("at_hash", json!("AAAA")),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
    ];
    for (name, value) in refused {
        let mut claims = claims();
        claims[*name] = value.clone();
        let error = validated(&signer.sign(&claims), &signer.keys()).expect_err(&format!("{name} {value}"));
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "id_token_invalid"));
        assert!(!error.to_string().contains("alice"), "{error}");
    }
    for missing in ["iss", "aud", "exp", "iat", "nonce", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(missing);
        assert!(validated(&signer.sign(&claims), &signer.keys()).is_err(), "without {missing}");
    }
}

#[test]
fn tolerated_claims() {
    let signer = Signer::es256();
    for (name, value) in [
        ("aud", json!(["flytectl"])),
        ("azp", json!("flytectl")),
        ("exp", json!(NOW.as_secs() - 59)),
        ("iat", json!(NOW.as_secs() + 59)),
        ("exp", json!(NOW.as_secs() as f64 + 300.5)),
        ("at_hash", json!(null)),
        ("email", json!(null)),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        validated(&signer.sign(&claims), &signer.keys()).unwrap_or_else(|error| panic!("{name} {value}: {error}"));
    }
    let mut several = claims();
    several["aud"] = json!(["flytectl", "other"]);
    several["azp"] = json!("flytectl");
    assert!(validated(&signer.sign(&several), &signer.keys()).is_ok());
}

#[test]
fn signatures_keys_and_headers() {
    let signer = Signer::es256();
    let good = signer.sign(&claims());
    let stranger = Signer::es256();
    assert!(validated(&stranger.sign(&claims()), &signer.keys()).is_err(), "another key under the same name");
    let mut tampered = good.clone();
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'Q' } else { 'A' });
    let forged_header = |header: &Value| {
        let rest = good.split_once('.').unwrap().1;
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
    };
    let (_, payload) = good.split_once('.').unwrap();
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), payload.split_once('.').unwrap().0);
    for token in [
        tampered,
        unsigned,
        "not a token".to_owned(),
        "a.b.c.d.e".to_owned(),
        "x".repeat(300 * 1024),
        forged_header(&json!({"alg": "HS256", "kid": "k1"})),
        forged_header(&json!({"alg": "ES256", "kid": "k1", "crit": ["b64"]})),
        forged_header(&json!({"alg": ["ES256"], "kid": "k1"})),
        forged_header(&json!({"alg": "ES256", "jwk": stranger.jwk})),
    ] {
        assert!(validated(&token, &signer.keys()).is_err());
    }
    // The public key must never serve as a shared secret.
    let secret = EncodingKey::from_secret(signer.key.der_bytes());
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Signing::HS256) };
    let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    assert!(validated(&confused, &signer.keys()).is_err());
    // Another type of token of the same issuer.
    let header = Header { kid: Some("k1".to_owned()), typ: Some("at+jwt".to_owned()), ..Header::new(Signing::ES256) };
    assert!(validated(&signer.sign_with(&header, &claims()), &signer.keys()).is_err());
}

#[test]
fn keys_serve_only_what_they_are_for() {
    let signer = Signer::es256();
    let token = signer.sign(&claims());
    let with = |name: &str, value: Value| {
        let mut jwk = signer.jwk.clone();
        jwk[name] = value;
        key_set(&[jwk])
    };
    for (name, value) in
        [("use", json!("sig")), ("alg", json!("ES256")), ("key_ops", json!(["verify"])), ("x5c", json!(["AAAA"]))]
    {
        assert!(validated(&token, &with(name, value)).is_ok(), "{name}");
    }
    for (name, value) in [
        ("use", json!("enc")),
        ("alg", json!("ES384")),
        ("alg", json!("RS256")),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("kid", json!("another")),
        ("crv", json!("P-384")),
        ("kty", json!("RSA")),
        ("d", json!("AAAA")),
    ] {
        assert!(validated(&token, &with(name, value.clone())).is_err(), "{name} {value}");
    }
    let garbage = [
        json!({}),
        json!({"kty": "EC"}),
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "", "y": ""}),
        signer.jwk.clone(),
    ];
    assert!(validated(&token, &key_set(&garbage)).is_ok(), "garbage beside a good key is passed over");
}

#[test]
fn key_sets_that_are_none() {
    for bytes in [&b""[..], b"[]", b"{}", b"{\"keys\":{}}", b"<html>", b"{\"keys\":[],\"keys\":[]}"] {
        assert!(KeySet::parse(bytes).is_err());
    }
}

#[test]
fn at_hash_of_openid_connect_core() {
    // OpenID Connect Core, appendix A.3.
    assert_eq!(
        half_hash(Algorithm::RS256, "jHkWEdUXMU1BwAsC4vtUsZwnvTSx98_vFlNRnAi_ZTs"),
        half_hash(Algorithm::ES256, "jHkWEdUXMU1BwAsC4vtUsZwnvTSx98_vFlNRnAi_ZTs")
    );
    assert_eq!(half_hash(Algorithm::RS256, "dNZX1hEZ9wBCzNL40Upu646bdzQA"), "wfgvmE9VxjAudsl9lc6TqA");
}
