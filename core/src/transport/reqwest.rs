//! The one client factory, on reqwest and rustls.
//!
//! Clients are built when they are first needed and apart for plaintext and TLS: loading the platform's roots takes
//! longer than a whole token request on loopback.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::Uri;
use http_body_util::BodyExt as _;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy};

use super::failure::{Attempt, classify, proxy_login};
use super::{Call, Failure, FailureKind, HttpTransport, MAX_BODY, Purpose, Reply};
use crate::config::{NetworkConfig, ProxyUrl, Setting};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::address::is_loopback;
use crate::protocol::secret::SecretBytes;

/// TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The built-in [`HttpTransport`].
pub struct ReqwestTransport {
    settings: Settings,
    clients: ArcSwap<Clients>,
}

/// Clients with their connections, which belong to one process: a forked child makes its own.
struct Clients {
    forks: u64,
    plain: OnceLock<Result<Client>>,
    plain_http2: OnceLock<Result<Client>>,
    tls: OnceLock<Result<Client>>,
    /// Plaintext to this machine, past every proxy: HTTP/1.1 and HTTP/2.
    direct: [OnceLock<Result<Client>>; 2],
}

/// Which of the clients serves a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    tls: bool,
    http2_only: bool,
    direct: bool,
}

impl Clients {
    fn of_this_process() -> Arc<Self> {
        let slot = OnceLock::new;
        Arc::new(Self {
            forks: crate::fork::count(),
            plain: slot(),
            plain_http2: slot(),
            tls: slot(),
            direct: [slot(), slot()],
        })
    }
}

/// What every client is built with; files are read once, when the transport is made.
struct Settings {
    skip_verify: bool,
    roots: Vec<Certificate>,
    identity: Option<Identity>,
    proxy: Option<Proxy>,
    /// The same decision as the clients', for messages.
    proxies: Matcher,
    /// The proxy itself is reached by TLS: then plaintext calls need roots too.
    proxy_by_tls: bool,
}

impl fmt::Debug for ReqwestTransport {
    // A proxy URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport")
            .field("skip_verify", &self.settings.skip_verify)
            .field("extra_roots", &self.settings.roots.len())
            .field("client_certificate", &self.settings.identity.is_some())
            .field("proxy", &self.settings.proxy.is_some())
            .finish_non_exhaustive()
    }
}

impl ReqwestTransport {
    /// Reads the certificates that are configured; connects to nothing.
    ///
    /// # Errors
    /// Kind `Config`, naming the setting and the file.
    pub fn new(network: &NetworkConfig) -> Result<Self> {
        crate::fork::watch();
        let roots = match &network.ca_cert {
            Some(setting) => read_roots(setting)?,
            None => Vec::new(),
        };
        let (proxy, proxies) = match &network.http_proxy_url {
            Some(setting) => explicit_proxy(setting).map(|(proxy, proxies)| (Some(proxy), proxies))?,
            None => (None, Matcher::from_system()),
        };
        Ok(Self {
            settings: Settings {
                skip_verify: network.insecure_skip_verify.as_ref().is_some_and(|setting| setting.value),
                roots,
                identity: read_identity(network)?,
                proxy,
                proxies,
                proxy_by_tls: network
                    .http_proxy_url
                    .as_ref()
                    .is_some_and(|url| url.value.expose().starts_with("https:")), // EXPOSE: its scheme.
            },
            clients: ArcSwap::new(Clients::of_this_process()),
        })
    }

    /// Whether the client with the platform's roots was built.
    #[cfg(test)]
    pub(super) fn has_tls_client(&self) -> bool {
        self.clients.load().tls.get().is_some()
    }

    fn client(&self, Kind { tls, http2_only, direct }: Kind) -> Result<Client> {
        let mut clients = self.clients.load_full();
        if clients.forks != crate::fork::count() {
            // The parent still uses its connections, and the tasks that serve them run only there.
            clients = Clients::of_this_process();
            self.clients.store(Arc::clone(&clients));
        }
        // With TLS one client negotiates per connection; whether it became HTTP/2 is checked on the answer.
        let prior_knowledge = http2_only && !tls;
        let slot = match (tls, prior_knowledge, direct) {
            (true, ..) => &clients.tls,
            (false, _, true) => &clients.direct[usize::from(prior_knowledge)],
            (false, true, false) => &clients.plain_http2,
            (false, false, false) => &clients.plain,
        };
        slot.get_or_init(|| self.settings.build(tls, prior_knowledge, direct)).clone()
    }

