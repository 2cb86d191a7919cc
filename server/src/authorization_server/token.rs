//! The token endpoint (RFC 6749 section 3.2): which grant it is, and who asks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use super::params::Params;
use super::{About, AuthorizationServer, OAuthError, json_no_store};
use crate::state::{EventKind, Outcome};

/// RFC 8628 section 3.4.
pub(super) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A grant that this server knows.
#[derive(Clone, Copy)]
enum Kind {
    Code,
    Client,
    Refresh,
    Device,
}

impl Kind {
    fn parse(grant_type: &str) -> Result<Self, OAuthError> {
        match grant_type {
            "authorization_code" => Ok(Self::Code),
            "client_credentials" => Ok(Self::Client),
            "refresh_token" => Ok(Self::Refresh),
            DEVICE_GRANT => Ok(Self::Device),
            _ => Err(OAuthError::new("unsupported_grant_type", "this grant_type is not supported")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Code => "authorization_code",
            Self::Client => "client_credentials",
            Self::Refresh => "refresh_token",
            Self::Device => "device_code",
        }
    }
}

/// Errors of the token endpoint that are part of every device login, and not worth a line in the audit trail.
const EXPECTED: [&str; 2] = ["authorization_pending", "slow_down"];

impl AuthorizationServer {
    async fn token(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
        let params = Params::form(headers, body)?;
        let kind = Kind::parse(params.require("grant_type")?)?;
        self.metrics.grant(kind.name());
        let client = match self.authenticate_client(headers, &params).await {
            Ok(client) => client,
            Err(error) => {
                // Only a name that is registered: any other text is the caller's own.
                let named = params.get("client_id").and_then(|id| self.client(id)).map(|client| client.id.as_str());
                let about = About { client_id: named, ..About::default() };
                self.note(EventKind::Refusal, Outcome::Failure, about, error.code).await;
                return Err(error);
            }
        };
        let outcome = match kind {
            Kind::Code => self.by_code(client, &params).await,
            Kind::Client => self.by_client(client, self.sites.of(headers), &params).await,
            Kind::Refresh => self.by_refresh(client, &params).await,
            Kind::Device => self.by_device(client, &params).await,
        };
        if let Err(error) = &outcome
            && !EXPECTED.contains(&error.code)
        {
            let detail = format!("{}: {}", kind.name(), error.code);
            self.note(EventKind::Refusal, Outcome::Failure, About::client(&client.id), &detail).await;
        }
        outcome
    }
}

/// `POST /oauth2/token`.
pub(super) async fn post(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, body: Bytes) -> Response {
    match server.token(&headers, &body).await {
        Ok(reply) => json_no_store(&reply),
        Err(error) => error.into_response(),
    }
}
