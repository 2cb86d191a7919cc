//! Per-attempt secrets of the authorization code grant: code verifier and S256 challenge (RFC 7636), `state`
//! (RFC 6749 section 10.12) and `nonce` (OpenID Connect Core 3.1.2.1). Fresh for each attempt; the bytes are handed in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::secret::CodeVerifier;
use crate::clock::Entropy;

/// 43 unreserved characters carrying 256 bits, used for verifier, state and nonce alike.
pub fn random_string(entropy: &dyn Entropy) -> String {
    let mut bytes = [0_u8; 32];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A fresh code verifier.
pub fn code_verifier(entropy: &dyn Entropy) -> CodeVerifier {
    CodeVerifier::new(random_string(entropy))
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2). `plain` is never used.
pub fn s256_challenge(verifier: &CodeVerifier) -> String {
    // EXPOSE: only its hash leaves.
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn rfc7636_appendix_b() {
        let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(s256_challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn fresh_each_time_and_long_enough() {
        let (one, two) = (random_string(&SystemEntropy), random_string(&SystemEntropy));
        assert_ne!(one, two);
        assert_eq!(one.len(), 43);
    }
}
