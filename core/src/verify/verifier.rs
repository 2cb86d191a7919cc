//! The verifier of a service that receives tokens: one issuer, its keys kept fresh, what was verified remembered.

mod builder;
mod keys;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
pub use builder::VerifierBuilder;
use keys::{Keys, Material};

use super::access_token::{self, Expectations, Profile, VerifiedToken};
use super::algorithm::Algorithm;
use super::id_token;
use super::introspection::{self, Introspection};
use super::jws::{self, Header, Jws};
use super::kept::Fetched;
use super::logout_token::{self, LogoutClaims};
use super::memory::{self, Entry, Ground, Hash, Hashed, Memory};
use super::refusal::{Refusal, RefusalKind};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::{AccessToken, IdToken};
use crate::transport::HttpTransport;

/// How long the authorization server's word on an opaque token is believed, if the token lives that long.
const INTROSPECTION_LIFETIME: Duration = Duration::from_secs(30);

/// Verifies tokens of one issuer. Cheap to clone; made by [`Verifier::builder`].
///
/// ```no_run
/// # async fn example() -> flyte_auth::Result<()> {
/// use flyte_auth::protocol::secret::AccessToken;
/// use flyte_auth::verify::Verifier;
///
/// let verifier = Verifier::builder("https://idp.example").audience("https://flyte.example").build()?;
/// let token = verifier.verify(&AccessToken::new("eyJ…")).await?;
/// println!("{:?} may {:?}", token.subject(), token.scopes());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    audience: Vec<String>,
    algorithms: Option<Vec<Algorithm>>,
    profile: Profile,
    skew: Duration,
    required_scopes: Vec<String>,
    keys: Keys,
    introspection: Option<Introspection>,
    memory: Memory,
    /// An issuer writes the same header until its key changes: it is parsed once.
    last_header: ArcSwapOption<KnownHeader>,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
}

