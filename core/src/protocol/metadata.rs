//! Authorization server metadata (RFC 8414, OpenID Connect Discovery) and Flyte's public client config.
//!
//! Flyte answers with snake_case or camelCase JSON depending on generation and on the exact `Accept` header
//! (facts, flyte-clients 1.2): both are read. Empty strings are absent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::flyteidl;

/// The redirect of Flyte's public client where the server names none (flyteadmin's and flytekit's default).
pub const DEFAULT_REDIRECT_URI: &str = "http://localhost:53593/callback";
/// The authorization metadata key where the server names none (`flyteidl/service/auth.proto`).
pub const DEFAULT_METADATA_KEY: &str = "authorization";

/// A member that cannot be used: its name and what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the member {member} is not {expected}")]
pub struct MetadataProblem {
    /// RFC 8414's or Flyte's name, in snake case.
    pub member: &'static str,
    /// For example `a string`.
    pub expected: &'static str,
}

/// Reads members in snake or camel case; null and empty strings are absent.
struct Members<'a>(&'a Map<String, Value>);

impl Members<'_> {
    fn get(&self, member: &'static str) -> Option<&Value> {
        let present = |value: &&Value| !value.is_null() && value.as_str() != Some("");
        // Only Flyte writes camelCase, and never beside snake_case.
        self.0.get(member).filter(present).or_else(|| self.0.get(&camel_case(member)).filter(present))
    }
    fn string(&self, member: &'static str) -> Result<Option<String>, MetadataProblem> {
        match self.get(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(MetadataProblem { member, expected: "a string" }),
        }
    }
    fn list(&self, member: &'static str) -> Result<Vec<String>, MetadataProblem> {
        let wrong = MetadataProblem { member, expected: "a list of strings" };
        match self.get(member) {
            None => Ok(Vec::new()),
            // One string with spaces is OAuth's other way to write a list of scopes (RFC 6749 section 3.3).
            Some(Value::String(text)) => Ok(text.split_ascii_whitespace().map(str::to_owned).collect()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong.clone()))
                .filter(|item| item.as_ref().map_or(true, |text| !text.is_empty()))
                .collect(),
            Some(_) => Err(wrong),
        }
    }
    fn flag(&self, member: &'static str) -> Result<bool, MetadataProblem> {
        match self.get(member) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(MetadataProblem { member, expected: "true or false" }),
        }
    }
}

/// protojson's name of a field: `token_endpoint` is `tokenEndpoint`.
fn camel_case(name: &str) -> String {
    let mut upper = false;
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    out
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn filled_list(list: Vec<String>) -> Vec<String> {
    list.into_iter().filter(|text| !text.is_empty()).collect()
}

/// Authorization server metadata. Lists that were absent are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the members are RFC 8414's, OpenID Discovery's and RFC 9207's, name by name")]
pub struct ServerMetadata {
    pub issuer: Option<String>,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    pub introspection_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub end_session_endpoint: Option<String>,
    pub jwks_uri: Option<String>,
    pub scopes_supported: Vec<String>,
    pub response_types_supported: Vec<String>,
    pub grant_types_supported: Vec<String>,
    pub token_endpoint_auth_methods_supported: Vec<String>,
    pub code_challenge_methods_supported: Vec<String>,
    pub id_token_signing_alg_values_supported: Vec<String>,
    pub authorization_response_iss_parameter_supported: bool,
}

/// Flyte's `GetPublicClientConfig` answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublicClientConfig {
    /// OAuth client id of the public client (`flytectl`).
    pub client_id: Option<String>,
    /// The one registered loopback redirect, kept exactly as served.
    pub redirect_uri: Option<String>,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Header that takes the token; absent means `authorization`.
    pub authorization_metadata_key: Option<String>,
    /// HTTP base of the service (never set by known servers).
    pub service_http_endpoint: Option<String>,
    /// Audience to ask for.
    pub audience: Option<String>,
}

impl ServerMetadata {
    /// From a JSON document in either key case.
    ///
    /// # Errors
    /// [`MetadataProblem`] for a known member of a wrong type. Unknown members are ignored.
    pub fn from_json(document: &Map<String, Value>) -> Result<Self, MetadataProblem> {
        let members = Members(document);
        Ok(Self {
            issuer: members.string("issuer")?,
            authorization_endpoint: members.string("authorization_endpoint")?,
            token_endpoint: members.string("token_endpoint")?,
            device_authorization_endpoint: members.string("device_authorization_endpoint")?,
            revocation_endpoint: members.string("revocation_endpoint")?,
            introspection_endpoint: members.string("introspection_endpoint")?,
            userinfo_endpoint: members.string("userinfo_endpoint")?,
            end_session_endpoint: members.string("end_session_endpoint")?,
            jwks_uri: members.string("jwks_uri")?,
            scopes_supported: members.list("scopes_supported")?,
            response_types_supported: members.list("response_types_supported")?,
            grant_types_supported: members.list("grant_types_supported")?,
            token_endpoint_auth_methods_supported: members.list("token_endpoint_auth_methods_supported")?,
            code_challenge_methods_supported: members.list("code_challenge_methods_supported")?,
            id_token_signing_alg_values_supported: members.list("id_token_signing_alg_values_supported")?,
            authorization_response_iss_parameter_supported: members
                .flag("authorization_response_iss_parameter_supported")?,
        })
    }

