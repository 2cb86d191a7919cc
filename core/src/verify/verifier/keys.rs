//! Where a verifier's keys come from: given, at an address, or found through the issuer's metadata.

use std::sync::Arc;
use std::time::Duration;

use super::super::introspection::Introspection;
use super::super::jwks::{self, KeySet};
use super::super::kept::{Brought, Fetched, Kept};
use super::Inner;
use crate::clock::Timestamp;
use crate::discovery;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::metadata::ServerMetadata;
use crate::transport::{HttpTransport, Reply};

/// How long keys are kept where the issuer does not say.
const KEYS_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Bounds of what it says (`Cache-Control: max-age`): a key that was withdrawn must stop within a day.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long metadata is kept: it changes with a new release of the issuer, not with its keys.
const METADATA_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What a signature is checked with.
#[derive(Debug)]
pub(super) struct Material {
    /// `iss`, as the issuer itself writes it.
    pub(super) issuer: String,
    pub(super) keys: KeySet,
}

pub(super) enum Keys {
    /// Given, once and for all.
    Given(Arc<Fetched<Material>>),
    /// Fetched from the issuer.
    Remote(Remote),
}

pub(super) struct Remote {
    /// `jwks_uri`, where the metadata is not asked for it.
    pub(super) uri: Option<String>,
    /// Whether plaintext addresses beyond this machine are accepted.
    pub(super) plaintext: bool,
    pub(super) keys: Arc<Kept<Material>>,
    pub(super) metadata: Arc<Kept<ServerMetadata>>,
}

/// What a fetch needs, owned: it runs in a task of its own.
#[derive(Clone)]
struct Errand {
    issuer: String,
    uri: Option<String>,
    plaintext: bool,
    metadata: Arc<Kept<ServerMetadata>>,
    transport: Arc<dyn HttpTransport>,
}

impl Keys {
    /// The keys, if they need no fetch.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<Arc<Fetched<Material>>> {
        match self {
            Self::Given(material) => Some(Arc::clone(material)),
            Self::Remote(remote) => remote.keys.fresh(now),
        }
    }

    /// Whether a later fetch can bring other keys.
    pub(super) fn can_change(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    pub(super) async fn get(&self, inner: &Inner, now: Timestamp) -> Result<Arc<Fetched<Material>>> {
        match self {
            Self::Given(material) => Ok(Arc::clone(material)),
            Self::Remote(remote) => {
                let errand = remote.errand(inner);
                remote.keys.get(now, move || errand.material(now)).await
            }
        }
    }

    pub(super) async fn newer(&self, inner: &Inner, now: Timestamp, than: u64) -> Option<Arc<Fetched<Material>>> {
        match self {
            Self::Given(_) => None,
            Self::Remote(remote) => {
                let errand = remote.errand(inner);
                remote.keys.newer(now, than, move || errand.material(now)).await
            }
        }
    }

    /// Where to ask about an opaque token, and the issuer that replies must name.
    pub(super) async fn introspection_endpoint(
        &self,
        inner: &Inner,
        introspection: &Introspection,
        now: Timestamp,
    ) -> Result<(String, String)> {
        if let Some(endpoint) = introspection.fixed_endpoint() {
            return Ok((endpoint.to_owned(), inner.issuer.clone()));
        }
        let missing = || {
            Error::new(ErrorKind::Server, "metadata_incomplete", "the issuer has no introspection_endpoint")
                .with_endpoint(&inner.issuer)
                .with_next("Give the endpoint, or have the issuer write JWT access tokens for this audience")
        };
        let Self::Remote(remote) = self else { return Err(missing()) };
        let metadata = remote.errand(inner).metadata(now).await?;
        let endpoint = metadata.value.introspection_endpoint.clone().ok_or_else(missing)?;
        Ok((endpoint, metadata.value.issuer.clone().unwrap_or_else(|| inner.issuer.clone())))
    }
}

impl Remote {
    fn errand(&self, inner: &Inner) -> Errand {
        Errand {
            issuer: inner.issuer.clone(),
            uri: self.uri.clone(),
            plaintext: self.plaintext,
            metadata: Arc::clone(&self.metadata),
            transport: Arc::clone(&inner.transport),
        }
    }
}

impl Errand {
    async fn metadata(&self, now: Timestamp) -> Result<Arc<Fetched<ServerMetadata>>> {
        let this = self.clone();
        let fetch = move || async move {
            let found = discovery::metadata_of(&*this.transport, &this.issuer, this.plaintext).await?;
            Ok((found, METADATA_LIFETIME))
        };
        self.metadata.get(now, fetch).await
    }

    async fn material(self, now: Timestamp) -> Brought<Material> {
        let (issuer, uri) = match &self.uri {
            Some(uri) => (self.issuer.clone(), Some(uri.clone())),
            None => {
                let metadata = self.metadata(now).await?;
                let issuer = metadata.value.issuer.clone().unwrap_or_else(|| self.issuer.clone());
                (issuer, metadata.value.jwks_uri.clone())
            }
        };
        // An issuer without keys has opaque tokens only.
        let Some(uri) = uri else { return Ok((Material { issuer, keys: KeySet::default() }, METADATA_LIFETIME)) };
        let reply = jwks::get(&*self.transport, &uri).await?;
        let keys = KeySet::from_reply(&reply, &uri)?;
        Ok((Material { issuer, keys }, lifetime(&reply)))
    }
}

/// `Cache-Control: max-age` (RFC 9111 section 5.2.2.1), within bounds.
fn lifetime(reply: &Reply) -> Duration {
    let directives = reply.headers.get_all(http::header::CACHE_CONTROL).into_iter().filter_map(|one| one.to_str().ok());
    let mut found = KEYS_LIFETIME;
    for directive in directives.flat_map(|line| line.split(',')).map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return SHORTEST;
        }
        if name.eq_ignore_ascii_case("max-age")
            && let Ok(seconds) = value.trim_matches('"').parse()
        {
            found = Duration::from_secs(seconds);
        }
    }
    found.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests;
