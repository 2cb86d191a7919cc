//! From a configuration to a plane.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, Method, header};
use flyte_auth::clock::{Clock, Entropy};
use flyte_auth::config::{NetworkConfig, Origin, ProxyUrl, Setting};
use flyte_auth::error::{Error, Result};
use flyte_auth::protocol::metadata::ServerMetadata;
use flyte_auth::relying_party::{self, Guard, SessionStore};
use flyte_auth::transport::HttpTransport;
use flyte_auth::transport::reqwest::ReqwestTransport;
use flyte_auth::verify::{KeySet, Verifier};
use serde_json::{Map, Value};

use super::browser::{Browsers, Means};
use super::caller::{Caller, Finder};
use super::external::External;
use super::identity::Heralds;
use super::identity::Identity;
use super::plane::Plane;
use super::tokens::{self, IdTokens, Issuer, Tokens};
use crate::authorization_server::{
    AuthorizationServer, Client, ClientKeys, Grants, People, RedirectUri, Rotate, Secret, Secrets, Settings, SignIn,
};
use crate::config::model::{AuthServer, OwnServer, ServeConfig, StaticClient, UserAuth};
use crate::flyte::service::Source;
use crate::flyte::{FlyteAuth, Generations, PublicClient};
use crate::gateway::{Gateway, Roots};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::resource::Refused;
use crate::sites::{Site, Sites};
use crate::state::{Audit, State};

/// What outlives a configuration.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) state: Arc<dyn State>,
    pub(super) sessions: Arc<dyn SessionStore>,
    pub(super) audit: Audit,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// RFC 8628: how long a device code lives, and how often its client may ask.
const DEVICE_CODE: Duration = Duration::from_secs(600);
const DEVICE_INTERVAL: Duration = Duration::from_secs(5);

/// The client that asks other servers, through this proxy.
fn transport(proxy: Option<&ProxyUrl>, key: &str) -> Result<Arc<dyn HttpTransport>> {
    let setting = |url: &ProxyUrl| Setting { value: url.clone(), origin: Origin::Flag(key.to_owned()) };
    let network = NetworkConfig { http_proxy_url: proxy.map(setting), ..NetworkConfig::default() };
    Ok(Arc::new(ReqwestTransport::new(&network)?))
}

/// Puts `config` together. Connects to nothing.
///
/// # Errors
/// A setting that only together with others is wrong.
pub(super) fn plane(config: &ServeConfig, shared: &Shared) -> Result<Plane> {
    let own = match &config.app_auth.server {
        AuthServer::Own(own) => Some(&**own),
        AuthServer::External(_) => None,
    };
    let issuer = own.and_then(|own| own.issuer.as_deref());
    let sites =
        config.resource.authorized_uris.iter().map(|uri| Site::new(&uri.text, issuer)).collect::<Result<Vec<_>>>()?;
    let sites = Sites::new(sites).ok_or_else(|| {
        Error::config("uris_missing", "auth.authorizedUris", "no address of this deployment is configured")
            .with_next("Write what browsers and clients call it, for example https://flyte.example.com")
    })?;
    let browsers = Arc::new(browsers(config, &sites, shared)?);
    let server = own.map(|own| authorization_server(own, &sites, &browsers, shared)).transpose()?;
    let external = external(config, &sites, shared)?;
    let issuer = match (&server, &external) {
        (Some(server), _) => tokens::own(server, &sites)?,
        (None, Some(external)) => Issuer::External(Arc::clone(external)),
        (None, None) => return Err(Error::internal("neither an own nor an external authorization server")),
    };
    let id_tokens = config.user_auth.as_ref().map(|user_auth| id_tokens(user_auth, shared)).transpose()?;
    let tokens = Tokens::new(issuer, id_tokens, Arc::clone(&shared.state));
    let headers = token_headers(config)?;
    let metadata_key = headers.first().cloned();
    let finder = Arc::new(Finder { tokens, browsers: Arc::clone(&browsers), headers });
    let client = &config.app_auth.flyte_client;
    let flyte = FlyteAuth {
        generations: Generations::Both,
        public_client: PublicClient {
            client_id: client.client_id.clone(),
            redirect_uri: client.redirect_uri.clone(),
            scopes: client.scopes.clone(),
            audience: client.audience.clone(),
            authorization_metadata_key: metadata_key,
        },
        always_snake_case: true,
        source: Arc::new(Told { server: server.clone(), external, sites: sites.clone(), finder: Arc::clone(&finder) }),
    };
    Ok(Plane {
        resource: config.resource.clone(),
        cors: config.server.cors.clone(),
        use_auth: config.server.use_auth,
        own: server.as_ref().map(AuthorizationServer::router),
        browsers,
        finder,
        flyte: Arc::new(flyte),
        provider: config.user_auth.as_ref().map(|user_auth| user_auth.base_url.clone()),
        home: config
            .user_auth
            .as_ref()
            .map_or_else(|| "/console".to_owned(), |user_auth| user_auth.redirect_url.clone()),
        gateway: Gateway::new(&config.gateway.upstreams, Roots::platform())?,
        heralds: Heralds::new(&config.gateway.identity_headers)?,
        state: Arc::clone(&shared.state),
        audit: shared.audit.clone(),
        clock: Arc::clone(&shared.clock),
        sites,
    })
}

