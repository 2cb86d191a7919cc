//! The sandbox: a whole Flyte auth plane on loopback for trying things out and for tests. It asks for no passwords and
//! takes orders to misbehave, so it binds loopback only and shares no constructor with a real server.

mod admin;
pub mod clock;
pub mod faults;
mod issuer;
pub mod options;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use flyte_auth::clock::Clock;
use flyte_auth::error::{Error, Result};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::admin::Admin;
use self::clock::MovableClock;
use self::faults::Faults;
pub use self::issuer::{Issuer, Trusted};
pub use self::options::{ClientSpec, Options};
use crate::authorization_server::{AuthorizationServer, Client, People, Rotate, Secret, Secrets, Settings, paths};
use crate::flyte::{self, FlyteAuth, PublicClient};
use crate::keys::Keys;
use crate::listen::{Limits, Port};
use crate::metrics::Metrics;
use crate::resource::ExternalIssuer;
use crate::sites::{Site, Sites};
use crate::state::{Memory, Sqlite};
use crate::tls::Identity;
use crate::users::{User, Users};
use crate::{private_file, random};

/// A client, as the ready line names it. The secret of a sandbox client is no secret: it is how a test learns it.
#[derive(Clone, Serialize, PartialEq, Eq)]
pub struct ReadyClient {
    /// `client_id`.
    pub id: String,
    /// Its secret; null for a public client.
    pub secret: Option<String>,
    /// Registered redirects.
    pub redirect_uris: Vec<String>,
}

impl std::fmt::Debug for ReadyClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyClient")
            .field("id", &self.id)
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}

/// Where everything is, once it is there: the first line on standard output of `flyte-auth sandbox`.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Ready {
    /// Base URL over HTTP.
    pub http: String,
    /// Base URL over HTTPS, with `--tls`.
    pub https: Option<String>,
    /// Host and port for gRPC: plaintext, or TLS with `--tls`.
    pub grpc: String,
    /// File with the CA to trust, with `--tls`.
    pub ca_cert: Option<PathBuf>,
    /// The issuer of the tokens.
    pub issuer: String,
    /// Base URL of the admin interface.
    pub admin: String,
    /// The clients that are registered.
    pub clients: Vec<ReadyClient>,
    /// The users whom the sign-in page offers.
    pub users: Vec<String>,
}

/// A running sandbox. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Sandbox {
    ready: Ready,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
    /// Removed at the end: the folder of the CA file, where there is no state folder.
    temporary: Option<PathBuf>,
}

/// A sandbox's sessions end with their refresh tokens alone.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Users that are offered where nothing else is said.
const USERS: [&str; 2] = ["alice@example.org", "bob@example.org"];

fn clients(options: &Options) -> Result<Vec<Client>> {
    let mut specs: Vec<ClientSpec> = options::static_clients().into();
    for spec in &options.clients {
        // A client given by the user takes the place of ours with the same name.
        specs.retain(|other| other.id != spec.id);
        specs.push(spec.clone());
    }
    specs.into_iter().map(ClientSpec::into_client).collect()
}

fn users(options: &Options) -> Result<Users> {
    let auto_approve = match &options.auto_approve {
        None => None,
        Some(name) => Some(User::named(name).ok_or_else(|| {
            Error::config("user_invalid", "--auto-approve", "the user is empty, too long or has control characters")
                .with_next("Give a name or an email address")
        })?),
    };
    Ok(Users { known: USERS.iter().filter_map(|name| User::named(name)).collect(), auto_approve })
}

fn check_lifetimes(options: &Options) -> Result<()> {
    for (setting, lifetime) in [
        ("--access-token-lifetime", options.access_token_lifetime),
        ("--refresh-token-lifetime", options.refresh_token_lifetime),
    ] {
        if lifetime.as_secs() == 0 {
            return Err(Error::config("lifetime_invalid", setting, "the lifetime is less than a second")
                .with_next("Give whole seconds, at least 1"));
        }
    }
    Ok(())
}

/// The certificate, its CA's file, and the folder to remove at the end.
fn identity(options: &Options) -> Result<(Identity, PathBuf, Option<PathBuf>)> {
    let now = options.clock.now();
    let (identity, folder, temporary) = match &options.state {
        Some(folder) => (Identity::open(&folder.join("tls.json"), now)?, folder.clone(), None),
        None => {
            let name = format!("flyte-auth-sandbox-{}", random::identifier(&*options.entropy));
            let folder = std::env::temp_dir().join(name);
            private_file::create_folder(&folder)?;
            (Identity::generate(now)?, folder.clone(), Some(folder))
        }
    };
    let file = folder.join("ca.pem");
    private_file::write(&file, identity.ca_pem.as_bytes())?;
    Ok((identity, file, temporary))
}

