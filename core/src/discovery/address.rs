//! Which addresses of a metadata document may be used.

use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::metadata::ServerMetadata;

/// When a plaintext address is accepted beyond this machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plaintext {
    /// Never.
    LoopbackOnly,
    /// The endpoint or issuer that the user gave is itself plaintext: there is nothing left to protect.
    ByUser,
}

impl Plaintext {
    /// By the word of whoever sets up a program.
    pub(super) fn accepted(accepted: bool) -> Self {
        if accepted { Self::ByUser } else { Self::LoopbackOnly }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback())
        }
        None => false,
    }
}

/// `text` as a URL that calls may go to; else what is wrong with it.
pub(super) fn usable(text: &str, plaintext: Plaintext) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no absolute URL")?;
    if !url.has_host() {
        return Err("has no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user name");
    }
    if url.fragment().is_some() {
        return Err("contains a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if plaintext == Plaintext::ByUser || is_loopback(&url) => Ok(url),
        "http" => Err("is not https"),
        _ => Err("is neither http nor https"),
    }
}

/// Checks every address in `metadata`, which came from `place`.
pub(super) fn check(metadata: &ServerMetadata, place: &str, plaintext: Plaintext) -> Result<()> {
    for (member, text) in metadata.endpoints() {
        if let Err(what) = usable(text, plaintext) {
            return Err(Error::new(
                ErrorKind::Server,
                "metadata_refused",
                format!("the metadata of {place} cannot be used: {member} {what}"),
            )
            .with_endpoint(place)
            .with_next(format!("Ask the administrator to correct {member} in the authorization server metadata")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        use Plaintext::{ByUser, LoopbackOnly};
        for (text, plaintext, expected) in [
            ("https://idp.example/t?x=1", LoopbackOnly, Ok(())),
            ("http://localhost:8080/t", LoopbackOnly, Ok(())),
            ("http://127.0.0.2/t", LoopbackOnly, Ok(())),
            ("http://[::1]:80/t", LoopbackOnly, Ok(())),
            ("http://idp.example/t", LoopbackOnly, Err("is not https")),
            ("http://localhost.example/t", LoopbackOnly, Err("is not https")),
            ("http://idp.example/t", ByUser, Ok(())),
            ("/oauth2/token", ByUser, Err("is no absolute URL")),
            ("idp.example/t", ByUser, Err("is no absolute URL")),
            ("javascript:alert(1)", ByUser, Err("has no host")),
            ("file:///etc/passwd", ByUser, Err("has no host")),
            ("ftp://idp.example/t", ByUser, Err("is neither http nor https")),
            ("https://user:pw@idp.example/t", LoopbackOnly, Err("contains a user name")),
            ("https://idp.example/t#x", LoopbackOnly, Err("contains a fragment")),
        ] {
            assert_eq!(usable(text, plaintext).map(|_| ()), expected, "{text} {plaintext:?}");
        }
    }
}
