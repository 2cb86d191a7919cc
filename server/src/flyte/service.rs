//! What the services say, whatever carries it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, Method};
use flyte_auth::error::{Error, Result};
use flyte_auth::protocol::flyteidl::{
    self, FLYTE1_IDENTITY_SERVICE, FLYTE1_METADATA_SERVICE, FLYTE2_IDENTITY_SERVICE, FLYTE2_METADATA_SERVICE,
    GET_OAUTH2_METADATA, GET_PUBLIC_CLIENT_CONFIG, USER_INFO,
};
use flyte_auth::protocol::metadata::ServerMetadata;
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::resource::Refused;

/// flyteadmin's default header for tokens (`auth/config/config.go`).
pub const FLYTE1_HEADER: &str = "flyte-authorization";
/// Flyte 2's default header for tokens.
pub const FLYTE2_HEADER: &str = "authorization";

/// Which generations answer; one that is off answers as a server that lacks its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generations {
    /// `flyteidl.service` over gRPC and REST.
    One,
    /// `flyteidl2.auth` over Connect and gRPC.
    Two,
    /// Both.
    Both,
}

impl Generations {
    /// Whether Flyte 1 answers.
    pub fn one(self) -> bool {
        matches!(self, Self::One | Self::Both)
    }
    /// Whether Flyte 2 answers.
    pub fn two(self) -> bool {
        matches!(self, Self::Two | Self::Both)
    }
}

/// A refusal, in the words of gRPC and of Connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// gRPC status code.
    pub grpc: u8,
    /// Connect's name of it.
    pub connect: &'static str,
    /// Connect's HTTP status of it.
    pub http: u16,
    /// For a person.
    pub message: String,
}

impl Status {
    fn new(grpc: u8, connect: &'static str, http: u16, message: impl Into<String>) -> Self {
        Self { grpc, connect, http, message: message.into() }
    }
    /// 12.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(12, "unimplemented", 501, message)
    }
    /// 5.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(5, "not_found", 404, message)
    }
    /// 7.
    pub fn permission_denied(message: impl Into<String>) -> Self {
        Self::new(7, "permission_denied", 403, message)
    }
    /// 3.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(3, "invalid_argument", 400, message)
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable => Self::new(14, "unavailable", 503, refused.message()),
            // Not UNAUTHENTICATED, as flyteadmin says: clients would sign in again and again (facts 8, D26).
            Refused::Scope(_) => Self::new(7, "permission_denied", 403, refused.message()),
            Refused::Several => Self::new(16, "unauthenticated", 400, refused.message()),
            _ => Self::new(16, "unauthenticated", 401, refused.message()),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(14, "unavailable", 503, error.message())
    }
}

/// An answer in both encodings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The message.
    pub proto: Vec<u8>,
    /// Its proto3 JSON: camelCase, without empty members.
    pub json: Value,
}

/// The name of a procedure: `/package.Service/Method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rpc<'a> {
    /// `package.Service`.
    pub service: &'a str,
    /// `Method`.
    pub method: &'a str,
}

impl<'a> Rpc<'a> {
    /// Whether a request that says so of its content is a call of gRPC: a POST of a method's path, and nothing else.
    pub fn is_called(method: &Method, path: &str) -> bool {
        method == Method::POST && Rpc::parse(path).is_some()
    }

    /// From a request path; `None` if it is not of that form.
    pub fn parse(path: &'a str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        (service.contains('.') && !service.starts_with('.') && !method.is_empty() && !method.contains('/'))
            .then_some(Self { service, method })
    }
}

/// Flyte's wishes for its public client.
#[derive(Debug, Clone)]
pub struct PublicClient {
    /// OAuth client id.
    pub client_id: String,
    /// Registered redirect.
    pub redirect_uri: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Audience to ask for; empty for none.
    pub audience: String,
    /// Header for tokens, where it is not each generation's default.
    pub authorization_metadata_key: Option<HeaderName>,
}

