//! Signatures that a careless primitive takes for good.

use aws_lc_rs::digest;
use flyte_auth::verify::{Algorithm, KeySet};
use serde_json::{Value, json};

use crate::scene::{ACCEPTED, claims, claims_with, expect, verifier};
use crate::signer::{Signer, base64url, key_set, other_rsa, p256, rsa};

/// The order of P-256's base point.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A good token's header and payload with another signature.
fn with_signature(good: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}", good.rsplit_once('.').unwrap().0, base64url(signature))
}

fn signature_of(token: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).unwrap()
}

#[test]
fn psychic_signatures() {
    let good = p256().token(&claims());
    let signature = signature_of(&good);
    let (r, s) = signature.split_at(32);
    let pairs = |r: &[u8], s: &[u8]| with_signature(&good, [r, s].concat());
    let zero = [0; 32];
    expect(
        &verifier(p256().keys()),
        &[
            ("good", good.clone(), ACCEPTED),
            ("r = s = 0", pairs(&zero, &zero), "token_signature"),
            ("r = 0", pairs(&zero, s), "token_signature"),
            ("s = 0", pairs(r, &zero), "token_signature"),
            ("r = s = n", pairs(&P256_ORDER, &P256_ORDER), "token_signature"),
            ("r = n", pairs(&P256_ORDER, s), "token_signature"),
            ("s = n", pairs(r, &P256_ORDER), "token_signature"),
            ("r = s = 2^256 - 1", pairs(&[0xff; 32], &[0xff; 32]), "token_signature"),
            ("swapped", pairs(s, r), "token_signature"),
        ],
    );
}

/// ECDSA in ASN.1 DER, as TLS and X.509 write it: JWS has r and s one after the other.
#[test]
fn ecdsa_in_der() {
    let integer = |number: &[u8]| {
        let number = &number[number.iter().position(|octet| *octet != 0).unwrap()..];
        let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
        [&[2, u8::try_from(sign.len() + number.len()).unwrap()], sign, number].concat()
    };
    let good = p256().token(&claims());
    let signature = signature_of(&good);
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    let verifier = verifier(p256().keys());
    expect(&verifier, &[("good", good.clone(), ACCEPTED), ("DER", with_signature(&good, der), "token_signature")]);
}

#[test]
fn signature_of_another_length() {
    for signer in [rsa(), p256(), &Signer::new(Algorithm::EdDSA, Some("ed"))] {
        let good = signer.token(&claims());
        let signature = signature_of(&good);
        let verifier = verifier(signer.keys());
        let length = signature.len();
        expect(
            &verifier,
            &[
                ("good", good.clone(), ACCEPTED),
                ("none", with_signature(&good, []), "token_signature"),
                ("one octet short", with_signature(&good, &signature[..length - 1]), "token_signature"),
                ("one octet long", with_signature(&good, [signature.as_slice(), &[0]].concat()), "token_signature"),
                ("a leading zero", with_signature(&good, [&[0], signature.as_slice()].concat()), "token_signature"),
                ("half", with_signature(&good, &signature[..length / 2]), "token_signature"),
                ("twice", with_signature(&good, [signature.as_slice(), &signature].concat()), "token_signature"),
            ],
        );
    }
}

#[test]
fn signature_of_another_token() {
    for signer in [rsa(), p256()] {
        let good = signer.token(&claims());
        let other = signer.token(&claims_with(&json!({"sub": "mallory"})));
        let swapped = with_signature(&other, signature_of(&good));
        expect(&verifier(signer.keys()), &[("swapped", swapped, "token_signature")]);
    }
}

/// Every single bit of a small token counts.
#[test]
fn every_flipped_bit() {
    let signer = Signer::new(Algorithm::EdDSA, Some("ed"));
    let keys = signer.keys();
    let token = signer.token(&json!({"sub": "alice"}));
    keys.verify(&token).unwrap();
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut flipped = token.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            if let Ok(flipped) = String::from_utf8(flipped) {
                assert!(keys.verify(&flipped).is_err(), "octet {at} bit {bit}");
            }
        }
    }
}

/// A stranger's key under the issuer's `kid`.
#[test]
fn signature_of_a_stranger() {
    let token = other_rsa().token(&claims());
    expect(&verifier(rsa().keys()), &[("stranger", token, "token_signature")]);
}

/// A key of one curve under the algorithm of another: with the right `crv` it does not fit, with the wrong one it is no
/// key.
#[test]
fn curve_mismatch() {
    let p384 = Signer::new(Algorithm::ES384, Some("p384"));
    let under = |name: &str| p384.token_with(&json!({"alg": name, "kid": "p384"}), &claims());
    let good = verifier(p384.keys());
    expect(
        &good,
        &[
            ("ES384", under("ES384"), ACCEPTED),
            ("ES256", under("ES256"), "token_key_unknown"),
            ("ES512", under("ES512"), "token_key_unknown"),
        ],
    );
    for members in [json!({"crv": "P-256"}), json!({"crv": "P-521"}), json!({"crv": "secp256k1"}), json!({"crv": null})]
    {
        let keys = key_set(&[p384.jwk_with(&members)]);
        assert_eq!(keys.len(), 0, "{members}");
        expect(&verifier(keys), &[("ES384", under("ES384"), "token_key_unknown")]);
    }
}

/// A point that is not on its curve (invalid curve attack), and the point at infinity.
#[test]
fn point_off_the_curve() {
    let x = p256().jwk()["x"].clone();
    for changes in [
        json!({"y": x}),
        json!({"x": base64url([0; 32]), "y": base64url([0; 32])}),
        json!({"y": base64url([0xff; 32])}),
    ] {
        assert_eq!(key_set(&[p256().jwk_with(&changes)]).len(), 0, "{changes}");
    }
}

