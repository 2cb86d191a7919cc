//! What a deployment is called from outside, and which of its names a request came in on (flyteadmin's
//! `GetPublicURL`, `auth/handler_utils.go`, without its two holes: `X-Forwarded-Host` is never believed, and a name that
//! nobody configured becomes nobody's issuer).

use axum::http::{HeaderMap, header};
use flyte_auth::error::{Error, Result};
use url::Url;

/// One address of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `iss` of the tokens that are made here.
    pub issuer: String,
    /// `aud` of the tokens that are made and taken here: the address exactly as it was configured.
    pub audience: String,
    /// Where the endpoints are: the address without a slash at its end.
    pub base: String,
    /// Of the address.
    host: String,
    port: Option<u16>,
}

impl Site {
    /// The address `text`; tokens made here are from `issuer`, or from the address itself.
    ///
    /// # Errors
    /// `uri_invalid`: no absolute http or https URL.
    pub fn new(text: &str, issuer: Option<&str>) -> Result<Self> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let host = url.as_ref().and_then(Url::host_str).map(str::to_owned);
        let (Some(url), Some(host)) = (url, host) else {
            return Err(Error::config("uri_invalid", "auth.authorizedUris", format!("{text:?} is no web address"))
                .with_next(
                    "Write what browsers and clients call this deployment, for example https://flyte.example.com",
                ));
        };
        Ok(Self {
            issuer: issuer.unwrap_or(text).to_owned(),
            audience: text.to_owned(),
            base: text.trim_end_matches('/').to_owned(),
            host,
            port: url.port_or_known_default(),
        })
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Whether browsers reach it over TLS, so that cookies can be marked `Secure`.
    pub fn is_secure(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// The path of the address, without a slash at its end: empty at the root.
    pub fn path(&self) -> &str {
        let after_scheme = self.base.split_once("://").map_or("", |(_, rest)| rest);
        after_scheme.find('/').map_or("", |at| &after_scheme[at..])
    }
}

/// All addresses of the deployment; at least one.
#[derive(Debug, Clone)]
pub struct Sites {
    first: Site,
    others: Vec<Site>,
}

impl Sites {
    /// One address.
    pub fn one(site: Site) -> Self {
        Self { first: site, others: Vec::new() }
    }

    /// Several, in the order of the configuration; `None` for none.
    pub fn new(sites: Vec<Site>) -> Option<Self> {
        let mut sites = sites.into_iter();
        Some(Self { first: sites.next()?, others: sites.collect() })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Site> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Which of them a request came in on: the one with its host and port, else the first with its host (gRPC comes in on
    /// another port), else the first of all.
    pub fn index_of(&self, headers: &HeaderMap) -> usize {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return 0 };
        let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<http::uri::Authority>().ok()) else {
            return 0;
        };
        let named = |site: &Site| site.host.eq_ignore_ascii_case(authority.host());
        let port = authority.port_u16();
        let exact = |site: &Site| match port {
            Some(port) => site.port == Some(port),
            // A browser leaves out the scheme's own port, and which scheme it was is known to the proxy in front only.
            None => matches!(site.port, Some(80 | 443)),
        };
        self.iter()
            .position(|site| named(site) && exact(site))
            .or_else(|| self.iter().position(named))
            .unwrap_or_default()
    }

    /// See [`Sites::index_of`].
    pub fn of(&self, headers: &HeaderMap) -> &Site {
        match self.index_of(headers) {
            0 => &self.first,
            index => self.others.get(index - 1).unwrap_or(&self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(texts: &[&str]) -> Sites {
        Sites::new(texts.iter().map(|text| Site::new(text, None).unwrap()).collect()).unwrap()
    }

    fn of<'a>(sites: &'a Sites, host: &str) -> &'a str {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        &sites.of(&headers).audience
    }

    #[test]
    fn a_request_belongs_to_the_address_it_came_in_on() {
        let sites =
            sites(&["https://flyte.example", "http://localhost:30081", "http://localhost:30080", "http://[::1]:8088/"]);
        for (host, expected) in [
            ("flyte.example", "https://flyte.example"),
            ("FLYTE.example:443", "https://flyte.example"),
            ("flyte.example:8089", "https://flyte.example"),
            ("localhost:30080", "http://localhost:30080"),
            ("localhost:1", "http://localhost:30081"),
            ("[::1]:8088", "http://[::1]:8088/"),
            ("evil.example", "https://flyte.example"),
            ("", "https://flyte.example"),
            ("a b", "https://flyte.example"),
        ] {
            assert_eq!(of(&sites, host), expected, "{host}");
        }
    }

    #[test]
    fn forwarded_hosts_are_not_believed_and_two_hosts_are_none() {
        let sites = sites(&["https://flyte.example", "http://other.example"]);
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-host", "other.example".parse().unwrap());
        assert_eq!(sites.of(&headers).audience, "https://flyte.example");
        headers.append(header::HOST, "other.example".parse().unwrap());
        assert_eq!(sites.of(&headers).audience, "http://other.example");
        headers.append(header::HOST, "other.example".parse().unwrap());
        assert_eq!(sites.of(&headers).audience, "https://flyte.example");
    }

    #[test]
    fn an_address_is_kept_byte_for_byte_and_its_parts_are_right() {
        let site = Site::new("https://h.example/sub/", Some("https://issuer.example")).unwrap();
        assert_eq!(
            (site.audience.as_str(), site.issuer.as_str()),
            ("https://h.example/sub/", "https://issuer.example")
        );
        assert_eq!((site.url("/oauth2/token").as_str(), site.path()), ("https://h.example/sub/oauth2/token", "/sub"));
        assert_eq!(Site::new("http://h", None).unwrap().path(), "");
        for bad in ["", "h.example", "ftp://h", "https://"] {
            assert_eq!(Site::new(bad, None).unwrap_err().code(), "uri_invalid", "{bad}");
        }
    }
}