async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let _in_work = metrics.begin(request.uri().path());
    next.run(request).await
}

impl Sandbox {
    /// Starts on loopback; when this returns, every port answers.
    ///
    /// # Errors
    /// Kind `Config`: an option is wrong, a port is taken. Kind `Store`: the state folder is unusable.
    pub async fn start(options: Options) -> Result<Self> {
        check_lifetimes(&options)?;
        let (clients, users) = (clients(&options)?, users(&options)?);
        if let Some(folder) = &options.state {
            private_file::create_folder(folder)?;
        }
        let http = Port::bind(options.http_port, "--http-port").await?;
        let grpc = Port::bind(options.grpc_port, "--grpc-port").await?;
        let admin_port = Port::bind(0, "admin").await?;
        let (mut https, mut acceptor, mut ca_cert, mut temporary) = (None, None, None, None);
        if options.tls {
            let (identity, file, folder) = identity(&options)?;
            https = Some(Port::bind(options.https_port, "--https-port").await?);
            (acceptor, ca_cert, temporary) = (Some(identity.acceptor()?), Some(file), folder);
        }
        let http_url = format!("http://127.0.0.1:{}", http.number);
        let https_url = https.as_ref().map(|port| format!("https://127.0.0.1:{}", port.number));
        let issuer_url = https_url.clone().unwrap_or_else(|| http_url.clone());

        let metrics = Arc::new(Metrics::default());
        let clock = Arc::new(MovableClock::new(Arc::clone(&options.clock)));
        let ready_users = match &options.external_issuer {
            None => users.known.iter().map(|user| user.subject.clone()).collect(),
            Some(_) => Vec::new(),
        };
        let (issuer, keys) = Self::issuer(&options, &clients, users, &issuer_url, &clock, &metrics).await?;
        let public_client = Self::public_client(&options, &clients)?;
        let trusted = Trusted::new(issuer.clone(), public_client.authorization_metadata_key.clone());
        let service = Arc::new(FlyteAuth {
            generations: options.generations,
            public_client,
            always_snake_case: false,
            source: Arc::new(trusted),
        });
        let faults = Arc::new(Faults::new(options.faults.clone(), Arc::clone(&metrics)));
        let mut app: Router = flyte::router(&service);
        let issuer_url = match &issuer {
            Issuer::Own(server) => {
                app = app.merge(server.router());
                issuer_url
            }
            Issuer::External(external) => {
                let url = external.url().to_owned();
                let target = url.clone();
                app = app.route(
                    paths::OPENID_CONFIGURATION,
                    get(move || async move { flyte::rest::openid_redirect(&target) }),
                );
                url
            }
        };
        let app = app
            .layer(middleware::from_fn_with_state(Arc::clone(&faults), faults::layer))
            .layer(middleware::from_fn_with_state(Arc::clone(&metrics), count));

        let ready = Ready {
            http: http_url,
            https: https_url,
            grpc: format!("127.0.0.1:{}", grpc.number),
            ca_cert,
            issuer: issuer_url,
            admin: format!("http://127.0.0.1:{}", admin_port.number),
            clients: clients.iter().map(ready_client).collect(),
            users: ready_users,
        };
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let admin = admin::router(Admin { faults, clock, keys, metrics });
        serving.spawn(admin_port.serve(None, admin, Limits::default(), stopped.clone()));
        serving.spawn(http.serve(None, app.clone(), Limits::default(), stopped.clone()));
        serving.spawn(grpc.serve(acceptor.clone(), app.clone(), Limits::default(), stopped.clone()));
        if let Some(https) = https {
            serving.spawn(https.serve(acceptor, app, Limits::default(), stopped));
        }
        Ok(Self { ready, stop, serving, temporary })
    }

