//! Device authorization (RFC 8628): the endpoint that starts it, and the page where a person enters the code.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::testing;
use serde_json::{Value, json};

use super::params::Params;
use super::{AuthorizationServer, OAuthError, authorize, json_no_store, pages, paths};
use crate::random;
use crate::store::{Device, DeviceAnswer};
use crate::users::User;

impl AuthorizationServer {
    fn begin_device(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params)?;
        if !client.acts_for_people {
            return Err(OAuthError::new("unauthorized_client", "this client may not act for a person"));
        }
        let now = self.now();
        let (device_code, user_code) = (random::token(&*self.entropy), random::user_code(&*self.entropy));
        testing::made("device_code", &device_code);
        testing::made("user_code", &user_code);
        let interval = self.settings.device_interval.as_secs();
        let device = Device {
            user_code: user_code.clone(),
            client_id: client.id.clone(),
            scopes: client.scopes(params.list("scope"))?,
            audience: params.audience(),
            challenge: authorize::challenge(&params, false)?,
            answer: match &self.users.auto_approve {
                Some(user) => DeviceAnswer::Approved(user.clone(), now.as_secs()),
                None => DeviceAnswer::Pending,
            },
            expires_at: now.plus(self.settings.device_code_lifetime),
            interval,
            polled_at: None,
        };
        self.change(|tables| tables.devices.insert(random::digest(&device_code), device))?;
        let page = self.url(paths::DEVICE);
        Ok(json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": self.settings.device_code_lifetime.as_secs(),
            "interval": interval,
        }))
    }

    /// The page for a user code: confirmation if it is known, else the form again.
    fn device_page(&self, headers: &HeaderMap, typed: Option<&str>) -> Response {
        let csrf = pages::Csrf::of(headers, &*self.entropy);
        let Some(typed) = typed else { return pages::device_entry(self, &csrf, "", None) };
        let user_code = random::normalise_user_code(typed);
        let now = self.now();
        let found = self.change(|tables| {
            tables
                .device_by_user_code(&user_code, now)
                .filter(|device| device.answer == DeviceAnswer::Pending)
                .map(|device| (device.client_id.clone(), device.scopes.clone()))
        });
        match found {
            Err(error) => error.into_response(),
            Ok(Some((client_id, scopes))) => pages::device_confirm(self, &csrf, &user_code, &client_id, &scopes),
            Ok(None) => pages::device_entry(
                self,
                &csrf,
                typed,
                Some("This code is not known, or it has expired. Check it, or start again on the device."),
            ),
        }
    }

    fn decide_device(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        let params = match Params::form(headers, body) {
            Ok(params) => params,
            Err(error) => return pages::error(error.status, "That did not work", &error.description),
        };
        if !pages::Csrf::is_valid(headers, &params) {
            return pages::forged();
        }
        let user_code = random::normalise_user_code(params.get("user_code").unwrap_or_default());
        let user = User::named(params.get("other").or_else(|| params.get("user")).unwrap_or_default());
        let approved = params.get("action") == Some("approve");
        let now = self.now();
        let answer = match user {
            Some(user) if approved => DeviceAnswer::Approved(user, now.as_secs()),
            None if approved => {
                return pages::error(StatusCode::BAD_REQUEST, "Nobody was chosen", "Go back and choose who signs in.");
            }
            _ => DeviceAnswer::Denied,
        };
        let answered = self.change(|tables| {
            tables
                .device_by_user_code(&user_code, now)
                .filter(|device| device.answer == DeviceAnswer::Pending)
                .map(|device| device.answer = answer)
                .is_some()
        });
        match answered {
            Err(error) => error.into_response(),
            Ok(true) if approved => pages::done(
                "You are signed in",
                "Go back to your device: it goes on by itself. You can close this window.",
            ),
            Ok(true) => pages::done("Request denied", "The device was not signed in. You can close this window."),
            Ok(false) => pages::error(
                StatusCode::BAD_REQUEST,
                "This code has ended",
                "It was answered already, or it has expired. Start again on the device.",
            ),
        }
    }
}

/// `POST /oauth2/device_authorization`.
pub(super) async fn authorization(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match server.begin_device(&headers, &body) {
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
    server.device_page(&headers, params.get("user_code"))
}

/// The form where a code is typed.
pub(super) async fn enter(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    match Params::form(&headers, &body) {
        Ok(params) if pages::Csrf::is_valid(&headers, &params) => {
            server.device_page(&headers, Some(params.get("user_code").unwrap_or_default()))
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
    server.decide_device(&headers, &body)
}