fn browsers(config: &ServeConfig, sites: &Sites, shared: &Shared) -> Result<Browsers> {
    let Some(user_auth) = config.user_auth.as_ref().filter(|_| config.server.use_auth) else {
        return Ok(Browsers::none(sites.clone()));
    };
    let means = Means {
        store: Arc::clone(&shared.sessions),
        transport: transport(user_auth.http_proxy_url.as_ref(), "auth.userAuth.httpProxyURL")?,
        clock: Arc::clone(&shared.clock),
        entropy: Arc::clone(&shared.entropy),
    };
    Browsers::new(sites, user_auth, &config.server, &means)
}

fn external(config: &ServeConfig, sites: &Sites, shared: &Shared) -> Result<Option<Arc<External>>> {
    let AuthServer::External(settings) = &config.app_auth.server else { return Ok(None) };
    // flyteadmin has one proxy for the metadata and another one for the keys; the more particular one serves both.
    let proxy = settings.http_proxy_url.as_ref().or(config.resource.http_proxy_url.as_ref());
    let transport = transport(proxy, "auth.appAuth.externalAuthServer.httpProxyURL")?;
    Ok(Some(Arc::new(External::new(settings, sites, transport, Arc::clone(&shared.clock))?)))
}

fn id_tokens(user_auth: &UserAuth, shared: &Shared) -> Result<IdTokens> {
    let issuer = user_auth.issuer_url.as_ref().unwrap_or(&user_auth.base_url);
    let plaintext = [issuer, &user_auth.base_url].iter().any(|url| url.starts_with("http://"));
    let verifier = Verifier::builder(issuer)
        .audience(&user_auth.client_id)
        .transport(transport(user_auth.http_proxy_url.as_ref(), "auth.userAuth.httpProxyURL")?)
        .clock(Arc::clone(&shared.clock))
        .plaintext(plaintext)
        .build()
        .map_err(|error| error.with_setting("auth.userAuth.openId.baseUrl"))?;
    Ok(IdTokens { verifier, client_id: user_auth.client_id.clone() })
}

