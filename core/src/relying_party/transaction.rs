//! A sign-in between the redirect to the provider and its answer: pure, with time and randomness as arguments.
//!
//! What the answer is checked against travels in a sealed cookie, one for each attempt. Without the cookie an answer is
//! nobody's: whoever lures a browser to the callback with an answer of his own (login CSRF, RFC 6749 section 10.12) has
//! no cookie there.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::cookies::{self, state_id};
use super::seal::Purpose;
use super::settings::Settings;
use crate::clock::{Entropy, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::callback::Expected;
use crate::protocol::grant::{self, AuthorizationRequest, Parameters};
use crate::protocol::metadata::ServerMetadata;
use crate::protocol::pkce;
use crate::protocol::secret::{CodeVerifier, SecretBytes};

/// How long a person may take.
pub(super) const LIFETIME: Duration = Duration::from_secs(600);
/// Sign-ins of one browser that may be under way at once; of more the oldest end.
const MOST: usize = 5;
/// Most bytes of what `idpQueryParameter` passes on.
const LONGEST_IDP: usize = 256;

/// What an answer is checked against, and where the browser goes after it.
pub(super) struct Transaction {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: CodeVerifier,
    pub(super) return_to: String,
    created: Timestamp,
}

/// A sign-in that has begun.
pub(super) struct Begun {
    pub(super) url: String,
    pub(super) cookies: Vec<HeaderValue>,
}

/// Begins a sign-in. `idp` is what the request says for the parameter that is passed on.
pub(super) fn begin(
    settings: &Settings,
    metadata: &ServerMetadata,
    entropy: &dyn Entropy,
    now: Timestamp,
    return_to: String,
    idp: Option<&str>,
    headers: &HeaderMap,
) -> Result<Begun> {
    let endpoint = metadata.authorization_endpoint.as_deref().ok_or_else(|| {
        Error::new(ErrorKind::Server, "metadata_incomplete", "the provider's metadata has no authorization_endpoint")
            .with_endpoint(&settings.issuer)
            .with_next("Check the issuer: it must be an OpenID provider")
    })?;
    let transaction = Transaction {
        state: pkce::random_string(entropy),
        nonce: pkce::random_string(entropy),
        verifier: pkce::code_verifier(entropy),
        return_to,
        created: now,
    };
    let mut extra = settings.extra.clone();
    let passed_on = settings.idp_parameter.as_ref().zip(idp.filter(|idp| idp.len() <= LONGEST_IDP));
    if let Some((name, value)) = passed_on {
        extra.retain(|(other, _)| other != name);
        extra.push((name.clone(), value.to_owned()));
    }
    let url = grant::authorization_url(AuthorizationRequest {
        endpoint,
        client_id: &settings.client_id,
        redirect_uri: &settings.redirect_uri,
        state: &transaction.state,
        nonce: Some(&transaction.nonce),
        verifier: &transaction.verifier,
        parameters: Parameters { scopes: &settings.scopes, audience: settings.audience.as_deref(), extra: &extra },
    })?;
    let id = state_id(&transaction.state);
    let name = settings.transaction_name_of(&id);
    let sealed = settings.keys.seal(Purpose::Transaction, &name, &transaction.to_bytes()?)?;
    let mut cookies = vec![settings.route_cookie(&name, &sealed, &settings.paths.callback, LIFETIME)?];
    cookies.extend(index(settings, headers, &id)?);
    Ok(Begun { url: url.into(), cookies })
}

/// Adds `id` to the list of what is under way, and ends what is too much.
fn index(settings: &Settings, headers: &HeaderMap, id: &str) -> Result<Vec<HeaderValue>> {
    let name = settings.index_name();
    let listed = cookies::all(headers).find(|(found, _)| *found == name).map_or("", |(_, value)| value);
    // From outside: only what looks like an id of ours is taken for one.
    let is_id = |text: &&str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut ids: Vec<&str> = listed.split('.').filter(is_id).take(4 * MOST).collect();
    ids.push(id);
    let surplus = ids.len().saturating_sub(MOST);
    let mut cookies = Vec::with_capacity(surplus + 1);
    for old in ids.drain(..surplus) {
        cookies.push(ended(settings, old)?);
    }
    cookies.push(settings.route_cookie(&name, &ids.join("."), &settings.paths.login, LIFETIME)?);
    Ok(cookies)
}

/// Clears the cookie of one sign-in.
fn ended(settings: &Settings, id: &str) -> Result<HeaderValue> {
    settings.route_cookie(&settings.transaction_name_of(id), "", &settings.paths.callback, Duration::ZERO)
}

impl Transaction {
    /// The one that `state` belongs to, if this browser began it and it is not too old.
    pub(super) fn find(settings: &Settings, headers: &HeaderMap, state: &str, now: Timestamp) -> Option<Self> {
        let name = settings.transaction_name(state);
        let (_, sealed) = cookies::all(headers).find(|(found, _)| *found == name)?;
        let opened = settings.keys.open(Purpose::Transaction, &name, sealed)?;
        let found = Self::from_bytes(&opened.plain)?;
        (now < found.created.plus(LIFETIME)).then_some(found)
    }

    pub(super) fn expected(&self, settings: &Settings, metadata: &ServerMetadata) -> Expected {
        Expected {
            path: settings.paths.callback.clone(),
            state: self.state.clone(),
            issuer: Some(metadata.issuer.clone().unwrap_or_else(|| settings.issuer.clone())),
            iss_required: metadata.authorization_response_iss_parameter_supported,
        }
    }

    pub(super) fn cleared(&self, settings: &Settings) -> Option<HeaderValue> {
        ended(settings, &state_id(&self.state)).ok()
    }

    fn to_bytes(&self) -> Result<SecretBytes> {
        let verifier = self.verifier.expose(); // EXPOSE: sealed before it leaves.
        let parts = (&self.state, &self.nonce, verifier, &self.return_to, self.created.as_millis());
        SecretBytes::json(&parts).map_err(|_| Error::internal("a sign-in cannot be written"))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (state, nonce, verifier, return_to, created): (String, String, String, String, i64) =
            serde_json::from_slice(bytes).ok()?;
        let (verifier, created) = (CodeVerifier::new(verifier), Timestamp::from_millis(created));
        Some(Self { state, nonce, verifier, return_to, created })
    }
}

#[cfg(test)]
mod tests;
