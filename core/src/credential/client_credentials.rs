//! The client credentials grant (RFC 6749 section 4.4).

use super::{Context, TokenSet, exchange};
use crate::error::Result;
use crate::firewall::Destination;
use crate::protocol::client::{Client, ClientAuthMethod};
use crate::protocol::grant::{Grant, Parameters};
use crate::protocol::secret::ClientSecret;

/// What the grant needs.
#[derive(Debug, Clone, Copy)]
pub struct ClientCredentials<'a> {
    /// Token endpoint.
    pub token_endpoint: &'a Destination,
    /// Client id.
    pub client_id: &'a str,
    /// The secret, read just now.
    pub secret: &'a ClientSecret,
    /// `token_endpoint_auth_methods_supported`.
    pub methods_supported: &'a [String],
    /// The method that worked last time.
    pub remembered: Option<ClientAuthMethod>,
    /// Scopes, audience, extras.
    pub parameters: Parameters<'a>,
}

/// Asks for a token; on `invalid_client` once more with the other client authentication method, since servers announce
/// one and accept the other (flyte#2849). Returns the method that worked, to be remembered.
///
/// # Errors
/// As [`exchange`]; after two refusals the first one.
pub async fn fetch(context: &Context, grant: ClientCredentials<'_>) -> Result<(TokenSet, ClientAuthMethod)> {
    let first = grant.remembered.unwrap_or_else(|| ClientAuthMethod::choose(grant.methods_supported));
    let refused = match attempt(context, &grant, first).await {
        Ok(tokens) => return Ok((tokens, first)),
        // `client_refused` is a 4xx without an OAuth error: some servers answer a method they do not know that way.
        Err(error) if matches!(error.code(), "invalid_client" | "client_refused") => error,
        Err(error) => return Err(error),
    };
    let Some(other) = first.other() else { return Err(refused) };
    match attempt(context, &grant, other).await {
        Ok(tokens) => Ok((tokens, other)),
        Err(_) => Err(refused),
    }
}

async fn attempt(context: &Context, grant: &ClientCredentials<'_>, method: ClientAuthMethod) -> Result<TokenSet> {
    let client = Client { id: grant.client_id.to_owned(), secret: Some(grant.secret.clone()), method };
    exchange(context, grant.token_endpoint, &client, Grant::ClientCredentials, grant.parameters).await
}
