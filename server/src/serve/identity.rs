//! Who a request is from, once that is proved, and how the services behind are told.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use flyte_auth::Timestamp;
use flyte_auth::error::{Error, Result};
use serde_json::{Map, Value, json};

use crate::config::model::IdentityHeaders;
use crate::keys::{Keys, SigningAlgorithm};
use crate::sites::Site;

/// Flyte's one scope: its whole API (`auth/config/config.go`; `BlanketAuthorization`).
pub(super) const ALL: &str = "all";

/// Longest claim that goes into a header, in bytes: nginx reads all headers of an answer into 4 or 8 kB.
const LONGEST_CLAIM: usize = 1024;

/// Somebody or something whose identity was proved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity {
    /// `sub`.
    pub(super) subject: String,
    /// The client that acts, where a token names one.
    pub(super) client_id: Option<String>,
    /// What was granted.
    pub(super) scopes: Vec<String>,
    /// Everything that is known.
    pub(super) claims: Map<String, Value>,
}

impl Identity {
    fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Everything that is known, with the subject among it.
    pub(super) fn into_claims(mut self) -> Map<String, Value> {
        self.claims.insert("sub".to_owned(), self.subject.into());
        self.claims
    }

    /// Whether it may use Flyte's API.
    pub(super) fn may_call(&self) -> bool {
        self.scopes.iter().any(|scope| scope == ALL)
    }

    /// flyteadmin's `UserInfoResponse` in JSON.
    pub(super) fn user_info(&self) -> Value {
        json!({
            "subject": self.subject,
            "name": self.text("name"),
            "preferred_username": self.text("preferred_username"),
            "given_name": self.text("given_name"),
            "family_name": self.text("family_name"),
            "email": self.text("email"),
            "picture": self.text("picture"),
            "additional_claims": self.claims,
        })
    }

    /// The headers of an answer to `/me`, for proxies that ask by subrequest (`auth/handlers.go`, `X-User-Subject` and
    /// `X-User-Claim-*`): values in JSON.
    pub(super) fn claim_headers(&self, headers: &mut HeaderMap) {
        if let Some(value) = plain(&self.subject) {
            headers.insert("x-user-subject", value);
        }
        for (name, value) in &self.claims {
            let name = format!("x-user-claim-{}", name.replace('_', "-").to_ascii_lowercase());
            // serde_json escapes nothing beyond ASCII; a header takes ASCII alone. One that is longer would break the
            // proxies that these are for; the body has it whole.
            if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), ascii_json(value))
                && value.len() <= LONGEST_CLAIM
                && let Ok(value) = HeaderValue::from_str(&value)
            {
                headers.insert(name, value);
            }
        }
    }
}

/// `value` as JSON in ASCII.
fn ascii_json(value: &Value) -> Option<String> {
    use std::fmt::Write as _;
    let text = serde_json::to_string(value).ok()?;
    let mut ascii = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            ascii.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    Some(ascii)
}

/// `text` as a header value: printable ASCII as it is, anything else percent-encoded, as are `%` and blanks at the ends,
/// which a header loses: no two texts are one value.
fn plain(text: &str) -> Option<HeaderValue> {
    use std::fmt::Write as _;
    if text.is_empty() {
        return None;
    }
    let mut value = String::with_capacity(text.len());
    let last = text.len() - 1;
    for (at, byte) in text.bytes().enumerate() {
        let is_lost = byte == b' ' && (at == 0 || at == last);
        if matches!(byte, b' '..=b'~') && byte != b'%' && !is_lost {
            value.push(char::from(byte));
        } else {
            let _ = write!(value, "%{byte:02X}");
        }
    }
    HeaderValue::from_str(&value).ok()
}

/// Beside the configured names: every header from which some service, proxy or framework takes an identity. Nothing from
/// outside is ever let through under them.
const NEVER_FROM_OUTSIDE: [&str; 12] = [
    // flyteadmin: its own metadata, which its HTTP gateway takes from headers too.
    "userinfo-bin",
    "from-http",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-webauth-user",
    "x-ms-client-principal",
    "x-goog-iap-jwt-assertion",
];
const NEVER_FROM_OUTSIDE_BEGINNING: [&str; 6] = [
    "grpc-metadata-",
    "x-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-ms-client-principal-",
    "x-goog-authenticated-user-",
];

/// Cookies of this process, which nobody behind may see: whoever has them is the person.
const OWN_COOKIES: &str = "flyte_auth";

/// Tells the services behind who asks.
#[derive(Debug)]
pub(super) struct Heralds {
    names: Names,
    /// Signs `claims_jwt`; made anew at each start: who reads it fetches the key from us.
    keys: Keys,
}