    /// The URLs that calls and browsers are sent to, with their member names.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("device_authorization_endpoint", &self.device_authorization_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("introspection_endpoint", &self.introspection_endpoint),
            ("userinfo_endpoint", &self.userinfo_endpoint),
            ("end_session_endpoint", &self.end_session_endpoint),
            ("jwks_uri", &self.jwks_uri),
        ]
        .into_iter()
        .filter_map(|(member, url)| url.as_deref().map(|url| (member, url)))
    }

    /// Takes from `other` what is absent here.
    pub fn complete_from(&mut self, other: Self) {
        let fill = |mine: &mut Option<String>, theirs: Option<String>| {
            if mine.is_none() {
                *mine = theirs;
            }
        };
        let fill_list = |mine: &mut Vec<String>, theirs: Vec<String>| {
            if mine.is_empty() {
                *mine = theirs;
            }
        };
        fill(&mut self.issuer, other.issuer);
        fill(&mut self.authorization_endpoint, other.authorization_endpoint);
        fill(&mut self.token_endpoint, other.token_endpoint);
        fill(&mut self.device_authorization_endpoint, other.device_authorization_endpoint);
        fill(&mut self.revocation_endpoint, other.revocation_endpoint);
        fill(&mut self.introspection_endpoint, other.introspection_endpoint);
        fill(&mut self.userinfo_endpoint, other.userinfo_endpoint);
        fill(&mut self.end_session_endpoint, other.end_session_endpoint);
        fill(&mut self.jwks_uri, other.jwks_uri);
        fill_list(&mut self.scopes_supported, other.scopes_supported);
        fill_list(&mut self.response_types_supported, other.response_types_supported);
        fill_list(&mut self.grant_types_supported, other.grant_types_supported);
        fill_list(&mut self.token_endpoint_auth_methods_supported, other.token_endpoint_auth_methods_supported);
        fill_list(&mut self.code_challenge_methods_supported, other.code_challenge_methods_supported);
        fill_list(&mut self.id_token_signing_alg_values_supported, other.id_token_signing_alg_values_supported);
        self.authorization_response_iss_parameter_supported |= other.authorization_response_iss_parameter_supported;
    }
}

impl From<flyteidl::OAuth2Metadata> for ServerMetadata {
    fn from(message: flyteidl::OAuth2Metadata) -> Self {
        Self {
            issuer: filled(message.issuer),
            authorization_endpoint: filled(message.authorization_endpoint),
            token_endpoint: filled(message.token_endpoint),
            device_authorization_endpoint: filled(message.device_authorization_endpoint),
            jwks_uri: filled(message.jwks_uri),
            scopes_supported: filled_list(message.scopes_supported),
            response_types_supported: filled_list(message.response_types_supported),
            grant_types_supported: filled_list(message.grant_types_supported),
            token_endpoint_auth_methods_supported: filled_list(message.token_endpoint_auth_methods_supported),
            code_challenge_methods_supported: filled_list(message.code_challenge_methods_supported),
            ..Self::default()
        }
    }
}

impl PublicClientConfig {
    /// From a JSON document in either key case.
    ///
    /// # Errors
    /// [`MetadataProblem`] for a known member of a wrong type, and for a header name that cannot be sent.
    pub fn from_json(document: &Map<String, Value>) -> Result<Self, MetadataProblem> {
        let members = Members(document);
        Self {
            client_id: members.string("client_id")?,
            redirect_uri: members.string("redirect_uri")?,
            scopes: members.list("scopes")?,
            authorization_metadata_key: members.string("authorization_metadata_key")?,
            service_http_endpoint: members.string("service_http_endpoint")?,
            audience: members.string("audience")?,
        }
        .checked()
    }

    /// From Flyte's message.
    ///
    /// # Errors
    /// [`MetadataProblem`] for a header name that cannot be sent.
    pub fn from_message(message: flyteidl::PublicClientConfig) -> Result<Self, MetadataProblem> {
        Self {
            client_id: filled(message.client_id),
            redirect_uri: filled(message.redirect_uri),
            scopes: filled_list(message.scopes),
            authorization_metadata_key: filled(message.authorization_metadata_key),
            service_http_endpoint: filled(message.service_http_endpoint),
            audience: filled(message.audience),
        }
        .checked()
    }

    /// Header that takes the token, lower case.
    pub fn metadata_key(&self) -> &str {
        self.authorization_metadata_key.as_deref().unwrap_or(DEFAULT_METADATA_KEY)
    }

    /// A served config: what the server left out gets Flyte's default.
    fn checked(mut self) -> Result<Self, MetadataProblem> {
        let key = self.authorization_metadata_key.as_deref().unwrap_or(DEFAULT_METADATA_KEY);
        self.authorization_metadata_key = Some(header_name(key).ok_or(MetadataProblem {
            member: "authorization_metadata_key",
            expected: "the name of a header that can take a token",
        })?);
        self.redirect_uri.get_or_insert_with(|| DEFAULT_REDIRECT_URI.to_owned());
        Ok(self)
    }
}

/// `name` in lower case (gRPC and HTTP/2 know no other), if a token can go into that header: no framing header of HTTP or
/// gRPC, and none of gRPC's binary ones.
pub fn header_name(name: &str) -> Option<String> {
    const TAKEN: [&str; 10] = [
        "accept",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let name = http::HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let name = name.as_str();
    let usable = !TAKEN.contains(&name) && !name.starts_with("grpc-") && !name.ends_with("-bin");
    usable.then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
