//! Why a token is not accepted. Says which check failed, never what the token holds.

use std::fmt;

/// The check that failed; [`RefusalKind::code`] is the stable name that callers and other languages see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// No compact JWS of JSON (RFC 7515 section 3.1), or JSON with a member twice.
    Malformed,
    /// Larger than any token.
    TooLarge,
    /// The header's `alg` is not accepted.
    Algorithm,
    /// The header demands an extension (`crit`, RFC 7515 section 4.1.11; `b64`, RFC 7797).
    Critical,
    /// No key of the issuer fits `kid`, `alg` and curve.
    KeyUnknown,
    /// The signature is wrong.
    Signature,
    /// Another kind of token (RFC 8725 section 3.11).
    Type,
    /// `iss` is another one, or missing.
    Issuer,
    /// `aud` is another one, or missing.
    Audience,
    /// `exp` has passed.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iat` is in the future.
    IssuedInFuture,
    /// A claim is missing or has the wrong type or value.
    Claims,
    /// The authorization server says that the token is not active (RFC 7662).
    Inactive,
    /// A scope that is required was not granted (RFC 6750 section 3.1).
    InsufficientScope,
    /// A JWK or JWK set cannot be used.
    Keys,
}

impl RefusalKind {
    /// Stable name in snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::TooLarge => "token_too_large",
            Self::Algorithm => "token_algorithm",
            Self::Critical => "token_critical",
            Self::KeyUnknown => "token_key_unknown",
            Self::Signature => "token_signature",
            Self::Type => "token_type",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::IssuedInFuture => "token_issued_in_future",
            Self::Claims => "token_claims",
            Self::Inactive => "token_inactive",
            Self::InsufficientScope => "insufficient_scope",
            Self::Keys => "keys_invalid",
        }
    }
}

/// A token or key that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    why: &'static str,
}

impl Refusal {
    /// `why` completes "the token is not accepted: ".
    pub(super) const fn new(kind: RefusalKind, why: &'static str) -> Self {
        Self { kind, why }
    }

    /// The check that failed.
    pub fn kind(self) -> RefusalKind {
        self.kind
    }

    /// Stable name of the check, for example `token_expired`.
    pub fn code(self) -> &'static str {
        self.kind.code()
    }

    /// In words, for a person.
    pub fn why(self) -> &'static str {
        self.why
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for Refusal {}
