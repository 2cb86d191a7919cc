//! Another authorization server: its metadata and keys, fetched when needed and kept for a while.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyte_auth::Timestamp;
use flyte_auth::clock::Clock;
use flyte_auth::error::{Error, ErrorKind, Result};
use flyte_auth::protocol::metadata::ServerMetadata;
use flyte_auth::transport::{Call, HttpTransport, Purpose, Reply};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::{Refused, check_times_and_issuer, names_audience};

/// How long metadata and keys are kept.
const KEEP: Duration = Duration::from_secs(300);
/// Least time between two fetches of the keys for an unknown `kid`: tokens with made-up ids must not become requests.
const KEYS_PAUSE: Duration = Duration::from_secs(5);
/// Algorithms that are taken; never `none` and never a shared secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Something fetched, and when.
type Kept<T> = Mutex<Option<(Timestamp, Arc<T>)>>;

/// An issuer that is not this process.
pub struct ExternalIssuer {
    url: String,
    audience: Vec<String>,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    metadata: Kept<ServerMetadata>,
    keys: Kept<JwkSet>,
}

impl fmt::Debug for ExternalIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalIssuer")
            .field("url", &self.url)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

fn kept<T>(kept: &Kept<T>, now: Timestamp, at_most: Duration) -> Option<Arc<T>> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.as_ref().filter(|(at, _)| now.since(*at) < at_most).map(|(_, value)| Arc::clone(value))
}

fn keep<T>(kept: &Kept<T>, now: Timestamp, value: T) -> Arc<T> {
    let value = Arc::new(value);
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&value)));
    value
}

/// Where an issuer's metadata can be: RFC 8414 section 3 inserts, OpenID Connect Discovery section 4 appends.
fn metadata_urls(issuer: &str) -> Option<Vec<String>> {
    let url = url::Url::parse(issuer).ok()?;
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    let inserted = format!("{origin}/.well-known/oauth-authorization-server{path}");
    let appended = format!("{origin}{path}/.well-known/openid-configuration");
    matches!(url.scheme(), "http" | "https").then(|| vec![inserted, appended])
}

impl ExternalIssuer {
    /// An issuer at `url`. Tokens must name one of `audience`; empty: any audience is taken.
    ///
    /// # Errors
    /// Kind `Config`: `url` is no `http` or `https` URL.
    pub fn new(
        url: &str,
        audience: Vec<String>,
        transport: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        if metadata_urls(url).is_none() {
            return Err(Error::config("issuer_invalid", "--external-issuer", "the issuer is not an http or https URL")
                .with_next("Give the issuer as its metadata names it, for example https://idp.example"));
        }
        Ok(Self { url: url.to_owned(), audience, transport, clock, metadata: Mutex::default(), keys: Mutex::default() })
    }