/// A header that was accepted, and its text.
struct KnownHeader {
    text: Box<str>,
    header: Header,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.inner.issuer)
            .field("audience", &self.inner.audience)
            .field("profile", &self.inner.profile)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier of tokens that `issuer` signs: `iss`, exactly as the issuer writes it.
    pub fn builder(issuer: impl Into<String>) -> VerifierBuilder {
        VerifierBuilder::new(issuer.into())
    }

    /// Verifies an access token (RFC 9068, RFC 7662): a JWT by its signature, another one by asking the authorization
    /// server, where [`VerifierBuilder::introspection`] allows it.
    ///
    /// # Errors
    /// Kind `Denied` for a token that is not good, with the failed check as the code (`token_expired`,
    /// `token_audience`, …, `insufficient_scope`); kind `Network` or `Server` if the issuer's keys or its word cannot be
    /// had, which says nothing of the token.
    pub async fn verify(&self, token: &AccessToken) -> Result<Arc<VerifiedToken>> {
        if let Some(answer) = self.verify_now(token) {
            return answer;
        }
        let inner = &*self.inner;
        let text = token.expose(); // EXPOSE: verified here.
        let hashed = memory::hash(text);
        let header = match inner.accepted_header(text) {
            Ok(header) => header,
            Err(refusal) if refusal.kind() == RefusalKind::Malformed => {
                return self.introspect(token, hashed.whole).await;
            }
            Err(refusal) => return Err(inner.denied(refusal)),
        };
        let now = inner.clock.now();
        let material = inner.keys.get(inner, now).await?;
        if material.value.keys.is_empty() && inner.introspection.is_some() {
            return self.introspect(token, hashed.whole).await;
        }
        if let Some(found) = inner.remembered(&hashed.whole, now, &material) {
            return Ok(found);
        }
        match inner.check_jwt(text, &hashed, &header, &material, now) {
            Err(refusal) if refusal.kind() == RefusalKind::KeyUnknown => {
                match inner.keys.newer(inner, now, material.number).await {
                    Some(newer) => inner.check_jwt(text, &hashed, &header, &newer, now),
                    None => Err(refusal),
                }
            }
            outcome => outcome,
        }
        .map_err(|refusal| inner.denied(refusal))
    }

    /// As [`Verifier::verify`], where that needs no waiting: the keys are fresh or the token is remembered. `None` if
    /// the network has to be asked.
    pub fn verify_now(&self, token: &AccessToken) -> Option<Result<Arc<VerifiedToken>>> {
        let inner = &*self.inner;
        let text = token.expose(); // EXPOSE: verified here.
        if text.len() > jws::MAX_TOKEN {
            return Some(Err(inner.denied(Refusal::new(RefusalKind::TooLarge, "it is too large"))));
        }
        let now = inner.clock.now();
        let hashed = memory::hash(text);
        let Some(material) = inner.keys.fresh(now) else {
            // Of a remembered JWT nothing can be said without the keys.
            let vouched = inner
                .memory
                .get(&hashed.whole, now, |entry| if entry.key.is_none() { Ground::Holds } else { Ground::Unknown });
            return vouched.map(Ok);
        };
        if let Some(found) = inner.remembered(&hashed.whole, now, &material) {
            return Some(Ok(found));
        }
        let outcome =
            inner.accepted_header(text).and_then(|header| inner.check_jwt(text, &hashed, &header, &material, now));
        match outcome {
            Ok(found) => Some(Ok(found)),
            // Another key set may have it; the authorization server may know it.
            Err(refusal) if refusal.kind() == RefusalKind::KeyUnknown && inner.keys.can_change() => None,
            Err(refusal) if refusal.kind() == RefusalKind::Malformed && inner.introspection.is_some() => None,
            Err(refusal) => Some(Err(inner.denied(refusal))),
        }
    }

    async fn introspect(&self, token: &AccessToken, hash: Hash) -> Result<Arc<VerifiedToken>> {
        let inner = &*self.inner;
        let text = token.expose(); // EXPOSE: looked at before it is sent.
        let Some(introspection) = inner.introspection.as_ref().filter(|_| introspection::is_opaque(text)) else {
            return Err(inner.denied(jws::malformed("it is no JWT")));
        };
        let now = inner.clock.now();
        let (endpoint, issuer) = inner.keys.introspection_endpoint(inner, introspection, now).await?;
        let reply = introspection.ask(&*inner.transport, &endpoint, token).await?;
        let now = inner.clock.now();
        let read = introspection::read(reply, &inner.expected(&issuer), now);
        let found = read.and_then(|found| inner.with_scopes(found)).map_err(|refusal| inner.denied(refusal))?;
        let found = Arc::new(found);
        let believed = now.plus(INTROSPECTION_LIFETIME);
        let until = found.expires_at().map_or(believed, |at| at.min(believed));
        inner.memory.keep(hash, Entry { token: Arc::clone(&found), until, from: now.minus(inner.skew), key: None });
        Ok(found)
    }

    /// Verifies an ID token for the client `client_id` (OpenID Connect Core section 3.1.3.7). `nonce` is the one that
    /// was sent, `access_token` the one that came with it.
    ///
    /// # Errors
    /// Kind `Denied`, code `id_token_invalid`; kind `Network` or `Server` if the keys cannot be had.
    pub async fn verify_id_token(
        &self,
        token: &IdToken,
        client_id: &str,
        nonce: Option<&str>,
        access_token: Option<&AccessToken>,
    ) -> Result<id_token::Claims> {
        let inner = &*self.inner;
        let text = token.expose(); // EXPOSE: verified here.
        let refused = |refusal| id_token::refused(refusal, &inner.issuer);
        inner.accepted_header(text).map_err(refused)?;
        let check = |material: &Material, now| {
            let expected = id_token::Expectations { issuer: &material.issuer, client_id, nonce, access_token };
            id_token::check(text, &expected, &material.keys, now, inner.skew)
        };
        self.with_keys(check).await?.map_err(refused)
    }

    /// Verifies a logout token for the client `client_id` (OpenID Connect Back-Channel Logout 1.0 section 2.6). That it
    /// comes only once is the caller's to check, by [`LogoutClaims::token_id`].
    ///
    /// # Errors
    /// Kind `Denied`, with the failed check as the code; kind `Network` or `Server` if the keys cannot be had.
    pub async fn verify_logout_token(&self, token: &str, client_id: &str) -> Result<LogoutClaims> {
        let inner = &*self.inner;
        inner.accepted_header(token).map_err(|refusal| inner.denied(refusal))?;
        let check = |material: &Material, now| {
            logout_token::validate(token, &material.issuer, client_id, &material.keys, now, inner.skew)
        };
        self.with_keys(check).await?.map_err(|refusal| inner.denied(refusal))
    }

    /// Runs `check` with the keys, and once more with newer ones if it misses a key.
    async fn with_keys<T>(
        &self,
        check: impl Fn(&Material, Timestamp) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>> {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let material = inner.keys.get(inner, now).await?;
        let outcome = check(&material.value, now);
        if outcome.as_ref().is_err_and(|refusal| refusal.kind() == RefusalKind::KeyUnknown)
            && let Some(newer) = inner.keys.newer(inner, now, material.number).await
        {
            return Ok(check(&newer.value, now));
        }
        Ok(outcome)
    }
}

