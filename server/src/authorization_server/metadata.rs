//! What the server says of itself: RFC 8414, OpenID Connect Discovery, and the key set.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use flyte_auth::protocol::metadata::ServerMetadata;
use serde_json::{Value, json};

use super::token::DEVICE_GRANT;
use super::{AuthorizationServer, SCOPES, paths};

impl AuthorizationServer {
    /// The metadata as a type, for Flyte's own discovery.
    pub fn metadata(&self) -> ServerMetadata {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let mut scopes = list(&SCOPES);
        for scope in self.clients.iter().flat_map(|client| &client.extra_scopes) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        ServerMetadata {
            issuer: Some(self.settings.issuer.clone()),
            authorization_endpoint: Some(self.url(paths::AUTHORIZE)),
            token_endpoint: Some(self.url(paths::TOKEN)),
            device_authorization_endpoint: Some(self.url(paths::DEVICE_AUTHORIZATION)),
            revocation_endpoint: Some(self.url(paths::REVOKE)),
            introspection_endpoint: Some(self.url(paths::INTROSPECT)),
            userinfo_endpoint: Some(self.url(paths::USERINFO)),
            end_session_endpoint: None,
            jwks_uri: Some(self.url(paths::JWKS)),
            scopes_supported: scopes,
            response_types_supported: list(&["code"]),
            grant_types_supported: list(&["authorization_code", "client_credentials", "refresh_token", DEVICE_GRANT]),
            token_endpoint_auth_methods_supported: list(&["client_secret_basic", "client_secret_post", "none"]),
            code_challenge_methods_supported: list(&["S256"]),
            id_token_signing_alg_values_supported: list(&[self.keys.algorithm().name()]),
            authorization_response_iss_parameter_supported: true,
        }
    }

    /// The whole document, for RFC 8414 and OpenID clients alike; in snake_case, as both demand.
    pub fn metadata_document(&self) -> Value {
        let mut document = serde_json::to_value(self.metadata()).unwrap_or_default();
        if let Some(members) = document.as_object_mut() {
            members.retain(|_, value| !value.is_null());
            members.insert("subject_types_supported".to_owned(), json!(["public"]));
            members.insert("response_modes_supported".to_owned(), json!(["query", "form_post"]));
            members.insert(
                "claims_supported".to_owned(),
                json!([
                    "sub",
                    "iss",
                    "aud",
                    "exp",
                    "iat",
                    "auth_time",
                    "nonce",
                    "at_hash",
                    "name",
                    "given_name",
                    "family_name",
                    "preferred_username",
                    "email",
                    "email_verified",
                ]),
            );
            members.insert("request_parameter_supported".to_owned(), false.into());
            members.insert("request_uri_parameter_supported".to_owned(), false.into());
        }
        document
    }
}

/// `GET /.well-known/openid-configuration`.
pub(super) async fn openid_configuration(State(server): State<Arc<AuthorizationServer>>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, server.metadata_document().to_string()).into_response()
}

/// `GET /oauth2/jwks`.
pub(super) async fn jwks(State(server): State<Arc<AuthorizationServer>>) -> Response {
    // No cache: a rotated key must be found at once; key sets are small.
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, server.keys.jwks().to_string()).into_response()
}
