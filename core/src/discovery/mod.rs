//! Which generation of Flyte answers at an endpoint, and where its authorization server is.
//!
//! Probe order: Flyte 2 over Connect; gRPC, where one round trip asks both generations and Flyte 2 wins; REST. "Not
//! here" (404, 405, 415, 501, 505, UNIMPLEMENTED, another HTTP version) goes on and ends as "no auth"; a proxy or a page
//! in front (401, 403, redirect, HTML) and a server in trouble (5xx, 429) go on too, because a deployment may let only
//! some of the paths through, but end as that error. No answer at all (DNS, TLS, refused, timeout) stops at once.

pub(crate) mod cache;
mod issuer;
mod probe;
#[cfg(test)]
mod tests;
mod user_info;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

pub use cache::{AUTH_LIFETIME, NO_AUTH_LIFETIME};
pub use user_info::UserInfo;

use crate::clock::Clock;
use crate::config::NetworkConfig;
use crate::config::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::firewall::address::usable;
use crate::firewall::{Plaintext, next_for};
use crate::protocol::metadata::{PublicClientConfig, ServerMetadata};
use crate::transport::HttpTransport;
use cache::Cache;

/// A generation of Flyte's auth API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Generation {
    /// `flyteidl.service.AuthMetadataService`.
    #[serde(rename = "1")]
    Flyte1,
    /// `flyteidl2.auth.AuthMetadataService`.
    #[serde(rename = "2")]
    Flyte2,
}

/// What discovery found. "No auth here" is an answer, not an error.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Discovery {
    /// The endpoint answers and has no auth.
    NoAuth {
        /// The generation, where the answer tells.
        generation: Option<Generation>,
    },
    /// The endpoint, or the issuer given by `--issuer`, has an authorization server.
    Auth(Box<ServerAuth>),
}

/// An authorization server and Flyte's own wishes for its public client.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServerAuth {
    /// The generation; `None` when `--issuer` skipped Flyte's discovery.
    pub generation: Option<Generation>,
    /// Authorization server metadata.
    pub metadata: ServerMetadata,
    /// Public client config; all empty when `--issuer` skipped Flyte's discovery.
    pub public_client: PublicClientConfig,
}

/// What to discover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A Flyte endpoint.
    Endpoint(Endpoint),
    /// An issuer (`--issuer`).
    Issuer(String),
}

impl Target {
    /// Identity for the cache.
    fn key(&self) -> String {
        match self {
            Self::Endpoint(endpoint) => format!("endpoint {}", endpoint.base_url()),
            Self::Issuer(issuer) => format!("issuer {issuer}"),
        }
    }
}

/// The metadata of `issuer` for a program that verifies its tokens: not remembered, and no token endpoint is needed.
/// `plaintext` accepts addresses without TLS beyond this machine.
pub(crate) async fn metadata_of(
    transport: &dyn HttpTransport,
    issuer: &str,
    plaintext: bool,
) -> Result<ServerMetadata> {
    issuer::fetch(transport, issuer, Plaintext::accepted(plaintext)).await
}

/// Whether calls may go to `address`; else what is wrong with it.
pub(crate) fn check_address(address: &str, plaintext: bool) -> Result<(), &'static str> {
    usable(address, Plaintext::accepted(plaintext)).map(drop)
}

/// Discovers, and remembers what it found in memory and on disk. One request at a time for each target: whoever asks
/// meanwhile waits for that one.
#[derive(Debug)]
pub struct Discoverer {
    transport: Arc<dyn HttpTransport>,
    cache: Cache,
    plaintext: Plaintext,
    /// Told apart in the cache: what a call without certificate checks was told must not serve one with them.
    seen_through: String,
}

impl Discoverer {
    /// `cache_dir` is the folder for the metadata cache (it may not exist yet); without one only memory remembers.
    pub fn new(transport: Arc<dyn HttpTransport>, clock: Arc<dyn Clock>, cache_dir: Option<PathBuf>) -> Self {
        Self {
            transport,
            cache: Cache::new(clock, cache_dir),
            plaintext: Plaintext::LoopbackOnly,
            seen_through: String::new(),
        }
    }

    /// Addresses without TLS are accepted beyond this machine too, if the user said so.
    #[must_use]
    pub fn plaintext(mut self, plaintext: Plaintext) -> Self {
        self.plaintext = plaintext;
        self
    }

