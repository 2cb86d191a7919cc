//! The relying party of each site: who is signed in by a browser's cookies.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flyte_auth::clock::{Clock, Entropy};
use flyte_auth::error::{Error, Result};
use flyte_auth::relying_party::{Guard, Handled, RelyingParty, Request, SessionStore};
use flyte_auth::transport::{Call, Failure, HttpTransport, Reply};
use futures_util::future::BoxFuture;
use serde_json::Value;
use url::Url;

use super::identity::{ALL, Identity};
use crate::authorization_server::{PERSON_CLAIMS, Person, SignIn, error_page};
use crate::config::model::{Listeners, UserAuth};
use crate::sites::{Site, Sites};

/// Relying parties, by the index of their site; `None` where browsers cannot sign in.
pub(super) struct Browsers {
    parties: Vec<Option<RelyingParty>>,
    sites: Sites,
}

impl fmt::Debug for Browsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browsers").field("parties", &self.parties).finish_non_exhaustive()
    }
}

/// What every relying party of the process shares.
pub(super) struct Means {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) transport: Arc<dyn HttpTransport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Browsers {
    /// Nobody can sign in.
    pub(super) fn none(sites: Sites) -> Self {
        Self { parties: sites.iter().map(|_| None).collect(), sites }
    }

    /// Connects to nothing yet: a provider that is down is no reason not to start.
    ///
    /// # Errors
    /// A setting is wrong.
    pub(super) fn new(sites: &Sites, settings: &UserAuth, listeners: &Listeners, means: &Means) -> Result<Self> {
        let issuer = settings.issuer_url.as_ref().unwrap_or(&settings.base_url);
        let transport: Arc<dyn HttpTransport> = match &settings.issuer_url {
            None => Arc::clone(&means.transport),
            Some(issuer) => Arc::new(Rebased {
                issuer: issuer.trim_end_matches('/').to_owned(),
                base: settings.base_url.trim_end_matches('/').to_owned(),
                inner: Arc::clone(&means.transport),
            }),
        };
        let provider_plaintext = [issuer, &settings.base_url].iter().any(|url| url.starts_with("http://"));
        let mut parties = Vec::new();
        for site in sites.iter() {
            if !can_sign_in(site) && !listeners.insecure_cookies {
                // A cookie marked Secure never comes back over plain HTTP: nobody could stay signed in.
                parties.push(None);
                continue;
            }
            let mut builder = RelyingParty::builder(issuer, &settings.client_id, &site.base)
                .scopes(&settings.scopes)
                .same_site(settings.same_site)
                .home(home(site, &settings.redirect_url))
                .store(Arc::clone(&means.store))
                .transport(Arc::clone(&transport))
                .clock(Arc::clone(&means.clock))
                .entropy(Arc::clone(&means.entropy))
                .plaintext(provider_plaintext || listeners.insecure_cookies);
            if let Some(secret) = &settings.client_secret {
                builder = builder.client_secret(secret.clone());
            }
            for key in &settings.cookie_keys {
                builder = builder.cookie_key(key.clone());
            }
            if let Some(domain) = &settings.cookie_domain {
                builder = builder.cookie_domain(domain);
            }
            if let Some(name) = &settings.idp_query_parameter {
                builder = builder.idp_query_parameter(name);
            }
            // flyteadmin's allow-list: scheme, host and port of any authorized URI (`auth/handler_utils.go`).
            for other in sites.iter().filter(|other| other.base != site.base) {
                if can_sign_in(other) || listeners.insecure_cookies {
                    builder = builder.return_origin(origin(other));
                }
            }
            if let Some(cors) = &listeners.cors {
                for origin in cors.origins.iter().filter(|origin| *origin != "*") {
                    builder = builder.trusted_origin(origin);
                }
            }
            parties.push(Some(builder.build().map_err(named)?));
        }
        Ok(Self { parties, sites: sites.clone() })
    }

    /// The relying party of the site with this index.
    pub(super) fn at(&self, index: usize) -> Option<&RelyingParty> {
        self.parties.get(index).and_then(Option::as_ref)
    }
}

/// Over TLS, or on this machine.
fn can_sign_in(site: &Site) -> bool {
    site.is_secure() || Url::parse(&site.base).is_ok_and(|url| flyte_auth::firewall::address::is_loopback_url(&url))
}

