//! Clients: who may ask for tokens, for what, and how a client proves itself at the token endpoint.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::assertion::{self, ClientKeys};
use super::params::Params;
use super::redirect::RedirectUri;
use super::secret::Secret;
use super::{AuthorizationServer, OAuthError};
use crate::sites::Site;

/// The grants that a client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// `authorization_code` (RFC 6749 section 4.1).
    pub code: bool,
    /// `refresh_token` (RFC 6749 section 6).
    pub refresh: bool,
    /// `client_credentials` (RFC 6749 section 4.4).
    pub client_credentials: bool,
    /// RFC 8628.
    pub device: bool,
}

/// A client.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// Its secrets, any of which opens; a public client has none.
    pub secrets: Vec<Secret>,
    /// Its keys, for `private_key_jwt` (RFC 7523).
    pub keys: Option<ClientKeys>,
    /// Whether it can keep no secret. A confidential client whose secret nobody configured is not public: it cannot log in.
    pub public: bool,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may do.
    pub grants: Grants,
    /// The scopes that it may ask for. One that ends in `.*` stands for every scope that begins so (as fosite matches).
    pub scopes: Vec<String>,
    /// What is granted where none is asked for; empty: that is refused (RFC 6749 section 3.3).
    pub default_scopes: Vec<String>,
    /// Audiences that it may ask for beside the deployment's own; `None`: any.
    pub audience: Option<Vec<String>>,
}

/// Whether fosite's wildcard strategy takes `requested` for `allowed`.
fn scope_matches(allowed: &str, requested: &str) -> bool {
    match allowed.strip_suffix(".*") {
        Some(prefix) => {
            requested.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| !rest.is_empty())
        }
        None => allowed == requested,
    }
}

impl Client {
    /// The registered redirect that `requested` is.
    pub(super) fn accepts_redirect(&self, requested: &str) -> bool {
        // RFC 6749 section 3.1.2: no fragment. Checked by text, because a parser may drop an empty one.
        !requested.contains('#') && self.redirect_uris.iter().any(|registered| registered.accepts(requested))
    }

    /// The scopes to grant for those requested: all of them, each once, or a refusal that names the first unknown one.
    pub(super) fn scopes(&self, requested: Vec<String>) -> Result<Vec<String>, OAuthError> {
        let mut granted: Vec<String> = Vec::with_capacity(requested.len());
        for scope in requested {
            if !self.scopes.iter().any(|allowed| scope_matches(allowed, &scope)) {
                let refused = format!("the scope {scope} is not one that this client may have");
                return Err(OAuthError::new("invalid_scope", refused));
            }
            if !granted.contains(&scope) {
                granted.push(scope);
            }
        }
        if granted.is_empty() {
            if self.default_scopes.is_empty() {
                let offered = self.scopes.join(" ");
                return Err(OAuthError::new(
                    "invalid_scope",
                    format!("no scope was asked for; this client may have: {offered}"),
                ));
            }
            granted.clone_from(&self.default_scopes);
        }
        Ok(granted)
    }

    /// The audiences of its tokens: the site's own, and those requested (`audience`, RFC 8707's `resource`).
    pub(super) fn audience(&self, site: &Site, requested: Vec<String>) -> Result<Vec<String>, OAuthError> {
        let mut audience = vec![site.audience.clone()];
        for name in requested {
            if name == site.audience || name == site.base {
                continue;
            }
            if self.audience.as_ref().is_some_and(|allowed| !allowed.contains(&name)) {
                return Err(OAuthError::new(
                    "invalid_target",
                    format!("the audience {name} is not one that this client may ask for"),
                ));
            }
            audience.push(name);
        }
        Ok(audience)
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
    /// The client of a token, device, pushed authorization, revocation or introspection request: `client_secret_basic`,
    /// `client_secret_post`, `private_key_jwt` or, for a public client, its id alone.
    pub(super) async fn authenticate_client(
        &self,
        headers: &HeaderMap,
        params: &Params,
    ) -> Result<&Client, OAuthError> {
        let by_header = basic(headers)?;
        let challenge = by_header.is_some();
        let refuse = || OAuthError::invalid_client("the client is unknown or its secret is wrong", challenge);
        if let Some(kind) = params.get("client_assertion_type") {
            if by_header.is_some() || params.get("client_secret").is_some() {
                return Err(OAuthError::invalid_request("the client proved itself in two ways at once"));
            }
            return assertion::authenticate(self, headers, params, kind).await;
        }
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
        match secret {
            None if client.public => Ok(client),
            // A secret that nobody gave out: whoever sends it takes this client for another one.
            Some(secret) if !client.public => match self.secrets.opens(client, secret, self.now()).await? {
                true => Ok(client),
                false => Err(refuse()),
            },
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_matched_as_fosite_does() {
        for (allowed, requested, matches) in [
            ("all", "all", true),
            ("all", "al", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", true),
            ("a.*", "a", false),
            ("a.*", "a.", false),
            ("a.*", "ab", false),
            (".*", ".x", true),
        ] {
            assert_eq!(scope_matches(allowed, requested), matches, "{allowed} {requested}");
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
