//! Renews a session's tokens before they expire: one exchange, however many requests wait for it, in a task that none of
//! them can cancel.
//!
//! A valid token beats a failed exchange. What the provider refuses ends the session; what merely fails does not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::ready;

use super::Inner;
use super::data::{Data, Snapshot};
use super::live::{Flight, Live, locked};
use super::look::{Found, record_key};
use super::provider::over;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::{AccessToken, IdToken};
use crate::session::Token;
use crate::verify::id_token;

/// How long a request waits for an exchange while the old token serves.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a first failure nobody tries for this long; it doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A rejection of a token younger than this starts no exchange: whoever rejects every token must not cause one for each.
const TOO_YOUNG: Duration = Duration::from_secs(5);

impl Inner {
    /// Whether the access token should be renewed now.
    pub(super) fn is_due(&self, live: &Live, now: Timestamp) -> bool {
        let current = live.current();
        let rejected = || live.is_rejected(current.generation()) && now >= current.data.obtained_at.plus(TOO_YOUNG);
        current.refresh_at.is_some_and(|at| now >= at || rejected()) && live.pause(now).is_none()
    }

    /// The access token, renewed if that is due.
    ///
    /// # Errors
    /// Kind `LoginRequired` if the session is over or its token was rejected; else why there is none now.
    pub(super) async fn token_of(self: &Arc<Self>, live: &Arc<Live>) -> Result<Token> {
        let now = self.context.clock.now();
        let serving = |at| {
            let current = live.current();
            (current.lives(at) && !live.is_rejected(current.generation())).then(|| current.token.clone())
        };
        let mut failed = None;
        // Read first: whoever renews it after this must not cause a second exchange.
        let than = live.current().generation();
        if !live.is_over() && self.is_due(live, now) {
            let flight = self.join(live, than, now);
            failed = match serving(now) {
                None => flight.await.err(),
                Some(_) => tokio::time::timeout(PATIENCE, flight).await.ok().and_then(Result::err),
            };
        }
        if live.is_over() {
            return Err(failed.unwrap_or_else(|| over("session_over", "somebody signed out")));
        }
        let now = self.context.clock.now();
        if let Some(token) = serving(now) {
            return Ok(token);
        }
        let current = live.current();
        Err(match failed.or_else(|| live.pause(now)) {
            Some(error) => error,
            None if current.lives(now) && current.refresh_at.is_some() => {
                // Rejected the moment it came: another one would be no better.
                Error::new(ErrorKind::Denied, "token_rejected", "the access token is rejected although it is new")
                    .with_next("Check the audience and the scopes that this application asks for")
            }
            None if current.lives(now) => {
                over("token_rejected", "its token was rejected, and there is no refresh token")
            }
            None => over("session_expired", "its token has expired"),
        })
    }

    /// What a session needs before a request is served.
    pub(super) async fn tend(self: &Arc<Self>, found: &Found, now: Timestamp) {
        if self.is_due(&found.live, now)
            && let Err(error) = self.token_of(&found.live).await
        {
            tracing::debug!(%error, "a session's tokens were not renewed");
        }
        if self.is_save_due(found, now)
            && !found.live.is_over()
            && let Err(error) = self.save(&found.live, now).await
        {
            tracing::warn!(%error, "a session could not be written to the store");
        }
    }

    /// Joins the exchange that runs, or starts one for the tokens of generation `than`.
    pub(super) fn join(self: &Arc<Self>, live: &Arc<Live>, than: u64, now: Timestamp) -> Flight {
        let mut turn = locked(&live.turn);
        if let Some(running) = turn.running.as_ref().filter(|running| running.peek().is_none()) {
            return running.clone();
        }
        if live.current().generation() > than {
            return ready(Ok(())).boxed().shared();
        }
        if let (Some(error), Some(until)) = (&turn.last_error, turn.not_before)
            && now < until
        {
            return ready(Err(error.clone())).boxed().shared();
        }
        let (inner, session) = (Arc::clone(self), Arc::clone(live));
        let task = tokio::spawn(async move {
            let outcome = inner.renew(&session).await;
            inner.land(&session, outcome).await
        });
        let flight = async move {
            task.await.unwrap_or_else(|cause| Err(Error::internal("an exchange was abandoned").with_source(cause)))
        };
        let flight = flight.boxed().shared();
        turn.running = Some(flight.clone());
        flight
    }

    async fn land(&self, live: &Live, outcome: Result<()>) -> Result<()> {
        let over = matches!(&outcome, Err(error) if error.kind() == ErrorKind::LoginRequired);
        if over {
            self.end(&live.sid).await;
        }
        let mut turn = locked(&live.turn);
        turn.running = None;
        match &outcome {
            Ok(()) => {
                turn.failures = 0;
                turn.not_before = None;
                turn.last_error = None;
            }
            Err(error) => {
                tracing::warn!(%error, ends = over, "a session's tokens could not be renewed");
                let pause =
                    (PAUSE * 2_u32.saturating_pow(turn.failures.min(5))).max(error.retry_after().unwrap_or_default());
                turn.failures = turn.failures.saturating_add(1);
                turn.not_before = Some(self.context.clock.now().plus(pause.min(LONGEST_PAUSE)));
                turn.last_error = Some(error.clone());
            }
        }
        outcome
    }

