//! Clients: who may ask for tokens, where codes may be sent, and how a client proves itself at the token endpoint.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flyte_auth::protocol::secret::ClientSecret;
use url::{Host, Url};

use super::params::Params;
use super::{AuthorizationServer, OAuthError, SCOPES};

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

    /// Whether `requested` is this redirect: the same text, or, for a loopback IP literal without a port, the same with
    /// any port (RFC 8252 section 7.3; `localhost` has no such leniency).
    fn accepts(&self, requested: &str) -> bool {
        if self.0 == requested {
            return true;
        }
        let Ok(registered) = Url::parse(&self.0) else { return false };
        let loopback = match registered.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            _ => false,
        };
        loopback
            && registered.scheme() == "http"
            && registered.port().is_none()
            && without_port(requested).is_some_and(|requested| requested == self.0)
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

/// A client.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// Its secret; a public client has none.
    pub secret: Option<ClientSecret>,
    /// Where codes may be sent. Empty: no authorization code grant.
    pub redirect_uris: Vec<RedirectUri>,
    /// Whether it may act for itself (client credentials).
    pub acts_for_itself: bool,
    /// Whether it may act for a person (authorization code, device).
    pub acts_for_people: bool,
    /// Scopes beyond [`SCOPES`] that it may ask for.
    pub extra_scopes: Vec<String>,
}

impl Client {
    /// A client without a secret.
    pub fn is_public(&self) -> bool {
        self.secret.is_none()
    }

    /// The registered redirect that `requested` is.
    pub(super) fn accepts_redirect(&self, requested: &str) -> bool {
        // RFC 6749 section 3.1.2: no fragment. Checked by text, because a parser may drop an empty one.
        !requested.contains('#') && self.redirect_uris.iter().any(|registered| registered.accepts(requested))
    }

    /// The scopes to grant for those requested: all of them, or a refusal that names the first unknown one. None
    /// requested means `all`, Flyte's whole API.
    pub(super) fn scopes(&self, requested: Vec<String>) -> Result<Vec<String>, OAuthError> {
        for scope in &requested {
            if !SCOPES.contains(&scope.as_str()) && !self.extra_scopes.contains(scope) {
                return Err(OAuthError::new("invalid_scope", format!("the scope {scope} is not known here")));
            }
        }
        let mut scopes = requested;
        if scopes.is_empty() {
            scopes.push("all".to_owned());
        }
        let mut seen = Vec::with_capacity(scopes.len());
        scopes.retain(|scope| {
            !seen.contains(scope) && {
                seen.push(scope.clone());
                true
            }
        });
        Ok(scopes)
    }
}

/// Decodes one part of a Basic header (RFC 6749 section 2.3.1: each part is form-encoded first).
fn form_decode(part: &str) -> String {
    // The form parser splits at '&' and '=': escape both, so that it sees one name without a value.
    let escaped = part.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// Client id and secret of a Basic header; `None` if there is no such header.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let malformed = || OAuthError::invalid_client("the Authorization header is not a Basic client login", true);
    let (scheme, encoded) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok(Some((form_decode(id), form_decode(secret))))
}

impl AuthorizationServer {
    /// The client of a token, device, revocation or introspection request: `client_secret_basic`, `client_secret_post`
    /// or, for a public client, its id alone.
    pub(super) fn authenticate_client(&self, headers: &HeaderMap, params: &Params) -> Result<&Client, OAuthError> {
        let by_header = basic(headers)?;
        let challenge = by_header.is_some();
        let refuse = || OAuthError::invalid_client("the client is unknown or its secret is wrong", challenge);
        let (id, secret) = match &by_header {
            Some((id, secret)) => {
                if params.get("client_secret").is_some() {
                    return Err(OAuthError::invalid_request("the client proved itself in two ways at once"));
                }
                if params.get("client_id").is_some_and(|other| other != id) {
                    return Err(OAuthError::invalid_request("client_id differs from the Authorization header"));
                }
                (id.as_str(), Some(secret.as_str()))
            }
            None => match params.get("client_id") {
                Some(id) => (id, params.get("client_secret")),
                None => return Err(OAuthError::invalid_client("the client did not name itself", challenge)),
            },
        };
        // golang.org/x/oauth2 tries a Basic header with an empty secret first, for public clients too.
        let secret = secret.filter(|secret| !secret.is_empty());
        let client = self.client(id).ok_or_else(refuse)?;
        match (&client.secret, secret) {
            (None, None) => Ok(client),
            // ClientSecret compares in constant time.
            (Some(expected), Some(given)) if *expected == ClientSecret::new(given) => Ok(client),
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects() {
        let localhost = RedirectUri::parse("http://localhost:53593/callback").unwrap();
        let v4 = RedirectUri::parse("http://127.0.0.1/callback").unwrap();
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

    #[test]
    fn basic_parts_are_form_decoded() {
        let header_for = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, format!("basic {}", STANDARD.encode(text)).parse().unwrap());
            basic(&headers).map(Option::unwrap).map_err(|error| error.code)
        };
        assert_eq!(header_for("a%3Ab:p%40ss+word%26%3D"), Ok(("a:b".to_owned(), "p@ss word&=".to_owned())));
        assert_eq!(header_for("id:a&b=c:d"), Ok(("id".to_owned(), "a&b=c:d".to_owned())));
        assert_eq!(header_for("no-colon"), Err("invalid_client"));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(basic(&headers).unwrap_err().code, "invalid_client");
        headers.insert(header::AUTHORIZATION, "Basic !!!".parse().unwrap());
        assert_eq!(basic(&headers).unwrap_err().code, "invalid_client");
    }
}
