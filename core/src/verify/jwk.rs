//! One public signature key (RFC 7517), parsed once: parsing costs more than checking a signature.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::Digest as _;

use super::algorithm::Algorithm;
use super::jws::Jws;
use super::refusal::{Refusal, RefusalKind};
use super::weak;

/// Smaller RSA keys can be broken (RFC 7518 section 3.3); larger ones only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Members that only a private or symmetric key has (RFC 7518 section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key for checking signatures.
pub struct Key {
    id: Option<String>,
    thumbprint: [u8; 32],
    /// One for each algorithm that the key may be used with: RSA keys fit six.
    ready: Vec<(Algorithm, ParsedPublicKey)>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.ready.iter().map(|(algorithm, _)| algorithm).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Reads a JWK. Its `alg`, `use` and `key_ops` limit what the key checks; `jku`, `x5u` and `x5c` are ignored.
    ///
    /// # Errors
    /// A private or symmetric key, a key for something else than signatures, of an unknown type or curve, of RSA below
    /// 2048 or above 8192 bits, or whose numbers are none of a key.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, Refusal> {
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
            return Err(refused("a key in it is private or symmetric"));
        }
        // RFC 7517 sections 4.2 and 4.3.
        let signs = text(jwk, "use")?.is_none_or(|usage| usage == "sig");
        let verifies = match jwk.get("key_ops") {
            None => true,
            Some(operations) => operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify")),
        };
        if !signs || !verifies {
            return Err(refused("a key in it is not for signatures"));
        }
        let key_type = text(jwk, "kty")?.ok_or(refused("a key in it has no type (kty)"))?;
        let curve = text(jwk, "crv")?;
        let named = match text(jwk, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::from_name(name).ok_or(refused("a key in it has an algorithm not accepted"))?),
        };
        let fits = |algorithm: Algorithm| {
            named.is_none_or(|named| named == algorithm)
                && algorithm.key_type() == key_type
                && algorithm.curve().is_none_or(|(name, _)| curve == Some(name))
        };
        let algorithms: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|algorithm| fits(*algorithm)).collect();
        let numbers = Numbers::read(jwk, key_type, algorithms.first().copied())?;
        let ready: Vec<_> = algorithms.into_iter().filter_map(|one| Some((one, numbers.ready(one)?))).collect();
        if ready.is_empty() {
            return Err(refused("a key in it is of an unknown type or curve, or no key at all"));
        }
        Ok(Self { id: text(jwk, "kid")?.map(str::to_owned), thumbprint: numbers.thumbprint(), ready })
    }

    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The JWK thumbprint with SHA-256 (RFC 7638): the same for the same key, whatever it is called.
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Whether the key may be used with `algorithm`.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.ready.iter().any(|(one, _)| *one == algorithm)
    }

    /// Whether `signature`, in JWS form (ECDSA as r and s of full length), is this key's over `message`; `false` for an
    /// algorithm that the key does not fit.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.ready_for(algorithm).is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    /// As [`Key::verifies`], for a token whose hash may be known.
    pub(super) fn signed(&self, jws: &Jws<'_>, algorithm: Algorithm, signature: &[u8]) -> bool {
        match jws.hashed.filter(|_| *algorithm.digest() == digest::SHA256) {
            Some(hashed) => {
                let hash = digest::Digest::import_less_safe(&hashed.clone().finalize(), &digest::SHA256);
                let key = self.ready_for(algorithm);
                key.zip(hash.ok()).is_some_and(|(key, hash)| key.verify_digest_sig(&hash, signature).is_ok())
            }
            None => self.verifies(algorithm, jws.signed.as_bytes(), signature),
        }
    }

    fn ready_for(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.ready.iter().find(|(one, _)| *one == algorithm).map(|(_, key)| key)
    }
}

const fn refused(why: &'static str) -> Refusal {
    Refusal::new(RefusalKind::Keys, why)
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, Refusal> {
    match jwk.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused("a key in it has a member of the wrong type")),
    }
}

fn octets(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, Refusal> {
    let unusable = refused("a key in it lacks a number or has one that is no base64url");
    URL_SAFE_NO_PAD.decode(text(jwk, member)?.ok_or(unusable)?).map_err(|_| unusable)
}

/// The numbers of a public key.
enum Numbers {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ec { curve: &'static str, x: Vec<u8>, y: Vec<u8> },
    Okp { curve: &'static str, x: Vec<u8> },
}

impl Numbers {
    fn read(jwk: &Map<String, Value>, key_type: &str, algorithm: Option<Algorithm>) -> Result<Self, Refusal> {
        let unknown = refused("a key in it is of an unknown type or curve, or its alg does not fit its kty");
        match (key_type, algorithm.ok_or(unknown)?.curve()) {
            ("RSA", None) => {
                // RFC 7518 section 6.3.1 forbids leading zeros; some issuers write one all the same.
                let modulus = without_zeros(octets(jwk, "n")?);
                let exponent = without_zeros(octets(jwk, "e")?);
                let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
                let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
                if !RSA_BITS.contains(&bits) || !odd(&modulus) {
                    return Err(refused("an RSA key in it is shorter than 2048 bits, or no key"));
                }
                if !odd(&exponent) || exponent == [1] || exponent.len() > 4 {
                    return Err(refused("an RSA key in it has an exponent that protects nothing"));
                }
                if weak::is_roca(&modulus) {
                    return Err(refused("an RSA key in it was made by a generator that is broken (CVE-2017-15361)"));
                }
                Ok(Self::Rsa { modulus, exponent })
            }
            ("EC", Some((curve, length))) => {
                let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
                // RFC 7518 section 6.2.1.2: full length.
                if x.len() != length || y.len() != length {
                    return Err(refused("a key in it has coordinates of the wrong length"));
                }
                Ok(Self::Ec { curve, x, y })
            }
            ("OKP", Some((curve, length))) => {
                let x = octets(jwk, "x")?;
                if x.len() != length {
                    return Err(refused("a key in it has coordinates of the wrong length"));
                }
                if weak::is_small_order(&x) {
                    return Err(refused("an Ed25519 key in it has a small order and protects nothing"));
                }
                Ok(Self::Okp { curve, x })
            }
            _ => Err(unknown),
        }
    }

    fn ready(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match self {
            Self::Rsa { modulus, exponent } => algorithm.rsa_key(modulus, exponent),
            // An uncompressed point: 0x04, x, y (SEC 1 section 2.3.3).
            Self::Ec { x, y, .. } => algorithm.point_key(&[&[4], x.as_slice(), y.as_slice()].concat()),
            Self::Okp { x, .. } => algorithm.point_key(x),
        }
    }

    /// RFC 7638 section 3: the required members, in lexicographic order, without white space.
    fn thumbprint(&self) -> [u8; 32] {
        let encoded = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let members = match self {
            Self::Rsa { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encoded(exponent), encoded(modulus))
            }
            Self::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, encoded(x), encoded(y))
            }
            Self::Okp { curve, x } => format!(r#"{{"crv":"{curve}","kty":"OKP","x":"{}"}}"#, encoded(x)),
        };
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest::digest(&digest::SHA256, members.as_bytes()).as_ref());
        thumbprint
    }
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    match number.iter().position(|octet| *octet != 0) {
        None | Some(0) => number,
        Some(first) => number[first..].to_vec(),
    }
}

#[cfg(test)]
mod tests;
