//! The token endpoint (RFC 6749 section 3.2), revocation (RFC 7009) and introspection (RFC 7662).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::Timestamp;
use flyte_auth::testing::exchanged;
use serde_json::{Value, json};

use super::params::Params;
use super::tokens::wants_refresh;
use super::{AuthorizationServer, Client, OAuthError, json_no_store};
use crate::random;
use crate::resource::ACCESS_TOKEN_TYPE;
use crate::store::{DeviceAnswer, Grant};

/// RFC 8628 section 3.4.
pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What looking up a one-time secret found, where the answer needs a second look after the lock is gone.
enum Found<T> {
    Granted(T),
    Refused(OAuthError),
    Reused(OAuthError),
}

/// PKCE's check (RFC 7636 section 4.6). A verifier without a challenge is refused too: it would mean that somebody
/// stripped the challenge from the request (RFC 9700 section 2.1.1).
fn verify_pkce(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), OAuthError> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(OAuthError::invalid_grant("the code_verifier is missing")),
        (None, Some(_)) => {
            Err(OAuthError::invalid_grant("a code_verifier came, but the request had no code_challenge"))
        }
        (Some(challenge), Some(verifier)) => {
            let well_formed = (43..=128).contains(&verifier.len())
                && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            if well_formed && random::digest(verifier) == challenge {
                Ok(())
            } else {
                Err(OAuthError::invalid_grant("the code_verifier does not fit the code_challenge"))
            }
        }
    }
}

impl AuthorizationServer {
    fn token(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let grant_type = params.require("grant_type")?;
        let grant: fn(&Self, &Client, &Params) -> Result<Value, OAuthError> = match grant_type {
            "authorization_code" => {
                self.metrics.grant("authorization_code");
                Self::by_code
            }
            "client_credentials" => {
                self.metrics.grant("client_credentials");
                Self::by_client
            }
            "refresh_token" => {
                self.metrics.grant("refresh_token");
                Self::by_refresh
            }
            DEVICE_GRANT => {
                self.metrics.grant("device_code");
                Self::by_device
            }
            _ => return Err(OAuthError::new("unsupported_grant_type", "this grant_type is not supported")),
        };
        let client = self.authenticate_client(headers, &params)?;
        grant(self, client, &params)
    }

    fn reuse<T>(&self, found: Found<T>) -> Result<T, OAuthError> {
        match found {
            Found::Granted(granted) => Ok(granted),
            Found::Refused(error) => Err(error),
            Found::Reused(error) => {
                self.metrics.reuse_detected();
                Err(error)
            }
        }
    }

    /// A first refresh token for a session, where its scopes ask for one.
    fn first_refresh_token(&self, grant: &Grant) -> Result<Option<String>, OAuthError> {
        if !wants_refresh(&grant.scopes) {
            return Ok(None);
        }
        let (token, record) = self.new_refresh_token(grant, self.now());
        self.change(|tables| tables.add_refresh(random::digest(&token), record))?;
        Ok(Some(token))
    }

    fn by_code(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        let digest = random::digest(params.require("code")?);
        let redirect_uri = params.require("redirect_uri")?;
        let verifier = params.get("code_verifier");
        let now = self.now();
        let gone = self.access_tokens_gone();
        let found = self.change(|tables| {
            let unknown = || Found::Refused(OAuthError::invalid_grant("the code is unknown, expired or was used"));
            let Some(code) = tables.codes.get_mut(&digest) else { return unknown() };
            if code.grant.client_id != client.id {
                return unknown();
            }
            if code.used {
                // RFC 6749 section 4.1.2: somebody else has the code too; end what it gave.
                let session = code.grant.session.clone();
                tables.revoke_session(&session, gone);
                return Found::Reused(OAuthError::invalid_grant("the code is unknown, expired or was used"));
            }
            if code.expires_at <= now {
                return unknown();
            }
            if code.redirect_uri != redirect_uri {
                return Found::Refused(OAuthError::invalid_grant("the redirect_uri is not the one of the request"));
            }
            if let Err(error) = verify_pkce(code.challenge.as_deref(), verifier) {
                return Found::Refused(error);
            }
            code.used = true;
            Found::Granted((code.grant.clone(), code.nonce.clone()))
        })?;
        let (grant, nonce) = self.reuse(found)?;
        let refresh_token = self.first_refresh_token(&grant)?;
        self.token_reply(&grant, nonce.as_deref(), refresh_token)
    }