    /// The issuer's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn get(&self, purpose: Purpose, url: &str) -> Result<Reply> {
        let request = http::Request::get(url)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| self.unusable("one of its addresses is no URL"))?;
        Ok(self.transport.send(Call::new(purpose, request)).await?)
    }

    fn unusable(&self, what: &str) -> Error {
        Error::new(ErrorKind::Server, "issuer_unusable", format!("the external issuer cannot be used: {what}"))
            .with_endpoint(&self.url)
            .with_setting("--external-issuer")
            .with_next("Check the URL and that the issuer is up")
    }

    /// The issuer's metadata, at most five minutes old.
    ///
    /// # Errors
    /// No answer, or none that is metadata of this issuer.
    pub async fn metadata(&self) -> Result<Arc<ServerMetadata>> {
        let now = self.clock.now();
        if let Some(metadata) = kept(&self.metadata, now, KEEP) {
            return Ok(metadata);
        }
        for url in metadata_urls(&self.url).unwrap_or_default() {
            let reply = self.get(Purpose::Discovery, &url).await?;
            if reply.status != http::StatusCode::OK {
                continue;
            }
            let metadata: ServerMetadata = serde_json::from_slice(&reply.body)
                .map_err(|_| self.unusable("its metadata is not the JSON of RFC 8414"))?;
            // RFC 8414 section 3.3. A final slash more or less is a slip that many deployments have.
            let issuer = metadata.issuer.as_deref().unwrap_or_default();
            if issuer.trim_end_matches('/') != self.url.trim_end_matches('/') {
                return Err(self.unusable("its metadata names another issuer"));
            }
            return Ok(keep(&self.metadata, now, metadata));
        }
        Err(self.unusable("it has no metadata"))
    }

    async fn fetch_keys(&self, url: &str, now: Timestamp) -> Result<Arc<JwkSet>> {
        let reply = self.get(Purpose::Jwks, url).await?;
        if reply.status != http::StatusCode::OK {
            return Err(self.unusable("its key set is not there"));
        }
        // Keys of kinds that the library does not know are left out, not an error.
        let set: Value = serde_json::from_slice(&reply.body).map_err(|_| self.unusable("its key set is not JSON"))?;
        let keys = set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(keep(&self.keys, now, JwkSet { keys }))
    }

    /// The claims of a good access token of this issuer: signature, type, issuer, audience, expiry.
    ///
    /// # Errors
    /// The token is not good, or the issuer does not answer.
    pub async fn verify(&self, token: &str) -> Result<Map<String, Value>, Refused> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| Refused::Invalid("the token is not a JWT; opaque tokens cannot be checked here"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refused::Invalid("the token is signed with an algorithm that is not accepted"));
        }
        let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !["at+jwt", "application/at+jwt", "jwt"].contains(&typ.as_str()) {
            return Err(Refused::Invalid("the token is not an access token"));
        }
        let unavailable = |error: Error| {
            tracing::warn!(%error, "the external issuer does not answer");
            Refused::Unavailable
        };
        let metadata = self.metadata().await.map_err(unavailable)?;
        let url = metadata.jwks_uri.as_deref().ok_or(Refused::Invalid("the issuer publishes no keys"))?;
        let now = self.clock.now();
        let find = |set: &JwkSet| match &header.kid {
            Some(kid) => set.find(kid).cloned(),
            None => <[_; 1]>::try_from(set.keys.clone()).ok().map(|[only]| only),
        };
        let mut found = kept(&self.keys, now, KEEP).and_then(|set| find(&set));
        if found.is_none() && kept(&self.keys, now, KEYS_PAUSE).is_none() {
            found = find(&*self.fetch_keys(url, now).await.map_err(unavailable)?);
        }
        let key = found.ok_or(Refused::Invalid("the token is signed with a key that its issuer does not publish"))?;
        let key = DecodingKey::from_jwk(&key).map_err(|_| Refused::Invalid("the issuer's key is unusable"))?;
        let mut rules = Validation::new(header.alg);
        // Times are checked below against our own clock, which tests can move; the library reads the system's.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        rules.required_spec_claims = BTreeSet::new().into_iter().collect();
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &rules);
        let claims = decoded.map_err(|_| Refused::Invalid("the token's signature is wrong"))?.claims;
        // The issuer's own spelling counts, final slash and all.
        check_times_and_issuer(&claims, metadata.issuer.as_deref().unwrap_or_default(), now)?;
        // An ID token is for the client, not for an API; where it shares the type, its own claims give it away.
        if typ == "jwt" && (claims.contains_key("nonce") || claims.contains_key("at_hash")) {
            return Err(Refused::Invalid("the token is an ID token, not an access token"));
        }
        if !self.audience.is_empty() && !names_audience(&claims, &self.audience) {
            return Err(Refused::Invalid("the token is for another audience"));
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_locations() {
        for (issuer, expected) in [
            (
                "https://i.example",
                Some([
                    "https://i.example/.well-known/oauth-authorization-server",
                    "https://i.example/.well-known/openid-configuration",
                ]),
            ),
            (
                "http://127.0.0.1:5/realms/a/",
                Some([
                    "http://127.0.0.1:5/.well-known/oauth-authorization-server/realms/a",
                    "http://127.0.0.1:5/realms/a/.well-known/openid-configuration",
                ]),
            ),
            ("ftp://i.example", None),
            ("i.example", None),
        ] {
            assert_eq!(metadata_urls(issuer), expected.map(|urls| urls.map(str::to_owned).to_vec()), "{issuer}");
        }
    }
}
