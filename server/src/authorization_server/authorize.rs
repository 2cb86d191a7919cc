//! The authorization endpoint (RFC 6749 section 4.1.1), pushed requests (RFC 9126), and the answer of the page that asks
//! for consent.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::testing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pages::{self, Csrf, Who};
use super::params::Params;
use super::{About, AuthorizationServer, Client, OAuthError, People, Person, json_no_store, paths, store_failed};
use crate::random;
use crate::sites::Site;
use crate::state::{Code, EventKind, Grant, Outcome, Pending};
use crate::users::User;

/// RFC 9126 section 2.2.
const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";
/// A pushed request waits for the browser this long (RFC 9126 section 2.2 suggests 5 to 600 s).
const PUSHED: std::time::Duration = std::time::Duration::from_secs(90);

/// How the answer reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ResponseMode {
    Query,
    /// OAuth 2.0 Form Post Response Mode.
    FormPost,
}

/// A valid authorization request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: String,
    /// Where the answer goes, exactly as requested.
    pub redirect_uri: String,
    /// Whether the request named it: else it is the only one that the client has.
    redirect_uri_named: bool,
    /// `iss` of the answer and the tokens: of the address that it came in on.
    issuer: String,
    response_mode: ResponseMode,
    state: Option<String>,
    /// Granted if the person approves.
    pub scopes: Vec<String>,
    audience: Vec<String>,
    challenge: Option<String>,
    nonce: Option<String>,
    /// `prompt=none`: no page may be shown.
    silent: bool,
    /// Fills the form of the sign-in page.
    pub login_hint: Option<String>,
}

impl std::fmt::Debug for AuthorizationRequest {
    // `state` and `nonce` are the client's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Where an error of a request goes.
enum Refusal {
    /// Client or redirect are not known: never redirect, show it (RFC 6749 section 4.1.2.1).
    Show(OAuthError),
    /// Everything else goes back to the client.
    Redirect(Box<AuthorizationRequest>, OAuthError),
}

impl Refusal {
    fn error(self) -> OAuthError {
        match self {
            Self::Show(error) | Self::Redirect(_, error) => error,
        }
    }
}

/// Base64url of a SHA-256: 43 letters (RFC 7636 section 4.2).
pub(super) fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// PKCE of a request: S256 only; `plain` protects nothing (RFC 9700 section 2.1.1).
pub(super) fn challenge(params: &Params, required: bool) -> Result<Option<String>, OAuthError> {
    match (params.get("code_challenge"), params.get("code_challenge_method")) {
        (None, None) if !required => Ok(None),
        (None, _) => Err(OAuthError::invalid_request("PKCE is required: the parameter code_challenge is missing")),
        (Some(challenge), Some("S256")) if is_challenge(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), Some("S256")) => Err(OAuthError::invalid_request("code_challenge is not a base64url SHA-256")),
        (Some(_), _) => Err(OAuthError::invalid_request("code_challenge_method must be S256")),
    }
}

impl AuthorizationServer {
    fn authorization_request(&self, site: &Site, params: &Params) -> Result<AuthorizationRequest, Refusal> {
        let shown = |description: &str| Refusal::Show(OAuthError::invalid_request(description));
        let client_id = params.require("client_id").map_err(Refusal::Show)?;
        let client = self.client(client_id).ok_or_else(|| shown("the client is not registered here"))?;
        let named = params.get("redirect_uri");
        let redirect_uri = match (named, client.redirect_uris.as_slice()) {
            (Some(requested), _) if client.accepts_redirect(requested) => requested,
            (Some(_), _) => return Err(shown("the redirect_uri is not one that this client registered")),
            (None, [only]) => only.as_str(),
            (None, _) => return Err(shown("the parameter redirect_uri is missing")),
        };
        let mut request = AuthorizationRequest {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            redirect_uri_named: named.is_some(),
            issuer: site.issuer.clone(),
            response_mode: ResponseMode::Query,
            state: params.get("state").map(str::to_owned),
            scopes: Vec::new(),
            audience: Vec::new(),
            challenge: None,
            nonce: params.get("nonce").map(str::to_owned),
            silent: false,
            login_hint: params.get("login_hint").map(str::to_owned),
        };
        match Self::fill_request(&mut request, site, client, params) {
            Ok(()) => Ok(request),
            Err(error) => Err(Refusal::Redirect(Box::new(request), error)),
        }
    }

