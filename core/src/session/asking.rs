//! What a request asks for and as whom: configuration before discovery.

use super::{Inner, Source};
use crate::config::{ProcessContext, SecretSource, Setting};
use crate::credential::client_secret;
use crate::discovery::{Discovery, ServerAuth};
use crate::error::{Error, Result};
use crate::firewall::AuthorizationServer;
use crate::protocol::client::{Client, ClientAuthMethod};
use crate::protocol::grant::Parameters;
use crate::protocol::secret::ClientSecret;

/// What a request asks for, resolved from configuration and discovery: explicit before the server's.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) scopes: Vec<String>,
    pub(crate) audience: Option<String>,
    pub(crate) extra: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn parameters(&self) -> Parameters<'_> {
        Parameters { scopes: &self.scopes, audience: self.audience.as_deref(), extra: &self.extra }
    }
}

impl Inner {
    /// Where the session's tokens come from; a wrong issuer is blamed on whoever set it.
    pub(crate) async fn discover(&self) -> Result<Discovery> {
        self.discoverer.discover(&self.target).await.map_err(|error| match &self.config.issuer {
            Some(issuer) if error.code() == "issuer_invalid" => error.with_setting(issuer.origin.to_string()),
            _ => error,
        })
    }

    /// The authorization server as the firewall judges it.
    pub(crate) fn authorization_server<'a>(&'a self, server: &'a ServerAuth) -> AuthorizationServer<'a> {
        AuthorizationServer {
            metadata: &server.metadata,
            token_url: self.config.token_url.as_ref().map(|url| url.value.as_str()),
            target: &self.target,
            discoverer: &self.discoverer,
            plaintext: self.config.plaintext(),
            place: &self.place,
        }
    }

    pub(crate) fn client_id(&self, server: &ServerAuth) -> Result<String> {
        let configured = self.config.client_id.as_ref().map(|id| id.value.clone());
        configured.or_else(|| server.public_client.client_id.clone()).ok_or_else(|| {
            Error::config(
                "client_id_missing",
                "admin.clientId",
                format!("no client id is configured and {} names none", self.place),
            )
            .with_next("Set admin.clientId, FLYTE_AUTH_CLIENT_ID or --client-id")
        })
    }

    /// A person's session outlives an access token only with a refresh token: its scope is asked for where the server
    /// offers it and nobody chose the scopes.
    pub(crate) fn asked(&self, server: &ServerAuth, person: bool) -> Asked {
        let scopes = match &self.config.scopes {
            Some(scopes) => scopes.value.clone(),
            None => {
                let mut scopes = server.public_client.scopes.clone();
                let offered = |name: &str| server.metadata.scopes_supported.iter().any(|scope| scope == name);
                if person && server.generation.is_none() && scopes.is_empty() {
                    scopes.extend(
                        ["openid", "profile", "email"].into_iter().filter(|name| offered(name)).map(str::to_owned),
                    );
                }
                let has = |name: &str| scopes.iter().any(|scope| scope == name);
                if person && !has("offline_access") && !has("offline") {
                    let offline = ["offline_access", "offline"].into_iter().find(|name| offered(name));
                    scopes.extend(offline.map(str::to_owned));
                }
                scopes
            }
        };
        let audience = self.config.audience.as_ref().map(|audience| audience.value.clone());
        Asked {
            scopes,
            audience: audience.or_else(|| server.public_client.audience.clone()),
            extra: self.config.extra_params.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        }
    }

    pub(crate) fn header_name(&self, server: Option<&ServerAuth>) -> String {
        let configured = self.config.authorization_header.as_ref().map(|name| name.value.to_ascii_lowercase());
        configured
            .or_else(|| server.and_then(|server| server.public_client.authorization_metadata_key.clone()))
            .unwrap_or_else(|| "authorization".to_owned())
    }

    pub(super) async fn read_secret(&self, secret: &Setting<SecretSource>) -> Result<ClientSecret> {
        if let SecretSource::Command(argv) = &secret.value {
            self.config.ensure_not_inside_command(&Setting::new(argv.clone(), secret.origin.clone()))?;
        }
        client_secret::read(secret, ProcessContext::env).await
    }

    /// The client that this session's tokens belong to: public, unless a secret is configured for it.
    pub(crate) async fn presented_client(
        &self,
        client_id: &str,
        server: &ServerAuth,
        remembered: Option<ClientAuthMethod>,
    ) -> Result<Client> {
        let (Source::Person { secret: Some(secret), .. } | Source::ClientCredentials { secret, .. }) = &self.source
        else {
            return Ok(Client::public(client_id));
        };
        let secret = self.read_secret(secret).await?;
        let supported = &server.metadata.token_endpoint_auth_methods_supported;
        let method = remembered.unwrap_or_else(|| ClientAuthMethod::choose(supported));
        Ok(Client { id: client_id.to_owned(), secret: Some(secret), method })
    }
}
