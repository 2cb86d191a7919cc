//! What an application gets for a request of somebody who is signed in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use super::Inner;
use super::data::User;
use super::live::Live;
use super::look::Found;
use crate::error::Result;
use crate::session::Token;

/// A signed-in person's session, for the time of a request or longer. Never interactive: when it is over, the person
/// signs in again.
pub struct SignedIn {
    inner: Arc<Inner>,
    found: Found,
    /// Of the tokens in the cookies that the browser was last told; `OVER` once they were cleared.
    told: AtomicU64,
    user: Arc<User>,
}

const OVER: u64 = u64::MAX;

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("live", &self.found.live).finish_non_exhaustive()
    }
}

impl SignedIn {
    pub(super) fn new(inner: Arc<Inner>, found: Found) -> Self {
        let current = found.live.current();
        // Whatever was due goes with the answer that this is made for.
        Self { told: AtomicU64::new(current.generation()), user: Arc::clone(&current.user), inner, found }
    }

    fn live(&self) -> &Arc<Live> {
        &self.found.live
    }

    /// Who it is, as of the request.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The scopes that were granted, or asked for where the provider does not say.
    pub fn scopes(&self) -> Vec<String> {
        self.live().current().data.scopes.clone()
    }

    /// Number of the access token that needs no renewal, 0 if there is none. Another token has another number.
    pub fn freshness(&self) -> u64 {
        self.fresh().map_or(0, |token| token.generation())
    }

    /// The access token that needs no renewal, if there is one.
    pub fn fresh(&self) -> Option<Token> {
        let live = self.live();
        let now = self.inner.context.clock.now();
        let current = live.current();
        let fresh = !live.is_over()
            && current.lives(now)
            && current.refresh_at.is_none_or(|at| now < at)
            && !live.is_rejected(current.generation());
        fresh.then(|| current.token.clone())
    }

    /// The access token, renewed if it is due: one exchange for all who ask. It goes on if the caller gives up.
    ///
    /// # Errors
    /// Kind `LoginRequired` if the session is over; `Network` or `Server` if the provider cannot renew it now.
    pub async fn token(&self) -> Result<Token> {
        match self.fresh() {
            Some(token) => Ok(token),
            None => self.inner.token_of(self.live()).await,
        }
    }

    /// Notes that a token was rejected by whom it is for, though its time is not up: the next [`SignedIn::token`] is
    /// another one. Without `token`: the one that is current.
    pub fn invalidate(&self, token: Option<&Token>) {
        let generation = token.map_or_else(|| self.live().current().generation(), Token::generation);
        self.live().reject(generation);
    }

    /// The `Set-Cookie` values that became due since the request was handled, because its tokens were renewed or the
    /// session ended. Given once. An answer that was sent without them is no loss while this process runs: it knows the
    /// session by its old cookie too.
    pub fn take_cookies(&self) -> Vec<HeaderValue> {
        let (inner, live) = (&self.inner, self.live());
        if live.is_over() {
            let told = self.told.swap(OVER, Ordering::Relaxed);
            return if told == OVER { Vec::new() } else { inner.settings.cleared(self.found.held) };
        }
        let current = live.current().generation();
        let told = self.told.fetch_max(current, Ordering::Relaxed);
        if told >= current || inner.store.is_some() {
            return Vec::new();
        }
        inner.cookies_of(live, self.found.held, inner.context.clock.now()).unwrap_or_else(|error| {
            tracing::error!(%error, "a renewed session does not fit into cookies");
            Vec::new()
        })
    }
}
