//! What `status`, `list` and `whoami` tell.

use zeroize::Zeroizing;

use super::{Session, engine, keeping, trouble};
use crate::clock::Timestamp;
use crate::discovery::{Discovery, Generation, UserInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Record;

/// Everything about a session that is known without the network. Nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// The endpoint, or the issuer.
    pub endpoint: String,
    /// `1`, `2` or `none`; `null` if it was never asked.
    pub generation: Option<&'static str>,
    /// The configured auth type, as our own name.
    pub auth_type: &'static str,
    /// Issuer, where it is known.
    pub issuer: Option<String>,
    /// Client id, where it is known.
    pub client_id: Option<String>,
    /// Subject, where an ID token told.
    pub subject: Option<String>,
    /// E-mail address, where an ID token told.
    pub email: Option<String>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Whether a token can be had now without asking anybody.
    pub signed_in: bool,
    /// Where the token that would be used comes from.
    pub token_source: &'static str,
    /// RFC 3339, UTC.
    pub access_token_expires_at: Option<String>,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
    /// When the refresh token expires, if the server told; RFC 3339, UTC.
    pub session_expires_at: Option<String>,
    /// Token store in use.
    pub store: &'static str,
    /// Why this store.
    pub store_reason: String,
    /// Where it keeps records.
    pub store_location: Option<String>,
    /// Profile.
    pub profile: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Configuration file in use.
    pub config_file: Option<String>,
}

fn generation_name(discovery: Option<&Discovery>, record: Option<&Record>) -> Option<&'static str> {
    let name = |generation: Generation| match generation {
        Generation::Flyte1 => "1",
        Generation::Flyte2 => "2",
    };
    match discovery {
        Some(Discovery::NoAuth { generation }) => Some(generation.map_or("none", name)),
        Some(Discovery::Auth(server)) => Some(server.generation.map_or("none", name)),
        None => record.and_then(|record| record.flyte_generation).map(name),
    }
}

impl Session {
    /// What is known of the session without the network.
    ///
    /// # Errors
    /// Kind `Store`.
    pub fn status(&self) -> Result<Status> {
        let inner = &self.inner;
        let record = keeping::load_stored(inner)?;
        let discovery = inner.discoverer.cached(&inner.target);
        let server = match &discovery {
            Some(Discovery::Auth(server)) => Some(server.as_ref()),
            _ => None,
        };
        let now = inner.context.clock.now();
        let alive = |record: &Record| {
            record.expires_at.is_none_or(|at| now < at)
                || (record.refresh_token.is_some() && record.session_expires_at.is_none_or(|at| now < at))
        };
        let no_auth = matches!(discovery, Some(Discovery::NoAuth { .. }));
        let signed_in = inner.source.is_machine() || no_auth || record.as_ref().is_some_and(alive);
        let rfc3339 = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
        let description = inner.store.describe_for(&inner.key);
        let config = &inner.config;
        Ok(Status {
            endpoint: inner.place.clone(),
            generation: generation_name(discovery.as_ref(), record.as_ref()),
            auth_type: config.auth_type.value.name(),
            issuer: record
                .as_ref()
                .and_then(|record| record.issuer.clone())
                .or_else(|| server.and_then(|server| server.metadata.issuer.clone())),
            client_id: record
                .as_ref()
                .and_then(|record| record.client_id.clone())
                .or_else(|| config.client_id.as_ref().map(|id| id.value.clone()))
                .or_else(|| server.and_then(|server| server.public_client.client_id.clone())),
            subject: record.as_ref().and_then(|record| record.subject.clone()),
            email: record.as_ref().and_then(|record| record.email.clone()),
            scopes: record.as_ref().map(|record| record.scopes.clone()).unwrap_or_default(),
            signed_in,
            token_source: match (&record, inner.source.is_machine()) {
                _ if no_auth => "none",
                (Some(record), _) => record.origin.name(),
                (None, true) => inner.source.name(),
                (None, false) => "none",
            },
            access_token_expires_at: rfc3339(record.as_ref().and_then(|record| record.expires_at)),
            has_refresh_token: record.as_ref().is_some_and(|record| record.refresh_token.is_some()),
            session_expires_at: rfc3339(record.as_ref().and_then(|record| record.session_expires_at)),
            store: description.kind.name(),
            store_reason: description.reason,
            store_location: description.location.map(|path| path.display().to_string()),
            profile: config.profile.as_ref().map(|profile| profile.value.clone()),
            account: config.account.as_ref().map(|account| account.value.clone()),
            config_file: config.file.as_ref().map(|file| file.path.display().to_string()),
        })
    }

    /// The identity as the server sees it: a real call with the current token.
    ///
    /// # Errors
    /// As [`Session::token`]; `unauthenticated` if the server rejects the token, `unimplemented` if it cannot tell.
    pub async fn whoami(&self) -> Result<UserInfo> {
        let Some(token) = self.token().await? else {
            return Err(Error::new(
                ErrorKind::Denied,
                "no_auth",
                format!("{} has no auth: there is nobody to be", self.place()),
            )
            .with_next("Nothing is needed: calls go without a token"));
        };
        self.whoami_with(&token).await
    }

    pub(crate) async fn whoami_with(&self, token: &super::Token) -> Result<UserInfo> {
        let inner = &self.inner;
        let discovery = inner.discoverer.discover(&inner.target).await?;
        inner
            .discoverer
            .user_info(&inner.target, &discovery, token.header_name(), &Zeroizing::new(token.header_value()))
            .await
    }

    /// Forgets a token that the server has rejected, and asks once more with a new one.
    ///
    /// # Errors
    /// As [`Session::whoami`].
    pub async fn whoami_verified(&self) -> Result<UserInfo> {
        match self.whoami().await {
            Err(error) if error.code() == "unauthenticated" => {
                self.invalidate(None);
                let _ = engine::token(&self.inner).await?;
                let again = self.whoami().await;
                match again {
                    // Two tokens, the second fresh: if the clocks are apart, that is why.
                    Err(error) if error.code() == "unauthenticated" => {
                        let place = self.place();
                        let rejected = format!("{place} does not accept the token");
                        Err(trouble::clock_skew(place, &rejected, self.inner.skew.millis()).unwrap_or(error))
                    }
                    other => other,
                }
            }
            other => other,
        }
    }
}
