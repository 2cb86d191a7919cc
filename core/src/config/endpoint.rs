//! Endpoint forms: `dns:///host[:port]`, `http(s)://host[:port][/path]`, bare `host[:port][/path]`, IPv6.
//!
//! `insecure` is Flyte's word for "no TLS". It decides for `dns:///` and bare forms only: an explicit `http://` or
//! `https://` says it itself and wins.

use std::fmt;
use std::net::Ipv6Addr;

use crate::error::{Error, Result};
use crate::firewall::address::is_loopback;

const FORMS: &str = "Use dns:///HOST, dns:///HOST:PORT or https://HOST";

/// A normalised Flyte endpoint: scheme, lower-case host, port, path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Endpoint {
    /// Parses any of the forms in the module's head.
    ///
    /// `insecure` is Flyte's `admin.insecure`: plaintext for the forms without a scheme of HTTP. `setting` is the name
    /// under which the user gave it (`--endpoint`, `admin.endpoint`, `$FLYTE_PLATFORM_URL`).
    ///
    /// # Errors
    /// Kind `Config`, code `endpoint_invalid`: names `setting` and the right form. Never repeats user info.
    pub fn parse(raw: &str, insecure: bool, setting: &str) -> Result<Self> {
        parse(raw.trim(), insecure).map_err(|problem| {
            // Text before an `@` may be a password, wherever the grammar puts it: neither the text nor a suggestion made
            // of it is shown.
            let (shown, next) =
                if raw.contains('@') { (String::new(), None) } else { (format!(" {:?}", raw.trim()), problem.next) };
            Error::config("endpoint_invalid", setting, format!("{setting}{shown}: {}", problem.what))
                .with_next(next.unwrap_or_else(|| FORMS.to_owned()))
        })
    }

    /// Identity for caches and comparisons: scheme, host, port (always) and path, for example
    /// `https://flyte.example.org:443`. Equal for every spelling of one endpoint.
    pub fn key(&self) -> String {
        format!("{}://{}:{}{}", self.scheme(), self.bracketed_host(), self.port, self.path)
    }
    /// Base URL without a trailing slash, for example `https://flyte.example.org` (the default port is left out).
    pub fn base_url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
    /// `host[:port]`, the port only where it is not the scheme's default; IPv6 in brackets.
    pub fn authority(&self) -> String {
        let host = self.bracketed_host();
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
    /// The form that all three Flyte clients read, for example `dns:///flyte.example.org`. A path has no place in it,
    /// nor has the scheme: plaintext is `insecure: true` beside it.
    pub fn dns_form(&self) -> String {
        // Without a port gRPC dials 443, also in plaintext.
        if self.tls {
            format!("dns:///{}", self.authority())
        } else {
            format!("dns:///{}:{}", self.bracketed_host(), self.port)
        }
    }
    /// Whether TLS is spoken.
    pub fn tls(&self) -> bool {
        self.tls
    }
    /// Host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Path prefix, empty or with a leading slash and no trailing one.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// Whether the host is this machine: `localhost`, 127.0.0.0/8, `::1` ([`is_loopback`]).
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())?;
        f.write_str(&self.path)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.base_url()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;
    fn try_from(raw: String) -> Result<Self> {
        Self::parse(&raw, false, "endpoint")
    }
}

struct Problem {
    what: String,
    next: Option<String>,
}

