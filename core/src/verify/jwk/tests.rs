use serde_json::json;

use super::*;

/// RFC 7515 appendix A.2.1, which is the key of RFC 7638 section 3.1 under another name.
const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn key(jwk: &Value) -> Result<Key, &'static str> {
    Key::from_jwk(jwk.as_object().unwrap()).map_err(Refusal::why)
}

#[test]
fn the_thumbprint_of_rfc_7638() {
    let key = key(&json!({"kty": "RSA", "n": MODULUS, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(key.thumbprint()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(key.id(), Some("2011-04-29"));
    assert!(key.fits(Algorithm::RS256) && !key.fits(Algorithm::RS512) && !key.fits(Algorithm::ES256));
    assert!(!format!("{key:?}").contains("0vx7"));
}

#[test]
fn an_rsa_key_without_alg_fits_six() {
    let key = key(&json!({"kty": "RSA", "n": MODULUS, "e": "AQAB"})).unwrap();
    assert_eq!(Algorithm::ALL.into_iter().filter(|one| key.fits(*one)).count(), 6);
}

#[test]
fn rsa_keys_that_protect_nothing() {
    let modulus = URL_SAFE_NO_PAD.decode(MODULUS).unwrap();
    let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
    let zero_first = [&[0][..], &modulus].concat();
    let mut even = modulus.clone();
    *even.last_mut().unwrap() &= 0xfe;
    for (n, e, good) in [
        (encode(&modulus), "AQAB".to_owned(), true),
        (encode(&zero_first), "AAEAAQ".to_owned(), true),
        (encode(&modulus), "Aw".to_owned(), true),
        (encode(&modulus), "AQ".to_owned(), false),
        (encode(&modulus), "AA".to_owned(), false),
        (encode(&modulus), String::new(), false),
        (encode(&modulus), "Ag".to_owned(), false),
        (encode(&modulus), encode(&[1, 0, 0, 0, 1]), false),
        (encode(&even), "AQAB".to_owned(), false),
        (encode(&modulus[1..]), "AQAB".to_owned(), false),
        (encode(&modulus[128..]), "AQAB".to_owned(), false),
        (encode(&[0xff; 1025]), "AQAB".to_owned(), false),
        (String::new(), "AQAB".to_owned(), false),
        (format!("{MODULUS}="), "AQAB".to_owned(), false),
        ("not base64!".to_owned(), "AQAB".to_owned(), false),
    ] {
        assert_eq!(key(&json!({"kty": "RSA", "n": n, "e": e})).is_ok(), good, "{} {e}", n.len());
    }
}

#[test]
fn members_must_agree() {
    let good = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        key(&jwk)
    };
    assert!(key(&good).is_ok());
    for (name, value) in [("alg", json!("EdDSA")), ("alg", json!("Ed25519")), ("use", json!("sig")), ("n", json!("AA"))]
    {
        assert!(with(name, value.clone()).is_ok(), "{name} {value}");
    }
    for (name, value) in [
        ("alg", json!("ES256")),
        ("alg", json!("none")),
        ("alg", json!(7)),
        ("crv", json!("X25519")),
        ("crv", json!("Ed448")),
        ("kty", json!("EC")),
        ("kty", json!("oct")),
        ("kty", json!(null)),
        ("use", json!("enc")),
        ("use", json!(["sig"])),
        ("key_ops", json!([])),
        ("kid", json!(7)),
        ("x", json!("AAAA")),
        ("x", json!(null)),
        ("d", json!("AAAA")),
        ("k", json!("AAAA")),
        ("p", json!("AAAA")),
    ] {
        assert!(with(name, value.clone()).is_err(), "{name} {value}");
    }
}

#[test]
fn points_off_the_curve() {
    // RFC 7515 appendix A.3.1.
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    assert!(key(&json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})).is_ok());
    for (crv, x, y) in [("P-256", x, x), ("P-256", y, x), ("P-384", x, y), ("P-256", "AAAA", y), ("secp256k1", x, y)] {
        assert!(key(&json!({"kty": "EC", "crv": crv, "x": x, "y": y})).is_err(), "{crv}");
    }
}