    async fn issuer(
        options: &Options,
        clients: &[Client],
        users: Users,
        issuer_url: &str,
        clock: &Arc<MovableClock>,
        metrics: &Arc<Metrics>,
    ) -> Result<(Issuer, Option<Arc<Keys>>)> {
        let clock: Arc<dyn Clock> = Arc::<MovableClock>::clone(clock);
        if let Some(url) = &options.external_issuer {
            let transport = options
                .transport
                .clone()
                .ok_or_else(|| Error::internal("an external issuer was given without a transport to reach it"))?;
            let external = ExternalIssuer::new(url, options.audience.clone(), transport, clock)?;
            return Ok((Issuer::External(Arc::new(external)), None));
        }
        let file = |name: &str| options.state.as_deref().map(|folder: &Path| folder.join(name));
        let (algorithm, keys_file) = (options.signing_algorithm, file("keys.json"));
        let keys = tokio::task::spawn_blocking(move || Keys::open(algorithm, keys_file))
            .await
            .map_err(|error| crate::listen::not_started("the signing keys", error))??;
        let keys = Arc::new(keys);
        let server = AuthorizationServer {
            settings: Settings {
                access_token_lifetime: options.access_token_lifetime,
                refresh_token_lifetime: options.refresh_token_lifetime,
                session_lifetime: FOREVER,
                // Without the grace of a real server: what uses a refresh token twice is to be found here.
                rotate: if options.rotate_refresh_tokens { Rotate::Strictly } else { Rotate::Never },
                code_lifetime: options.code_lifetime,
                device_code_lifetime: options.device_code_lifetime,
                device_interval: options.device_interval,
                openid: true,
            },
            sites: Sites::one(Site::new(issuer_url, None)?),
            clients: clients.to_vec(),
            people: People::Offered(users),
            secrets: Arc::new(Secrets::new(&*options.entropy)),
            keys: Arc::clone(&keys),
            state: match file("sessions.db") {
                Some(file) => Arc::new(Sqlite::open(Some(&file)).await?),
                None => Arc::new(Memory::default()),
            },
            audit: None,
            metrics: Arc::clone(metrics),
            clock,
            entropy: Arc::clone(&options.entropy),
        };
        Ok((Issuer::Own(Arc::new(server)), Some(keys)))
    }

    /// What Flyte's discovery tells clients: with an external issuer, the first public client that was configured.
    fn public_client(options: &Options, clients: &[Client]) -> Result<PublicClient> {
        let configured = options.clients.iter().find(|spec| spec.secret.is_none()).map(|spec| spec.id.as_str());
        let id = options.external_issuer.as_ref().and(configured).unwrap_or("flytectl");
        let client = clients.iter().find(|client| client.id == id);
        let redirect_uri = client.and_then(|client| client.redirect_uris.first());
        Ok(PublicClient {
            client_id: id.to_owned(),
            redirect_uri: redirect_uri
                .map_or("http://localhost:53593/callback", |redirect| redirect.as_str())
                .to_owned(),
            scopes: match options.clients.iter().find(|spec| spec.id == id && !spec.scopes.is_empty()) {
                Some(spec) => spec.scopes.clone(),
                None => vec!["all".to_owned(), "offline".to_owned()],
            },
            audience: options.audience.first().cloned().unwrap_or_default(),
            authorization_metadata_key: options
                .authorization_metadata_key
                .as_deref()
                .map(options::header_name)
                .transpose()?,
        })
    }

    /// Where everything is.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Stops: no new connections; requests in work have two seconds to end.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        while self.serving.join_next().await.is_some() {}
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(folder) = self.temporary.take() {
            // Best effort: it holds a certificate, no secret.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Runs a sandbox until `stop` completes; `on_ready` gets the ready line's content once every port answers.
///
/// # Errors
/// As [`Sandbox::start`].
pub async fn run(options: Options, on_ready: impl FnOnce(&Ready), stop: impl Future<Output = ()>) -> Result<()> {
    let sandbox = Sandbox::start(options).await?;
    on_ready(sandbox.ready());
    stop.await;
    sandbox.shutdown().await;
    Ok(())
}

fn ready_client(client: &Client) -> ReadyClient {
    ReadyClient {
        id: client.id.clone(),
        secret: client.secrets.iter().find_map(|secret| match secret {
            // EXPOSE: the sandbox's secrets are test data; the ready line is how a test learns them.
            Secret::Plain(secret) => Some(secret.expose().to_owned()),
            Secret::Hash(_) => None,
        }),
        redirect_uris: client.redirect_uris.iter().map(|redirect| redirect.as_str().to_owned()).collect(),
    }
}
