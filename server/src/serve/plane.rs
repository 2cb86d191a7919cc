//! One configuration put together, and the way of a request through it: our own pages and documents, else who asks, else
//! away to the service behind.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use flyte_auth::clock::Clock;
use flyte_auth::protocol::secret::SecretBytes;
use flyte_auth::relying_party::{self, Guard, MAX_BODY};
use serde_json::json;
use tower::Service as _;

use super::answers::{self, Speech};
use super::browser::{self, Browsers};
use super::caller::{Caller, Finder};
use super::cors;
use super::identity::{ALL, Heralds};
use super::probes;
use crate::authorization_server::paths;
use crate::config::model::{Cors, Resource};
use crate::flyte::service::{Rpc, Status};
use crate::flyte::{self, FlyteAuth};
use crate::gateway::Gateway;
use crate::resource::Refused;
use crate::sites::{Site, Sites};
use crate::state::{Audit, Event, EventKind, Outcome, State};

/// Where the public keys of identity JWTs are.
pub(super) const IDENTITY_JWKS: &str = "/.well-known/flyte-identity-jwks.json";
const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// One configuration put together.
pub(super) struct Plane {
    pub(super) sites: Sites,
    pub(super) resource: Resource,
    pub(super) cors: Option<Cors>,
    /// `server.security.useAuth`.
    pub(super) use_auth: bool,
    /// The pages and endpoints of the built-in authorization server; none with an external one.
    pub(super) own: Option<Router>,
    pub(super) browsers: Arc<Browsers>,
    pub(super) finder: Arc<Finder>,
    pub(super) flyte: Arc<FlyteAuth>,
    /// Where `openid-configuration` is: the identity provider's.
    pub(super) provider: Option<String>,
    /// Where a browser goes that asks for nothing: `userAuth.redirectUrl`.
    pub(super) home: String,
    pub(super) gateway: Gateway,
    pub(super) heralds: Heralds,
    pub(super) state: Arc<dyn State>,
    pub(super) audit: Audit,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").field("sites", &self.sites).field("use_auth", &self.use_auth).finish_non_exhaustive()
    }
}

/// Everything here reads the host from one place. The target's goes before the header's, where it has one, as always in
/// HTTP/2: it is what the service behind is told (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
fn name_host(request: &mut Request) {
    if let Some(host) = request.uri().authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

fn text(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}

fn not_allowed(allowed: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed)]).into_response()
}

fn document(value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, value.to_string()).into_response()
}

