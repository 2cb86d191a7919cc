//! The four discovery messages and the user info message of Flyte 1 and Flyte 2, with upstream's field numbers
//! (`flyteidl/protos/flyteidl/service/{auth,identity}.proto` at v1.16.8; `flyteidl2/auth/*.proto`).
//!
//! Ours to define: the published `flyteidl2` crate pulls in pyo3. All requests are empty messages.

/// Metadata, public client config: Flyte 1.
pub const FLYTE1_METADATA_SERVICE: &str = "flyteidl.service.AuthMetadataService";
/// Metadata, public client config: Flyte 2.
pub const FLYTE2_METADATA_SERVICE: &str = "flyteidl2.auth.AuthMetadataService";
/// User info: Flyte 1 (REST `GET /me` beside it).
pub const FLYTE1_IDENTITY_SERVICE: &str = "flyteidl.service.IdentityService";
/// User info: Flyte 2 (no REST).
pub const FLYTE2_IDENTITY_SERVICE: &str = "flyteidl2.auth.IdentityService";
/// Method of the metadata services.
pub const GET_OAUTH2_METADATA: &str = "GetOAuth2Metadata";
/// Method of the metadata services.
pub const GET_PUBLIC_CLIENT_CONFIG: &str = "GetPublicClientConfig";
/// Method of the identity services.
pub const USER_INFO: &str = "UserInfo";

/// `OAuth2MetadataResponse` / `GetOAuth2MetadataResponse`: the same numbers in both generations.
#[derive(Clone, PartialEq, prost::Message)]
#[expect(missing_docs, reason = "RFC 8414's names")]
pub struct OAuth2Metadata {
    #[prost(string, tag = "1")]
    pub issuer: String,
    #[prost(string, tag = "2")]
    pub authorization_endpoint: String,
    #[prost(string, tag = "3")]
    pub token_endpoint: String,
    #[prost(string, repeated, tag = "4")]
    pub response_types_supported: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub scopes_supported: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[prost(string, tag = "7")]
    pub jwks_uri: String,
    #[prost(string, repeated, tag = "8")]
    pub code_challenge_methods_supported: Vec<String>,
    #[prost(string, repeated, tag = "9")]
    pub grant_types_supported: Vec<String>,
    #[prost(string, tag = "10")]
    pub device_authorization_endpoint: String,
}

/// `PublicClientAuthConfigResponse` / `GetPublicClientConfigResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PublicClientConfig {
    /// OAuth client id.
    #[prost(string, tag = "1")]
    pub client_id: String,
    /// Registered loopback redirect.
    #[prost(string, tag = "2")]
    pub redirect_uri: String,
    /// Scopes to ask for.
    #[prost(string, repeated, tag = "3")]
    pub scopes: Vec<String>,
    /// Header for the token.
    #[prost(string, tag = "4")]
    pub authorization_metadata_key: String,
    /// HTTP base of the service.
    #[prost(string, tag = "5")]
    pub service_http_endpoint: String,
    /// Audience to ask for.
    #[prost(string, tag = "6")]
    pub audience: String,
    /// Flyte 2 only; an internal URL leaks out here: never used for a call.
    #[prost(string, tag = "7")]
    pub dataplane_domain: String,
}

/// `UserInfoResponse` of both generations (8, `additional_claims`, is not read).
#[derive(Clone, PartialEq, prost::Message)]
#[expect(missing_docs, reason = "OpenID Connect Core's standard claims")]
pub struct UserInfo {
    #[prost(string, tag = "1")]
    pub subject: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub preferred_username: String,
    #[prost(string, tag = "4")]
    pub given_name: String,
    #[prost(string, tag = "5")]
    pub family_name: String,
    #[prost(string, tag = "6")]
    pub email: String,
    #[prost(string, tag = "7")]
    pub picture: String,
}
