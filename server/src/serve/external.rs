//! `External`: another authorization server issues the tokens. Its metadata is fetched from where the administrator says
//! it is, kept, and handed on; its tokens are verified against its keys, or by asking it.
//!
//! It may be down when this process starts, and come later: flyteadmin ends itself there (facts 8, D33 and D34).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use flyte_auth::Timestamp;
use flyte_auth::clock::Clock;
use flyte_auth::error::{Error, ErrorKind, Result};
use flyte_auth::protocol::json;
use flyte_auth::protocol::metadata::ServerMetadata;
use flyte_auth::transport::{Call, HttpTransport, Purpose};
use flyte_auth::verify::{Introspection, Verifier};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use crate::config::model::ExternalServer;
use crate::sites::Sites;

/// The metadata is asked for again after this.
const FRESH: Duration = Duration::from_secs(300);
/// After a failure nobody asks for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// All tries together take no longer: somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of the server.
pub(super) struct Known {
    /// Its document, as it came.
    pub(super) document: Value,
    /// The same as a type.
    pub(super) metadata: ServerMetadata,
    /// One for each site, by its index.
    pub(super) verifiers: Vec<Verifier>,
}

#[derive(Default)]
struct Kept {
    failed: Option<(Timestamp, Error)>,
}

/// Another authorization server.
pub(super) struct External {
    places: Vec<Url>,
    audience: Vec<Vec<String>>,
    attempts: u32,
    delay: Duration,
    introspection: Option<Introspection>,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    /// What is known and fresh, for every request.
    current: ArcSwapOption<(Timestamp, Arc<Known>)>,
    kept: Mutex<Kept>,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Where the document may be: where `metadataUrl` says, relative to `baseUrl` as flyteadmin resolves it, else at the
/// well-known places below the base (flyteadmin's; OpenID Connect Discovery section 4.1) and before its path (RFC 8414
/// section 3.1).
fn places(settings: &ExternalServer) -> Result<Vec<Url>> {
    let setting = "auth.appAuth.externalAuthServer";
    let invalid = || {
        Error::config("url_invalid", setting, "baseUrl or metadataUrl is no web address")
            .with_next("Write baseUrl as the authorization server's https:// address")
    };
    let mut base = settings.base_url.clone();
    if !base.ends_with('/') {
        base.push('/');
    }
    let base = Url::parse(&base).map_err(|_| invalid())?;
    let named = settings.metadata_url.as_deref();
    let relative: &[&str] = match &named {
        Some(named) => std::slice::from_ref(named),
        None => &[".well-known/oauth-authorization-server", ".well-known/openid-configuration"],
    };
    let mut places = relative.iter().map(|path| base.join(path).map_err(|_| invalid())).collect::<Result<Vec<_>>>()?;
    if named.is_none() && base.path() != "/" {
        let mut inserted = base.clone();
        inserted.set_path(&format!("/.well-known/oauth-authorization-server{}", base.path().trim_end_matches('/')));
        places.push(inserted);
    }
    Ok(places)
}

impl External {
    pub(super) fn new(
        settings: &ExternalServer,
        sites: &Sites,
        transport: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let audience = sites.iter().map(|site| {
            let mut audience = settings.allowed_audience.clone();
            audience.push(site.audience.clone());
            audience
        });
        Ok(Self {
            places: places(settings)?,
            audience: audience.collect(),
            attempts: settings.retry_attempts,
            delay: settings.retry_delay,
            introspection: settings
                .introspection
                .as_ref()
                .map(|(client_id, secret)| Introspection::new(client_id.clone(), secret.clone())),
            transport,
            clock,
            current: ArcSwapOption::empty(),
            kept: Mutex::default(),
        })
    }

    /// What is known: fetched once for all who wait. An old copy serves while a new one cannot be had.
    pub(super) async fn known(&self) -> Result<Arc<Known>> {
        let fresh = |now: Timestamp| {
            let current = self.current.load();
            current.as_ref().filter(|current| now < current.0.plus(FRESH)).map(|current| Arc::clone(&current.1))
        };
        if let Some(known) = fresh(self.clock.now()) {
            return Ok(known);
        }
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        // Somebody else may have fetched it meanwhile.
        if let Some(known) = fresh(now) {
            return Ok(known);
        }
        let paused = kept.failed.as_ref().filter(|(at, _)| *at <= now && now < at.plus(PAUSE));
        let outcome = match paused {
            Some((_, error)) => Err(error.clone()),
            None => match tokio::time::timeout(PATIENCE, self.fetch()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(unusable(&self.places[0], "it does not answer in time").with_retryable(true)),
            },
        };
        match outcome {
            Ok(known) => {
                let known = Arc::new(known);
                self.current.store(Some(Arc::new((self.clock.now(), Arc::clone(&known)))));
                kept.failed = None;
                Ok(known)
            }
            Err(error) => {
                if paused.is_none() {
                    tracing::warn!(%error, "the external authorization server's metadata cannot be had");
                    kept.failed = Some((self.clock.now(), error.clone()));
                }
                self.current.load().as_ref().map(|current| Arc::clone(&current.1)).ok_or(error)
            }
        }
    }

