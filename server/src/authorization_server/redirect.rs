//! Registered redirects: where codes may be sent.

use url::{Host, Url};

/// A registered redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Registers `uri`; `None` unless it is an absolute URL without a fragment (RFC 6749 section 3.1.2) and without a
    /// scheme that runs code in the browser.
    pub fn parse(uri: &str) -> Option<Self> {
        let url = Url::parse(uri).ok()?;
        let runs_code = matches!(url.scheme(), "javascript" | "data" | "vbscript" | "file" | "blob");
        (url.fragment().is_none() && !runs_code).then(|| Self(uri.to_owned()))
    }

    /// As it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `requested` is this redirect: the same text, or, for a loopback IP literal, the same with any port (RFC 8252
    /// section 7.3, and what fosite does; `localhost` has no such leniency).
    pub(super) fn accepts(&self, requested: &str) -> bool {
        if self.0 == requested {
            return true;
        }
        let Ok(registered) = Url::parse(&self.0) else { return false };
        let loopback = match registered.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            _ => false,
        };
        let own = without_port(&self.0);
        loopback
            && registered.scheme() == "http"
            && without_port(requested).is_some_and(|requested| requested == *own.as_ref().unwrap_or(&self.0))
    }
}

/// An `http` URL without the port that it names. By text: what URL parsers repair (`http:////host`, `http:host`) is none.
fn without_port(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let (host, port) = authority.rsplit_once(':')?;
    let named = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    named.then(|| format!("http://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects() {
        let localhost = RedirectUri::parse("http://localhost:53593/callback").unwrap();
        let v4 = RedirectUri::parse("http://127.0.0.1/callback").unwrap();
        let with_port = RedirectUri::parse("http://127.0.0.1:3000/callback").unwrap();
        let v6 = RedirectUri::parse("http://[::1]/callback").unwrap();
        let web = RedirectUri::parse("https://app.example/cb?x=1").unwrap();
        for (registered, requested, accepted) in [
            (&localhost, "http://localhost:53593/callback", true),
            (&localhost, "http://localhost:53594/callback", false),
            (&localhost, "http://LOCALHOST:53593/callback", false),
            (&localhost, "http://localhost:53593/callback/", false),
            (&v4, "http://127.0.0.1:4711/callback", true),
            (&v4, "http://127.0.0.1/callback", true),
            (&v4, "http://127.0.0.1:4711/other", false),
            (&v4, "http://127.0.0.1:4711/callback?x=1", false),
            (&v4, "http://127.0.0.2:4711/callback", false),
            (&v4, "https://127.0.0.1:4711/callback", false),
            (&v4, "http://127.0.0.1:4711@evil.example/callback", false),
            (&v4, "http://u:p@127.0.0.1:4711/callback", false),
            (&v4, "http://127.0.0.1:4711\\@evil.example/callback", false),
            (&v4, "http:127.0.0.1:4711/callback", false),
            (&v4, "http:////127.0.0.1:4711/callback", false),
            (&v4, "http://127.1:4711/callback", false),
            (&v4, "http://127.0.0.1:0/callback", false),
            (&v4, "http://127.0.0.1:+1/callback", false),
            (&with_port, "http://127.0.0.1:3000/callback", true),
            (&with_port, "http://127.0.0.1:4711/callback", true),
            (&with_port, "http://127.0.0.1:4711/other", false),
            (&v6, "http://[::1]:4711/callback", true),
            (&v6, "http://[::2]:4711/callback", false),
            (&web, "https://app.example/cb?x=1", true),
            (&web, "https://app.example:8443/cb?x=1", false),
            (&web, "https://app.example/cb", false),
            (&web, "https://app.example.evil.example/cb?x=1", false),
        ] {
            assert_eq!(registered.accepts(requested), accepted, "{} {requested}", registered.as_str());
        }
        for bad in ["/callback", "http://a/#f", "javascript:alert(1)", "data:text/html,x", ""] {
            assert_eq!(RedirectUri::parse(bad), None, "{bad}");
        }
    }
}
