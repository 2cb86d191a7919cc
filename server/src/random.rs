//! Unpredictable strings, and the digest under which they are kept: what is stored never opens anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyte_auth::clock::Entropy;
use sha2::{Digest as _, Sha256};

/// 256 random bits in base64url: codes, tokens, CSRF values.
pub fn token(entropy: &dyn Entropy) -> String {
    let mut bytes = [0_u8; 32];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// 128 random bits in base64url: identifiers that are no secrets (`jti`, session ids).
pub fn identifier(entropy: &dyn Entropy) -> String {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64url SHA-256: the key under which a secret is looked up, and PKCE's S256 (RFC 7636 section 4.2).
pub fn digest(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

/// Letters of a user code: no vowels, so that no word appears, and none that look like digits (RFC 8628 section 6.1).
const USER_CODE_LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Eight letters in two groups, `WDJB-MJHT`: 34 bits (RFC 8628 section 6.1).
pub fn user_code(entropy: &dyn Entropy) -> String {
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        if code.len() == 4 {
            code.push('-');
        }
        let mut byte = [0_u8];
        entropy.fill(&mut byte);
        // 240 is the largest multiple of 20 in a byte: above it the choice would not be even.
        if byte[0] < 240 {
            code.push(char::from(USER_CODE_LETTERS[usize::from(byte[0] % 20)]));
        }
    }
    code
}

/// What a person typed as a user code: upper case, letters only, with the hyphen put back (RFC 8628 section 6.1).
pub fn normalise_user_code(typed: &str) -> String {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect();
    match letters.split_at_checked(4) {
        Some((first, second)) if !second.is_empty() => format!("{first}-{second}"),
        _ => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyte_auth::clock::SystemEntropy;

    #[test]
    fn user_codes_have_the_shape_and_survive_sloppy_typing() {
        for _ in 0..50 {
            let code = user_code(&SystemEntropy);
            assert_eq!(code.len(), 9, "{code}");
            assert!(
                code.bytes()
                    .enumerate()
                    .all(|(at, byte)| (at == 4 && byte == b'-') || USER_CODE_LETTERS.contains(&byte))
            );
        }
        for typed in ["WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "wd.jb_mj-ht"] {
            assert_eq!(normalise_user_code(typed), "WDJB-MJHT", "{typed}");
        }
        assert_eq!(normalise_user_code("wd"), "WD");
        assert_eq!(normalise_user_code(""), "");
    }

    #[test]
    fn digest_is_pkce_s256() {
        // RFC 7636 appendix B.
        assert_eq!(
            digest("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