impl From<&str> for Problem {
    fn from(what: &str) -> Self {
        Self { what: what.to_owned(), next: None }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn parse(raw: &str, insecure: bool) -> Result<Endpoint, Problem> {
    if raw.is_empty() {
        return Err("is empty".into());
    }
    if raw.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has white space in it".into());
    }
    let (tls, rest, path_allowed) = split_scheme(raw, insecure)?;
    if rest.contains(['?', '#']) {
        return Err("has a query or fragment".into());
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let path = path.trim_end_matches('/');
    if !path_allowed && !path.is_empty() {
        return Err(Problem {
            what: "dns:/// takes a host and a port, no path".to_owned(),
            next: Some(format!("Use dns:///{authority}, or https://{authority}{path} if the path is meant")),
        });
    }
    if authority.contains('@') {
        return Err("carries a user name or password".into());
    }
    let (host, port) = split_port(authority)?;
    let port = port.unwrap_or_else(|| default_port(tls));
    let host = normalise_host(host)?;
    let mut endpoint = Endpoint { tls, host, port, path: String::new() };
    if !path.is_empty() {
        let url = url::Url::parse(&format!("{}{path}", endpoint.base_url()))
            .map_err(|error| Problem { what: format!("is not a URL ({error})"), next: None })?;
        let path = url.path().trim_end_matches('/');
        // People copy the address bar: below it every probe answers 404, which would look like "no auth here".
        if path == "/console" || path.starts_with("/console/") {
            return Err(Problem {
                what: "is the address of Flyte's console, not of its API".to_owned(),
                next: Some(format!("Use {}", endpoint.base_url())),
            });
        }
        endpoint.path = path.to_owned();
    }
    Ok(endpoint)
}

/// Whether TLS, what follows the scheme, and whether a path may follow.
fn split_scheme(raw: &str, insecure: bool) -> Result<(bool, &str, bool), Problem> {
    if let Some((scheme, rest)) = raw.split_once("://") {
        let meant = |form: &str| Problem {
            what: format!("{scheme}:// is not a scheme that Flyte endpoints have"),
            next: Some(format!("Use {form}{}", rest.trim_start_matches('/'))),
        };
        return match scheme.to_ascii_lowercase().as_str() {
            "https" => Ok((true, rest, true)),
            "http" => Ok((false, rest, true)),
            "dns" => match rest.strip_prefix('/') {
                Some(rest) if rest.contains("://") => {
                    Err(Problem { what: "has two schemes".to_owned(), next: Some(format!("Use {rest}")) })
                }
                Some(rest) if rest.starts_with('/') => Err(Problem {
                    what: "has too many slashes".to_owned(),
                    next: Some(format!("Use dns:///{}", rest.trim_start_matches('/'))),
                }),
                Some(rest) => Ok((!insecure, rest, false)),
                None => Err(Problem {
                    what: "dns: takes three slashes (two would name a DNS server)".to_owned(),
                    next: Some(format!("Use dns:///{rest}")),
                }),
            },
            _ if raw.contains('@') => Err("has an unknown scheme and carries user info".into()),
            "grpc" => Err(meant("http://")),
            "grpcs" | "htps" | "htpps" | "httpss" | "htts" | "ttps" => Err(meant("https://")),
            "htp" | "htt" | "ttp" | "hhtp" | "httpp" => Err(meant("http://")),
            _ => Err(Problem { what: format!("{scheme}:// is not a scheme that Flyte endpoints have"), next: None }),
        };
    }
    // `dns:/host`, `https:/host`, `https//host`: a scheme that lost a character would else pass as a host name.
    let lower = raw.to_ascii_lowercase();
    for (scheme, form) in [("dns", "dns:///"), ("https", "https://"), ("http", "http://")] {
        if let Some(rest) = lower.strip_prefix(scheme)
            && (rest.starts_with(":/") || rest.starts_with("//"))
        {
            return Err(Problem {
                what: format!("{scheme} needs the form {form}HOST"),
                next: Some(format!("Use {form}{}", rest.trim_start_matches([':', '/']))),
            });
        }
    }
    Ok((!insecure, raw, true))
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), Problem> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has an unclosed bracket")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("has brackets around what is no IPv6 address".into());
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("has text after the closing bracket".into()),
        };
    }
    // A bare IPv6 address has no room for a port.
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, None));
    }
    match authority.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Err("has too many colons (IPv6 goes into brackets)".into()),
        Some((host, port)) => Ok((host, Some(parse_port(port)?))),
        None => Ok((authority, None)),
    }
}

fn parse_port(port: &str) -> Result<u16, Problem> {
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.is_empty() {
        return Err("what follows the colon is no port number".into());
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err("the port is not between 1 and 65535".into()),
        Ok(port) => Ok(port),
    }
}

fn is_host_name(host: &str) -> bool {
    host.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
}

fn normalise_host(host: &str) -> Result<String, Problem> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err("has no host".into());
    }
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    if !is_host_name(host) {
        return Err("is not a host name".into());
    }
    match url::Host::parse(host) {
        // Letters may become ASCII (U+037E is a semicolon then) or vanish (U+034F) when they are normalised.
        Ok(url::Host::Domain(domain)) if !is_host_name(&domain) => Err("is not a host name".into()),
        // RFC 1035 section 2.3.4; the URL libraries below have limits of their own.
        Ok(url::Host::Domain(domain)) if domain.len() > 253 || domain.split('.').any(|label| label.len() > 63) => {
            Err("is longer than a host name can be".into())
        }
        Ok(url::Host::Domain(domain)) => Ok(domain),
        Ok(url::Host::Ipv4(address)) => Ok(address.to_string()),
        Ok(url::Host::Ipv6(address)) => Ok(address.to_string()),
        Err(_) => Err("is not a host name".into()),
    }
}

#[cfg(test)]
mod tests;
