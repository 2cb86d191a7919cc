//! JSON Web Key sets and ID tokens: nothing of a token is believed before its signature and claims are checked.
//!
//! `jku`, `x5u`, `jwk` and `x5c` in a token's header are never followed: keys come from the issuer's `jwks_uri` only.

pub mod access_token;
pub mod id_token;
pub mod jwks;
mod jws;
