//! Logout: the local copy first, then the server.

use super::{Inner, Session, adopt, keeping, locked};
use crate::credential::failure;
use crate::discovery::{Discovery, Target};
use crate::error::Result;
use crate::protocol::grant::{Revocable, revocation_request};
use crate::protocol::reply;
use crate::store::{LockKind, Record};
use crate::transport::{Call, Purpose};

/// What a logout did.
#[derive(Debug, Clone)]
pub struct LogoutOutcome {
    /// Whether there was a session on this machine.
    pub was_signed_in: bool,
    /// What became of the revocation; `None` if it was not asked for or there was nothing to revoke.
    pub revocation: Option<Result<()>>,
    /// Clients whose own copies of this session's tokens were removed from this machine.
    pub copies_removed: Vec<&'static str>,
}

impl Inner {
    /// Nothing of the session stays in this process either.
    pub(super) fn forget(&self) {
        self.cell.set(None);
        *locked(&self.unsaved) = None;
    }
}

impl Session {
    /// Ends the session: the local copy goes first, so that no failure of the server keeps it. With `revoke` the tokens
    /// are then revoked at the server (RFC 7009), best effort.
    ///
    /// # Errors
    /// Kind `Store` if the local copy cannot be removed.
    pub async fn logout(&self, revoke: bool) -> Result<LogoutOutcome> {
        let inner = &self.inner;
        let lock = keeping::lock(inner, LockKind::Refresh, std::time::Duration::from_secs(10)).await?;
        let record = keeping::load(inner).await.ok().flatten();
        let was_signed_in = keeping::blocking(inner, |inner| inner.store.delete(&inner.key)).await?;
        inner.troubles.forget();
        // Still under the lock: whoever gets it next would find what could not be saved, and save it.
        inner.forget();
        drop(lock);
        let copies_removed = match &record {
            Some(record) => adopt::remove_copies(inner, record).await,
            None => Vec::new(),
        };
        let revocation = match record {
            Some(record) if revoke => Some(self.revoke(&record).await),
            _ => None,
        };
        Ok(LogoutOutcome { was_signed_in, revocation, copies_removed })
    }

    async fn revoke(&self, record: &Record) -> Result<()> {
        let inner = &self.inner;
        let Discovery::Auth(server) = inner.discoverer.discover(&inner.target).await? else { return Ok(()) };
        // Flyte's own metadata has no revocation_endpoint; the issuer's has.
        let endpoint = match (&server.metadata.revocation_endpoint, &server.metadata.issuer) {
            (Some(endpoint), _) => Some(endpoint.clone()),
            (None, Some(issuer)) if !matches!(inner.target, Target::Issuer(_)) => {
                inner.discoverer.issuer_metadata(issuer).await?.revocation_endpoint
            }
            _ => None,
        };
        let Some(endpoint) = endpoint else {
            return Err(crate::Error::new(
                crate::ErrorKind::Server,
                "revocation_unsupported",
                format!("the authorization server of {} offers no revocation", inner.place),
            )
            .with_next("The local copy is gone; the tokens end by themselves"));
        };
        let judged = inner.authorization_server(&server).revocation_endpoint(&endpoint, record.bound()).await?;
        let endpoint = judged.map_err(|changed| {
            crate::Error::new(crate::ErrorKind::Server, changed.code, changed.message)
                .with_endpoint(inner.place.clone())
                .with_next("The local copy is gone; the tokens end by themselves")
        })?;
        let endpoint = endpoint.as_str();
        let id = record.client_id.clone().map_or_else(|| inner.client_id(&server), Ok)?;
        let client = inner.presented_client(&id, &server, record.client_auth_method).await?;
        // The refresh token first: at most servers it ends the whole grant.
        let tokens = record
            .refresh_token
            .as_ref()
            .map(Revocable::Refresh)
            .into_iter()
            .chain([Revocable::Access(&record.access_token)]);
        let mut first_failure = None;
        for token in tokens {
            let request = revocation_request(endpoint, &client, token)?;
            let outcome = match inner.context.transport.send(Call::new(Purpose::Revocation, request)).await {
                Err(failure) => Err(failure.error),
                Ok(reply) => reply::revocation(&reply)
                    .map_err(|problem| failure::unusable(&problem, Purpose::Revocation, endpoint)),
            };
            match outcome {
                Ok(()) => {}
                // RFC 7009 section 2.2.1: a server may revoke only one of the two kinds.
                Err(error) if error.code() == "unsupported_token_type" => {}
                Err(error) => {
                    first_failure.get_or_insert(error);
                }
            }
        }
        first_failure.map_or(Ok(()), Err)
    }
}
