//! What a program names in its configuration of a verifier.

use super::access_token::Profile;
use super::algorithm::Algorithm;
use super::jwks::KeySet;
use crate::error::{Error, Result};

fn none_of(code: &'static str, setting: &'static str, value: &str, among: &str) -> Error {
    Error::config(code, setting, format!("{setting} has {value:?}")).with_next(format!("Use one of {among}"))
}

impl Algorithm {
    /// The algorithm that a program's setting `algorithms` names.
    ///
    /// # Errors
    /// `algorithm_invalid`.
    pub fn named(name: &str) -> Result<Self> {
        Self::from_name(name).ok_or_else(|| {
            let among = Self::ALL.map(Self::name).join(", ");
            none_of("algorithm_invalid", "algorithms", name, &among)
        })
    }
}

impl Profile {
    /// The profile that a program's setting `profile` names: `jwt` or `rfc9068`.
    ///
    /// # Errors
    /// `profile_invalid`.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "jwt" => Ok(Self::Jwt),
            "rfc9068" => Ok(Self::Rfc9068),
            other => Err(none_of("profile_invalid", "profile", other, "jwt, rfc9068")),
        }
    }
}

impl KeySet {
    /// The key set of a program's setting `jwks`.
    ///
    /// # Errors
    /// `jwks_invalid`: it is no JWK set.
    pub fn configured(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|refusal| {
            Error::config("jwks_invalid", "jwks", format!("the key set is not usable: {refusal}"))
                .with_next("Give a JSON Web Key Set (RFC 7517)")
        })
    }
}
