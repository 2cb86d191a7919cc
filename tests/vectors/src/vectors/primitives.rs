//! Wycheproof's vectors of the signature primitives, through the key as the verifier reads it from a JWK.
//!
//! HMAC is left out: the verifier knows no symmetric algorithm. RSA vectors of sizes that JWS has no name for, and those
//! of other hashes (SHA-224, SHA-3, SHAKE), cannot be asked at all.

use flyte_auth::verify::Algorithm;
use flyte_auth::verify::jwk::Key;
use serde_json::{Value, json};
use wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::signer::base64url;

/// What became of a set of vectors.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
}

impl Tally {
    fn of(accepted: usize, refused: usize) -> Self {
        Self { accepted, refused }
    }

    fn add(&mut self, accepted: bool) {
        if accepted { self.accepted += 1 } else { self.refused += 1 }
    }
}

fn key(jwk: &Value) -> Key {
    Key::from_jwk(jwk.as_object().unwrap()).unwrap_or_else(|refusal| panic!("{refusal}: {jwk}"))
}

/// The key of a group: its uncompressed point (SEC 1 section 2.3.3) is 4, x, y.
fn ec_key(curve: &str, public: &wycheproof::EcdsaPublic) -> Key {
    let (x, y) = public.key[1..].split_at(public.key.len() / 2);
    key(&json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)}))
}

fn ecdsa_set(name: ecdsa::TestName, curve: &str, algorithm: Algorithm) -> Tally {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let key = ec_key(curve, &group.key);
        for test in group.tests {
            let accepted = key.verifies(algorithm, &test.msg, &test.sig);
            assert_eq!(accepted, test.result == TestResult::Valid, "{name:?} {}: {}", test.tc_id, test.comment);
            tally.add(accepted);
        }
    }
    tally
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = key(&json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&group.key.pk)}));
        for test in group.tests {
            let accepted = key.verifies(Algorithm::EdDSA, &test.msg, &test.sig);
            assert_eq!(accepted, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            tally.add(accepted);
        }
    }
    assert_eq!(tally, Tally::of(88, 63));
}

#[test]
fn ecdsa_p256_sha256() {
    let tally = ecdsa_set(ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256", Algorithm::ES256);
    assert_eq!(tally, Tally::of(173, 89));
}

#[test]
fn ecdsa_p384_sha384() {
    let tally = ecdsa_set(ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384", Algorithm::ES384);
    assert_eq!(tally, Tally::of(193, 87));
}

#[test]
fn ecdsa_p521_sha512() {
    let tally = ecdsa_set(ecdsa::TestName::EcdsaSecp521r1Sha512P1363, "P-521", Algorithm::ES512);
    assert_eq!(tally, Tally::of(231, 87));
}

/// JWS has r and s one after the other (RFC 7518 section 3.4): the same signatures in ASN.1 DER are none, good or bad.
#[test]
fn ecdsa_in_der_is_refused() {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        let key = ec_key("P-256", &group.key);
        for test in group.tests {
            tally.add(key.verifies(Algorithm::ES256, &test.msg, &test.sig));
        }
    }
    assert_eq!(tally, Tally::of(0, 484));
}

/// ES256 has one hash: a good P-256 signature over SHA-512 is none.
#[test]
fn ecdsa_with_another_hash_is_refused() {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha512P1363).unwrap().test_groups {
        let key = ec_key("P-256", &group.key);
        for test in group.tests {
            tally.add(Algorithm::ALL.iter().any(|algorithm| key.verifies(*algorithm, &test.msg, &test.sig)));
        }
    }
    assert_eq!(tally, Tally::of(0, 332));
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Key {
    key(&json!({"kty": "RSA", "n": base64url(modulus), "e": base64url(exponent)}))
}

fn pkcs1_set(name: rsa_pkcs1_verify::TestName, algorithm: Algorithm) -> Tally {
    let mut tally = Tally::default();
    for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
        let key = rsa_key(&group.key.n, &group.key.e);
        for test in group.tests {
            let accepted = key.verifies(algorithm, &test.msg, &test.sig);
            // "Acceptable" is one vector of each set: the ASN.1 NULL of the hash's parameters is missing. RFC 8017
            // appendix A.2.4 demands it, so it is refused.
            assert_eq!(accepted, test.result == TestResult::Valid, "{name:?} {}: {}", test.tc_id, test.comment);
            tally.add(accepted);
        }
    }
    tally
}

#[test]
fn rsa_pkcs1_sha256() {
    use rsa_pkcs1_verify::TestName::*;
    let expected =
        [(Rsa2048Sha256, (9, 250)), (Rsa3072Sha256, (8, 251)), (Rsa4096Sha256, (7, 251)), (Rsa8192Sha256, (7, 251))];
    for (name, (accepted, refused)) in expected {
        assert_eq!(pkcs1_set(name, Algorithm::RS256), Tally::of(accepted, refused), "{name:?}");
    }
}