    /// What is remembered is kept apart for these network settings.
    #[must_use]
    pub fn seen_through(mut self, network: &NetworkConfig) -> Self {
        let unchecked = network.insecure_skip_verify.as_ref().is_some_and(|skip| skip.value);
        let ca = network.ca_cert.as_ref().map(|ca| ca.value.display().to_string());
        self.seen_through = match (unchecked, ca) {
            (true, _) => " without certificate checks".to_owned(),
            (false, Some(ca)) => format!(" by the CA {ca}"),
            (false, None) => String::new(),
        };
        self
    }

    fn key(&self, target: &Target) -> String {
        format!("{}{}", target.key(), self.seen_through)
    }

    /// What is at `target`: from the cache while it is fresh ([`AUTH_LIFETIME`], [`NO_AUTH_LIFETIME`]), else from the
    /// network.
    ///
    /// # Errors
    /// Kind `Config`, code `issuer_invalid`; kind `Network` if nobody answers; kind `Server` with code `proxy_in_front` (401, 403, redirect, HTML),
    /// `unavailable` or `too_many_requests` (retryable), `malformed`, `metadata_incomplete`, `metadata_refused` (an
    /// address in it that must not be used), `issuer_mismatch`, `no_metadata` (an issuer without any).
    pub async fn discover(&self, target: &Target) -> Result<Discovery> {
        let key = self.key(target);
        if let Some(found) = self.cache.fresh(&key) {
            return Ok(found);
        }
        let _turn = self.cache.turn(&key).await;
        if let Some(found) = self.cache.fresh(&key) {
            return Ok(found);
        }
        let transport = self.transport.as_ref();
        let found = match target {
            Target::Endpoint(endpoint) => probe::endpoint(transport, endpoint, self.plaintext).await?,
            Target::Issuer(issuer) => {
                if let Err(what) = usable(issuer, self.plaintext) {
                    let next = "Give it as the authorization server writes it: --issuer https://HOST/PATH";
                    return Err(Error::config("issuer_invalid", "--issuer", format!("the issuer {what}"))
                        .with_next(next_for(what, next)));
                }
                let metadata = issuer::fetch(transport, issuer, self.plaintext).await?;
                Discovery::Auth(Box::new(ServerAuth {
                    generation: None,
                    metadata: issuer::complete(metadata, issuer)?,
                    public_client: PublicClientConfig::default(),
                }))
            }
        };
        self.cache.keep(&key, &found);
        Ok(found)
    }

    /// What is known of `target` without the network, however old it is.
    pub fn cached(&self, target: &Target) -> Option<Discovery> {
        self.cache.any(&self.key(target))
    }

    /// Forgets `target` because the server's behaviour contradicts what is remembered; `true` if there was anything.
    pub fn forget(&self, target: &Target) -> bool {
        self.cache.forget(&self.key(target))
    }

    /// The issuer's own metadata (RFC 8414, OpenID Connect Discovery), which has what Flyte's messages leave out. The
    /// issuer came out of a server's answer: without the user's word plaintext is refused unless it is on this machine.
    ///
    /// # Errors
    /// As [`Discoverer::discover`].
    pub async fn issuer_metadata(&self, issuer: &str) -> Result<ServerMetadata> {
        let key = format!("own metadata of {issuer}{}", self.seen_through);
        let _turn = self.cache.turn(&key).await;
        if let Some(Discovery::Auth(server)) = self.cache.fresh(&key) {
            return Ok(server.metadata);
        }
        let metadata = issuer::fetch(self.transport.as_ref(), issuer, self.plaintext).await?;
        let public_client = PublicClientConfig::default();
        let found = ServerAuth { generation: None, metadata, public_client };
        self.cache.keep(&key, &Discovery::Auth(Box::new(found.clone())));
        Ok(found.metadata)
    }

    /// The identity as the server sees it: Flyte's `UserInfo` (gRPC or Connect, `/me` behind it), or the issuer's user
    /// info endpoint. `header_value` is the whole value (`Bearer …`).
    ///
    /// # Errors
    /// Kind `Denied`, code `unauthenticated` (401, gRPC 16) or `permission_denied` (403, gRPC 7); kind `Server`, code
    /// `unimplemented` if the server cannot tell, and the others of [`Discoverer::discover`].
    pub async fn user_info(
        &self,
        target: &Target,
        discovery: &Discovery,
        header_name: &str,
        header_value: &str,
    ) -> Result<UserInfo> {
        user_info::ask((self.transport.as_ref(), self.plaintext), target, discovery, header_name, header_value).await
    }
}
