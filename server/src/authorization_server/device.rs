//! Device authorization (RFC 8628): the endpoint that starts it, and the page where a person enters the code.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::testing;
use serde_json::{Value, json};

use super::authorize::{self, with_cookies};
use super::pages::{self, Csrf, Who};
use super::params::Params;
use super::{About, AuthorizationServer, OAuthError, People, Person, json_no_store, paths, store_failed};
use crate::random;
use crate::state::{Device, DeviceAnswer, EventKind, Outcome};

/// Tries for a user code that nobody else has: with 34 bits even the second is not needed.
const TRIES: usize = 5;

fn approved(person: &Person) -> DeviceAnswer {
    DeviceAnswer::Approved {
        subject: person.subject.clone(),
        claims: person.claims.clone(),
        auth_time: person.auth_time,
    }
}

impl AuthorizationServer {
    async fn begin_device(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params).await?;
        if !client.grants.device {
            return Err(OAuthError::new("unauthorized_client", "this client may not use the device grant"));
        }
        let site = self.sites.of(headers);
        let now = self.now();
        self.secrets.may_begin(&client.id, now)?;
        let device_code = random::token(&*self.entropy);
        testing::made("device_code", &device_code);
        let mut device = Device {
            user_code: String::new(),
            client_id: client.id.clone(),
            issuer: site.issuer.clone(),
            scopes: client.scopes(params.list("scope"))?,
            audience: client.audience(site, params.audience())?,
            challenge: authorize::challenge(&params, false)?,
            answer: match self.people.auto_approve() {
                Some(user) => approved(&Person::chosen(user, now.as_secs())),
                None => DeviceAnswer::Pending,
            },
            expires_at: now.plus(self.settings.device_code_lifetime),
            interval: self.settings.device_interval.as_secs(),
            polled_at: None,
        };
        let digest = random::digest(&device_code);
        for _ in 0..TRIES {
            device.user_code = random::user_code(&*self.entropy);
            if self.state.put_device(&digest, &device, now).await.map_err(store_failed)? {
                testing::made("user_code", &device.user_code);
                let page = site.url(paths::DEVICE);
                return Ok(json!({
                    "device_code": device_code,
                    "user_code": device.user_code,
                    "verification_uri": page,
                    "verification_uri_complete": format!("{page}?user_code={}", device.user_code),
                    "expires_in": self.settings.device_code_lifetime.as_secs(),
                    "interval": device.interval,
                }));
            }
        }
        Err(OAuthError::server_error("no user code is free"))
    }

    /// The page for a user code: confirmation if it is known, else the form again. Where a person has to be signed in,
    /// that comes first: codes cannot be tried by strangers.
    async fn device_page(&self, headers: &HeaderMap, typed: Option<&str>) -> Response {
        let csrf = Csrf::of(headers, self.sites.of(headers), &*self.entropy);
        let person = match &self.people {
            People::Offered(_) => None,
            People::SignedIn(sign_in) => match sign_in.person(headers).await {
                Some(person) => Some(person),
                None => {
                    let query = typed.map(|typed| {
                        url::form_urlencoded::Serializer::new("?".to_owned()).append_pair("user_code", typed).finish()
                    });
                    let target = format!("{}{}", paths::DEVICE, query.unwrap_or_default());
                    return sign_in.begin(headers, &target);
                }
            },
        };
        let page = self.device_page_for(&csrf, person.as_ref(), typed).await;
        match &person {
            Some(person) => with_cookies(page, person),
            None => page,
        }
    }

    async fn device_page_for(&self, csrf: &Csrf, person: Option<&Person>, typed: Option<&str>) -> Response {
        let Some(typed) = typed else { return pages::device_entry(self.is_sandbox(), csrf, "", None) };
        let user_code = random::normalise_user_code(typed);
        let now = self.now();
        if let Some(page) = self.one_code_too_many(person) {
            return page;
        }
        match self.state.device_by_user_code(&user_code, now).await.map_err(store_failed) {
            Err(error) => error.into_response(),
            Ok(Some(device)) => {
                let who = match (&self.people, person) {
                    (People::Offered(users), _) => Who::Choose(users),
                    (People::SignedIn(_), Some(person)) => Who::Is(person),
                    (People::SignedIn(_), None) => return pages::forged(),
                };
                pages::device_confirm(&who, csrf, &user_code, &device.client_id, &device.scopes)
            }
            Ok(None) => {
                self.note(EventKind::Refusal, Outcome::Failure, About::default(), "unknown user code").await;
                pages::device_entry(
                    self.is_sandbox(),
                    csrf,
                    typed,
                    Some("This code is not known, or it has expired. Check it, or start again on the device."),
                )
            }
        }
    }

    /// Counts a try, so that nobody finds the codes of others (RFC 8628 section 5.1).
    fn one_code_too_many(&self, person: Option<&Person>) -> Option<Response> {
        match person {
            Some(person) if !self.secrets.may_enter_code(&person.subject, self.now()) => Some(pages::error(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many codes were tried",
                "Wait a minute, then enter the code that your device shows now.",
            )),
            _ => None,
        }
    }

    pub(super) fn is_sandbox(&self) -> bool {
        matches!(self.people, People::Offered(_))
    }

    async fn decide_device(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let params = match Params::form(headers, body) {
            Ok(params) => params,
            Err(error) => return pages::error(error.status, "That did not work", &error.description),
        };
        if !Csrf::is_valid(headers, self.sites.of(headers), &params) {
            self.note(EventKind::Refusal, Outcome::Failure, About::default(), "forged device form").await;
            return pages::forged();
        }
        let user_code = random::normalise_user_code(params.get("user_code").unwrap_or_default());
        let person = match self.answering(headers, &params).await {
            Ok(person) => person,
            Err(page) => return page,
        };
        if let Some(page) = self.one_code_too_many(person.as_ref()) {
            return page;
        }
        let says_yes = params.get("action") == Some("approve");
        let answer = match &person {
            Some(person) if says_yes => approved(person),
            None if says_yes => {
                return pages::error(StatusCode::BAD_REQUEST, "Nobody was chosen", "Go back and choose who signs in.");
            }
            _ => DeviceAnswer::Denied,
        };
        let about = About { subject: person.as_ref().map(|person| person.subject.as_str()), ..About::default() };
        let answered = self.state.answer_device(&user_code, &answer, self.now()).await.map_err(store_failed);
        let page = match answered {
            Err(error) => return error.into_response(),
            Ok(false) => {
                self.note(EventKind::Refusal, Outcome::Failure, about, "unknown user code").await;
                pages::error(
                    StatusCode::BAD_REQUEST,
                    "This code has ended",
                    "It was answered already, or it has expired. Start again on the device.",
                )
            }
            Ok(true) => {
                let outcome = if says_yes { Outcome::Success } else { Outcome::Failure };
                self.note(EventKind::Consent, outcome, about, "device").await;
                if says_yes {
                    pages::done(
                        self.is_sandbox(),
                        "You are signed in",
                        "Go back to your device: it goes on by itself. You can close this window.",
                    )
                } else {
                    let text = "The device was not signed in. You can close this window.";
                    pages::done(self.is_sandbox(), "Request denied", text)
                }
            }
        };
        match &person {
            Some(person) => with_cookies(page, person),
            None => page,
        }
    }
}

/// `POST /oauth2/device_authorization`.
pub(super) async fn authorization(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match server.begin_device(&headers, &body).await {
        Ok(reply) => json_no_store(&reply),
        Err(error) => error.into_response(),
    }
}

/// `GET /device`, with or without `user_code`.
pub(super) async fn page(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    server.device_page(&headers, params.get("user_code")).await
}

/// The form where a code is typed.
pub(super) async fn enter(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    match Params::form(&headers, &body) {
        Ok(params) if Csrf::is_valid(&headers, server.sites.of(&headers), &params) => {
            server.device_page(&headers, Some(params.get("user_code").unwrap_or_default())).await
        }
        Ok(_) => pages::forged(),
        Err(error) => pages::error(error.status, "That did not work", &error.description),
    }
}

/// The form where a person approves or denies.
pub(super) async fn decision(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.decide_device(&headers, &body).await
}