#[derive(Debug)]
struct Names {
    subject: Vec<HeaderName>,
    email: Option<HeaderName>,
    name: Option<HeaderName>,
    client_id: Option<HeaderName>,
    scopes: Option<HeaderName>,
    claims_jwt: Option<HeaderName>,
}

/// The identity JWT lives this long: a service reads it when the request comes.
const ASSERTION: std::time::Duration = std::time::Duration::from_secs(120);

impl Heralds {
    /// With these names.
    ///
    /// # Errors
    /// `header_invalid`: one is no header name.
    pub(super) fn new(names: &IdentityHeaders) -> Result<Self> {
        let parse = |name: &Option<String>| -> Result<Option<HeaderName>> {
            let parsed = name.as_ref().map(|name| name.parse::<HeaderName>()).transpose();
            parsed.map_err(|_| {
                Error::config("header_invalid", "gateway.identityHeaders", "a name is not a header name")
                    .with_next("Use lower-case header names such as x-user-subject")
            })
        };
        let mut subject: Vec<HeaderName> = parse(&names.subject)?.into_iter().collect();
        subject.extend(parse(&names.subject_v2)?);
        let names = Names {
            subject,
            email: parse(&names.email)?,
            name: parse(&names.name)?,
            client_id: parse(&names.client_id)?,
            scopes: parse(&names.scopes)?,
            claims_jwt: parse(&names.claims_jwt)?,
        };
        Ok(Self { names, keys: Keys::open(SigningAlgorithm::Es256, None)? })
    }

    /// The public key of the identity JWT.
    pub(super) fn jwks(&self) -> Value {
        self.keys.jwks()
    }

    fn is_ours(&self, name: &str) -> bool {
        // CGI and what came of it cannot tell `_` from `-`.
        let name = name.replace('_', "-");
        NEVER_FROM_OUTSIDE.contains(&name.as_str())
            || NEVER_FROM_OUTSIDE_BEGINNING.iter().any(|beginning| name.starts_with(beginning))
            || self.all().any(|own| own.as_str().replace('_', "-") == name)
    }

    fn all(&self) -> impl Iterator<Item = &HeaderName> {
        let names = &self.names;
        let others = [&names.email, &names.name, &names.client_id, &names.scopes, &names.claims_jwt];
        names.subject.iter().chain(others.into_iter().flatten())
    }

    /// Takes away whatever could pass for an identity, and our own cookies; and what would take away ours: the headers
    /// that `Connection` names are dropped on the way.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        crate::gateway::settle(headers);
        let foreign: Vec<HeaderName> = headers.keys().filter(|name| self.is_ours(name.as_str())).cloned().collect();
        for name in foreign {
            headers.remove(name);
        }
        if headers.contains_key(header::COOKIE) {
            strip_cookies(headers);
        }
    }

    /// Says who asks. [`Heralds::strip`] came before.
    pub(super) fn announce(&self, headers: &mut HeaderMap, identity: &Identity, site: &Site, now: Timestamp) {
        let mut set = |name: Option<&HeaderName>, text: &str| {
            if let (Some(name), Some(value)) = (name, plain(text)) {
                headers.insert(name.clone(), value);
            }
        };
        let names = &self.names;
        for name in &names.subject {
            set(Some(name), &identity.subject);
        }
        set(names.email.as_ref(), identity.text("email"));
        set(names.name.as_ref(), identity.text("name"));
        set(names.client_id.as_ref(), identity.client_id.as_deref().unwrap_or_default());
        set(names.scopes.as_ref(), &identity.scopes.join(" "));
        if let Some(name) = &names.claims_jwt
            && let Some(value) = self.assertion(identity, site, now).and_then(|jwt| HeaderValue::from_str(&jwt).ok())
        {
            headers.insert(name.clone(), value);
        }
    }

    fn assertion(&self, identity: &Identity, site: &Site, now: Timestamp) -> Option<String> {
        let mut claims = Map::new();
        for name in crate::authorization_server::PERSON_CLAIMS {
            if let Some(value) = identity.claims.get(name) {
                claims.insert(name.to_owned(), value.clone());
            }
        }
        claims.insert("sub".to_owned(), identity.subject.clone().into());
        claims.insert("iss".to_owned(), site.issuer.clone().into());
        claims.insert("iat".to_owned(), now.as_secs().into());
        claims.insert("exp".to_owned(), now.plus(ASSERTION).as_secs().into());
        if let Some(client_id) = &identity.client_id {
            claims.insert("client_id".to_owned(), client_id.clone().into());
        }
        // A type of its own: it is no access token, and must never pass for one.
        self.keys.sign("flyte-identity+jwt", &claims)
    }
}