    async fn fetch(&self) -> Result<Known> {
        let mut attempt = 0;
        loop {
            match self.fetch_once().await {
                Err(error) if error.is_retryable() && attempt < self.attempts => {
                    attempt += 1;
                    tokio::time::sleep(self.delay).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn fetch_once(&self) -> Result<Known> {
        let mut first = None;
        for place in &self.places {
            match self.document(place).await {
                Ok(document) => return self.read(place, document),
                // Not here: perhaps at the other place. Anything else would be the same there.
                Err(error) if error.code() == "no_metadata" => first = first.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| Error::internal("no place for the metadata")))
    }

    async fn document(&self, place: &Url) -> Result<Map<String, Value>> {
        let request = http::Request::get(place.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| Error::internal("a metadata address that is no URL"))?;
        let reply =
            self.transport.send(Call::new(Purpose::Discovery, request)).await.map_err(|failure| failure.error)?;
        match reply.status.as_u16() {
            200 => json::parse_object(&reply.body).map_err(|_| unusable(place, "it is not a JSON object")),
            404 | 405 | 410 => {
                Err(Error::new(ErrorKind::Server, "no_metadata", format!("there is no metadata at {place}"))
                    .with_endpoint(place.as_str())
                    .with_next(
                        "Set auth.appAuth.externalAuthServer.metadataUrl, often .well-known/openid-configuration",
                    ))
            }
            status => {
                let retryable = status >= 500 || status == 429 || status == 408;
                Err(unusable(place, &format!("HTTP {status}")).with_retryable(retryable))
            }
        }
    }

    fn read(&self, place: &Url, object: Map<String, Value>) -> Result<Known> {
        let metadata =
            ServerMetadata::from_json(&object).map_err(|_| unusable(place, "its members have wrong types"))?;
        let issuer = metadata.issuer.as_deref().ok_or_else(|| unusable(place, "it names no issuer"))?;
        let verifiers = self
            .audience
            .iter()
            .map(|audience| {
                let mut builder = Verifier::builder(issuer)
                    .transport(Arc::clone(&self.transport))
                    .clock(Arc::clone(&self.clock))
                    // The administrator's address decides; what it names may be in the same cluster.
                    .plaintext(place.scheme() == "http");
                if let Some(uri) = &metadata.jwks_uri {
                    builder = builder.jwks_uri(uri);
                }
                for name in audience {
                    builder = builder.audience(name);
                }
                if let Some(introspection) = &self.introspection {
                    let endpoint = metadata.introspection_endpoint.as_deref();
                    let introspection = introspection.clone();
                    builder = builder.introspection(match endpoint {
                        Some(endpoint) => introspection.endpoint(endpoint),
                        None => introspection,
                    });
                }
                builder.build()
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Known { document: Value::Object(object), metadata, verifiers })
    }
}

fn unusable(place: &Url, why: &str) -> Error {
    Error::new(ErrorKind::Server, "metadata_unusable", format!("the metadata at {place} cannot be used: {why}"))
        .with_endpoint(place.as_str())
        .with_next("Check auth.appAuth.externalAuthServer, and ask the administrator of that server")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_of(base_url: &str, metadata_url: Option<&str>) -> Vec<String> {
        let settings = ExternalServer {
            base_url: base_url.to_owned(),
            metadata_url: metadata_url.map(str::to_owned),
            allowed_audience: Vec::new(),
            http_proxy_url: None,
            retry_attempts: 0,
            retry_delay: Duration::ZERO,
            introspection: None,
        };
        places(&settings).unwrap().into_iter().map(String::from).collect()
    }

    #[test]
    fn metadata_is_looked_for_where_the_file_says_or_at_the_well_known_places() {
        assert_eq!(
            places_of("https://as.example/realms/flyte", None),
            [
                "https://as.example/realms/flyte/.well-known/oauth-authorization-server",
                "https://as.example/realms/flyte/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server/realms/flyte",
            ]
        );
        assert_eq!(places_of("https://as.example", None).len(), 2);
        let relative = places_of("https://as.example/a", Some(".well-known/openid-configuration"));
        assert_eq!(relative, ["https://as.example/a/.well-known/openid-configuration"]);
        let absolute = places_of("https://as.example/a", Some("https://elsewhere.example/m"));
        assert_eq!(absolute, ["https://elsewhere.example/m"]);
    }
}