    /// The part of the request whose errors go back to the client.
    fn fill_request(
        request: &mut AuthorizationRequest,
        site: &Site,
        client: &Client,
        params: &Params,
    ) -> Result<(), OAuthError> {
        match params.get("response_mode") {
            None | Some("query") => {}
            Some("form_post") => request.response_mode = ResponseMode::FormPost,
            Some(_) => return Err(OAuthError::invalid_request("response_mode must be query or form_post")),
        }
        if params.get("request").is_some() {
            return Err(OAuthError::new("request_not_supported", "request objects are not supported"));
        }
        if params.get("request_uri").is_some() {
            return Err(OAuthError::new("request_uri_not_supported", "only pushed requests have a request_uri here"));
        }
        if !client.grants.code {
            return Err(OAuthError::new("unauthorized_client", "this client may not act for a person"));
        }
        if params.require("response_type")? != "code" {
            return Err(OAuthError::new("unsupported_response_type", "response_type must be code"));
        }
        request.challenge = challenge(params, client.public)?;
        request.scopes = client.scopes(params.list("scope"))?;
        request.audience = client.audience(site, params.audience())?;
        request.silent = params.list("prompt").iter().any(|prompt| prompt == "none");
        Ok(())
    }

    /// The answer to the client: parameters, then `state` and RFC 9207's `iss`.
    fn answer(request: &AuthorizationRequest, parameters: &[(&str, &str)]) -> Response {
        let mut all = parameters.to_vec();
        if let Some(state) = &request.state {
            all.push(("state", state));
        }
        all.push(("iss", &request.issuer));
        if request.response_mode == ResponseMode::FormPost {
            return pages::form_post(&request.redirect_uri, &all);
        }
        // Appended as text: a parser would rewrite what the client registered.
        let separator = if request.redirect_uri.contains('?') { '&' } else { '?' };
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        let location = format!("{}{separator}{query}", request.redirect_uri);
        // 303: a browser that posted the sign-in form must not post it again to the client (RFC 9700 section 4.12).
        (StatusCode::SEE_OTHER, [(header::LOCATION, location.as_str()), (header::CACHE_CONTROL, "no-store")])
            .into_response()
    }

