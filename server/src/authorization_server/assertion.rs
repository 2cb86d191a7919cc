//! `private_key_jwt`: a client proves itself with a signed assertion (RFC 7523 section 3, OpenID Connect Core section 9).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use flyte_auth::Timestamp;
use flyte_auth::protocol::json;
use flyte_auth::transport::HttpTransport;
use flyte_auth::verify::KeySet;
use serde_json::{Map, Value};

use super::params::Params;
use super::{AuthorizationServer, Client, OAuthError, paths};
use crate::random;

/// RFC 7523 section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion that lives longer than this from now is refused: its `jti` would have to be kept for as long.
const LONGEST: Duration = Duration::from_secs(3600);
/// How wrong the client's clock may be.
const SKEW: Duration = Duration::from_secs(60);
/// Keys that were fetched are good for this long, and are fetched again at most this often for an unknown key.
const KEPT: Duration = Duration::from_secs(300);
const REFETCH: Duration = Duration::from_secs(30);

/// A client's public keys.
#[derive(Clone)]
pub enum ClientKeys {
    /// Written into the configuration.
    Given(KeySet),
    /// Published by the client.
    Published(Arc<Published>),
}

/// Keys at an address.
pub struct Published {
    uri: String,
    transport: Arc<dyn HttpTransport>,
    kept: Mutex<Option<(Timestamp, KeySet)>>,
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(keys) => f.debug_tuple("Given").field(keys).finish(),
            Self::Published(published) => f.debug_tuple("Published").field(&published.uri).finish(),
        }
    }
}

impl ClientKeys {
    /// Keys that the client publishes at `uri`.
    pub fn published(uri: impl Into<String>, transport: Arc<dyn HttpTransport>) -> Self {
        Self::Published(Arc::new(Published { uri: uri.into(), transport, kept: Mutex::new(None) }))
    }

    /// The payload of an assertion that one of the keys signed.
    async fn verify(&self, assertion: &str, now: Timestamp) -> Option<Vec<u8>> {
        let verified = |keys: &KeySet| keys.verify(assertion).ok().map(|verified| verified.payload);
        match self {
            Self::Given(keys) => verified(keys),
            Self::Published(published) => {
                let kept = published.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((at, keys)) = &kept {
                    let age = now.since(*at);
                    let found = verified(keys);
                    // An assertion that does not fit may be signed by a newer key; whoever sends many of them causes no
                    // more than a request every half minute.
                    if (found.is_some() && age < KEPT) || age < REFETCH {
                        return found;
                    }
                }
                match KeySet::fetch(published.transport.as_ref(), &published.uri).await {
                    Ok(keys) => {
                        let found = verified(&keys);
                        *published.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, keys));
                        found
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a client's keys cannot be fetched");
                        // Old keys are better than none: the client's address may be down.
                        kept.and_then(|(_, keys)| verified(&keys))
                    }
                }
            }
        }
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// Seconds since the epoch; NumericDate may have a fraction (RFC 7519 section 2).
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let number = claims.get(name)?.as_f64()?;
    // A date beyond every calendar is no date.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (number.abs() < 1.0e11).then_some(number as i64)
}

/// Whether `aud` names this server: its issuer or one of its endpoints (RFC 7523 section 3, RFC 9126 section 2).
fn is_for(claims: &Map<String, Value>, names: &[String]) -> bool {
    let named = |value: &Value| value.as_str().is_some_and(|value| names.iter().any(|name| name == value));
    match claims.get("aud") {
        // More audiences than one would let another server replay it here.
        Some(Value::Array(items)) => items.len() == 1 && items.iter().all(named),
        Some(value) => named(value),
        None => false,
    }
}

/// The client that an assertion proves.
pub(super) async fn authenticate<'a>(
    server: &'a AuthorizationServer,
    headers: &HeaderMap,
    params: &Params,
    kind: &str,
) -> Result<&'a Client, OAuthError> {
    if kind != JWT_BEARER {
        return Err(OAuthError::invalid_client(format!("client_assertion_type must be {JWT_BEARER}"), false));
    }
    let refuse = |why: &str| OAuthError::invalid_client(format!("the client assertion is not accepted: {why}"), false);
    let assertion = params.require("client_assertion")?;
    // Whose keys to ask is read before anything is verified, and believed only afterwards.
    let claimed = unverified_subject(assertion).ok_or_else(|| refuse("it is no JWT with a sub"))?;
    if params.get("client_id").is_some_and(|id| id != claimed) {
        return Err(refuse("its sub is not the client_id"));
    }
    let unknown = "the client is unknown, or no key of it made the signature";
    let client = server.client(&claimed).ok_or_else(|| refuse(unknown))?;
    let keys = client.keys.as_ref().ok_or_else(|| refuse(unknown))?;
    let now = server.now();
    let payload = keys.verify(assertion, now).await.ok_or_else(|| refuse(unknown))?;
    let claims = json::parse_object(&payload).map_err(|_| refuse("its claims are not a JSON object"))?;

    if text(&claims, "sub") != Some(&client.id) || text(&claims, "iss") != Some(&client.id) {
        return Err(refuse("iss and sub must be the client_id"));
    }
    let site = server.sites.of(headers);
    let names = [site.issuer.clone(), site.audience.clone(), site.url(paths::TOKEN), site.url(paths::PAR)];
    if !is_for(&claims, &names) {
        return Err(refuse("aud must be this server's issuer or token endpoint, and nothing else"));
    }
    let expires = seconds(&claims, "exp").ok_or_else(|| refuse("exp is missing"))?;
    let expires = Timestamp::from_secs(expires);
    if expires.plus(SKEW) <= now {
        return Err(refuse("it has expired"));
    }
    if expires > now.plus(LONGEST) {
        return Err(refuse("it lives longer than an hour"));
    }
    if seconds(&claims, "nbf").is_some_and(|from| Timestamp::from_secs(from) > now.plus(SKEW)) {
        return Err(refuse("it is not valid yet"));
    }
    let id = text(&claims, "jti").filter(|id| !id.is_empty()).ok_or_else(|| refuse("jti is missing"))?;
    let key = random::digest(&format!("assertion {} {id}", client.id));
    if !server.state.first_use(&key, expires.plus(SKEW), now).await.map_err(super::store_failed)? {
        return Err(refuse("it was used before"));
    }
    Ok(client)
}

fn unverified_subject(assertion: &str) -> Option<String> {
    use base64::Engine as _;
    if assertion.len() > flyte_auth::verify::MAX_TOKEN {
        return None;
    }
    let payload = assertion.split('.').nth(1)?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    text(&json::parse_object(&payload).ok()?, "sub").map(str::to_owned)
}