    fn by_client(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        if client.is_public() || !client.acts_for_itself {
            return Err(OAuthError::new("unauthorized_client", "this client may not act for itself"));
        }
        let grant = Grant {
            session: random::identifier(&*self.entropy),
            client_id: client.id.clone(),
            user: None,
            scopes: client.scopes(params.list("scope"))?,
            audience: params.audience(),
            auth_time: self.now().as_secs(),
        };
        // RFC 6749 section 4.4.3: no refresh token, whatever the scopes.
        self.token_reply(&grant, None, None)
    }

    fn by_refresh(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        let presented = params.require("refresh_token")?;
        let digest = random::digest(presented);
        let requested = params.list("scope");
        let now = self.now();
        let gone = self.access_tokens_gone();
        let rotate = self.settings.rotate_refresh_tokens;
        let found = self.change(|tables| {
            let unknown =
                || Found::Refused(OAuthError::invalid_grant("the refresh token is unknown, expired or revoked"));
            let Some(refresh) = tables.refresh(&digest) else { return unknown() };
            if refresh.grant.client_id != client.id {
                return unknown();
            }
            if refresh.used {
                // RFC 9700 section 4.14.2: one of two holders is a thief; which one cannot be told.
                let session = refresh.grant.session.clone();
                tables.revoke_session(&session, gone);
                return Found::Reused(OAuthError::invalid_grant(
                    "the refresh token was used before; the session is revoked",
                ));
            }
            if refresh.expires_at <= now.as_millis() {
                return unknown();
            }
            let mut grant = refresh.grant.clone();
            if let Some(extra) = requested.iter().find(|scope| !grant.scopes.contains(scope)) {
                let refused = format!("the scope {extra} was not granted to this session");
                return Found::Refused(OAuthError::new("invalid_scope", refused));
            }
            let mut next = None;
            if rotate {
                let (token, record) = self.new_refresh_token(&grant, now);
                tables.use_refresh(&digest);
                tables.add_refresh(random::digest(&token), record);
                next = Some(token);
            }
            if !requested.is_empty() {
                grant.scopes.clone_from(&requested);
            }
            Found::Granted((grant, next))
        })?;
        match &found {
            Found::Granted((_, next)) => exchanged(presented, Some(next.as_deref().unwrap_or(presented))),
            Found::Refused(_) | Found::Reused(_) => exchanged(presented, None),
        }
        let (grant, next) = self.reuse(found)?;
        self.metrics.refreshed();
        self.token_reply(&grant, None, next)
    }

    fn by_device(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        let digest = random::digest(params.require("device_code")?);
        let verifier = params.get("code_verifier");
        let now = self.now();
        let found = self.change(|tables| {
            let unknown = || Err(OAuthError::invalid_grant("the device code is unknown or was used"));
            let Some(device) = tables.devices.get_mut(&digest) else { return unknown() };
            if device.client_id != client.id {
                return unknown();
            }
            if device.expires_at <= now {
                return Err(OAuthError::new("expired_token", "the device code has expired"));
            }
            verify_pkce(device.challenge.as_deref(), verifier)?;
            if let DeviceAnswer::Approved(user, auth_time) = &device.answer {
                let grant = Grant {
                    session: random::identifier(&*self.entropy),
                    client_id: client.id.clone(),
                    user: Some(user.clone()),
                    scopes: device.scopes.clone(),
                    audience: device.audience.clone(),
                    auth_time: *auth_time,
                };
                tables.devices.remove(&digest);
                return Ok(grant);
            }
            if device.answer == DeviceAnswer::Denied {
                return Err(OAuthError::new("access_denied", "the person denied the request"));
            }
            // A poll that left in time may be read a little early: the clock is coarse and networks jitter.
            let least = std::time::Duration::from_millis((device.interval * 1000).saturating_sub(100));
            let too_fast = device.polled_at.is_some_and(|polled| now.since(polled) < least);
            device.polled_at = Some(now);
            if too_fast {
                // RFC 8628 section 3.5: this and all later polls wait five seconds longer.
                device.interval += 5;
                return Err(OAuthError::new("slow_down", "polled too fast; wait five seconds longer"));
            }
            Err(OAuthError::new("authorization_pending", "the person has not answered yet"))
        })?;
        let grant = found?;
        let refresh_token = self.first_refresh_token(&grant)?;
        self.token_reply(&grant, None, refresh_token)
    }

