//! The signing keys: one that signs, the earlier ones that still verify, and their public half as a JWK set.
//!
//! Keys are parsed once: a library that parses the private key at every signature manages a third of the signatures.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flyte_auth::error::{Error, Result};
use flyte_auth::protocol::json;
use flyte_auth::protocol::secret::SecretBytes;
use flyte_auth::verify::KeySet;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{private_file, random};

/// Earlier keys that still verify after rotations.
const MAX_KEYS: usize = 4;

/// How tokens are signed (RFC 7518 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// RSA 2048 with SHA-256: what flyteadmin signs with and what every OpenID client must know.
    #[serde(rename = "RS256")]
    Rs256,
    /// P-256 with SHA-256: small, and its keys are made in no time.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (RFC 8037): as small, and the same signature every time.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

struct Key {
    id: String,
    pair: Pair,
    public: Value,
    pkcs8: Vec<u8>,
}

/// A key as `keys.json` of the state folder has it.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    alg: SigningAlgorithm,
    /// PKCS #8 in base64.
    pkcs8: String,
}

impl Key {
    fn generate(algorithm: SigningAlgorithm) -> Result<Self> {
        let pkcs8 = match algorithm {
            SigningAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)
                .and_then(|pair| pair.as_der().map(|der: Pkcs8V1Der<'_>| der.as_ref().to_vec())),
            SigningAlgorithm::Es256 => EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1().map(|der| der.as_ref().to_vec())),
            SigningAlgorithm::EdDsa => {
                Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()))
            }
        }
        .map_err(|_| Error::internal("a signing key could not be made"))?;
        Self::parse(algorithm, pkcs8).ok_or_else(|| Error::internal("a signing key that was just made is not usable"))
    }

    fn parse(algorithm: SigningAlgorithm, pkcs8: Vec<u8>) -> Option<Self> {
        let pair = match algorithm {
            SigningAlgorithm::Rs256 => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(&pkcs8).ok()?)),
            SigningAlgorithm::Es256 => {
                Pair::Ec(EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).ok()?)
            }
            SigningAlgorithm::EdDsa => Pair::Ed(Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?),
        };
        Self::of(pair, pkcs8)
    }

    /// The first private key of a PEM file: PKCS #1, PKCS #8 or SEC 1.
    fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => Pair::Rsa(Box::new(RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?)),
            PrivateKeyDer::Sec1(der) => Pair::Ec(
                EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_sec1_der())
                    .ok()?,
            ),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa]
                    .into_iter()
                    .find_map(|algorithm| Self::parse(algorithm, der.to_vec()))?
                    .pair
            }
            _ => return None,
        };
        // Only generated keys are written to a file.
        Self::of(pair, Vec::new())
    }

    fn of(pair: Pair, pkcs8: Vec<u8>) -> Option<Self> {
        let (algorithm, mut public) = match &pair {
            Pair::Rsa(pair) => {
                let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref())?;
                let public = json!({
                    "e": URL_SAFE_NO_PAD.encode(exponent), "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus),
                });
                (SigningAlgorithm::Rs256, public)
            }
            Pair::Ec(pair) => {
                // An uncompressed point: 0x04, x, y (SEC 1 section 2.3.3).
                let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
                let public = json!({
                    "crv": "P-256", "kty": "EC", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                });
                (SigningAlgorithm::Es256, public)
            }
            Pair::Ed(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                (SigningAlgorithm::EdDsa, json!({ "crv": "Ed25519", "kty": "OKP", "x": x }))
            }
        };
        // RFC 7638: the thumbprint is over the required members in lexicographic order, as they are written above.
        let id = random::digest(&public.to_string());
        let members = public.as_object_mut()?;
        members.insert("kid".to_owned(), id.clone().into());
        members.insert("use".to_owned(), "sig".into());
        members.insert("alg".to_owned(), algorithm.name().into());
        Some(Self { id, pair, public, pkcs8 })
    }

    fn algorithm(&self) -> SigningAlgorithm {
        match self.pair {
            Pair::Rsa(_) => SigningAlgorithm::Rs256,
            Pair::Ec(_) => SigningAlgorithm::Es256,
            Pair::Ed(_) => SigningAlgorithm::EdDsa,
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
            Pair::Ec(pair) => Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
            Pair::Ed(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// The content of a DER element with this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        (digits.iter().fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

/// Modulus and exponent of a PKCS #1 `RSAPublicKey`: a DER sequence of two integers (RFC 8017 appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = take(der, 0x30)?;
    let (modulus, rest) = take(sequence, 0x02)?;
    let (exponent, _) = take(rest, 0x02)?;
    // A leading zero keeps DER integers positive; JWK members have none (RFC 7518 section 6.3.1).
    Some((modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent))
}

/// A new private key in DER: PKCS #1 for RSA, which is what flyteadmin reads, else PKCS #8.
///
/// # Errors
/// Kind `Internal`: the cryptography failed.
pub(crate) fn new_private_key(algorithm: SigningAlgorithm) -> Result<Vec<u8>> {
    let key = Key::generate(algorithm)?;
    match algorithm {
        SigningAlgorithm::Rs256 => {
            rsa_in_pkcs8(&key.pkcs8).map(<[u8]>::to_vec).ok_or_else(|| Error::internal("a new key is no PKCS #8"))
        }
        SigningAlgorithm::Es256 | SigningAlgorithm::EdDsa => Ok(key.pkcs8),
    }
}

/// The PKCS #1 key in a PKCS #8 `PrivateKeyInfo`: version, algorithm, octet string (RFC 5208 section 5).
fn rsa_in_pkcs8(der: &[u8]) -> Option<&[u8]> {
    let (info, _) = take(der, 0x30)?;
    let (_, rest) = take(info, 0x02)?;
    let (_, rest) = take(rest, 0x30)?;
    Some(take(rest, 0x04)?.0)
}

/// The keys at one moment. The first signs; all verify.
struct Current {
    keys: Vec<Arc<Key>>,
    verifying: KeySet,
}

impl Current {
    fn new(keys: Vec<Arc<Key>>) -> Arc<Self> {
        // Our own keys are good keys: the set cannot be refused.
        let verifying = jwks_of(&keys).as_object().and_then(|set| KeySet::from_object(set).ok()).unwrap_or_default();
        Arc::new(Self { keys, verifying })
    }
}

fn jwks_of(keys: &[Arc<Key>]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.public.clone()).collect::<Vec<_>>() })
}

