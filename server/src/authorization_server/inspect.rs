//! What becomes of a token: revocation (RFC 7009) and introspection (RFC 7662).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::Timestamp;
use serde_json::{Value, json};

use super::params::Params;
use super::{About, AuthorizationServer, OAuthError, json_no_store, store_failed};
use crate::random;
use crate::resource::ACCESS_TOKEN_TYPE;
use crate::state::{EventKind, Outcome};

impl AuthorizationServer {
    async fn revoke_token(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params).await?;
        let token = params.require("token")?;
        let foreign = || OAuthError::new("unauthorized_client", "the token belongs to another client");
        if let Some(refresh) = self.state.refresh(&random::digest(token)).await.map_err(store_failed)? {
            if refresh.grant.client_id != client.id {
                return Err(foreign());
            }
            let until = self.access_tokens_gone();
            self.state.revoke_session(&refresh.grant.session, until).await.map_err(store_failed)?;
            let about = About::grant(&refresh.grant);
            self.note(EventKind::Revocation, Outcome::Success, about, "refresh token, by its client").await;
            return Ok(());
        }
        // RFC 7009 section 2.2: a token that is not known needs no revocation, and that is a success.
        let Some(claims) = self.keys.verify(ACCESS_TOKEN_TYPE, token) else { return Ok(()) };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("client_id") != Some(client.id.as_str()) {
            return Err(foreign());
        }
        if let (Some(id), Some(exp)) = (text("jti"), claims.get("exp").and_then(Value::as_i64)) {
            self.state.revoke(id, Timestamp::from_secs(exp)).await.map_err(store_failed)?;
            let about = About { client_id: Some(&client.id), subject: text("sub"), session: text("sid") };
            self.note(EventKind::Revocation, Outcome::Success, about, "access token, by its client").await;
        }
        Ok(())
    }

    async fn introspect_token(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let client = self.authenticate_client(headers, &params).await?;
        if client.public {
            // RFC 7662 section 2.1: otherwise anybody could try tokens here.
            return Err(OAuthError::invalid_client("introspection needs a client with a secret", false));
        }
        let token = params.require("token")?;
        let now = self.now();
        let inactive = || json!({ "active": false });
        if let Some(mut claims) = self.keys.verify(ACCESS_TOKEN_TYPE, token) {
            let alive = claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp > now.as_secs());
            let ids: Vec<&str> = ["jti", "sid"].iter().filter_map(|name| claims.get(*name)?.as_str()).collect();
            if !alive || self.state.any_revoked(&ids) {
                return Ok(inactive());
            }
            claims.insert("active".to_owned(), true.into());
            claims.insert("token_type".to_owned(), "Bearer".into());
            return Ok(Value::Object(claims));
        }
        let refresh = self.state.refresh(&random::digest(token)).await.map_err(store_failed)?;
        Ok(match refresh {
            Some(refresh) if !refresh.dead && refresh.expires_at > now && refresh.grant.ends_at > now.as_millis() => {
                json!({
                    "active": true,
                    "client_id": refresh.grant.client_id,
                    "sub": refresh.grant.subject,
                    "scope": refresh.grant.scopes.join(" "),
                    "exp": refresh.expires_at.as_secs(),
                    "iss": refresh.grant.issuer,
                    "token_type": "refresh_token",
                })
            }
            _ => inactive(),
        })
    }
}

/// `POST /oauth2/revoke`.
pub(super) async fn revoke(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match server.revoke_token(&headers, &body).await {
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
    match server.introspect_token(&headers, &body).await {
        Ok(reply) => json_no_store(&reply),
        Err(error) => error.into_response(),
    }
}
