//! Another authorization server: the core finds its metadata and keys, and verifies its tokens.

use std::fmt;
use std::sync::Arc;

use flyte_auth::clock::Clock;
use flyte_auth::discovery::Discoverer;
use flyte_auth::error::{Error, ErrorKind, Result};
use flyte_auth::protocol::metadata::ServerMetadata;
use flyte_auth::protocol::secret::AccessToken;
use flyte_auth::transport::HttpTransport;
use flyte_auth::verify::Verifier;
use serde_json::{Map, Value};

use super::Refused;

/// An issuer that is not this process.
pub struct ExternalIssuer {
    url: String,
    discoverer: Discoverer,
    verifier: Verifier,
}

impl fmt::Debug for ExternalIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalIssuer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl ExternalIssuer {
    /// An issuer at `url`. Tokens must name one of `audience`; empty: any audience is taken.
    ///
    /// # Errors
    /// Kind `Config`: `url` is no `https` URL, nor `http` on this machine.
    pub fn new(
        url: &str,
        audience: Vec<String>,
        transport: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let mut builder = Verifier::builder(url).transport(Arc::clone(&transport)).clock(Arc::clone(&clock));
        if audience.is_empty() {
            builder = builder.any_audience();
        }
        for name in audience {
            builder = builder.audience(name);
        }
        let verifier = builder.build().map_err(|error| error.with_setting("--external-issuer"))?;
        Ok(Self { url: url.to_owned(), discoverer: Discoverer::new(transport, clock, None), verifier })
    }

    /// The issuer's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The issuer's metadata.
    ///
    /// # Errors
    /// No answer, or none that is metadata of this issuer.
    pub async fn metadata(&self) -> Result<ServerMetadata> {
        self.discoverer.issuer_metadata(&self.url).await
    }

    /// The claims of a good access token of this issuer.
    ///
    /// # Errors
    /// The token is not good, or the issuer does not answer.
    pub async fn verify(&self, token: &str) -> Result<Map<String, Value>, Refused> {
        match self.verifier.verify(&AccessToken::new(token)).await {
            Ok(verified) => Ok(verified.claims().clone()),
            Err(error) => Err(refused(error)),
        }
    }
}

fn refused(error: Error) -> Refused {
    if error.kind() == ErrorKind::Denied {
        return Refused::Invalid(error.message().to_owned().into());
    }
    tracing::warn!(%error, "the external issuer does not answer");
    Refused::Unavailable
}
