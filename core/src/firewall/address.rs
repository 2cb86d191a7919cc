//! Which addresses a secret may be sent to at all, whoever named them, and which addresses are this machine.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// When an address without TLS is accepted beyond this machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plaintext {
    /// Never.
    #[default]
    LoopbackOnly,
    /// The user said so: `--insecure`, its variable, or `insecure: true` in a trusted file.
    ByUser,
}

impl Plaintext {
    /// By the word of whoever sets up a program.
    pub(crate) fn accepted(accepted: bool) -> Self {
        if accepted { Self::ByUser } else { Self::LoopbackOnly }
    }
}

/// Scheme, host and port (RFC 6454), for example `https://idp.example`: how far one party's word reaches. The default
/// port is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Of an absolute URL.
    pub fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
    /// Of a text that is an absolute URL with a host; `None` otherwise.
    pub fn parse(text: &str) -> Option<Self> {
        Url::parse(text).ok().filter(Url::has_host).map(|url| Self::of(&url))
    }
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an address is this machine: 127.0.0.0/8, `::1`, and 127.0.0.0/8 written as IPv6.
pub fn is_loopback_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a normalised host name or address is this machine by itself.
///
/// `localhost` counts because the client factory never looks it up: it connects to 127.0.0.1 and ::1. `x.localhost` does
/// not: resolvers exist that ask a server for it.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(is_loopback_address)
}

/// As [`is_loopback`], of a URL.
pub fn is_loopback_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback(name),
        Some(Host::Ipv4(address)) => is_loopback_address(address.into()),
        Some(Host::Ipv6(address)) => is_loopback_address(address.into()),
        None => false,
    }
}

/// `text` as a URL that calls may go to; else what is wrong with it.
///
/// # Errors
/// Words that follow the name of the address.
pub fn usable(text: &str, plaintext: Plaintext) -> Result<Url, &'static str> {
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
        "https" => {}
        "http" if plaintext == Plaintext::ByUser || is_loopback_url(&url) => {}
        "http" => return Err("is not https"),
        _ => return Err("is neither http nor https"),
    }
    // The library that calls has a grammar of its own: what it cannot read, or reads as another host, is no address.
    let called: Option<http::Uri> = url.as_str().parse().ok();
    if called.as_ref().and_then(http::Uri::host) != url.host_str() {
        return Err("is no address that HTTP can carry");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::endpoint::Endpoint;

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
            ("https://idp.exam`le/t", LoopbackOnly, Err("is no address that HTTP can carry")),
            ("https://b\u{fc}cher.example/\u{fc}?\u{fc}", LoopbackOnly, Ok(())),
            ("https://idp.example/\"<>^`{|}?\"<>^`{|}'", LoopbackOnly, Ok(())),
        ] {
            assert_eq!(usable(text, plaintext).map(|_| ()), expected, "{text} {plaintext:?}");
        }
    }

    /// What hides a stranger behind a loopback address, and what hides loopback behind another spelling.
    #[test]
    fn what_is_this_machine() {
        let refused = "is not https";
        for (authority, expected) in [
            ("127.0.0.1", Ok(())),
            ("127.255.255.254:65535", Ok(())),
            ("127.1", Ok(())),
            ("2130706433", Ok(())),
            ("0x7f.0.0.1", Ok(())),
            ("0177.0.0.1", Ok(())),
            ("127.0.0.1.", Ok(())),
            ("LOCALHOST:80", Ok(())),
            ("\u{ff4c}ocalhost", Ok(())),
            ("[::1]", Ok(())),
            ("[0:0:0:0:0:0:0:1]:8080", Ok(())),
            ("[::ffff:127.0.0.1]", Ok(())),
            ("[::ffff:7f00:1]", Ok(())),
            ("127.0.0.1.evil.example", Err(refused)),
            ("localhost.evil", Err(refused)),
            ("localhost.evil.example:80", Err(refused)),
            ("sub.localhost", Err(refused)),
            ("localhost.localdomain", Err(refused)),
            ("xlocalhost", Err(refused)),
            ("xn--localhost-x", Err("is no absolute URL")),
            ("127.0.0.1-evil.example", Err(refused)),
            ("128.0.0.1", Err(refused)),
            ("126.255.255.255", Err(refused)),
            ("2147483649", Err(refused)),
            ("0.0.0.0", Err(refused)),
            ("[::]", Err(refused)),
            ("[::2]", Err(refused)),
            ("[::ffff:10.0.0.1]", Err(refused)),
            ("[::127.0.0.1]", Err(refused)),
            ("[64:ff9b::127.0.0.1]", Err(refused)),
            ("127.0.0.1@evil.example", Err("contains a user name")),
            ("localhost:80@evil.example", Err("contains a user name")),
            ("localhost%2f@evil.example", Err("contains a user name")),
            ("127.0.0.256", Err("is no absolute URL")),
        ] {
            let text = format!("http://{authority}/t");
            assert_eq!(usable(&text, Plaintext::LoopbackOnly).map(|_| ()), expected, "{text}");
            // An endpoint is read by another grammar: what it takes for this machine must be no stranger here.
            if let Ok(endpoint) = Endpoint::parse(&format!("http://{authority}"), false, "x")
                && endpoint.is_loopback()
            {
                let url = Url::parse(&endpoint.base_url()).unwrap();
                assert!(expected.is_ok() && is_loopback_url(&url), "{authority}");
            }
        }
        // A backslash is a slash to WHATWG's parser: whom it names is what is judged and what is called.
        assert_eq!(usable("http://evil.example\\@localhost/", Plaintext::LoopbackOnly), Err(refused));
        assert!(Url::parse("http://localhost\\@evil.example/").unwrap().host_str() == Some("localhost"));
    }

    #[test]
    fn origins() {
        for (one, other, same) in [
            ("https://idp.example/a", "https://IDP.example:443/b?c", true),
            ("http://idp.example:80", "http://idp.example", true),
            ("https://idp.example", "http://idp.example", false),
            ("https://idp.example", "https://idp.example:8443", false),
            ("https://idp.example", "https://idp.example.evil", false),
            ("https://idp.example", "https://sub.idp.example", false),
            ("https://idp.example", "https://idp.example.", false),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example", true),
        ] {
            assert_eq!(Origin::parse(one) == Origin::parse(other), same, "{one} {other}");
        }
        assert_eq!(Origin::parse("urn:idp"), None);
        assert_eq!(Origin::parse("idp.example"), None);
    }
}