/// The PKCS#1 padding around the hash, which is its own "signature" where the exponent is 1.
fn padding_as_signature(signed: &str, length: usize) -> Vec<u8> {
    const SHA256_PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let hash = digest::digest(&digest::SHA256, signed.as_bytes());
    let ending = [&[0][..], &SHA256_PREFIX, hash.as_ref()].concat();
    let mut padded = vec![0xff; length];
    padded[..2].copy_from_slice(&[0, 1]);
    padded[length - ending.len()..].copy_from_slice(&ending);
    padded
}

/// With e = 1 everybody can sign.
#[test]
fn rsa_exponent_of_one() {
    let weak = key_set(&[rsa().jwk_with(&json!({"e": base64url([1])}))]);
    assert_eq!(weak.len(), 0);
    let signed = format!("{}.{}", base64url(rsa().header().to_string()), base64url(claims().to_string()));
    let forged = format!("{signed}.{}", base64url(padding_as_signature(&signed, 256)));
    expect(&verifier(weak), &[("e = 1", forged.clone(), "token_key_unknown")]);
    expect(&verifier(rsa().keys()), &[("e = 65537", forged, "token_signature")]);
}

#[test]
fn rsa_exponents_that_are_none() {
    let exponents: [&[u8]; 8] = [&[], &[0], &[0, 0], &[2], &[1, 0, 0], &[0, 1], &[1, 0, 0, 0, 1], &[0xff; 256]];
    for exponent in exponents {
        let keys = key_set(&[rsa().jwk_with(&json!({"e": base64url(exponent)}))]);
        assert_eq!(keys.len(), 0, "{exponent:?}");
    }
    let three = key_set(&[rsa().jwk_with(&json!({"e": base64url([3])}))]);
    assert_eq!(three.len(), 1, "3 is odd and in use");
}

fn modulus(bits: usize) -> Vec<u8> {
    let mut number = vec![0xa5; bits.div_ceil(8)];
    number[0] = if bits.is_multiple_of(8) { 0x80 } else { 1 << (bits % 8 - 1) };
    number
}

fn set_of_modulus(modulus: &[u8]) -> KeySet {
    key_set(&[json!({"kty": "RSA", "n": base64url(modulus), "e": "AQAB"}).as_object().unwrap().clone()])
}

#[test]
fn rsa_of_another_size() {
    assert_eq!(set_of_modulus(&[]).len(), 0);
    for bits in [8_usize, 512, 768, 1024, 1536, 2040, 2047, 8193, 16384] {
        assert_eq!(set_of_modulus(&modulus(bits)).len(), 0, "{bits}");
    }
    for bits in [2048_usize, 2049, 3072, 4096, 8192] {
        assert_eq!(set_of_modulus(&modulus(bits)).len(), 1, "{bits}");
    }
}

#[test]
fn rsa_with_an_even_modulus() {
    let mut even = modulus(2048);
    even[255] = 0xa4;
    assert_eq!(set_of_modulus(&even).len(), 0);
}

/// A leading zero octet, which some issuers write, makes a short key no longer.
#[test]
fn rsa_short_modulus_with_leading_zeros() {
    let padded = [vec![0; 128], modulus(1024)].concat();
    assert_eq!(set_of_modulus(&padded).len(), 0);
    assert_eq!(set_of_modulus(&[vec![0], modulus(2048)].concat()).len(), 1);
}

/// With a key of small order, (R, S) = (1, 0) signs everything: everybody can sign.
#[test]
fn ed25519_key_of_small_order() {
    let identity = {
        let mut octets = [0; 32];
        octets[0] = 1;
        octets
    };
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(identity), "kid": "weak"});
    let keys = key_set(&[jwk.as_object().unwrap().clone()]);
    assert_eq!(keys.len(), 0);
    let header = base64url(json!({"alg": "EdDSA", "kid": "weak"}).to_string());
    let forged = format!("{header}.{}.{}", base64url(claims().to_string()), base64url([identity, [0; 32]].concat()));
    expect(&verifier(keys), &[("small order", forged, "token_key_unknown")]);
    for (what, x) in small_order_points() {
        let jwk: Value = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(x)});
        assert_eq!(key_set(&[jwk.as_object().unwrap().clone()]).len(), 0, "{what}");
    }
}

/// Every encoding of the eight points whose order divides 8.
fn small_order_points() -> Vec<(&'static str, [u8; 32])> {
    let bytes = |first: u8, middle: u8, last: u8| {
        let mut octets = [middle; 32];
        (octets[0], octets[31]) = (first, last);
        octets
    };
    let order_8: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    let other_8: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    let negated = |mut octets: [u8; 32]| {
        octets[31] |= 0x80;
        octets
    };
    vec![
        ("order 1", bytes(1, 0, 0)),
        ("order 2", bytes(0xec, 0xff, 0x7f)),
        ("order 4", [0; 32]),
        ("order 4, negated", bytes(0, 0, 0x80)),
        ("order 8", order_8),
        ("order 8, negated", negated(order_8)),
        ("order 8, other", other_8),
        ("order 8, other, negated", negated(other_8)),
        ("order 1, with a sign", bytes(1, 0, 0x80)),
        ("order 2, with a sign", bytes(0xec, 0xff, 0xff)),
        ("order 4, not reduced", bytes(0xed, 0xff, 0x7f)),
        ("order 4, not reduced, negated", bytes(0xed, 0xff, 0xff)),
        ("order 1, not reduced", bytes(0xee, 0xff, 0x7f)),
        ("order 1, not reduced, with a sign", bytes(0xee, 0xff, 0xff)),
    ]
}
