//! What a verifier is told.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::super::access_token::Profile;
use super::super::algorithm::Algorithm;
use super::super::claims::CLOCK_SKEW;
use super::super::introspection::Introspection;
use super::super::jwks::KeySet;
use super::super::kept::{Fetched, Kept};
use super::super::memory::Memory;
use super::keys::{Keys, Material, Remote};
use super::{Inner, Verifier};
use crate::clock::{Clock, SystemClock};
use crate::config::NetworkConfig;
use crate::discovery;
use crate::error::{Error, Result};
use crate::transport::HttpTransport;
use crate::transport::reqwest::ReqwestTransport;

/// Tokens that are remembered, unless said otherwise.
const REMEMBERED: usize = 4096;
/// A larger difference of clocks than this (5 minutes) is a mistake, not a tolerance.
const LARGEST_SKEW: Duration = Duration::from_secs(300);

/// Makes a [`Verifier`].
#[derive(Debug)]
#[must_use]
pub struct VerifierBuilder {
    issuer: String,
    audience: Vec<String>,
    any_audience: bool,
    keys: Option<KeySet>,
    jwks_uri: Option<String>,
    algorithms: Option<Vec<Algorithm>>,
    profile: Profile,
    skew: Duration,
    required_scopes: Vec<String>,
    introspection: Option<Introspection>,
    remembered: usize,
    plaintext: bool,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Arc<dyn Clock>,
}

impl VerifierBuilder {
    pub(super) fn new(issuer: String) -> Self {
        Self {
            issuer,
            audience: Vec::new(),
            any_audience: false,
            keys: None,
            jwks_uri: None,
            algorithms: None,
            profile: Profile::default(),
            skew: CLOCK_SKEW,
            required_scopes: Vec::new(),
            introspection: None,
            remembered: REMEMBERED,
            plaintext: false,
            transport: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// An `aud` that is accepted; call it again for another one. What this service is called at the issuer.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// Accepts a token for any audience. Then a token that its holder got for another service opens this one too: only
    /// for a service that looks at [`super::VerifiedToken::audience`] itself.
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// The keys, in place of those that the issuer publishes. They never change.
    pub fn jwks(mut self, keys: KeySet) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Where the keys are, in place of the `jwks_uri` of the issuer's metadata.
    pub fn jwks_uri(mut self, uri: impl Into<String>) -> Self {
        self.jwks_uri = Some(uri.into());
        self
    }

    /// The algorithms that are accepted; all of [`Algorithm::ALL`] unless said. Every key is bound to its own besides.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// How much an access token must say of itself.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// How wrong the issuer's clock or this machine's may be: 60 s unless said, at most 300 s.
    pub fn clock_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// A scope that every access token must have; call it again for another one.
    pub fn required_scope(mut self, scope: impl Into<String>) -> Self {
        self.required_scopes.push(scope.into());
        self
    }

    /// Asks the authorization server about tokens that are no JWTs (RFC 7662); its word is believed for 30 s.
    pub fn introspection(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(introspection);
        self
    }

    /// About how many verified tokens are remembered (by hash): 4096 unless said; 0 remembers none.
    pub fn remember(mut self, tokens: usize) -> Self {
        self.remembered = tokens;
        self
    }

    /// Accepts addresses without TLS beyond this machine. Whoever is on the way can then make keys of his own.
    pub fn plaintext(mut self, accepted: bool) -> Self {
        self.plaintext = accepted;
        self
    }

    /// Carries the calls to the issuer; unless said, the one client factory with the environment's proxies.
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The time; unless said, the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The verifier. Connects to nothing yet.
    ///
    /// # Errors
    /// Kind `Config`: no audience, an issuer or address that is no URL or is plaintext beyond this machine, no algorithm,
    /// or a clock skew above 300 s.
    pub fn build(self) -> Result<Verifier> {
        let given = [
            ("issuer", "issuer_invalid", Some(self.issuer.as_str())),
            ("jwks_uri", "jwks_uri_invalid", self.jwks_uri.as_deref()),
            (
                "introspection_endpoint",
                "introspection_endpoint_invalid",
                self.introspection.as_ref().and_then(Introspection::fixed_endpoint),
            ),
        ];
        for (setting, code, address) in given {
            if let Some(Err(what)) = address.map(|address| discovery::check_address(address, self.plaintext)) {
                return Err(Error::config(code, setting, format!("the {setting} {what}"))
                    .with_next("Give an https:// address, or allow plaintext by name where it must be"));
            }
        }
        if !self.audience.is_empty() && self.any_audience {
            return Err(Error::config(
                "audience_ambiguous",
                "any_audience",
                "an audience is given, and any is accepted",
            )
            .with_next("Give one of the two"));
        }
        if (self.audience.is_empty() && !self.any_audience) || self.audience.iter().any(String::is_empty) {
            return Err(Error::config("audience_missing", "audience", "a verifier needs an audience")
                .with_next("Give the `aud` that the issuer writes for this service, or accept any by name"));
        }
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config("algorithms_missing", "algorithms", "a verifier needs an algorithm"));
        }
        if self.skew > LARGEST_SKEW {
            return Err(Error::config("clock_skew_invalid", "clock_skew", "the clock skew is above 300 s")
                .with_next("Set the machine's clock right, and allow for 300 s at most"));
        }
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(ReqwestTransport::new(&NetworkConfig::default())?),
        };
        let keys = match self.keys {
            Some(keys) => Keys::Given(Arc::new(Fetched::given(Material { issuer: self.issuer.clone(), keys }))),
            None => Keys::Remote(Remote {
                uri: self.jwks_uri,
                plaintext: self.plaintext,
                keys: Arc::new(Kept::default()),
                metadata: Arc::new(Kept::default()),
            }),
        };
        let inner = Inner {
            issuer: self.issuer,
            audience: self.audience,
            algorithms: self.algorithms,
            profile: self.profile,
            skew: self.skew,
            required_scopes: self.required_scopes,
            keys,
            introspection: self.introspection,
            memory: Memory::new(self.remembered),
            last_header: ArcSwapOption::empty(),
            transport,
            clock: self.clock,
        };
        Ok(Verifier { inner: Arc::new(inner) })
    }
}