/// The header that clients are told first, then the others from which tokens are taken.
fn token_headers(config: &ServeConfig) -> Result<Vec<HeaderName>> {
    let parse = |name: &str, setting: &'static str| {
        name.parse::<HeaderName>().map_err(|_| {
            Error::config("header_invalid", setting, "the name is not a header name")
                .with_next("Use a lower-case header name such as flyte-authorization")
        })
    };
    let mut names = vec![parse(&config.resource.grpc_header, "auth.grpcAuthorizationHeader")?];
    for name in [parse(&config.resource.http_header, "auth.httpAuthorizationHeader")?, header::AUTHORIZATION] {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn authorization_server(
    own: &OwnServer,
    sites: &Sites,
    browsers: &Arc<Browsers>,
    shared: &Shared,
) -> Result<Arc<AuthorizationServer>> {
    let clients = own.clients.iter().map(client).collect::<Result<Vec<_>>>()?;
    let sign_in: Arc<dyn SignIn> = Arc::<Browsers>::clone(browsers);
    Ok(Arc::new(AuthorizationServer {
        settings: Settings {
            access_token_lifetime: own.access_token_lifetime,
            refresh_token_lifetime: own.refresh_token_lifetime,
            session_lifetime: own.session_lifetime,
            rotate: Rotate::WithGrace,
            code_lifetime: own.code_lifetime,
            device_code_lifetime: DEVICE_CODE,
            device_interval: DEVICE_INTERVAL,
            openid: false,
        },
        sites: sites.clone(),
        clients,
        people: People::SignedIn(sign_in),
        // Made anew with each configuration: a secret that was taken out of it opens nothing any more.
        secrets: Arc::new(Secrets::new(&*shared.entropy)),
        keys: Arc::new(Keys::from_pem(own.algorithm, &own.signing_keys)?),
        state: Arc::clone(&shared.state),
        audit: Some(shared.audit.clone()),
        metrics: Arc::clone(&shared.metrics),
        clock: Arc::clone(&shared.clock),
        entropy: Arc::clone(&shared.entropy),
    }))
}

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn client(spec: &StaticClient) -> Result<Client> {
    let setting = "auth.appAuth.selfAuthServer.staticClients";
    let wrong = |code: &'static str, what: &str, next: &'static str| {
        Error::config(code, setting, format!("the client {}: {what}", spec.id)).with_next(next)
    };
    let redirect_uris = spec
        .redirect_uris
        .iter()
        .map(|uri| {
            RedirectUri::parse(uri).ok_or_else(|| {
                wrong("redirect_invalid", "a redirect URI cannot be used", "Give absolute URLs without a fragment")
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let keys = match (&spec.jwks, &spec.jwks_uri) {
        (Some(jwks), _) => {
            let keys = KeySet::parse(jwks.as_bytes()).ok().filter(|keys| !keys.is_empty()).ok_or_else(|| {
                wrong(
                    "jwks_invalid",
                    "jwks has no key that can be used",
                    "Give a JWK set with public RSA, EC or Ed25519 keys",
                )
            })?;
            Some(ClientKeys::Given(keys))
        }
        (None, Some(uri)) => Some(ClientKeys::published(uri, transport(None, setting)?)),
        (None, None) => None,
    };
    let may = |grant: &str| spec.grant_types.iter().any(|name| name == grant);
    Ok(Client {
        id: spec.id.clone(),
        secrets: spec.secret_hashes.iter().cloned().map(Secret::Hash).collect(),
        keys,
        public: spec.public,
        redirect_uris,
        grants: Grants {
            code: may("authorization_code"),
            refresh: may("refresh_token"),
            client_credentials: may("client_credentials") && !spec.public,
            device: may(DEVICE_GRANT),
        },
        scopes: spec.scopes.clone(),
        // Nothing is granted that was not asked for (facts 8, D7).
        default_scopes: Vec::new(),
        audience: Some(spec.audience.clone()),
    })
}

/// What Flyte's own services tell.
#[derive(Debug)]
struct Told {
    server: Option<Arc<AuthorizationServer>>,
    external: Option<Arc<External>>,
    sites: Sites,
    finder: Arc<Finder>,
}

#[async_trait]
impl Source for Told {
    async fn metadata(&self, headers: &HeaderMap) -> Result<ServerMetadata> {
        match (&self.server, &self.external) {
            (Some(server), _) => Ok(server.metadata(self.sites.of(headers))),
            (None, Some(external)) => Ok(external.known().await?.metadata.clone()),
            (None, None) => Err(Error::internal("no authorization server")),
        }
    }

    async fn document(&self, headers: &HeaderMap) -> Result<Value> {
        match (&self.server, &self.external) {
            (Some(server), _) => Ok(server.metadata_document(self.sites.of(headers))),
            (None, Some(external)) => Ok(external.known().await?.document.clone()),
            (None, None) => Err(Error::internal("no authorization server")),
        }
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<Map<String, Value>, Refused> {
        let site = self.sites.index_of(headers);
        let caller = match self.finder.by_token(headers, site).await {
            Some(outcome) => return outcome.map(Identity::into_claims),
            // The console asks with its cookies. A request that another site may have made is nobody's.
            None => {
                let asked = relying_party::Request::new(Method::POST, "/", headers.clone());
                self.finder.by_cookie(&asked, site, Guard::Look).await
            }
        };
        match caller {
            Caller::Known(identity, _) => Ok(identity.into_claims()),
            Caller::Refused(refused, _) => Err(refused),
            Caller::Answer(_) => Err(Refused::Missing),
        }
    }
}
