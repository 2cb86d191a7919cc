//! The REST forms: the metadata document of both generations, and Flyte 1's client config and `/me`.
//!
//! With Flyte 1 alone, the metadata document's letters follow flyteadmin's rule: snake_case for exactly
//! `Accept: application/json`, else camelCase (`pkg/server/service.go`). With Flyte 2 it is always RFC 8414's snake_case,
//! whole, because it is also the document of this server's own issuer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::service::{FLYTE1_HEADER, FlyteAuth, Generations, Status, metadata_json};
use crate::authorization_server::unauthorized;
use crate::resource::Refused;

fn json_answer(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, value.to_string()).into_response()
}

/// grpc-gateway picks its form by the exact text of `Accept`, or of `Content-Type`. A server of both generations is no
/// grpc-gateway: it writes what every client reads.
fn wants_snake_case(service: &FlyteAuth, headers: &HeaderMap) -> bool {
    service.always_snake_case
        || [header::ACCEPT, header::CONTENT_TYPE]
            .iter()
            .any(|name| headers.get(name).is_some_and(|value| value == "application/json"))
}

fn unavailable(status: &Status) -> Response {
    let body = json!({ "code": status.grpc, "message": status.message, "details": [] }).to_string();
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `GET /.well-known/oauth-authorization-server`.
pub(crate) async fn metadata(State(service): State<Arc<FlyteAuth>>, headers: HeaderMap) -> Response {
    if service.generations == Generations::One && !wants_snake_case(&service, &headers) {
        return match service.metadata_message(&headers).await {
            Ok(message) => json_answer(&metadata_json(&message)),
            Err(status) => unavailable(&status),
        };
    }
    match service.source.document(&headers).await {
        Ok(document) => json_answer(&document),
        Err(error) => unavailable(&error.into()),
    }
}

/// `GET /config/v1/flyte_client`.
pub(crate) async fn public_client(State(service): State<Arc<FlyteAuth>>, headers: HeaderMap) -> Response {
    if !service.generations.one() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let message = service.public_client_message(FLYTE1_HEADER);
    json_answer(&if wants_snake_case(&service, &headers) {
        json!({
            "client_id": message.client_id,
            "redirect_uri": message.redirect_uri,
            "scopes": message.scopes,
            "authorization_metadata_key": message.authorization_metadata_key,
            "service_http_endpoint": message.service_http_endpoint,
            "audience": message.audience,
        })
    } else {
        json!({
            "clientId": message.client_id,
            "redirectUri": message.redirect_uri,
            "scopes": message.scopes,
            "authorizationMetadataKey": message.authorization_metadata_key,
            "serviceHttpEndpoint": message.service_http_endpoint,
            "audience": message.audience,
        })
    })
}

/// `GET /me`.
pub(crate) async fn me(State(service): State<Arc<FlyteAuth>>, headers: HeaderMap) -> Response {
    if !service.generations.one() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let claims = match service.source.identify(&headers).await {
        Ok(claims) => claims,
        Err(Refused::Unavailable) => return unavailable(&Refused::Unavailable.into()),
        Err(refused) => return unauthorized(&refused),
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    json_answer(&if wants_snake_case(&service, &headers) {
        json!({
            "subject": text("sub"), "name": text("name"), "preferred_username": text("preferred_username"),
            "given_name": text("given_name"), "family_name": text("family_name"), "email": text("email"),
            "picture": text("picture"), "additional_claims": claims,
        })
    } else {
        json!({
            "subject": text("sub"), "name": text("name"), "preferredUsername": text("preferred_username"),
            "givenName": text("given_name"), "familyName": text("family_name"), "email": text("email"),
            "picture": text("picture"), "additionalClaims": claims,
        })
    })
}

/// `GET /.well-known/openid-configuration` where another server issues the tokens: it has the document, as flyteadmin
/// answers (`auth/handlers.go`).
pub(crate) fn openid_redirect(issuer: &str) -> Redirect {
    Redirect::to(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
}
