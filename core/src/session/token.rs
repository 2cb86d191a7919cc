//! What `token()` gives: one access token, shared by all who hold it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::protocol::secret::AccessToken;
#[cfg(feature = "tower")]
use crate::protocol::secret::SecretBytes;

/// An access token ready for a call. Cloning shares it: no copy of the secret is made.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    value: AccessToken,
    expires_at: Option<Timestamp>,
    header_name: String,
    generation: u64,
}

impl Token {
    pub(crate) fn new(value: AccessToken, expires_at: Option<Timestamp>, header_name: String, generation: u64) -> Self {
        Self(Arc::new(Inner { value, expires_at, header_name, generation }))
    }

    /// The token. Write `// EXPOSE: why` beside the call.
    pub fn expose(&self) -> &str {
        self.0.value.expose() // EXPOSE: the caller's.
    }
    /// When it expires; `None` if nobody knows.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }
    /// The header that takes it, in lower case: the server's `authorization_metadata_key`.
    pub fn header_name(&self) -> &str {
        &self.0.header_name
    }
    /// The header's value: `Bearer` and the token.
    pub fn header_value(&self) -> String {
        format!("Bearer {}", self.expose()) // EXPOSE: the header is what the token is for.
    }
    /// As [`Token::header_value`], for a request of our own.
    #[cfg(feature = "tower")]
    pub(crate) fn header(&self) -> SecretBytes {
        let mut value = SecretBytes::from("Bearer ");
        value.extend(self.expose().as_bytes()); // EXPOSE: the header is what the token is for.
        value
    }
    /// Whether it is this token, by its text and its place in the session: after a logout the count starts anew, and a
    /// server may give the same text again.
    pub(super) fn is(&self, value: &AccessToken, generation: u64) -> bool {
        self.0.generation == generation && self.0.value == *value
    }
    /// Whether both are one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is(&other.0.value, other.0.generation)
    }
    /// Counts this session's tokens.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_at", &self.0.expires_at)
            .field("header_name", &self.0.header_name)
            .field("generation", &self.0.generation)
            .finish_non_exhaustive()
    }
}

/// How long before its expiry a token of this lifetime is refreshed: `min(max(300 s, lifetime / 5), lifetime / 2)`.
/// `jitter` in 0 to 1 shortens it by up to a tenth, so that many processes do not refresh at one instant; it never
/// lengthens it, so that a token is never refreshed before the margin.
pub fn refresh_margin(lifetime: Duration, jitter: f64) -> Duration {
    let margin = Duration::from_secs(300).max(lifetime / 5).min(lifetime / 2);
    margin.mul_f64(1.0 - 0.1 * jitter.clamp(0.0, 1.0))
}

/// A token whose expiry nobody knows is refreshed after this, where it can be; if not it serves until it is rejected.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(600);

/// A token from further in the future than this was obtained before the clock was set back.
pub const CLOCK_SET_BACK: Duration = Duration::from_secs(60);

/// When a token obtained at one time and expiring at another is refreshed.
pub fn refresh_at(obtained_at: Timestamp, expires_at: Option<Timestamp>, jitter: f64) -> Timestamp {
    match expires_at {
        Some(expires_at) => expires_at.minus(refresh_margin(expires_at.since(obtained_at), jitter)),
        None => obtained_at.plus(UNKNOWN_LIFETIME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margin_table() {
        for (lifetime, margin) in
            [(10, 5), (60, 30), (600, 300), (900, 300), (1800, 360), (3600, 720), (86_400, 17_280)]
        {
            assert_eq!(refresh_margin(Duration::from_secs(lifetime), 0.0).as_secs(), margin, "{lifetime}");
        }
        let full = refresh_margin(Duration::from_secs(3600), 0.0);
        for jitter in [0.1, 0.5, 1.0, 7.0] {
            let jittered = refresh_margin(Duration::from_secs(3600), jitter);
            assert!(jittered < full && jittered >= full.mul_f64(0.9), "{jitter}");
        }
    }

    #[test]
    fn nothing_secret_in_debug() {
        let token = Token::new(AccessToken::new("canary"), None, "authorization".into(), 1);
        assert!(!format!("{token:?}").contains("canary"));
        assert_eq!(token.header_value(), "Bearer canary");
    }
}
