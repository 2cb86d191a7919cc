//! What the server says of itself: RFC 8414, OpenID Connect Discovery, and the key set.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use flyte_auth::protocol::metadata::ServerMetadata;
use serde_json::{Value, json};

use super::token::DEVICE_GRANT;
use super::{AuthorizationServer, paths};
use crate::sites::Site;

impl AuthorizationServer {
    /// The metadata as a type, for Flyte's own discovery.
    pub fn metadata(&self, site: &Site) -> ServerMetadata {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let mut scopes: Vec<String> = Vec::new();
        for scope in self.clients.iter().flat_map(|client| &client.scopes) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        let any = |may: fn(&super::Grants) -> bool| self.clients.iter().any(|client| may(&client.grants));
        let mut grants = Vec::new();
        for (may, name) in [
            (any(|grants| grants.code), "authorization_code"),
            (any(|grants| grants.client_credentials), "client_credentials"),
            (any(|grants| grants.refresh), "refresh_token"),
            (any(|grants| grants.device), DEVICE_GRANT),
        ] {
            if may {
                grants.push(name.to_owned());
            }
        }
        let mut methods = list(&["client_secret_basic", "client_secret_post", "none"]);
        if self.clients.iter().any(|client| client.keys.is_some()) {
            methods.push("private_key_jwt".to_owned());
        }
        let openid = |value: String| self.settings.openid.then_some(value);
        ServerMetadata {
            issuer: Some(site.issuer.clone()),
            authorization_endpoint: Some(site.url(paths::AUTHORIZE)),
            token_endpoint: Some(site.url(paths::TOKEN)),
            device_authorization_endpoint: any(|grants| grants.device).then(|| site.url(paths::DEVICE_AUTHORIZATION)),
            revocation_endpoint: Some(site.url(paths::REVOKE)),
            introspection_endpoint: Some(site.url(paths::INTROSPECT)),
            userinfo_endpoint: openid(site.url(paths::USERINFO)),
            end_session_endpoint: None,
            jwks_uri: Some(site.url(paths::JWKS)),
            scopes_supported: scopes,
            response_types_supported: list(&["code"]),
            grant_types_supported: grants,
            token_endpoint_auth_methods_supported: methods,
            code_challenge_methods_supported: list(&["S256"]),
            id_token_signing_alg_values_supported: openid(self.keys.algorithm().name().to_owned())
                .into_iter()
                .collect(),
            authorization_response_iss_parameter_supported: true,
        }
    }

    /// The whole document, for RFC 8414 and OpenID clients alike; in snake_case, as both demand.
    pub fn metadata_document(&self, site: &Site) -> Value {
        let metadata = self.metadata(site);
        let methods = metadata.token_endpoint_auth_methods_supported.clone();
        let mut document = serde_json::to_value(metadata).unwrap_or_default();
        if let Some(members) = document.as_object_mut() {
            members.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
            members.insert("response_modes_supported".to_owned(), json!(["query", "form_post"]));
            members.insert("pushed_authorization_request_endpoint".to_owned(), site.url(paths::PAR).into());
            for endpoint in ["revocation", "introspection"] {
                let name = format!("{endpoint}_endpoint_auth_methods_supported");
                members.insert(
                    name,
                    methods
                        .iter()
                        .filter(|name| endpoint == "revocation" || *name != "none")
                        .cloned()
                        .collect::<Vec<_>>()
                        .into(),
                );
            }
            if methods.iter().any(|method| method == "private_key_jwt") {
                let algorithms =
                    json!(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]);
                members.insert("token_endpoint_auth_signing_alg_values_supported".to_owned(), algorithms);
            }
            if self.settings.openid {
                members.insert("subject_types_supported".to_owned(), json!(["public"]));
                let claims = json!([
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
                ]);
                members.insert("claims_supported".to_owned(), claims);
                members.insert("request_parameter_supported".to_owned(), false.into());
                members.insert("request_uri_parameter_supported".to_owned(), false.into());
            }
        }
        document
    }
}

/// `GET /.well-known/openid-configuration`.
pub(super) async fn openid_configuration(
    State(server): State<Arc<AuthorizationServer>>,
    headers: axum::http::HeaderMap,
) -> Response {
    let document = server.metadata_document(server.sites.of(&headers));
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, document.to_string()).into_response()
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