    /// Nothing of the session is served from here on.
    pub(super) async fn end(&self, sid: &str) {
        self.registry.end(sid);
        if let Some(store) = &self.store
            && let Err(error) = store.delete(&record_key(sid)).await
        {
            tracing::warn!(%error, "a session could not be removed from the store");
        }
    }

    async fn renew(&self, live: &Arc<Live>) -> Result<()> {
        let current = live.current();
        // Another process with the same store may have renewed it,
        if self.is_renewed_elsewhere(live, current.generation()).await? {
            return Ok(());
        }
        let old = &current.data;
        let tokens = match self.provider.renew(&self.settings, old).await {
            // or have been a moment faster.
            Err(error) if error.kind() == ErrorKind::LoginRequired => {
                return match self.is_renewed_elsewhere(live, current.generation()).await {
                    Ok(true) => Ok(()),
                    _ => Err(ended(error)),
                };
            }
            outcome => outcome?,
        };
        let id_token = self.kept_id_token(old, tokens.id_token, &tokens.access_token).await;
        let data = Data {
            generation: old.generation + 1,
            access_token: tokens.access_token,
            expires_at: tokens.expires_at,
            obtained_at: tokens.obtained_at,
            refresh_token: tokens.refresh_token.or_else(|| old.refresh_token.clone()),
            scopes: tokens.scopes.unwrap_or_else(|| old.scopes.clone()),
            used: live.used(),
            ..old.clone()
        };
        let data = match id_token {
            Ok(id_token) => Data { id_token, ..data },
            Err(error) => {
                self.revoke_later(data);
                return Err(error);
            }
        };
        if live.is_over() {
            self.revoke_later(data);
            return Err(over("session_over", "somebody signed out"));
        }
        live.renew(Snapshot::new(data, &self.settings.header_name));
        // It serves from memory in any case, and is written again at the next request.
        if let Err(error) = self.save(live, self.context.clock.now()).await {
            tracing::warn!(%error, "a renewed session could not be written to the store");
        }
        Ok(())
    }

    /// Whether the store has newer tokens than `than`; they are taken.
    async fn is_renewed_elsewhere(&self, live: &Live, than: u64) -> Result<bool> {
        let Some(store) = &self.store else { return Ok(false) };
        match store.get(&record_key(&live.sid)).await? {
            Some(record) => {
                self.read_record(&live.sid, &record);
                Ok(live.current().generation() > than)
            }
            None => Err(over("session_over", "it is no longer in the store")),
        }
    }

    /// The ID token after an exchange (OpenID Connect Core 12.2): the new one if it is good and of the same person, the
    /// old one where there is no new one or the keys to check it cannot be had.
    async fn kept_id_token(&self, old: &Data, new: Option<IdToken>, access_token: &AccessToken) -> Result<IdToken> {
        let Some(new) = new else { return Ok(old.id_token.clone()) };
        let (was, is) = (id_token::claims_of_verified(&old.id_token), id_token::claims_of_verified(&new));
        if ["iss", "sub"].iter().any(|name| was.get(*name) != is.get(*name)) {
            return Err(over("subject_changed", "the provider's new ID token is about somebody else"));
        }
        match self.provider.validate(&self.settings, &new, None, access_token).await {
            Ok(_) => Ok(new),
            Err(error) if error.kind() == ErrorKind::Denied => {
                Err(over("id_token_invalid", "the provider's new ID token is not accepted").with_source(error))
            }
            Err(error) => {
                tracing::warn!(%error, "a new ID token could not be checked; the old one is kept");
                Ok(old.id_token.clone())
            }
        }
    }

    /// Revokes what nobody will use, beside the request.
    pub(super) fn revoke_later(&self, data: Data) {
        let (provider, settings) = (Arc::clone(&self.provider), Arc::clone(&self.settings));
        tokio::spawn(async move {
            if let Err(error) = provider.revoke(&settings, &data).await {
                tracing::warn!(%error, "a refresh token could not be revoked; it ends by itself");
            }
        });
    }
}

/// In words of a web application; the cause is beside it.
fn ended(error: Error) -> Error {
    let why = match error.code() {
        "invalid_grant" => "the provider has ended it",
        _ => "the provider does not renew it",
    };
    let made = Error::new(ErrorKind::LoginRequired, error.code().to_owned(), format!("the session is over: {why}"))
        .with_next("Sign in again at the application's login path");
    made.with_source(error)
}