/// The key set. The first key signs.
pub struct Keys {
    current: RwLock<Arc<Current>>,
    algorithm: SigningAlgorithm,
    file: Option<PathBuf>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys in `file`, or a new one where there is no file yet; without `file` they live in memory.
    ///
    /// # Errors
    /// Kind `Store`: the file cannot be read, understood or written.
    pub fn open(algorithm: SigningAlgorithm, file: Option<PathBuf>) -> Result<Self> {
        let mut keys = Vec::new();
        if let Some(path) = &file
            && let Some(content) = private_file::read(path)?
        {
            let stored: Vec<StoredKey> =
                serde_json::from_slice(&content).map_err(|error| private_file::malformed(path, error))?;
            for key in stored {
                let parsed = STANDARD.decode(&key.pkcs8).ok().and_then(|pkcs8| Key::parse(key.alg, pkcs8));
                keys.push(Arc::new(parsed.ok_or_else(|| private_file::malformed(path, "a key is unusable"))?));
            }
        }
        let fresh = keys.is_empty();
        let keys = Self { current: RwLock::new(Current::new(keys)), algorithm, file };
        if fresh {
            keys.rotate()?;
        }
        Ok(keys)
    }

    /// Keys from PEM files: the first signs with `algorithm`, all verify.
    ///
    /// # Errors
    /// Kind `Config`: one is no private key that can be used, or the first is of another kind.
    pub fn from_pem(algorithm: SigningAlgorithm, pems: &[SecretBytes]) -> Result<Self> {
        let setting = "auth.appAuth.selfAuthServer.tokenSigningRSAKeySecretName";
        let wrong = |what: &str| {
            Error::config("signing_key_invalid", setting, what.to_owned())
                .with_next("Make keys with: flyte-auth secrets init DIR")
        };
        let mut keys = Vec::new();
        for pem in pems {
            let key = Key::from_pem(pem).ok_or_else(|| {
                wrong("a signing key is no private key in PEM that can be used (RSA from 2048 bits, P-256, Ed25519)")
            })?;
            keys.push(Arc::new(key));
        }
        match keys.first() {
            Some(first) if first.algorithm() == algorithm => {}
            Some(_) => return Err(wrong("the signing key is of another kind than the signing algorithm")),
            None => return Err(wrong("there is no signing key")),
        }
        Ok(Self { current: RwLock::new(Current::new(keys)), algorithm, file: None })
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new key signs from now on; the earlier ones still verify. Returns the new `kid`.
    ///
    /// # Errors
    /// Kind `Store`: the file cannot be written; the old key goes on signing.
    pub fn rotate(&self) -> Result<String> {
        let key = Arc::new(Key::generate(self.algorithm)?);
        let id = key.id.clone();
        let mut keys = self.current().keys.clone();
        keys.insert(0, key);
        keys.truncate(MAX_KEYS);
        if let Some(path) = &self.file {
            let stored: Vec<_> =
                keys.iter().map(|key| StoredKey { alg: key.algorithm(), pkcs8: STANDARD.encode(&key.pkcs8) }).collect();
            let content = serde_json::to_vec(&stored).map_err(|_| Error::internal("the keys cannot be written"))?;
            private_file::write(path, &content)?;
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current::new(keys);
        Ok(id)
    }

    /// `alg` of the key that signs.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.current().keys.first().map_or(self.algorithm, |key| key.algorithm())
    }

    /// The public halves as a JWK set (RFC 7517 section 5).
    pub fn jwks(&self) -> Value {
        jwks_of(&self.current().keys)
    }

    /// `claims` as a compact JWS (RFC 7515 section 3.1) with this `typ`; `None` only if the cryptography fails.
    pub fn sign(&self, typ: &str, claims: &Map<String, Value>) -> Option<String> {
        let current = self.current();
        let key = current.keys.first()?;
        let header = json!({ "alg": key.algorithm().name(), "kid": key.id, "typ": typ });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut token);
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    /// The public halves, ready to verify.
    pub fn key_set(&self) -> KeySet {
        self.current().verifying.clone()
    }

    /// The claims of a token that one of these keys signed as `typ`. Checks nothing else: not even its expiry.
    pub fn verify(&self, typ: &str, token: &str) -> Option<Map<String, Value>> {
        let verified = self.key_set().verify(token).ok()?;
        if verified.header.typ.as_deref() != Some(typ) || verified.header.key_id.is_none() {
            return None;
        }
        json::parse_object(&verified.payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Map<String, Value> {
        json!({ "sub": "alice" }).as_object().unwrap().clone()
    }

    #[test]
    fn signs_and_verifies_with_every_algorithm_and_after_rotation() {
        for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let keys = Keys::open(algorithm, None).unwrap();
            let token = keys.sign("at+jwt", &claims()).unwrap();
            assert_eq!(keys.verify("at+jwt", &token), Some(claims()));
            assert_eq!(keys.verify("JWT", &token), None, "another typ is another kind of token");
            keys.rotate().unwrap();
            assert_eq!(keys.verify("at+jwt", &token), Some(claims()), "an old key still verifies");
            assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 2);
            let other = Keys::open(algorithm, None).unwrap();
            assert_eq!(other.verify("at+jwt", &token), None);
            let mut forged = token.into_bytes();
            let at = forged.len() - 10;
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys.verify("at+jwt", std::str::from_utf8(&forged).unwrap()), None);
        }
    }