fn strip_cookies(headers: &mut HeaderMap) {
    let is_own = |pair: &[u8]| {
        let name = pair.strip_prefix(b"__Host-").or_else(|| pair.strip_prefix(b"__Secure-")).unwrap_or(pair);
        name.starts_with(OWN_COOKIES.as_bytes())
    };
    let kept: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_own(pair))
        .collect();
    let kept = kept.join(&b"; "[..]);
    headers.remove(header::COOKIE);
    if !kept.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&kept)
    {
        headers.insert(header::COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let claims = json!({ "sub": "u1", "name": "Zo\u{eb}", "email": "zoe@example.org", "groups": ["a", "\u{e9}"] });
        Identity {
            subject: "u1".to_owned(),
            client_id: Some("flytectl".to_owned()),
            scopes: vec!["all".to_owned()],
            claims: claims.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn no_two_people_are_one_header() {
        let texts = ["admin", " admin", "admin ", " ", "  ", "Zo\u{eb}", "Zo%C3%AB", "Zo%25C3%25AB", "a b", "a%20b"];
        let values: std::collections::BTreeSet<_> =
            texts.iter().map(|text| plain(text).unwrap().to_str().unwrap().trim().to_owned()).collect();
        assert_eq!(values.len(), texts.len(), "{values:?}");
        assert_eq!(plain("a b@c").unwrap(), "a b@c");
    }

    #[test]
    fn only_our_own_cookies_are_taken_away() {
        let mut headers = HeaderMap::new();
        let line = format!("name=Zo\u{eb}; __Host-{OWN_COOKIES}=s; a=b ;; {OWN_COOKIES}.0=1.x");
        headers.append(header::COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        headers.append(header::COOKIE, HeaderValue::from_bytes(b"c=\xff").unwrap());
        strip_cookies(&mut headers);
        assert_eq!(headers[header::COOKIE].as_bytes(), b"name=Zo\xc3\xab; a=b; c=\xff");
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn what_could_pass_for_an_identity_is_taken_away_and_ours_is_set() {
        let heralds = Heralds::new(&IdentityHeaders::default()).unwrap();
        let mut headers = HeaderMap::new();
        for name in [
            "x-user-subject",
            "X_User_Subject",
            "x-user-claim-email",
            "userinfo-bin",
            "from_http",
            "grpc-metadata-userinfo-bin",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-forwarded-user",
            "x-auth-request-email",
            "remote_user",
        ] {
            headers
                .append(HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap(), "evil".parse().unwrap());
        }
        headers.insert("x-request-id", "1".parse().unwrap());
        headers.insert(
            header::COOKIE,
            "a=1; __Host-flyte_auth=secret; flyte_auth.1=secret; b=2; __Host-flyte_auth_csrf=x".parse().unwrap(),
        );
        heralds.strip(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers[header::COOKIE], "a=1; b=2");
        let site = Site::new("https://flyte.example", None).unwrap();
        heralds.announce(&mut headers, &identity(), &site, Timestamp::from_secs(1_000_000));
        assert_eq!(headers["x-user-subject"], "u1");
        assert_eq!(headers["x-amzn-oidc-identity"], "u1");
        assert_eq!(headers["x-user-name"], "Zo%C3%AB");
        assert_eq!(headers["x-user-scopes"], "all");
        let jwt = headers["x-amzn-oidc-data"].to_str().unwrap();
        let claims = heralds.keys.verify("flyte-identity+jwt", jwt).unwrap();
        assert_eq!((claims["sub"].as_str(), claims["email"].as_str()), (Some("u1"), Some("zoe@example.org")));
        assert!(heralds.keys.verify("at+jwt", jwt).is_none());
    }

    #[test]
    fn a_caller_cannot_have_the_identity_dropped_on_the_way() {
        let heralds = Heralds::new(&IdentityHeaders::default()).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, "keep-alive, X-User-Subject".parse().unwrap());
        headers.append(header::CONNECTION, "x-own, Upgrade".parse().unwrap());
        headers.insert("x-own", "1".parse().unwrap());
        heralds.strip(&mut headers);
        assert_eq!(headers[header::CONNECTION], "upgrade");
        assert!(!headers.contains_key("x-own"));
    }

    #[test]
    fn claims_go_into_headers_as_json_in_ascii() {
        let mut headers = HeaderMap::new();
        identity().claim_headers(&mut headers);
        assert_eq!(headers["x-user-subject"], "u1");
        assert_eq!(headers["x-user-claim-name"], "\"Zo\\u00eb\"");
        assert_eq!(headers["x-user-claim-groups"], "[\"a\",\"\\u00e9\"]");
    }
}