/// What Flyte's auth services rest on.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// The authorization server's metadata, as it is for a request with these headers.
    async fn metadata(&self, headers: &HeaderMap) -> Result<ServerMetadata>;

    /// As RFC 8414 writes it: whole, in snake_case.
    async fn document(&self, headers: &HeaderMap) -> Result<Value>;

    /// The claims of whoever sent these headers.
    async fn identify(&self, headers: &HeaderMap) -> Result<Map<String, Value>, Refused>;
}

/// Flyte's auth services.
#[derive(Debug)]
pub struct FlyteAuth {
    /// Which generations answer.
    pub generations: Generations,
    /// Whether REST answers are in snake_case whatever is asked for: flyteadmin's rule is another one.
    pub always_snake_case: bool,
    /// Metadata, and who asks.
    pub source: Arc<dyn Source>,
    /// What the public client is told.
    pub public_client: PublicClient,
}

/// Methods of Flyte's own services that answer with an empty message to whoever is signed in, so that a client's first
/// authorised call has an end; every other one is not implemented here.
const EMPTY_ANSWERS: [(&str, &str); 4] = [
    ("flyteidl.service.AdminService", "GetVersion"),
    ("flyteidl.service.AdminService", "ListProjects"),
    ("flyteidl2.project.ProjectService", "ListProjects"),
    ("flyteidl2.project.ProjectService", "GetProject"),
];

fn drop_empty(json: Value) -> Value {
    let Value::Object(members) = json else { return json };
    let is_empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Null => true,
        _ => false,
    };
    Value::Object(members.into_iter().filter(|(_, value)| !is_empty(value)).collect())
}

/// The message of Flyte's metadata service; it has fewer members than RFC 8414.
fn metadata_message(metadata: &ServerMetadata) -> flyteidl::OAuth2Metadata {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    flyteidl::OAuth2Metadata {
        issuer: text(&metadata.issuer),
        authorization_endpoint: text(&metadata.authorization_endpoint),
        token_endpoint: text(&metadata.token_endpoint),
        response_types_supported: metadata.response_types_supported.clone(),
        scopes_supported: metadata.scopes_supported.clone(),
        token_endpoint_auth_methods_supported: metadata.token_endpoint_auth_methods_supported.clone(),
        jwks_uri: text(&metadata.jwks_uri),
        code_challenge_methods_supported: metadata.code_challenge_methods_supported.clone(),
        grant_types_supported: metadata.grant_types_supported.clone(),
        device_authorization_endpoint: text(&metadata.device_authorization_endpoint),
    }
}

/// The user info message from a token's claims.
fn user_info_message(claims: &Map<String, Value>) -> flyteidl::UserInfo {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    flyteidl::UserInfo {
        subject: text("sub"),
        name: text("name"),
        preferred_username: text("preferred_username"),
        given_name: text("given_name"),
        family_name: text("family_name"),
        email: text("email"),
        picture: text("picture"),
    }
}

/// Proto3 JSON of the metadata message, in camelCase.
pub(super) fn metadata_json(message: &flyteidl::OAuth2Metadata) -> Value {
    drop_empty(json!({
        "issuer": message.issuer,
        "authorizationEndpoint": message.authorization_endpoint,
        "tokenEndpoint": message.token_endpoint,
        "responseTypesSupported": message.response_types_supported,
        "scopesSupported": message.scopes_supported,
        "tokenEndpointAuthMethodsSupported": message.token_endpoint_auth_methods_supported,
        "jwksUri": message.jwks_uri,
        "codeChallengeMethodsSupported": message.code_challenge_methods_supported,
        "grantTypesSupported": message.grant_types_supported,
        "deviceAuthorizationEndpoint": message.device_authorization_endpoint,
    }))
}

impl FlyteAuth {
    /// Flyte's reduced form of the metadata.
    ///
    /// # Errors
    /// The external issuer does not answer.
    pub async fn metadata_message(&self, headers: &HeaderMap) -> Result<flyteidl::OAuth2Metadata, Status> {
        Ok(metadata_message(&self.source.metadata(headers).await?))
    }

