//! `flyte-auth serve`: the auth plane in front of a Flyte deployment. Signs people in at an OpenID provider, issues and
//! checks tokens, and lets through what is proved to services behind.
//!
//! One process, one configuration at a time ([`plane`]): a change of a file makes a new one beside it, and the requests
//! in work keep theirs. What outlives a configuration is the database, the sessions, the listeners.

mod answers;
mod assemble;
mod browser;
mod caller;
mod certificate;
mod cors;
mod external;
mod identity;
mod meters;
mod plane;
mod probes;
mod reload;
mod tokens;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State as Extracted};
use axum::response::Response;
use flyte_auth::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use flyte_auth::error::Result;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::assemble::Shared;
use self::certificate::Certificate;
use self::meters::Meters;
use self::plane::Plane;
use crate::config::model::{AuthServer, ServeConfig};
use crate::config::{self, Loaded, Source};
use crate::listen::{Limits, Port};
use crate::metrics::Metrics;
use crate::peer;
use crate::state::{Audit, Memory, Sessions, Sqlite, State, keep_pruned};

/// How long the audit trail may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often what lapsed is removed.
const PRUNE: Duration = Duration::from_secs(300);

/// Looks up an environment variable.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What `serve` is told by its command line.
pub struct Options {
    /// `--config`, in order.
    pub sources: Vec<Source>,
    /// Environment variables, by name.
    pub environment: Environment,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Options {
    /// With these sources, this process's environment, and the operating system's time and randomness.
    pub fn new(sources: Vec<Source>) -> Self {
        Self {
            sources,
            environment: Arc::new(|name| std::env::var(name).ok()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }

    /// Reads the configuration; nothing is started.
    ///
    /// # Errors
    /// Kind `Config`, naming the setting.
    pub fn load(&self) -> Result<Loaded> {
        config::load(&self.sources, &*self.environment)
    }

    /// Reads the configuration and puts it together: whatever is wrong with it is found. Nothing is started.
    ///
    /// # Errors
    /// As [`Options::load`].
    #[expect(clippy::unused_async, reason = "parts of the plane need a runtime to be made")]
    pub async fn check(&self) -> Result<Loaded> {
        let loaded = self.load()?;
        let state: Arc<dyn State> = Arc::new(Memory::default());
        assemble::plane(&loaded.config, &self.shared(state))?;
        if let Some(files) = &loaded.config.server.tls {
            Certificate::open(files)?;
        }
        Ok(loaded)
    }

    fn shared(&self, state: Arc<dyn State>) -> Shared {
        Shared {
            sessions: Arc::new(Sessions::new(Arc::clone(&state), Arc::clone(&self.clock))),
            audit: Audit::new(Arc::clone(&state), Arc::clone(&self.clock)),
            metrics: Arc::new(Metrics::default()),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            state,
        }
    }
}

/// Where everything is, once it is there: the first line on standard output of `flyte-auth serve`.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Ready {
    /// Base URL over HTTP; null where TLS is on.
    pub http: Option<String>,
    /// Base URL over HTTPS, where TLS is on.
    pub https: Option<String>,
    /// Host and port for gRPC.
    pub grpc: String,
    /// As the sandbox names it; always null: the certificate is the administrator's own.
    pub ca_cert: Option<PathBuf>,
    /// The issuer of the tokens of the first authorized URI; null where another server issues them.
    pub issuer: Option<String>,
    /// As the sandbox names it; always null.
    pub admin: Option<String>,
    /// Where Prometheus reads.
    pub metrics: Option<String>,
    /// Ids of the registered clients.
    pub clients: Vec<String>,
    /// As the sandbox names it; always empty: people are known to the identity provider.
    pub users: Vec<String>,
}

/// What every request finds.
struct Front {
    plane: ArcSwap<Plane>,
    meters: Arc<Meters>,
}

async fn front(Extracted(front): Extracted<Arc<Front>>, request: Request) -> Response {
    let _in_work = front.meters.begin();
    let began = tokio::time::Instant::now();
    let route = meters::route(request.uri().path());
    let asked =
        tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let plane = front.plane.load_full();
    let response = peer::within(peer, plane.handle(request)).await;
    let took = began.elapsed();
    front.meters.answered(route, response.status(), took);
    if let Some((method, path)) = asked {
        // Without its query, which may hold a code.
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(%method, path, status = response.status().as_u16(), millis, "a request");
    }
    response
}

struct Ports {
    http: Port,
    /// With TLS one port speaks both.
    grpc: Option<Port>,
    metrics: Option<Port>,
}

impl Ports {
    async fn bind(config: &ServeConfig) -> Result<Self> {
        let address = &config.server.address;
        let http = Port::bind_at(address, config.server.http_port, "server.httpPort").await?;
        let grpc = match config.server.tls {
            Some(_) => None,
            None => Some(Port::bind_at(address, config.server.grpc_port, "server.grpc.port").await?),
        };
        let metrics = match config.gateway.metrics_port {
            Some(port) => Some(Port::bind_at(address, port, "gateway.metricsPort").await?),
            None => None,
        };
        Ok(Self { http, grpc, metrics })
    }

    fn ready(&self, config: &ServeConfig, plane: &Plane) -> Ready {
        let host = match config.server.address.as_str() {
            "0.0.0.0" | "::" => "127.0.0.1",
            address => address,
        };
        let at = |port: u16| format!("{host}:{port}");
        let tls = config.server.tls.is_some();
        let (clients, own) = match &config.app_auth.server {
            AuthServer::Own(own) => (own.clients.iter().map(|client| client.id.clone()).collect(), true),
            AuthServer::External(_) => (Vec::new(), false),
        };
        Ready {
            http: (!tls).then(|| format!("http://{}", at(self.http.number))),
            https: tls.then(|| format!("https://{}", at(self.http.number))),
            grpc: at(self.grpc.as_ref().unwrap_or(&self.http).number),
            ca_cert: None,
            issuer: plane.sites.iter().next().filter(|_| own).map(|site| site.issuer.clone()),
            admin: None,
            metrics: self.metrics.as_ref().map(|port| format!("http://{}/metrics", at(port.number))),
            clients,
            users: Vec::new(),
        }
    }
}

/// Serves until `stop` completes; `on_ready` gets the ready line's content, and what the configuration's report says,
/// once every port answers.
///
/// # Errors
/// Kind `Config`: a setting is wrong, a port is taken. Kind `Store`: the database is unusable.
pub async fn run(
    options: Options,
    on_ready: impl FnOnce(&Ready, &Loaded),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let loaded = options.load()?;
    let config = &loaded.config;
    let state: Arc<dyn State> = match &config.gateway.database {
        Some(path) => Arc::new(Sqlite::open(Some(path)).await?),
        None => Arc::new(Memory::default()),
    };
    let shared = options.shared(Arc::clone(&state));
    let plane = assemble::plane(config, &shared)?;
    let certificate = config.server.tls.as_ref().map(Certificate::open).transpose()?;
    let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose()?;
    let ports = Ports::bind(config).await?;
    let ready = ports.ready(config, &plane);
    let meters = Arc::new(Meters::new(Arc::clone(&shared.metrics), shared.audit.clone()));
    let front_of = Arc::new(Front { plane: ArcSwap::from_pointee(plane), meters: Arc::clone(&meters) });
    let app = Router::new().fallback(front).with_state(Arc::clone(&front_of));

    let limits = Limits {
        headers: config.server.read_header_timeout,
        drain: config.server.graceful_shutdown,
        ..Limits::default()
    };
    let (stopping, stopped) = watch::channel(false);
    let mut serving = JoinSet::new();
    if let Some(port) = ports.metrics {
        serving.spawn(port.serve(None, meters.router(), limits, stopped.clone()));
    }
    if let Some(grpc) = ports.grpc {
        serving.spawn(grpc.serve(None, app.clone(), limits, stopped.clone()));
    }
    serving.spawn(ports.http.serve(acceptor, app, limits, stopped.clone()));
    let clock = Arc::clone(&options.clock);
    serving.spawn(keep_pruned(Arc::clone(&state), clock, PRUNE, stopped.clone()));
    let watcher = reload::Watcher {
        shared: shared.clone(),
        front: front_of,
        certificate,
        sources_changed: reload::Seen::of(&loaded.config.watched),
        options,
        refused: None,
        listeners: loaded.config.server.clone(),
    };
    serving.spawn(watcher.watch(stopped));

    on_ready(&ready, &loaded);
    stop.await;
    tracing::info!("stopping: no new connections, requests in work may end");
    let _ = stopping.send(true);
    while serving.join_next().await.is_some() {}
    // What was granted is in the trail before the process ends.
    if !shared.audit.shutdown(LAST_WORDS).await {
        tracing::error!("the audit trail was not written to its end");
    }
    Ok(())
}
