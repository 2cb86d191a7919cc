//! Tokens that come from outside: nothing of one is believed before its signature and claims are checked.
//!
//! [`Verifier`] is for services that receive tokens. It rests on [`KeySet`] (the issuer's public keys, parsed once), on
//! strict parsing (one way to write a token, no member twice, sizes capped first) and on an allow-list of asymmetric
//! [`Algorithm`]s that is bound to each key's type, curve, `alg`, `use` and `key_ops` (RFC 8725).
//!
//! `jku`, `x5u`, `jwk` and `x5c` in a token's header are never followed: keys come from the issuer only.

pub mod access_token;
mod algorithm;
pub mod bearer;
mod claims;
pub mod id_token;
mod introspection;
pub mod jwk;
pub mod jwks;
mod jws;
mod kept;
pub mod logout_token;
mod memory;
mod named;
mod refusal;
#[cfg(test)]
pub(crate) mod signer;
mod verifier;
mod weak;

pub use access_token::{Profile, VerifiedToken};
pub use algorithm::Algorithm;
pub use introspection::Introspection;
pub use jwks::{KeySet, VerifiedJws};
pub use jws::{Header, MAX_TOKEN};
pub use logout_token::LogoutClaims;
pub use refusal::{Refusal, RefusalKind};
pub use verifier::{Verifier, VerifierBuilder};