    async fn exchange(&self, call: Call) -> Result<Reply, Failure> {
        let place = call.place();
        let tls = call.request.uri().scheme_str() == Some("https");
        let purpose = call.purpose;
        let request = call.request.map(|body| reqwest::Body::from(body.into_shared()));
        let response = self.open(purpose, request, Some(call.timeout), call.http2_only).await?;
        let broken = Attempt { purpose, place: &place, tls, prior_knowledge: false, proxy: None, answered: true };
        let (parts, mut body) = response.into_parts();
        let mut bytes = SecretBytes::new();
        let mut trailers = http::HeaderMap::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(|cause| classify(cause, &broken))?.into_data() {
                Ok(data) if bytes.len() + data.len() > MAX_BODY => {
                    let error = Error::new(
                        ErrorKind::Server,
                        "too_large",
                        format!("{} at {place} answered more than 1 MiB", purpose.words()),
                    )
                    .with_endpoint(&place)
                    .with_next("This is no auth endpoint: check the address");
                    return Err(Failure { kind: FailureKind::TooLarge, error });
                }
                Ok(data) => bytes.extend(&data),
                Err(other) => {
                    if let Ok(found) = other.into_trailers() {
                        trailers = found;
                    }
                }
            }
        }
        Ok(Reply { status: parts.status, headers: parts.headers, body: bytes, trailers })
    }

    /// The client for plaintext, for those who make requests and send them by [`ReqwestTransport::open`].
    #[cfg(feature = "reqwest")]
    pub(crate) fn plain_client(&self) -> Result<Client> {
        self.client(Kind { tls: false, http2_only: false, direct: false })
    }

    /// Sends a request with whatever body and reads the reply's head. `timeout` is for the whole reply.
    pub(crate) async fn open(
        &self,
        purpose: Purpose,
        request: http::Request<reqwest::Body>,
        timeout: Option<Duration>,
        http2_only: bool,
    ) -> Result<http::Response<reqwest::Body>, Failure> {
        let place = super::place(request.uri());
        let tls = request.uri().scheme_str() == Some("https");
        let through = self.settings.proxies.intercept(request.uri());
        // Without TLS because it stays on this machine: then it must stay there.
        let leaves = |proxy: &Uri| !proxy.host().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])));
        let direct = !tls
            && request.uri().host().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])))
            && through.as_ref().is_some_and(|proxy| leaves(proxy.uri()));
        let through = through.filter(|_| !direct);
        let client =
            self.client(Kind { tls, http2_only, direct }).map_err(|error| Failure { kind: FailureKind::Tls, error })?;
        let through = through.as_ref().and_then(|proxy| proxy.uri().authority()).map(http::uri::Authority::as_str);
        let prior_knowledge = http2_only && !tls;
        let attempt = Attempt { purpose, place: &place, tls, prior_knowledge, proxy: through, answered: false };
        let fail = |cause: reqwest::Error| classify(cause, &attempt);
        let mut request = reqwest::Request::try_from(request).map_err(fail)?;
        if let Some(timeout) = timeout {
            *request.timeout_mut() = Some(timeout);
        }
        let response = client.execute(request).await.map_err(fail)?;
        if let Some(proxy) = through.filter(|_| response.status() == http::StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            return Err(proxy_login(&attempt, proxy));
        }
        if http2_only && response.version() != http::Version::HTTP_2 {
            let error =
                Error::new(ErrorKind::Server, "no_http2", format!("{place} does not speak HTTP/2, which gRPC needs"))
                    .with_endpoint(&place)
                    .with_next("A proxy in front may have to be told to pass HTTP/2");
            return Err(Failure { kind: FailureKind::Protocol, error });
        }
        Ok(response.into())
    }
}

impl HttpTransport for ReqwestTransport {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(self.exchange(call))
    }
}

