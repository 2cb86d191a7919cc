//! Signature algorithms that are accepted (RFC 7518 section 3.1, RFC 8037, RFC 9864).
//!
//! `none` and the symmetric algorithms are not among them and cannot be configured: a public key must never serve as a
//! shared secret.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};

/// An asymmetric signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are RFC 7518's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    /// With Ed25519, the one curve of RFC 8037 that is accepted; also written `Ed25519` (RFC 9864).
    EdDSA,
}

/// How a public key of one algorithm is made ready.
enum Maker {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// Every accepted algorithm.
    pub const ALL: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of an `alg` value; exact, case too.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDSA);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// `kty` of its keys.
    pub(super) fn key_type(self) -> &'static str {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => "RSA",
            Self::ES256 | Self::ES384 | Self::ES512 => "EC",
            Self::EdDSA => "OKP",
        }
    }

    /// `crv` of its keys, and how long a coordinate is in octets.
    pub(super) fn curve(self) -> Option<(&'static str, usize)> {
        match self {
            Self::ES256 => Some(("P-256", 32)),
            Self::ES384 => Some(("P-384", 48)),
            Self::ES512 => Some(("P-521", 66)),
            Self::EdDSA => Some(("Ed25519", 32)),
            _ => None,
        }
    }

    /// The hash of `at_hash` and `c_hash` (OpenID Connect Core section 3.1.3.6). Ed25519 hashes with SHA-512.
    pub(super) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::RS256 | Self::PS256 | Self::ES256 => &digest::SHA256,
            Self::RS384 | Self::PS384 | Self::ES384 => &digest::SHA384,
            Self::RS512 | Self::PS512 | Self::ES512 | Self::EdDSA => &digest::SHA512,
        }
    }

    fn maker(self) -> Maker {
        match self {
            Self::RS256 => Maker::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Maker::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Maker::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Maker::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Maker::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Maker::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Maker::Point(&signature::ECDSA_P256_SHA256_FIXED),
            Self::ES384 => Maker::Point(&signature::ECDSA_P384_SHA384_FIXED),
            Self::ES512 => Maker::Point(&signature::ECDSA_P521_SHA512_FIXED),
            Self::EdDSA => Maker::Point(&signature::ED25519),
        }
    }

    /// A ready key from an RSA modulus and exponent; `None` if they are none, or the algorithm is not RSA's.
    pub(super) fn rsa_key(self, modulus: &[u8], exponent: &[u8]) -> Option<ParsedPublicKey> {
        match self.maker() {
            Maker::Rsa(parameters) => {
                PublicKeyComponents { n: modulus, e: exponent }.to_parsed_public_key(parameters).ok()
            }
            Maker::Point(_) => None,
        }
    }

    /// A ready key from an uncompressed point (SEC 1) or an Ed25519 public key; `None` if it is not on the curve.
    pub(super) fn point_key(self, point: &[u8]) -> Option<ParsedPublicKey> {
        match self.maker() {
            Maker::Point(algorithm) => ParsedPublicKey::new(algorithm, point).ok(),
            Maker::Rsa(_) => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDSA));
        for name in ["none", "None", "NONE", "nOnE", "", "HS256", "rs256", "ES521", "ES256K", "Ed448", "EDDSA", "RS1"] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }
}
