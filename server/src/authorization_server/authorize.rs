//! The authorization endpoint (RFC 6749 section 4.1.1) and the answer of the sign-in page.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::Timestamp;
use flyte_auth::testing;

use super::params::Params;
use super::{AuthorizationServer, Client, OAuthError, pages};
use crate::random;
use crate::store::{Code, Grant, PendingAuthorization};
use crate::users::User;

/// How the answer reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseMode {
    Query,
    /// OAuth 2.0 Form Post Response Mode.
    FormPost,
}

/// A valid authorization request.
#[derive(Clone)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client_id: String,
    /// Where the answer goes, exactly as requested.
    pub redirect_uri: String,
    response_mode: ResponseMode,
    state: Option<String>,
    /// Granted if the person approves.
    pub scopes: Vec<String>,
    audience: Vec<String>,
    challenge: Option<String>,
    nonce: Option<String>,
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
    fn authorization_request(&self, params: &Params) -> Result<AuthorizationRequest, Refusal> {
        let shown = |description: &str| Refusal::Show(OAuthError::invalid_request(description));
        let client_id = params.require("client_id").map_err(Refusal::Show)?;
        let client = self.client(client_id).ok_or_else(|| shown("the client is not registered here"))?;
        let redirect_uri = match (params.get("redirect_uri"), client.redirect_uris.as_slice()) {
            (Some(requested), _) if client.accepts_redirect(requested) => requested,
            (Some(_), _) => return Err(shown("the redirect_uri is not one that this client registered")),
            (None, [only]) => only.as_str(),
            (None, _) => return Err(shown("the parameter redirect_uri is missing")),
        };
        let mut request = AuthorizationRequest {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            response_mode: ResponseMode::Query,
            state: params.get("state").map(str::to_owned),
            scopes: Vec::new(),
            audience: params.audience(),
            challenge: None,
            nonce: params.get("nonce").map(str::to_owned),
            login_hint: params.get("login_hint").map(str::to_owned),
        };
        match self.fill_request(&mut request, client, params) {
            Ok(()) => Ok(request),
            Err(error) => Err(Refusal::Redirect(Box::new(request), error)),
        }
    }

    /// The part of the request whose errors go back to the client.
    fn fill_request(
        &self,
        request: &mut AuthorizationRequest,
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
            return Err(OAuthError::new("request_uri_not_supported", "request objects are not supported"));
        }
        if !client.acts_for_people {
            return Err(OAuthError::new("unauthorized_client", "this client may not act for a person"));
        }
        if params.require("response_type")? != "code" {
            return Err(OAuthError::new("unsupported_response_type", "response_type must be code"));
        }
        request.challenge = challenge(params, client.is_public())?;
        request.scopes = client.scopes(params.list("scope"))?;
        let prompts = params.list("prompt");
        if prompts.iter().any(|prompt| prompt == "none") && self.users.auto_approve.is_none() {
            return Err(OAuthError::new("login_required", "prompt=none, and there is no session here"));
        }
        Ok(())
    }

    /// The answer to the client: parameters, then `state` and RFC 9207's `iss`.
    fn answer(&self, request: &AuthorizationRequest, parameters: &[(&str, &str)]) -> Response {
        let mut all = parameters.to_vec();
        if let Some(state) = &request.state {
            all.push(("state", state));
        }
        all.push(("iss", &self.settings.issuer));
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

    fn refuse(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Show(error) => {
                let text = format!(
                    "{}. You were not sent back, because the answer could reach a stranger. Check the program's client id \
                     and redirect address.",
                    error.description
                );
                pages::error(StatusCode::BAD_REQUEST, "This sign-in link is not valid", &text)
            }
            Refusal::Redirect(request, error) => {
                self.answer(&request, &[("error", error.code), ("error_description", &error.description)])
            }
        }
    }

    /// Approves as `user`: makes the code and answers the client.
    fn approve(&self, request: &AuthorizationRequest, user: User) -> Response {
        let now = self.now();
        let code = random::token(&*self.entropy);
        testing::made("code", &code);
        let record = Code {
            grant: Grant {
                session: random::identifier(&*self.entropy),
                client_id: request.client_id.clone(),
                user: Some(user),
                scopes: request.scopes.clone(),
                audience: request.audience.clone(),
                auth_time: now.as_secs(),
            },
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            expires_at: now.plus(self.settings.code_lifetime),
            used: false,
        };
        match self.change(|tables| tables.codes.insert(random::digest(&code), record)) {
            Ok(_) => self.answer(request, &[("code", &code)]),
            Err(error) => self.refuse(Refusal::Redirect(Box::new(request.clone()), error)),
        }
    }

    fn authorize(&self, headers: &HeaderMap, encoded: &[u8]) -> Response {
        let parsed = Params::parse(encoded).map_err(Refusal::Show);
        let request = match parsed.and_then(|params| self.authorization_request(&params)) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(refusal),
        };
        if let Some(user) = &self.users.auto_approve {
            return self.approve(&request, user.clone());
        }
        let now = self.now();
        let id = random::token(&*self.entropy);
        let csrf = pages::Csrf::of(headers, &*self.entropy);
        let page = pages::sign_in(self, &request, &id, &csrf);
        let pending = PendingAuthorization { request, expires_at: now.plus(self.settings.code_lifetime) };
        match self.change(|tables| tables.pending.insert(id, pending)) {
            Ok(_) => page,
            Err(error) => error.into_response(),
        }
    }

    fn decide(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let params = match Params::form(headers, body) {
            Ok(params) => params,
            Err(error) => return pages::error(error.status, "That did not work", &error.description),
        };
        if !pages::Csrf::is_valid(headers, &params) {
            return pages::forged();
        }
        let id = params.get("request").unwrap_or_default();
        let user = User::named(params.get("other").or_else(|| params.get("user")).unwrap_or_default());
        let approved = params.get("action") == Some("approve");
        if approved && user.is_none() {
            return pages::error(StatusCode::BAD_REQUEST, "Nobody was chosen", "Go back and choose who signs in.");
        }
        // Taken out: one page answers once.
        let now: Timestamp = self.now();
        let pending = match self.change(|tables| tables.pending.remove(id)) {
            Ok(pending) => pending.filter(|pending| pending.expires_at > now),
            Err(error) => return error.into_response(),
        };
        let Some(PendingAuthorization { request, .. }) = pending else {
            return pages::error(
                StatusCode::BAD_REQUEST,
                "This sign-in has ended",
                "It was answered already, or it waited too long. Start again from the program that sent you here.",
            );
        };
        match user {
            Some(user) if approved => self.approve(&request, user),
            _ => self.refuse(Refusal::Redirect(
                Box::new(request),
                OAuthError::new("access_denied", "the person denied the request"),
            )),
        }
    }
}

/// `GET /oauth2/authorize`.
pub(super) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    server.authorize(&headers, query.unwrap_or_default().as_bytes())
}

/// `POST /oauth2/authorize` (OpenID Connect Core section 3.1.2.1 demands both methods).
pub(super) async fn post(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    server.authorize(&headers, &body)
}

/// The form of the sign-in page.
pub(super) async fn decision(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.decide(&headers, &body)
}