#[test]
fn rsa_pkcs1_sha384() {
    use rsa_pkcs1_verify::TestName::*;
    let expected =
        [(Rsa2048Sha384, (7, 251)), (Rsa3072Sha384, (7, 252)), (Rsa4096Sha384, (7, 252)), (Rsa8192Sha384, (7, 252))];
    for (name, (accepted, refused)) in expected {
        assert_eq!(pkcs1_set(name, Algorithm::RS384), Tally::of(accepted, refused), "{name:?}");
    }
}

#[test]
fn rsa_pkcs1_sha512() {
    use rsa_pkcs1_verify::TestName::*;
    let expected =
        [(Rsa2048Sha512, (8, 251)), (Rsa3072Sha512, (8, 252)), (Rsa4096Sha512, (7, 252)), (Rsa8192Sha512, (7, 252))];
    for (name, (accepted, refused)) in expected {
        assert_eq!(pkcs1_set(name, Algorithm::RS512), Tally::of(accepted, refused), "{name:?}");
    }
}

const PSS: [Algorithm; 3] = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Each vector of a set of RSASSA-PSS under the algorithm that JWS would call it; `None` of no name: under all three.
fn pss_set(name: rsa_pss_verify::TestName) -> Tally {
    let mut tally = Tally::default();
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let key = rsa_key(&group.key.n, &group.key.e);
        // RFC 7518 section 3.5: one hash for message and mask, a salt as long as the hash.
        let named = match (group.hash, group.salt_size) {
            (HashFunction::Sha2_256, 32) => Some(Algorithm::PS256),
            (HashFunction::Sha2_384, 48) => Some(Algorithm::PS384),
            (HashFunction::Sha2_512, 64) => Some(Algorithm::PS512),
            _ => None,
        };
        let named = named.filter(|_| group.mgf_hash == Some(group.hash));
        for test in group.tests {
            for algorithm in PSS {
                let accepted = key.verifies(algorithm, &test.msg, &test.sig);
                let good = test.result == TestResult::Valid && named == Some(algorithm);
                assert_eq!(accepted, good, "{name:?} {} {algorithm}: {}", test.tc_id, test.comment);
                if accepted {
                    tally.accepted += 1;
                }
            }
            tally.refused += 1;
        }
    }
    tally.refused -= tally.accepted;
    tally
}

#[test]
fn rsa_pss_sha256() {
    use rsa_pss_verify::TestName::*;
    for name in [RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32] {
        assert_eq!(pss_set(name), Tally::of(63, 45), "{name:?}");
    }
}

#[test]
fn rsa_pss_sha384() {
    use rsa_pss_verify::TestName::*;
    for name in [RsaPss2048Sha384Mgf1SaltLen48, RsaPss4096Sha384Mgf1SaltLen48] {
        assert_eq!(pss_set(name), Tally::of(95, 46), "{name:?}");
    }
}

#[test]
fn rsa_pss_sha512() {
    assert_eq!(pss_set(rsa_pss_verify::TestName::RsaPss4096Sha512Mgf1SaltLen64), Tally::of(132, 47));
}

/// Good signatures with parameters that are not those of PS256, PS384 or PS512. Each set has a few whose parameters were
/// changed, so that they are bad to the set and may be good to us: exactly those are named.
#[test]
fn rsa_pss_with_other_parameters_is_refused() {
    use rsa_pss_verify::TestName::*;
    for (name, vectors, good) in [
        (RsaPss2048Sha256Mgf1SaltLen0, 103, "s_len changed to 32"),
        (RsaPss2048Sha256Mgf1Sha1_20, 108, "none"),
        (RsaPss4096Sha512Mgf1SaltLen32, 177, "none"),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = rsa_key(&group.key.n, &group.key.e);
            for test in group.tests {
                let accepted = PSS.iter().any(|algorithm| key.verifies(*algorithm, &test.msg, &test.sig));
                assert_eq!(accepted, test.comment == good, "{name:?} {}: {}", test.tc_id, test.comment);
                tally.add(accepted);
            }
        }
        let changed = usize::from(good != "none");
        assert_eq!(tally, Tally::of(changed, vectors - changed), "{name:?}");
    }
}

/// 150 good signatures, every combination of hash, mask hash and salt length: PS256, PS384 and PS512 are three of them.
#[test]
fn rsa_pss_in_every_combination() {
    assert_eq!(pss_set(rsa_pss_verify::TestName::RsaPssmisc), Tally::of(3, 147));
}