    async fn refuse(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Show(error) => {
                self.note(EventKind::Refusal, Outcome::Failure, About::default(), &error.description).await;
                let text = format!(
                    "{}. You were not sent back, because the answer could reach a stranger. Check the program's client id \
                     and redirect address.",
                    error.description
                );
                let status = if error.status.is_server_error() { error.status } else { StatusCode::BAD_REQUEST };
                pages::error(status, "This sign-in link is not valid", &text)
            }
            Refusal::Redirect(request, error) => {
                Self::answer(&request, &[("error", error.code), ("error_description", &error.description)])
            }
        }
    }

    /// Approves as `person`: makes the code and answers the client.
    async fn approve(&self, request: &AuthorizationRequest, person: &Person) -> Response {
        let now = self.now();
        let code = random::token(&*self.entropy);
        testing::made("code", &code);
        let record = Code {
            grant: Grant {
                session: random::identifier(&*self.entropy),
                client_id: request.client_id.clone(),
                issuer: request.issuer.clone(),
                subject: Some(person.subject.clone()),
                claims: person.claims.clone(),
                scopes: request.scopes.clone(),
                audience: request.audience.clone(),
                auth_time: person.auth_time,
                ends_at: now.plus(self.settings.session_lifetime).as_millis(),
            },
            redirect_uri: request.redirect_uri.clone(),
            redirect_uri_named: request.redirect_uri_named,
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            expires_at: now.plus(self.settings.code_lifetime),
            used: false,
        };
        self.note(EventKind::Consent, Outcome::Success, About::grant(&record.grant), "approved").await;
        match self.state.put_code(&random::digest(&code), &record).await.map_err(store_failed) {
            Ok(()) => Self::answer(request, &[("code", &code)]),
            Err(error) => self.refuse(Refusal::Redirect(Box::new(request.clone()), error)).await,
        }
    }

    /// The request of these parameters: as they are, or as it was pushed.
    async fn requested(&self, headers: &HeaderMap, encoded: &[u8]) -> Result<AuthorizationRequest, Refusal> {
        let params = Params::parse(encoded).map_err(Refusal::Show)?;
        let Some(id) = params.get("request_uri").and_then(|uri| uri.strip_prefix(REQUEST_URI)) else {
            return self.authorization_request(self.sites.of(headers), &params);
        };
        let client_id = params.require("client_id").map_err(Refusal::Show)?;
        let pushed = self.state.take_pending(&random::digest(&format!("pushed {id}")), self.now()).await;
        match pushed.map_err(|error| Refusal::Show(store_failed(error)))? {
            // Parameters beside a pushed request are not read (RFC 9126 section 4).
            Some(pushed) if pushed.request.client_id == client_id => Ok(pushed.request),
            _ => Err(Refusal::Show(OAuthError::invalid_request("the request_uri is unknown, has expired or was used"))),
        }
    }

    async fn authorize(&self, headers: &HeaderMap, encoded: &[u8]) -> Response {
        let request = match self.requested(headers, encoded).await {
            Ok(request) => request,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let now = self.now();
        if let Some(user) = self.people.auto_approve() {
            return self.approve(&request, &Person::chosen(user, now.as_secs())).await;
        }
        if request.silent {
            let signed_in = match &self.people {
                People::Offered(_) => None,
                People::SignedIn(sign_in) => sign_in.person(headers).await,
            };
            let error = match signed_in {
                None => OAuthError::new("login_required", "prompt=none, and there is no session here"),
                Some(_) => OAuthError::new("consent_required", "prompt=none, and consent is asked for each time"),
            };
            return self.refuse(Refusal::Redirect(Box::new(request), error)).await;
        }
        if let Err(error) = self.secrets.may_begin(&request.client_id, now) {
            return pages::error(error.status, "Too many sign-ins at once", "Wait a moment, then start again.");
        }
        let id = random::token(&*self.entropy);
        let pending = Pending { request, expires_at: now.plus(self.settings.code_lifetime) };
        if let Err(error) = self.state.put_pending(&random::digest(&id), &pending).await.map_err(store_failed) {
            return error.into_response();
        }
        self.ask(headers, &id, &pending.request).await
    }

    /// The page that asks, or the way to whoever has to sign in first.
    async fn ask(&self, headers: &HeaderMap, id: &str, request: &AuthorizationRequest) -> Response {
        let site = self.sites.of(headers);
        let csrf = Csrf::of(headers, site, &*self.entropy);
        match &self.people {
            People::Offered(users) => pages::consent(&Who::Choose(users), request, id, &csrf),
            People::SignedIn(sign_in) => match sign_in.person(headers).await {
                Some(person) => with_cookies(pages::consent(&Who::Is(&person), request, id, &csrf), &person),
                None => sign_in.begin(headers, &format!("{}?request={id}", paths::CONSENT)),
            },
        }
    }

    async fn consent_page(&self, headers: &HeaderMap, query: &str) -> Response {
        let params = Params::parse(query.as_bytes()).unwrap_or_default();
        let id = params.get("request").unwrap_or_default();
        match self.state.pending(&random::digest(id), self.now()).await.map_err(store_failed) {
            Ok(Some(pending)) => self.ask(headers, id, &pending.request).await,
            Ok(None) => ended(),
            Err(error) => error.into_response(),
        }
    }

    /// Who answers a form: chosen in it, or signed in.
    pub(super) async fn answering(&self, headers: &HeaderMap, params: &Params) -> Result<Option<Person>, Response> {
        match &self.people {
            People::Offered(_) => {
                let named = params.get("other").or_else(|| params.get("user")).unwrap_or_default();
                Ok(User::named(named).map(|user| Person::chosen(&user, self.now().as_secs())))
            }
            People::SignedIn(sign_in) => match sign_in.person(headers).await {
                // The page said who answers; somebody else may have signed in since, in another tab.
                Some(person) if params.get("as") == Some(random::digest(&person.subject).as_str()) => Ok(Some(person)),
                Some(_) => Err(pages::error(
                    StatusCode::CONFLICT,
                    "Somebody else is signed in now",
                    "You signed in as another person in the meantime. Start again from the program that sent you here.",
                )),
                None => Err(pages::error(
                    StatusCode::UNAUTHORIZED,
                    "You are no longer signed in",
                    "Start again from the program that sent you here.",
                )),
            },
        }
    }

    async fn decide(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let params = match Params::form(headers, body) {
            Ok(params) => params,
            Err(error) => return pages::error(error.status, "That did not work", &error.description),
        };
        if !Csrf::is_valid(headers, self.sites.of(headers), &params) {
            self.note(EventKind::Refusal, Outcome::Failure, About::default(), "forged consent form").await;
            return pages::forged();
        }
        let approved = params.get("action") == Some("approve");
        let person = match self.answering(headers, &params).await {
            Ok(person) => person,
            Err(page) => return page,
        };
        if approved && person.is_none() {
            return pages::error(StatusCode::BAD_REQUEST, "Nobody was chosen", "Go back and choose who signs in.");
        }
        let id = params.get("request").unwrap_or_default();
        // Taken out: one page answers once.
        let request = match self.state.take_pending(&random::digest(id), self.now()).await.map_err(store_failed) {
            Ok(Some(pending)) => pending.request,
            Ok(None) => return ended(),
            Err(error) => return error.into_response(),
        };
        match person {
            Some(person) if approved => with_cookies(self.approve(&request, &person).await, &person),
            person => {
                let about = About {
                    subject: person.as_ref().map(|person| person.subject.as_str()),
                    ..About::client(&request.client_id)
                };
                self.note(EventKind::Consent, Outcome::Failure, about, "denied").await;
                let error = OAuthError::new("access_denied", "the person denied the request");
                self.refuse(Refusal::Redirect(Box::new(request), error)).await
            }
        }
    }

    async fn push_request(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params).await?;
        if params.get("request_uri").is_some() {
            return Err(OAuthError::invalid_request("a pushed request has no request_uri (RFC 9126 section 2.1)"));
        }
        // A client that proved itself by its header need not name itself in the form too.
        let params = params.with("client_id", &client.id);
        let request = self.authorization_request(self.sites.of(headers), &params).map_err(Refusal::error)?;
        let now = self.now();
        self.secrets.may_begin(&client.id, now)?;
        let id = random::token(&*self.entropy);
        let pending = Pending { request, expires_at: now.plus(PUSHED) };
        self.state.put_pending(&random::digest(&format!("pushed {id}")), &pending).await.map_err(store_failed)?;
        Ok(json!({ "request_uri": format!("{REQUEST_URI}{id}"), "expires_in": PUSHED.as_secs() }))
    }
}

/// A page of a request that waits no longer.
fn ended() -> Response {
    pages::error(
        StatusCode::BAD_REQUEST,
        "This sign-in has ended",
        "It was answered already, or it waited too long. Start again from the program that sent you here.",
    )
}

/// The answer with what the person's session has to set.
pub(super) fn with_cookies(mut response: Response, person: &Person) -> Response {
    for cookie in &person.set_cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

/// `GET /oauth2/authorize`.
pub(super) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    server.authorize(&headers, query.unwrap_or_default().as_bytes()).await
}

/// `POST /oauth2/authorize` (OpenID Connect Core section 3.1.2.1 demands both methods).
pub(super) async fn post(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    server.authorize(&headers, &body).await
}

/// `GET /oauth2/consent`: where a browser comes back to once somebody is signed in.
pub(super) async fn consent(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    server.consent_page(&headers, &query.unwrap_or_default()).await
}

/// The form of the page.
pub(super) async fn decision(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.decide(&headers, &body).await
}

/// `POST /oauth2/par`.
pub(super) async fn push(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    match server.push_request(&headers, &body).await {
        Ok(reply) => {
            let mut response = json_no_store(&reply);
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        Err(error) => error.into_response(),
    }
}
