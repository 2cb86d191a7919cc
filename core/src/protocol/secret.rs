//! Values that must not be printed by accident: no `Display`, no `Serialize`, a `Debug` that masks, memory wiped on drop.
//!
//! Every `expose()` outside this file carries a comment `// EXPOSE: why`.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

mod bytes;

pub use bytes::SecretBytes;
pub(crate) use bytes::{SecretObject, wipe};

/// Does not compile if the type has the trait: then two candidates for `proof` are there, and none is named.
macro_rules! has_no {
    ($type:ty: $($trait:path),+) => {$(
        const _: fn() = || {
            trait Proof<Which> {
                fn proof() {}
            }
            impl<T: ?Sized> Proof<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Proof<Has> for T {}
            let _ = <$type as Proof<_>>::proof;
        };
    )+};
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Wraps the value.
            pub fn new(value: impl Into<String>) -> Self {
                Self::from(Zeroizing::new(value.into()))
            }
            /// The value itself. Write `// EXPOSE: why` beside the call.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl From<Zeroizing<String>> for $name {
            fn from(value: Zeroizing<String>) -> Self {
                crate::testing::made(stringify!($name), &value);
                // Without room to spare: shrinking to fit would free a copy of the secret as it is.
                Self(SecretString::from(value.as_str().to_owned()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                use subtle::ConstantTimeEq;
                self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
            }
        }
        impl Eq for $name {}

        has_no!($name: fmt::Display, serde::Serialize);
    };
}

secret!(
    /// An access token (RFC 6749 section 1.4).
    AccessToken
);
secret!(
    /// A refresh token (RFC 6749 section 1.5).
    RefreshToken
);
secret!(
    /// An ID token (OpenID Connect Core section 2).
    IdToken
);
secret!(
    /// A client secret (RFC 6749 section 2.3.1), trimmed of the white space that files and shells add.
    ClientSecret
);
secret!(
    /// An authorization code (RFC 6749 section 4.1.2).
    AuthorizationCode
);
secret!(
    /// A PKCE code verifier (RFC 7636 section 4.1).
    CodeVerifier
);
secret!(
    /// A device code (RFC 8628 section 3.2).
    DeviceCode
);

has_no!(SecretBytes: fmt::Display, serde::Serialize);
has_no!(SecretObject: fmt::Debug, fmt::Display, serde::Serialize);
has_no!(crate::session::Token: fmt::Display, serde::Serialize);
has_no!(crate::credential::TokenSet: fmt::Display, serde::Serialize);
has_no!(super::reply::TokenReply: fmt::Display, serde::Serialize);
// A record is written into stores, and so it can be serialised.
has_no!(crate::store::Record: fmt::Display);

/// Names a token in a log without giving anything of it away: the first eight hex digits of its SHA-256.
pub fn fingerprint(token: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(token.as_bytes());
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod shown;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_masks() {
        let secret = ClientSecret::new("canary-7f3a");
        assert_eq!(format!("{secret:?}"), "ClientSecret(***)");
        assert!(!format!("{:?}", Some(vec![AccessToken::new("canary-7f3a")])).contains("canary"));
    }

    #[test]
    fn fingerprint_is_short_and_stable() {
        assert_eq!(fingerprint("a"), fingerprint("a"));
        assert_eq!(fingerprint("a").len(), 8);
    }
}
