//! `httpProxyURL`, which may hold a user name and a password.

use std::fmt;

use zeroize::Zeroizing;

/// In place of user info.
const MASKED: &str = "***";

/// The proxy for every call. `Debug` and `Display` leave out user name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Zeroizing<String>);

impl ProxyUrl {
    /// As it was configured; nothing is checked yet.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The whole URL. Write `// EXPOSE: why` beside the call.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password may itself hold an @: what counts is the last one.
        let Some(at) = self.0.rfind('@') else { return f.write_str(&self.0) };
        let scheme = self.0[..at].find("://").map_or(0, |end| end + 3);
        write!(f, "{}{MASKED}{}", &self.0[..scheme], &self.0[at..])
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

impl<T: Into<String>> From<T> for ProxyUrl {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_shown_to_nobody() {
        for (url, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://user:canary@proxy:3128", "http://***@proxy:3128"),
            ("http://user:can@ary@proxy:3128/", "http://***@proxy:3128/"),
            ("user:canary@proxy", "***@proxy"),
            ("canary@http://x", "***@http://x"),
            ("", ""),
        ] {
            let url = ProxyUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("ProxyUrl({shown})"));
        }
    }

    #[test]
    fn nor_by_what_holds_it() {
        let url = "http://user:canary@proxy:1";
        let network = crate::config::NetworkConfig {
            http_proxy_url: Some(crate::config::Setting::default_value(url.into())),
            ..Default::default()
        };
        let overrides = crate::config::Overrides { http_proxy_url: Some(url.into()), ..Default::default() };
        let debug = format!("{network:?} {overrides:?}");
        assert!(debug.contains("proxy:1") && !debug.contains("canary"), "{debug}");
    }
}
