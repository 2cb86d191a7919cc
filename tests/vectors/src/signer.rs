//! Signs tokens, good and bad ones: whatever header and payload a test wants, octet for octet.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flyte_auth::verify::{Algorithm, KeySet};
use serde_json::{Map, Value, json};

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key and the algorithm it signs with.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) id: Option<&'static str>,
    pair: Pair,
}

/// RSA keys take long to make: two are made once, for all tests.
static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::new(Algorithm::RS256, Some("rsa")));
static OTHER_RSA: LazyLock<Signer> = LazyLock::new(|| Signer::new(Algorithm::RS256, Some("rsa")));
static P256: LazyLock<Signer> = LazyLock::new(|| Signer::new(Algorithm::ES256, Some("p256")));

/// The key of most tests, RS256.
pub(crate) fn rsa() -> &'static Signer {
    &RSA
}

/// A stranger's RSA key under the same `kid`.
pub(crate) fn other_rsa() -> &'static Signer {
    &OTHER_RSA
}

/// An ES256 key.
pub(crate) fn p256() -> &'static Signer {
    &P256
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm, id: Option<&'static str>) -> Self {
        let ecdsa = |signing| Pair::Ecdsa(EcdsaKeyPair::generate(signing).unwrap());
        let pair = match algorithm {
            Algorithm::ES256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::ES512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDSA => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { algorithm, id, pair }
    }

    /// The public key; with `kid` where it has one, without `alg`.
    pub(crate) fn jwk(&self) -> Map<String, Value> {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                // RFC 8017 appendix A.1.1: with 2048 bits and e = 65537 the modulus is always at this place.
                let der = pair.public_key().as_ref();
                assert_eq!((der.len(), &der[265..]), (270, &[2, 3, 1, 0, 1][..]));
                json!({"kty": "RSA", "n": base64url(&der[9..265]), "e": "AQAB"})
            }
            Pair::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
            }
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())}),
        };
        if let Some(id) = self.id {
            jwk["kid"] = id.into();
        }
        jwk.as_object().unwrap().clone()
    }

    /// The public key with further members, which replace those of the same name.
    pub(crate) fn jwk_with(&self, members: &Value) -> Map<String, Value> {
        let mut jwk = self.jwk();
        jwk.extend(members.as_object().unwrap().clone());
        jwk
    }

    /// The public key as programs keep it in a file.
    pub(crate) fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Pair::Ecdsa(pair) => pair.public_key().as_der().unwrap(),
            Pair::Ed25519(pair) => pair.public_key().as_der().unwrap(),
        };
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A key set of this key alone.
    pub(crate) fn keys(&self) -> KeySet {
        key_set(&[self.jwk()])
    }

    /// The signature in JWS form with the signer's algorithm.
    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        self.signature_with(self.algorithm, message)
    }

    /// The signature with an algorithm of the same key type.
    pub(crate) fn signature_with(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The header that an ordinary access token has.
    pub(crate) fn header(&self) -> Value {
        let mut header = json!({"alg": self.algorithm.name(), "typ": "at+jwt"});
        if let Some(id) = self.id {
            header["kid"] = id.into();
        }
        header
    }

    /// A token with the ordinary header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with this header.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A token of exactly these texts, JSON or not.
    pub(crate) fn sign_text(&self, header: &str, payload: &str) -> String {
        self.sign_parts(&base64url(header), &base64url(payload))
    }

    /// A token of exactly these parts, base64url or not.
    pub(crate) fn sign_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let signature = base64url(self.signature(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// A key set as an issuer serves it.
pub(crate) fn jwks(keys: &[Map<String, Value>]) -> Value {
    json!({ "keys": keys })
}

/// A key set, read.
pub(crate) fn key_set(keys: &[Map<String, Value>]) -> KeySet {
    KeySet::parse(jwks(keys).to_string().as_bytes()).unwrap()
}