    /// The public client config, with each generation's own header unless one was configured for both.
    pub fn public_client_message(&self, default_header: &str) -> flyteidl::PublicClientConfig {
        let client = &self.public_client;
        let key = client.authorization_metadata_key.as_ref().map_or(default_header, HeaderName::as_str);
        flyteidl::PublicClientConfig {
            client_id: client.client_id.clone(),
            redirect_uri: client.redirect_uri.clone(),
            scopes: client.scopes.clone(),
            authorization_metadata_key: key.to_owned(),
            service_http_endpoint: String::new(),
            audience: client.audience.clone(),
            dataplane_domain: String::new(),
        }
    }

    /// The identity behind the request's token.
    ///
    /// # Errors
    /// As [`Source::identify`].
    pub async fn user_info(&self, headers: &HeaderMap) -> Result<flyteidl::UserInfo, Refused> {
        Ok(user_info_message(&self.source.identify(headers).await?))
    }

    /// Whether this service belongs to a generation that answers.
    fn is_served(&self, service: &str) -> bool {
        (service.starts_with("flyteidl.service.") && self.generations.one())
            || (service.starts_with("flyteidl2.") && self.generations.two())
    }

    /// Answers a call. All requests of these services are empty messages, so that there is nothing to read in them.
    ///
    /// # Errors
    /// As gRPC says it: 12, 14, 16.
    pub async fn answer(&self, rpc: Rpc<'_>, headers: &HeaderMap) -> Result<Answer, Status> {
        let unknown = || Status::unimplemented(format!("unknown method {}/{}", rpc.service, rpc.method));
        if (rpc.service, rpc.method) == ("grpc.health.v1.Health", "Check") {
            // HealthCheckResponse{status: SERVING}.
            return Ok(Answer { proto: vec![0x08, 0x01], json: json!({ "status": "SERVING" }) });
        }
        if !self.is_served(rpc.service) {
            return Err(unknown());
        }
        match (rpc.service, rpc.method) {
            (FLYTE1_METADATA_SERVICE | FLYTE2_METADATA_SERVICE, GET_OAUTH2_METADATA) => {
                let message = self.metadata_message(headers).await?;
                Ok(Answer { proto: message.encode_to_vec(), json: metadata_json(&message) })
            }
            (FLYTE1_METADATA_SERVICE | FLYTE2_METADATA_SERVICE, GET_PUBLIC_CLIENT_CONFIG) => {
                let first = rpc.service == FLYTE1_METADATA_SERVICE;
                let message = self.public_client_message(if first { FLYTE1_HEADER } else { FLYTE2_HEADER });
                let json = drop_empty(json!({
                    "clientId": message.client_id,
                    "redirectUri": message.redirect_uri,
                    "scopes": message.scopes,
                    "authorizationMetadataKey": message.authorization_metadata_key,
                    "audience": message.audience,
                }));
                Ok(Answer { proto: message.encode_to_vec(), json })
            }
            (FLYTE1_METADATA_SERVICE | FLYTE2_METADATA_SERVICE, _) => Err(unknown()),
            (FLYTE1_IDENTITY_SERVICE | FLYTE2_IDENTITY_SERVICE, USER_INFO) => {
                let message = self.user_info(headers).await?;
                let json = drop_empty(json!({
                    "subject": message.subject,
                    "name": message.name,
                    "preferredUsername": message.preferred_username,
                    "givenName": message.given_name,
                    "familyName": message.family_name,
                    "email": message.email,
                    "picture": message.picture,
                }));
                Ok(Answer { proto: message.encode_to_vec(), json })
            }
            // Shipped clients sign in only when a call of Flyte's API is refused: every other one is protected first.
            other => {
                self.source.identify(headers).await?;
                if EMPTY_ANSWERS.contains(&other) {
                    return Ok(Answer { proto: Vec::new(), json: json!({}) });
                }
                Err(Status::unimplemented("this server signs people in; it runs no workflows"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpc_paths() {
        let rpc = Rpc::parse("/flyteidl2.auth.IdentityService/UserInfo").unwrap();
        assert_eq!((rpc.service, rpc.method), ("flyteidl2.auth.IdentityService", "UserInfo"));
        for bad in ["/me", "/.well-known/x", "/a.b/", "/a.b/c/d", "/ab/c", ""] {
            assert_eq!(Rpc::parse(bad), None, "{bad}");
        }
    }
}