impl Settings {
    fn build(&self, tls: bool, prior_knowledge: bool, direct: bool) -> Result<Client> {
        let roots_needed = (tls || self.proxy_by_tls) && !self.skip_verify;
        let with_platform_roots = self.builder(prior_knowledge, direct).tls_certs_merge(self.roots.clone());
        let only_ours = || self.builder(prior_knowledge, direct).tls_certs_only(self.roots.clone());
        let built = if roots_needed { with_platform_roots.build() } else { only_ours().build() };
        match built {
            // A container without a certificate store, but with a configured authority.
            Err(_) if roots_needed && !self.roots.is_empty() => only_ours().build(),
            other => other,
        }
        .map_err(|cause| {
            Error::config(
                "tls_unusable",
                "admin.caCertFilePath",
                format!("no TLS client can be made: {}", innermost(&cause)),
            )
            .with_next("Install the system's certificates (ca-certificates), or set admin.caCertFilePath")
            .with_source(cause)
        })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one client factory")]
    fn builder(&self, prior_knowledge: bool, direct: bool) -> ClientBuilder {
        let mut builder = Client::builder()
            .user_agent(concat!("flyte-auth/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            // The firewall takes `localhost` for this machine: nobody is asked where it is. The port is the URL's.
            .resolve_to_addrs("localhost", &[(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()])
            .tls_danger_accept_invalid_certs(self.skip_verify);
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        match &self.proxy {
            _ if direct => builder = builder.no_proxy(),
            Some(proxy) => builder = builder.proxy(proxy.clone()),
            None => {}
        }
        if prior_knowledge { builder.http2_prior_knowledge() } else { builder }
    }
}

/// `httpProxyURL` for the clients, and for messages. `NO_PROXY` holds for it too.
fn explicit_proxy(setting: &Setting<ProxyUrl>) -> Result<(Proxy, Matcher)> {
    // The URL may hold a password: not even the parser's words about it leave.
    let invalid = || {
        Error::config("proxy_invalid", setting.origin.to_string(), "httpProxyURL is not the URL of an HTTP proxy")
            .with_next("Write it as http://proxy.example:3128")
    };
    let configured = setting.value.expose(); // EXPOSE: for the client.
    let text = if configured.contains("://") { configured.to_owned() } else { format!("http://{configured}") };
    let url = url::Url::parse(&text).map_err(|_| invalid())?;
    // Any other scheme would be ignored, and the calls would go out directly.
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid());
    }
    let direct = ["NO_PROXY", "no_proxy"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let proxy = Proxy::all(url.as_str()).map_err(|_| invalid())?.no_proxy(NoProxy::from_string(&direct));
    Ok((proxy, Matcher::builder().all(url.to_string()).no(direct).build()))
}

fn read_file(setting: &Setting<std::path::PathBuf>, path: &Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| {
        Error::config(
            "certificate_unreadable",
            setting.origin.to_string(),
            format!("the {what} {} cannot be read: {cause}", path.display()),
        )
        .with_next("Check the path and its permissions")
        .with_source(cause)
    })
}

fn invalid_pem(setting: &Setting<std::path::PathBuf>, path: &Path, what: &str) -> Error {
    Error::config(
        "certificate_invalid",
        setting.origin.to_string(),
        format!("{} holds no {what} in PEM form", path.display()),
    )
    .with_next("It must have lines -----BEGIN …-----; convert DER with openssl x509 -inform der")
}

fn read_roots(setting: &Setting<std::path::PathBuf>) -> Result<Vec<Certificate>> {
    let path = setting.value.as_path();
    if !path.is_dir() {
        let bundle = read_file(setting, path, "CA file")?;
        return match Certificate::from_pem_bundle(&bundle) {
            Ok(roots) if !roots.is_empty() => Ok(roots),
            _ => Err(invalid_pem(setting, path, "certificate")),
        };
    }
    let entries = std::fs::read_dir(path).map_err(|cause| {
        Error::config(
            "certificate_unreadable",
            setting.origin.to_string(),
            format!("the CA folder {} cannot be read: {cause}", path.display()),
        )
        .with_next("Check the path and its permissions")
    })?;
    // A folder may hold other things (hash links, READMEs): what is no certificate is passed over.
    let mut roots = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        roots.extend(
            std::fs::read(entry.path())
                .ok()
                .and_then(|bytes| Certificate::from_pem_bundle(&bytes).ok())
                .unwrap_or_default(),
        );
    }
    if roots.is_empty() { Err(invalid_pem(setting, path, "certificate")) } else { Ok(roots) }
}

fn read_identity(network: &NetworkConfig) -> Result<Option<Identity>> {
    let (cert, key) = match (&network.client_cert, &network.client_key) {
        (Some(cert), key) => (cert, key),
        (None, None) => return Ok(None),
        (None, Some(key)) => {
            let what = "a client's key is configured and no certificate for it";
            return Err(Error::config("client_certificate_missing", key.origin.to_string(), what)
                .with_next("Set the client certificate too (admin.clientCertFilePath), or remove the key"));
        }
    };
    let mut pem = read_file(cert, &cert.value, "client certificate")?;
    if let Some(key) = key {
        pem.push(b'\n');
        pem.extend(read_file(key, &key.value, "client key")?);
    }
    // The parser's words may quote the file: only its name leaves.
    Identity::from_pem(&pem)
        .map(Some)
        .map_err(|_| invalid_pem(cert, &cert.value, "client certificate with its private key"))
}

/// The cause at the end of an error's chain: the one with the reason.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
