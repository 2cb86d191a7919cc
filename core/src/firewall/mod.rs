//! The token firewall: the one place that decides where a secret may go.
//!
//! | what leaves | it is bound to | and goes to |
//! |---|---|---|
//! | access token | the Flyte endpoint of its session | that host and port, its user info there |
//! | refresh token | issuer, and origin of the token endpoint that granted it | that origin |
//! | client secret | the same, once it was used; before that the user's endpoint or issuer | what these vouch for |
//! | authorization code, code verifier, device code | the authorization server that handed the code out | see below |
//!
//! **Who vouches.** An issuer speaks for itself: its own metadata document (RFC 8414 section 3.3) may put endpoints on
//! other hosts, as Google's does. A Flyte endpoint speaks for its own origin (flyteadmin's `tokenEndpointProxyPath`) and
//! may name an issuer elsewhere; what it says of any third host counts only if that issuer's own document says it too.
//! `tokenUrl`, from a trusted file or the environment, is the user's own word.
//!
//! **Mix-up** (RFC 9700 section 4.4). A code goes back to the origin of the authorization (or device) endpoint that gave
//! it, or where that party's own document sends it: metadata that joins the login page of one server with the token
//! endpoint of another gets nothing. The `iss` of RFC 9207 is checked besides, where the server sends it.
//!
//! **No redirects.** The transports follow none; a 3xx is an error, or the caller's to see.
//!
//! **No TLS** only on this machine, or by the user's word ([`Plaintext`]). What an untrusted file says is no word
//! ([`crate::config::trust`]).
//!
//! A [`Destination`] is made here only, and whatever sends a secret asks for one.

pub mod address;
#[cfg(feature = "tower")]
pub(crate) mod calls;
mod server;
#[cfg(test)]
mod tests;

pub use address::{Origin, Plaintext};
pub(crate) use server::{AuthorizationServer, Bound, check_metadata};

use std::fmt;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// What wants to leave, and so which rule binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Credential {
    /// The session's access token: for its endpoint.
    AccessToken,
    /// A refresh token: for the issuer and the token endpoint that granted it.
    RefreshToken,
    /// A client secret.
    ClientSecret,
    /// An authorization code with its verifier, or a device code: for who handed it out.
    Code,
    /// The token of an authenticating proxy in front of the endpoint (`proxyCommand`): for that proxy's host alone, and
    /// never in the place of an access token. Nothing obtains one yet.
    ProxyToken,
}

impl Credential {
    /// Words for a message.
    pub fn words(self) -> &'static str {
        match self {
            Self::AccessToken => "the access token",
            Self::RefreshToken => "the refresh token",
            Self::ClientSecret => "the client secret",
            Self::Code => "the code of the login",
            Self::ProxyToken => "the proxy token",
        }
    }
}

/// An address that a secret may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(url::Url);

impl Destination {
    /// An address that the caller vouches for; only its form is checked here. `member` names it in the error, for
    /// example `token_endpoint`.
    ///
    /// # Errors
    /// Kind `Config`, code `address_refused`: no usable URL, or no TLS where that takes a word.
    pub fn given(text: &str, plaintext: Plaintext, member: &str) -> Result<Self> {
        address::usable(text, plaintext).map(Self).map_err(|what| {
            Error::config("address_refused", member, format!("{member} {what}: nothing secret goes there"))
                .with_next(next_for(what, "Give it as https://HOST/PATH"))
        })
    }
    /// The URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
    /// How far the word of whoever is there reaches.
    pub fn origin(&self) -> Origin {
        Origin::of(&self.0)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The next step for an address that is refused.
pub(crate) fn next_for(what: &str, otherwise: &str) -> String {
    if what == "is not https" {
        "Use https://; where there is no TLS and you know it, say so: --insecure, or insecure: true in a file that you \
         trust"
            .to_owned()
    } else {
        otherwise.to_owned()
    }
}

/// Refuses a configuration whose endpoint has no TLS beyond this machine, unless the user said so.
///
/// # Errors
/// Kind `Config`, code `plaintext_refused`: names where the endpoint was set.
pub(crate) fn ensure_transport(config: &Config) -> Result<()> {
    let Some(endpoint) = &config.endpoint else { return Ok(()) };
    if endpoint.value.tls() || endpoint.value.is_loopback() || config.plaintext() == Plaintext::ByUser {
        return Ok(());
    }
    let shown = endpoint.value.base_url();
    let untrusted = config.untrusted_origin().map(|file| format!(" ({} is not trusted)", file.display()));
    Err(Error::new(
        ErrorKind::Config,
        "plaintext_refused",
        format!("{shown} has no TLS, and nothing secret goes there without your word{}", untrusted.unwrap_or_default()),
    )
    .with_endpoint(shown)
    .with_setting(endpoint.origin.to_string())
    .with_next(next_for("is not https", "")))
}