fn origin(site: &Site) -> String {
    Url::parse(&site.base).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// `redirectUrl` as flyteadmin takes it: a path of this site, or a whole address.
fn home(site: &Site, redirect_url: &str) -> String {
    if redirect_url.contains("://") || !redirect_url.starts_with('/') || redirect_url.starts_with(site.path()) {
        return redirect_url.to_owned();
    }
    format!("{}{redirect_url}", site.path())
}

/// An error of the core in the words of the file.
pub(super) fn named(error: Error) -> Error {
    let setting = match error.setting() {
        Some("issuer") => "auth.userAuth.openId.baseUrl",
        Some("clientId") => "auth.userAuth.openId.clientId",
        Some("scopes" | "admin.scopes") => "auth.userAuth.openId.scopes",
        Some("admin.clientId") => "auth.userAuth.openId.clientId",
        Some("baseURL") => "auth.authorizedUris",
        Some("cookieKeys") => "auth.userAuth.cookieHashKeySecretName",
        Some("cookieDomain") => "auth.userAuth.cookieSetting.domain",
        Some("home" | "returnTo") => "auth.userAuth.redirectUrl",
        _ => return error,
    };
    error.with_setting(setting).with_next(format!("Correct {setting}, or what the provider allows this client"))
}

/// Who a session's person is, to everything behind.
pub(super) fn identity(handled: &Handled) -> Option<Identity> {
    let user = handled.signed_in.as_ref()?.user();
    Some(Identity {
        subject: user.subject().to_owned(),
        client_id: None,
        // A browser session may do everything, as in flyteadmin (`auth/token.go`).
        scopes: vec![ALL.to_owned()],
        claims: user.claims().clone(),
    })
}

#[async_trait]
impl SignIn for Browsers {
    async fn person(&self, headers: &HeaderMap) -> Option<Person> {
        let party = self.at(self.sites.index_of(headers))?;
        let handled = party.handle(&Request::new(Method::GET, "/", headers.clone()), Guard::Look).await;
        if let Some(problem) = &handled.problem {
            tracing::warn!(error = %problem, "a session could not be looked at");
        }
        let signed_in = handled.signed_in.as_ref()?;
        let user = signed_in.user();
        let mut claims = user.claims().clone();
        let number = |name: &str| user.claims().get(name).and_then(Value::as_i64);
        let auth_time = number("auth_time").or_else(|| number("iat")).unwrap_or_default();
        claims.retain(|name, _| PERSON_CLAIMS.contains(&name.as_str()));
        Some(Person { subject: user.subject().to_owned(), claims, auth_time, set_cookies: handled.set_cookies })
    }

    fn begin(&self, headers: &HeaderMap, target: &str) -> Response {
        let index = self.sites.index_of(headers);
        let Some(party) = self.at(index) else { return no_sign_in(&self.sites) };
        let back = format!("{}{target}", self.sites.of(headers).path());
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &back).finish();
        let location = format!("{}?{query}", party.paths().login);
        match HeaderValue::from_str(&location) {
            Ok(location) => {
                let headers =
                    [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
                (StatusCode::SEE_OTHER, headers).into_response()
            }
            Err(_) => no_sign_in(&self.sites),
        }
    }
}

/// The page where browsers cannot sign in: which address they can.
pub(super) fn no_sign_in(sites: &Sites) -> Response {
    let good = sites.iter().find(|site| can_sign_in(site)).map(|site| site.base.as_str());
    let text = match good {
        Some(base) => format!("Nobody can sign in at this address. Use {base}"),
        None => "Nobody can sign in here: no identity provider is configured (auth.userAuth.openId)".to_owned(),
    };
    error_page(StatusCode::NOT_FOUND, "There is no sign-in here", &text)
}

/// `issuerUrl`: the provider's documents are at `baseUrl`, and say that they are another issuer's (flyteadmin's
/// `oidc.InsecureIssuerURLContext`, PR 5712). Only where they are fetched changes; every check stays.
struct Rebased {
    issuer: String,
    base: String,
    inner: Arc<dyn HttpTransport>,
}

impl fmt::Debug for Rebased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebased").field("issuer", &self.issuer).field("base", &self.base).finish_non_exhaustive()
    }
}

impl HttpTransport for Rebased {
    fn send<'a>(&'a self, mut call: Call) -> BoxFuture<'a, Result<Reply, Failure>> {
        let address = call.request.uri().to_string();
        if let Some(rest) = address.strip_prefix(&self.issuer).filter(|rest| rest.starts_with("/.well-known/"))
            && let Ok(rebased) = format!("{}{rest}", self.base).parse()
        {
            *call.request.uri_mut() = rebased;
        }
        self.inner.send(call)
    }
}