impl Inner {
    fn expected<'a>(&'a self, issuer: &'a str) -> Expectations<'a> {
        Expectations { issuer, audience: &self.audience, profile: self.profile, clock_skew: self.skew }
    }

    /// The header, if its algorithm is one of those that were chosen.
    fn accepted_header(&self, token: &str) -> Result<Arc<KnownHeader>, Refusal> {
        let jws = Jws::cut(token)?;
        if let Some(known) = self.last_header.load_full().filter(|known| *known.text == *jws.header) {
            return Ok(known);
        }
        let header = jws.header()?;
        if self.algorithms.as_ref().is_some_and(|accepted| !accepted.contains(&header.algorithm)) {
            return Err(Refusal::new(RefusalKind::Algorithm, "its signature algorithm is not accepted"));
        }
        Ok(Arc::new(KnownHeader { text: jws.header.into(), header }))
    }

    /// A token verified before, while the key that signed it is still the issuer's.
    fn remembered(&self, hash: &Hash, now: Timestamp, material: &Fetched<Material>) -> Option<Arc<VerifiedToken>> {
        self.memory.get(hash, now, |entry| match &mut entry.key {
            None => Ground::Holds,
            Some((_, number)) if *number == material.number => Ground::Holds,
            Some((key, number)) if material.value.keys.has(key.thumbprint()) => {
                *number = material.number;
                Ground::Holds
            }
            Some(_) => Ground::Gone,
        })
    }

    fn check_jwt(
        &self,
        token: &str,
        hashed: &Hashed,
        known: &Arc<KnownHeader>,
        material: &Fetched<Material>,
        now: Timestamp,
    ) -> Result<Arc<VerifiedToken>, Refusal> {
        let mut jws = Jws::cut(token)?;
        jws.hashed = Some(&hashed.signed);
        let current = &material.value;
        let expected = self.expected(&current.issuer);
        let (found, key) = access_token::verify_cut(&jws, &known.header, &expected, &current.keys, now)?;
        let found = Arc::new(self.with_scopes(found)?);
        // Of a good token only: nobody else can push it out.
        if !self.last_header.load().as_ref().is_some_and(|last| Arc::ptr_eq(last, known)) {
            self.last_header.store(Some(Arc::clone(known)));
        }
        if let Some(times) = found.times {
            let not_before = times.not_before.into_iter().chain(times.issued_at).max();
            let entry = Entry {
                token: Arc::clone(&found),
                until: times.expires_at.plus(self.skew),
                from: not_before.map_or(Timestamp::from_millis(0), |at| at.minus(self.skew)),
                key: Some((Arc::clone(key), material.number)),
            };
            self.memory.keep(hashed.whole, entry);
        }
        Ok(found)
    }

    fn with_scopes(&self, token: VerifiedToken) -> Result<VerifiedToken, Refusal> {
        if self.required_scopes.iter().all(|scope| token.has_scope(scope)) {
            return Ok(token);
        }
        Err(Refusal::new(RefusalKind::InsufficientScope, "a scope that is required here was not granted"))
    }

    fn denied(&self, refusal: Refusal) -> Error {
        let next = match refusal.kind() {
            RefusalKind::InsufficientScope => "Ask the administrator for the scope, then sign in again",
            RefusalKind::Expired => "Get a new token and try again",
            _ => "Sign in again; if it stays, report it to the administrator: this can be an attack or a wrong setting",
        };
        Error::new(ErrorKind::Denied, refusal.code(), format!("the token is not accepted: {}", refusal.why()))
            .with_endpoint(&self.issuer)
            .with_next(next)
    }
}

#[cfg(test)]
mod tests;