    #[test]
    fn an_independent_library_verifies_every_algorithm() {
        for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let keys = Keys::open(algorithm, None).unwrap();
            let token = keys.sign("JWT", &claims()).unwrap();
            let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.jwks()).unwrap();
            let header = jsonwebtoken::decode_header(&token).unwrap();
            let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
            let mut rules = jsonwebtoken::Validation::new(header.alg);
            rules.required_spec_claims.clear();
            rules.validate_exp = false;
            let decoded = jsonwebtoken::decode::<Map<String, Value>>(&token, &key, &rules).unwrap();
            assert_eq!(decoded.claims, claims());
        }
    }

    #[test]
    fn none_and_nonsense_are_refused() {
        let keys = Keys::open(SigningAlgorithm::Es256, None).unwrap();
        let token = keys.sign("at+jwt", &claims()).unwrap();
        let payload = token.split('.').nth(1).unwrap();
        let kid = keys.jwks()["keys"][0]["kid"].as_str().unwrap().to_owned();
        let none = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": kid, "typ": "at+jwt" }).to_string());
        for bad in [format!("{none}.{payload}."), "a.b".to_owned(), String::new(), "...".to_owned(), "é.é.é".to_owned()]
        {
            assert_eq!(keys.verify("at+jwt", &bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_persist_and_a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let first = Keys::open(SigningAlgorithm::Es256, Some(file.clone())).unwrap();
        let again = Keys::open(SigningAlgorithm::Es256, Some(file.clone())).unwrap();
        assert_eq!(first.jwks(), again.jwks());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&file, "{").unwrap();
        let error = Keys::open(SigningAlgorithm::Es256, Some(file)).unwrap_err();
        assert_eq!(error.code(), "state_malformed");
    }
}
