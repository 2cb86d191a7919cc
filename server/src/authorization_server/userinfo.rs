//! OpenID Connect's user info endpoint (Core section 5.3).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::tokens::{granted_claims, user_claims};
use super::{AuthorizationServer, json_no_store};
use crate::resource::{self, Refused, bearer};
use crate::users::User;

/// `GET` and `POST /userinfo`.
pub(super) async fn answer(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap) -> Response {
    let claims = bearer(&headers, &[header::AUTHORIZATION]).and_then(|token| {
        resource::verify_own(&server.keys, &*server.state, server.sites.of(&headers), server.now(), token)
    });
    let claims = match claims {
        Ok(claims) => claims,
        Err(refused) => return unauthorized(&refused),
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let scopes: Vec<String> = text("scope").split(' ').map(str::to_owned).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"openid\"";
        return (StatusCode::FORBIDDEN, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    let mut reply = json!({ "sub": text("sub") });
    if let (Some(user), Some(members)) = (User::named(text("sub")), reply.as_object_mut()) {
        members.extend(granted_claims(user_claims(&user), &scopes));
    }
    json_no_store(&reply)
}

/// 401 with a challenge (RFC 6750 section 3).
pub(crate) fn unauthorized(refused: &Refused) -> Response {
    let challenge = refused.challenge(None);
    let body = json!({ "error": refused.code(), "error_description": refused.message() });
    let mut response = json_no_store(&body);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    if let Ok(value) = challenge.parse() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
