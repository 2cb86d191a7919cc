//! Who issues the tokens that a sandbox takes: itself, or another authorization server.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, header};
use flyte_auth::error::Result;
use flyte_auth::protocol::metadata::ServerMetadata;
use serde_json::{Map, Value};

use crate::authorization_server::AuthorizationServer;
use crate::flyte::service::{FLYTE1_HEADER, Source};
use crate::resource::{ExternalIssuer, Refused, bearer, verify_own};

/// Who issues the tokens that are taken here.
#[derive(Debug, Clone)]
pub enum Issuer {
    /// This process.
    Own(Arc<AuthorizationServer>),
    /// Another authorization server.
    External(Arc<ExternalIssuer>),
}

/// An issuer, and the headers in which its tokens come.
#[derive(Debug)]
pub struct Trusted {
    issuer: Issuer,
    headers: Vec<HeaderName>,
}

impl Trusted {
    /// Tokens come in the headers of both generations, and in `further`.
    pub fn new(issuer: Issuer, further: Option<HeaderName>) -> Self {
        let mut headers = vec![header::AUTHORIZATION, HeaderName::from_static(FLYTE1_HEADER)];
        headers.extend(further.filter(|name| !headers.contains(name)));
        Self { issuer, headers }
    }
}

#[async_trait]
impl Source for Trusted {
    async fn metadata(&self, headers: &HeaderMap) -> Result<ServerMetadata> {
        match &self.issuer {
            Issuer::Own(server) => Ok(server.metadata(server.sites.of(headers))),
            Issuer::External(issuer) => issuer.metadata().await,
        }
    }

    async fn document(&self, headers: &HeaderMap) -> Result<Value> {
        match &self.issuer {
            Issuer::Own(server) => Ok(server.metadata_document(server.sites.of(headers))),
            Issuer::External(issuer) => {
                let mut document = serde_json::to_value(issuer.metadata().await?).unwrap_or_default();
                if let Some(members) = document.as_object_mut() {
                    members.retain(|_, value| !value.is_null());
                }
                Ok(document)
            }
        }
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<Map<String, Value>, Refused> {
        let token = bearer(headers, &self.headers)?;
        match &self.issuer {
            Issuer::Own(server) => {
                let site = server.sites.of(headers);
                verify_own(&server.keys, &*server.state, site, server.clock.now(), token)
            }
            Issuer::External(issuer) => issuer.verify(token).await,
        }
    }
}