fn with_cookies(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

impl Plane {
    /// The answer to a request, whatever it is.
    pub(super) async fn handle(&self, mut request: Request) -> Response {
        name_host(&mut request);
        let origin = request.headers().get(header::ORIGIN).cloned();
        if let (Some(cors), Some(origin)) = (&self.cors, &origin)
            && cors::is_preflight(&request)
        {
            return cors::preflight(cors, origin);
        }
        let mut response = self.dispatch(request).await;
        if let (Some(cors), Some(origin)) = (&self.cors, &origin) {
            cors::mark(cors, origin, response.headers_mut());
        }
        response
    }

    async fn dispatch(&self, request: Request) -> Response {
        let index = self.sites.index_of(request.headers());
        let site = self.sites.of(request.headers());
        let speech = Speech::of(&request);
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        // An ingress may leave the address's path in place or take it away.
        let path = request.uri().path().to_owned();
        let local = match path.strip_prefix(site.path()) {
            Some(local) if !site.path().is_empty() && local.starts_with('/') => local,
            _ => path.as_str(),
        };
        // RFC 8414 section 3.1 and RFC 9728 section 3.1 put the well-known part before the address's own path.
        let local = match local.strip_suffix(site.path()) {
            Some(document) if document.starts_with("/.well-known/oauth-") => document,
            _ => local,
        };
        match local {
            "/livez" | "/healthcheck" => {
                return if is_read { text(StatusCode::OK, "ok\n") } else { not_allowed("GET, HEAD") };
            }
            "/readyz" => return probes::ready(&*self.state).await,
            _ => {}
        }
        if let Some(rpc) = Rpc::parse(local)
            && rpc.service == probes::HEALTH
        {
            return self.health(request, index, speech, rpc.method.to_owned()).await;
        }
        if !self.use_auth {
            return self.without_auth(request, site, speech, local).await;
        }
        match local {
            "/login" | "/callback" | "/logout" => return self.browser_route(request, index, site, local).await,
            "/me" => return if is_read { self.me(request, index, site).await } else { not_allowed("GET, HEAD") },
            "/favicon.ico" if self.gateway.route(&path).is_none() => return StatusCode::NO_CONTENT.into_response(),
            "/.well-known/oauth-authorization-server"
            | "/.well-known/openid-configuration"
            | "/config/v1/flyte_client"
                if !is_read =>
            {
                return not_allowed("GET, HEAD");
            }
            "/.well-known/oauth-authorization-server" => {
                return flyte::rest::metadata(axum::extract::State(Arc::clone(&self.flyte)), request.headers().clone())
                    .await;
            }
            "/config/v1/flyte_client" => {
                let headers = request.headers().clone();
                return flyte::rest::public_client(axum::extract::State(Arc::clone(&self.flyte)), headers).await;
            }
            "/.well-known/openid-configuration" => {
                // This is no OpenID Provider; flyteadmin too sends whoever asks to its own (`auth/handlers.go:502`).
                return match &self.provider {
                    Some(provider) => flyte::rest::openid_redirect(provider).into_response(),
                    None => answers::say(speech, &Status::not_found("no identity provider is configured")),
                };
            }
            IDENTITY_JWKS if is_read => return document(&self.heralds.jwks()),
            PROTECTED_RESOURCE if is_read => return self.protected_resource(site, request.headers()).await,
            _ => {}
        }
        if let Some(own) = &self.own
            && is_own_path(local)
        {
            return self.own_route(own, request, local.to_owned()).await;
        }
        if let Some(rpc) = Rpc::parse(local)
            && flyte::is_own(rpc.service)
        {
            return flyte::call(axum::extract::State(Arc::clone(&self.flyte)), request).await;
        }
        self.pass(request, index, site, speech).await
    }

    /// `useAuth: false`: the services of flyteadmin's auth are not there, and everything passes.
    async fn without_auth(&self, request: Request, site: &Site, speech: Speech, local: &str) -> Response {
        let is_auth = matches!(local, "/.well-known/oauth-authorization-server" | "/config/v1/flyte_client" | "/me");
        if is_auth || Rpc::parse(local).is_some_and(|rpc| flyte::is_own(rpc.service)) {
            return answers::say(speech, &Status::unimplemented("authentication is off at this server"));
        }
        let (mut parts, body) = request.into_parts();
        self.heralds.strip(&mut parts.headers);
        self.carry(parts, body, site, speech).await
    }

    async fn own_route(&self, own: &Router, mut request: Request, local: String) -> Response {
        if local != request.uri().path() {
            let mut uri = request.uri().clone().into_parts();
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            uri.path_and_query = format!("{local}{query}").parse().ok();
            if let Ok(uri) = axum::http::Uri::from_parts(uri) {
                *request.uri_mut() = uri;
            }
        }
        match own.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn browser_route(&self, request: Request, index: usize, site: &Site, local: &str) -> Response {
        let Some(party) = self.browsers.at(index) else { return browser::no_sign_in(&self.sites) };
        let (parts, body) = request.into_parts();
        let mut asked = told(&parts, site, Some(local));
        if parts.method == Method::POST {
            // One byte more than is looked at: what is larger is refused, not cut.
            match axum::body::to_bytes(body, MAX_BODY + 1).await {
                Ok(body) => asked.body = Some(SecretBytes::from(body.to_vec())),
                Err(_) => return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n"),
            }
        }
        let before = match local {
            "/logout" => {
                party.handle(&relying_party::Request::new(Method::GET, "/", parts.headers.clone()), Guard::Look).await
            }
            _ => relying_party::Handled::default(),
        };
        let handled = party.handle(&asked, Guard::Look).await;
        self.note_sign(local, &before, &handled).await;
        if let Some(problem) = &handled.problem {
            let problem = browser::named(problem.clone());
            tracing::warn!(error = %problem, route = local, "a sign-in or sign-out did not work");
        }
        match handled.response {
            Some(response) => response.map(Body::from),
            None => answers::say(Speech::Http, &Status::not_found("there is nothing here")),
        }
    }

    /// Sign-ins and sign-outs for the audit trail.
    async fn note_sign(&self, local: &str, before: &relying_party::Handled, handled: &relying_party::Handled) {
        let done = handled
            .response
            .as_ref()
            .is_some_and(|response| !response.status().is_client_error() && !response.status().is_server_error());
        let subject = match local {
            "/callback" => handled.person.as_ref().map(|user| user.subject().to_owned()),
            _ => before.signed_in.as_ref().map(|signed_in| signed_in.user().subject().to_owned()),
        };
        let (kind, outcome, detail) = match (local, done, &subject) {
            ("/callback", true, _) => (EventKind::SignIn, Outcome::Success, ""),
            ("/callback", false, _) => (
                EventKind::SignIn,
                Outcome::Failure,
                handled.problem.as_ref().map_or("refused", flyte_auth::Error::code),
            ),
            ("/logout", true, Some(_)) => (EventKind::SignOut, Outcome::Success, ""),
            _ => return,
        };
        self.note(kind, outcome, subject, detail).await;
    }

    async fn note(&self, kind: EventKind, outcome: Outcome, subject: Option<String>, detail: &str) {
        let event = Event {
            at: self.clock.now().as_millis(),
            kind,
            outcome,
            client_id: None,
            subject,
            session: None,
            peer: crate::peer::current(),
            detail: detail.to_owned(),
        };
        self.audit.now(event).await;
    }

    async fn me(&self, request: Request, index: usize, site: &Site) -> Response {
        let (mut parts, _) = request.into_parts();
        // Any path that is no route of the relying party, whose own answer to `/me` is another one.
        parts.uri = axum::http::Uri::from_static("/");
        match self.who(&parts, index, site, Speech::Grpc).await {
            Caller::Known(identity, cookies) => {
                let mut response = document(&identity.user_info());
                response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                identity.claim_headers(response.headers_mut());
                with_cookies(response, cookies)
            }
            Caller::Refused(refused, cookies) => {
                with_cookies(answers::refuse(Speech::Http, &refused, &site.url(PROTECTED_RESOURCE)), cookies)
            }
            Caller::Answer(response) => response,
        }
    }

    /// RFC 9728: what this is, who issues tokens for it, and how they are sent.
    async fn protected_resource(&self, site: &Site, headers: &HeaderMap) -> Response {
        let issuer = match self.flyte.source.metadata(headers).await {
            Ok(metadata) => metadata.issuer,
            Err(error) => return answers::say(Speech::Http, &error.into()),
        };
        document(&json!({
            "resource": site.audience,
            "authorization_servers": issuer.into_iter().collect::<Vec<_>>(),
            "scopes_supported": self.flyte.public_client.scopes,
            "bearer_methods_supported": ["header"],
            "resource_name": "Flyte",
        }))
    }

    /// `grpc.health.v1`: `Check` is a probe, and answers everybody; `Watch` holds a connection, and needs a token.
    async fn health(&self, request: Request, index: usize, speech: Speech, method: String) -> Response {
        if method != "Watch" || !speech.is_grpc() {
            return flyte::call(axum::extract::State(Arc::clone(&self.flyte)), request).await;
        }
        if self.use_auth {
            let (parts, _) = request.into_parts();
            let site = self.sites.of(&parts.headers);
            match self.who(&parts, index, site, speech).await {
                Caller::Known(..) => {}
                Caller::Refused(refused, _) => return answers::refuse(speech, &refused, ""),
                Caller::Answer(response) => return response,
            }
        }
        probes::watch()
    }

    /// Who sent this; a token that is not good goes into the audit trail.
    async fn who(&self, parts: &request::Parts, index: usize, site: &Site, speech: Speech) -> Caller {
        match self.finder.by_token(&parts.headers, index).await {
            Some(Ok(identity)) => Caller::Known(Box::new(identity), Vec::new()),
            Some(Err(refused)) => {
                if refused != Refused::Unavailable {
                    self.note(EventKind::Refusal, Outcome::Failure, None, refused.code()).await;
                }
                Caller::Refused(refused, Vec::new())
            }
            None => {
                let guard = if speech == Speech::Http { Guard::Login } else { Guard::Look };
                self.finder.by_cookie(&told(parts, site, None), index, guard).await
            }
        }
    }

    /// To the service behind, once it is known who asks.
    async fn pass(&self, request: Request, index: usize, site: &Site, speech: Speech) -> Response {
        let (mut parts, body) = request.into_parts();
        let is_open = if speech.is_grpc() { self.resource.open_for_grpc } else { self.resource.open_for_http };
        let caller = match self.who(&parts, index, site, speech).await {
            Caller::Known(identity, _) if !identity.may_call() && !is_open => {
                self.note(EventKind::Refusal, Outcome::Failure, Some(identity.subject.clone()), "insufficient_scope")
                    .await;
                return answers::refuse(speech, &Refused::Scope(ALL), &site.url(PROTECTED_RESOURCE));
            }
            Caller::Known(identity, cookies) => Some((identity, cookies)),
            _ if is_open => None,
            Caller::Refused(refused, cookies) => {
                return with_cookies(answers::refuse(speech, &refused, &site.url(PROTECTED_RESOURCE)), cookies);
            }
            Caller::Answer(response) => return response,
        };
        self.heralds.strip(&mut parts.headers);
        let cookies = match caller {
            Some((identity, cookies)) => {
                self.heralds.announce(&mut parts.headers, &identity, site, self.clock.now());
                cookies
            }
            None => Vec::new(),
        };
        let mut response = self.carry(parts, body, site, speech).await;
        if !cookies.is_empty() {
            // A cache that several share would hand one person's session to the others (RFC 9111 section 7.3).
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        }
        with_cookies(response, cookies)
    }

    async fn carry(&self, parts: request::Parts, body: Body, site: &Site, speech: Speech) -> Response {
        if let Some(target) = self.gateway.route(parts.uri.path()) {
            let request = Request::from_parts(parts, body);
            let mut response = self.gateway.forward(target, request, site.is_secure()).await;
            if self.cors.is_some() {
                // Which origins may read is said here; two answers to that are none.
                cors::forget(response.headers_mut());
            }
            return response;
        }
        let wants_home = parts.uri.path() == "/" && speech == Speech::Http && parts.method == Method::GET;
        if wants_home
            && self.home != "/"
            && let Ok(home) = HeaderValue::from_str(&self.home)
        {
            return (StatusCode::FOUND, [(header::LOCATION, home)]).into_response();
        }
        let what = "nothing is configured behind this path (gateway.upstreams)";
        match speech {
            Speech::Http => answers::say(speech, &Status::not_found(what)),
            _ => answers::say(speech, &Status::unimplemented(what)),
        }
    }
}

/// Paths of the built-in authorization server. Another one's are not ours: what is behind may have them.
fn is_own_path(local: &str) -> bool {
    [
        paths::AUTHORIZE,
        paths::CONSENT,
        paths::TOKEN,
        paths::PAR,
        paths::DEVICE_AUTHORIZATION,
        paths::DEVICE,
        paths::DEVICE_DECISION,
        paths::JWKS,
        paths::REVOKE,
        paths::INTROSPECT,
    ]
    .contains(&local)
}

/// A request as the relying party reads it: with the path that it calls its own. `local`: a route of it.
fn told(parts: &request::Parts, site: &Site, local: Option<&str>) -> relying_party::Request {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = parts.uri.path();
    // What another site's page opens (WebSocket) is a GET, and does whatever is then said in it: it is judged as a POST.
    let method = if parts.headers.contains_key(header::UPGRADE) { Method::POST } else { parts.method.clone() };
    let target = match local {
        Some(local) => format!("{}{local}{query}", site.path()),
        None if path.starts_with(site.path()) => format!("{path}{query}"),
        None => format!("{}{path}{query}", site.path()),
    };
    relying_party::Request::new(method, target, parts.headers.clone())
}