    fn revoke_token(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params)?;
        let token = params.require("token")?;
        let gone = self.access_tokens_gone();
        let foreign = || OAuthError::new("unauthorized_client", "the token belongs to another client");
        let digest = random::digest(token);
        let session = self.change(|tables| match tables.refresh(&digest) {
            Some(refresh) if refresh.grant.client_id != client.id => Err(foreign()),
            Some(refresh) => {
                let session = refresh.grant.session.clone();
                tables.revoke_session(&session, gone);
                Ok(true)
            }
            None => Ok(false),
        })??;
        if session {
            return Ok(());
        }
        // RFC 7009 section 2.2: a token that is not known needs no revocation, and that is a success.
        let Some(claims) = self.keys.verify(ACCESS_TOKEN_TYPE, token) else { return Ok(()) };
        if claims.get("client_id").and_then(Value::as_str) != Some(client.id.as_str()) {
            return Err(foreign());
        }
        if let (Some(id), Some(exp)) =
            (claims.get("jti").and_then(Value::as_str), claims.get("exp").and_then(Value::as_i64))
        {
            self.change(|tables| tables.revoke(id, Timestamp::from_secs(exp)))?;
        }
        Ok(())
    }

    fn introspect_token(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params)?;
        if client.is_public() {
            // RFC 7662 section 2.1: otherwise anybody could try tokens here.
            return Err(OAuthError::invalid_client("introspection needs a client with a secret", false));
        }
        let token = params.require("token")?;
        let now = self.now();
        if let Some(mut claims) = self.keys.verify(ACCESS_TOKEN_TYPE, token) {
            let alive = claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp > now.as_secs());
            let ids: Vec<&str> = ["jti", "sid"].iter().filter_map(|name| claims.get(*name)?.as_str()).collect();
            if alive && !self.store.any_revoked(&ids) {
                claims.insert("active".to_owned(), true.into());
                claims.insert("token_type".to_owned(), "Bearer".into());
                return Ok(Value::Object(claims));
            }
            return Ok(json!({ "active": false }));
        }
        let digest = random::digest(token);
        self.change(|tables| match tables.refresh(&digest) {
            Some(refresh) if !refresh.used && refresh.expires_at > now.as_millis() => json!({
                "active": true,
                "client_id": refresh.grant.client_id,
                "sub": refresh.grant.user.as_ref().map(|user| user.subject.as_str()),
                "scope": refresh.grant.scopes.join(" "),
                "exp": refresh.expires_at.div_euclid(1000),
                "iss": self.settings.issuer,
                "token_type": "refresh_token",
            }),
            _ => json!({ "active": false }),
        })
    }
}

/// `POST /oauth2/token`.
pub(super) async fn post(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    match server.token(&headers, &body) {
        Ok(reply) => json_no_store(&reply),
        Err(error) => error.into_response(),
    }
}

/// `POST /oauth2/revoke`.
pub(super) async fn revoke(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match server.revoke_token(&headers, &body) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error.into_response(),
    }
}

/// `POST /oauth2/introspect`.
pub(super) async fn introspect(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match server.introspect_token(&headers, &body) {
        Ok(reply) => json_no_store(&reply),
        Err(error) => error.into_response(),
    }
}
