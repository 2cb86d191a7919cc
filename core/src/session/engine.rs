//! Who waits for what: the answer from memory, the one refresh that all callers share, and what may be served when.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::cell::Value;
use super::token::{self, CLOCK_SET_BACK};
use super::{Current, Inner, Source, Stored, Token, TokenOptions, keeping, locked, refresh};
use crate::clock::Timestamp;
use crate::config::StoreKind;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::AccessToken;
use crate::store::Record;
use crate::testing::{Facts, stop_point_with};

/// One running refresh, shared by all who wait for it.
type Flight = Shared<BoxFuture<'static, Result<Option<Token>>>>;

/// A flight, and the count of forks when it was started: the parent's task does not run in a forked child.
#[derive(Clone)]
pub(super) struct Started {
    forks: u64,
    flight: Flight,
}

/// "No auth here" is asked again after this.
const NO_AUTH_LIFETIME: Duration = Duration::from_secs(300);
/// A record that exists nowhere but in this process is saved again at the next call after this.
const UNSAVED_RETRY: Duration = Duration::from_secs(5);

/// The expiry of a token that the server rejected: it stays as the marker of what not to serve again.
const REJECTED: Timestamp = Timestamp::from_millis(0);

/// What is wanted of a refresh.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Want {
    /// Not a token of this generation or an older one: a refresh was forced.
    pub(super) newer_than: Option<u64>,
    /// The process ends after this: what it cannot save is lost.
    pub(super) one_shot: bool,
    /// A failed refresh is an error even while the old token lives: the caller holds it and decides itself.
    pub(super) or_fail: bool,
}

pub(super) async fn token(inner: &Arc<Inner>) -> Result<Option<Token>> {
    let now = inner.context.clock.now();
    let current = inner.cell.load().clone();
    if let Some(current) = current {
        match &current.token {
            None if current.refresh_at.is_some_and(|at| now < at) => return Ok(None),
            // A token file is read again when it is due: that is quick, and it may have been rotated long ago.
            Some(_) if matches!(inner.source, Source::Static(_)) => {}
            Some(token) if token.expires_at().is_none_or(|at| now < at) => {
                // Inside the margin: the old token serves while a new one is fetched.
                if now.as_millis() >= inner.background_after.load(Ordering::Relaxed) {
                    drop(join(inner, Want::default()));
                }
                return Ok(Some(token.clone()));
            }
            _ => {}
        }
    }
    wait(inner, Want::default()).await
}

pub(super) async fn token_once(inner: &Arc<Inner>, options: TokenOptions) -> Result<Option<Token>> {
    let record = keeping::load(inner).await?;
    let now = inner.context.clock.now();
    let old = record.as_ref().filter(|record| !is_rejected(inner, record) && servable(inner, record, now).is_some());
    if let Some(record) = old {
        let token = publish(inner, record);
        if !options.force_refresh && inner_is_fresh(inner, now) {
            return Ok(Some(token));
        }
        let outlives = token.expires_at().is_none_or(|at| at >= now.plus(options.min_ttl));
        if options.force_refresh || !outlives {
            return wait(inner, Want { newer_than: Some(record.generation), or_fail: true, one_shot: true }).await;
        }
        let refreshed = wait(inner, Want { newer_than: None, or_fail: true, one_shot: true });
        return match tokio::time::timeout(options.patience, refreshed).await {
            Ok(Ok(token)) => Ok(token),
            // The refresh goes on in its task; `under_way` tells whoever ends the process when it may.
            Ok(Err(_)) | Err(_) => Ok(Some(token)),
        };
    }
    let newer_than = record.filter(|_| options.force_refresh).map(|record| record.generation);
    wait(inner, Want { newer_than, or_fail: false, one_shot: true }).await
}

fn inner_is_fresh(inner: &Inner, now: Timestamp) -> bool {
    inner.cell.load().as_deref().is_some_and(|current| current.refresh_at.is_none_or(|at| now < at))
}

pub(super) fn stored(inner: &Arc<Inner>) -> Result<Option<Stored>> {
    if matches!(inner.source, Source::Static(_) | Source::Passthrough | Source::None) {
        return Ok(None);
    }
    let Some(record) = keeping::load_stored(inner)? else { return Ok(None) };
    let now = inner.context.clock.now();
    let rejected = is_rejected(inner, &record);
    let Some(refresh_at) = servable(inner, &record, now).filter(|_| !rejected) else { return Ok(None) };
    let token = publish(inner, &record);
    if now < refresh_at {
        return Ok(Some(Stored::Fresh(token)));
    }
    // What stands in the way of a refresh is told by the refresh itself.
    let refreshable = record.refresh_token.is_some() || inner.source.is_machine();
    Ok(refreshable.then_some(Stored::Due(token)))
}

pub(super) fn invalidate(inner: &Arc<Inner>, rejected: Option<&Token>) {
    let Some(meant) = rejected.cloned().or_else(|| inner.cell.load().as_ref()?.token.clone()) else { return };
    let mut noted = None;
    let marked = inner.cell.change(|current| {
        // A newer one may have come meanwhile: that one was not rejected.
        let token = current.token.as_ref().filter(|token| token.is_same(&meant))?;
        let age = inner.context.clock.now().since(current.obtained_at);
        noted = (token.expires_at() != Some(REJECTED)).then(|| (token.generation(), age));
        let marker = Token::new(
            AccessToken::new(token.expose()), // EXPOSE: kept in memory only.
            Some(REJECTED),
            token.header_name().to_owned(),
            token.generation(),
        );
        Some(Current { token: Some(marker), refresh_at: Some(REJECTED), obtained_at: current.obtained_at })
    });
    if marked {
        stop_point_with("rejected", Facts::Token(&meant));
        locked(&inner.rejected).extend(noted);
    }
}

impl Value for Current {
    fn forbids(&self, next: &Self) -> bool {
        match (self.rejected(), &next.token) {
            (Some(rejected), Some(next)) => rejected.is_same(next),
            _ => false,
        }
    }
}

impl Current {
    /// The token that `invalidate` marked.
    fn rejected(&self) -> Option<&Token> {
        self.token.as_ref().filter(|token| token.expires_at() == Some(REJECTED))
    }
}

/// Waits for a refresh that satisfies `want`. A refresh that was under way before may have started too early for it:
/// then one more.
async fn wait(inner: &Arc<Inner>, want: Want) -> Result<Option<Token>> {
    let mut last = join(inner, want).await;
    for _ in 0..2 {
        match &last {
            Ok(Some(token)) if want.newer_than.is_some_and(|old| token.generation() <= old) => {}
            // Rejected while it was on its way to us.
            Ok(Some(token)) if rejected(inner).is_some_and(|rejected| rejected.is_same(token)) => {}
            // The task died with another runtime (a test's, a closed event loop's): start it on this one.
            Err(error) if error.code() == "refresh_abandoned" => {}
            _ => break,
        }
        last = join(inner, want).await;
    }
    last
}

/// Joins the running refresh, or starts one in a task of its own.
fn join(inner: &Arc<Inner>, want: Want) -> Flight {
    let forks = crate::fork::count();
    let runs = |started: &Started| started.forks == forks && started.flight.peek().is_none();
    let start = |ticket| {
        let task = tokio::spawn({
            let inner = Arc::clone(inner);
            async move {
                let result = refresh::obtain(&inner, want).await;
                // Whoever comes next starts anew: a failure is not remembered for those who did not wait for it.
                inner.cell.land(ticket);
                if result.is_err() {
                    let after = inner.context.clock.now().plus(refresh::BACKGROUND_PAUSE).as_millis();
                    inner.background_after.store(after, Ordering::Relaxed);
                }
                result
            }
        });
        let flight = async move {
            task.await.unwrap_or_else(|cause| {
                Err(Error::new(ErrorKind::Internal, "refresh_abandoned", "the refresh was abandoned")
                    .with_source(cause))
            })
        };
        Started { forks, flight: flight.boxed().shared() }
    };
    inner.cell.join(runs, start).flight
}

/// The token in memory, if `invalidate` marked it.
pub(super) fn rejected(inner: &Inner) -> Option<Token> {
    inner.cell.load().as_ref()?.rejected().cloned()
}

/// Whether the record holds the very token that was rejected. Not "or an older one": a session that was begun anew after a
/// logout counts from one.
fn is_rejected(inner: &Inner, record: &Record) -> bool {
    rejected(inner).is_some_and(|rejected| rejected.is(&record.access_token, record.generation))
}

/// When the record's token is due for refresh; `None` if it cannot be served at all (expired).
fn servable(inner: &Inner, record: &Record, now: Timestamp) -> Option<Timestamp> {
    if record.expires_at.is_some_and(|at| now >= at) {
        return None;
    }
    let obtained_at = record.obtained_at.unwrap_or(now);
    // The clock was set back since: how long the token still lives, nobody can tell.
    if now.plus(CLOCK_SET_BACK) < obtained_at {
        return Some(now);
    }
    Some(token::refresh_at(obtained_at, record.expires_at, inner.jitter))
}

/// Whether the record's token is what is wanted and needs no refresh yet.
pub(super) fn is_fresh(inner: &Inner, record: &Record, want: Want) -> bool {
    let now = inner.context.clock.now();
    serves(inner, record, want) && servable(inner, record, now).is_some_and(|at| now < at)
}

pub(super) fn serves(inner: &Inner, record: &Record, want: Want) -> bool {
    want.newer_than.is_none_or(|old| record.generation > old)
        && !is_rejected(inner, record)
        && servable(inner, record, inner.context.clock.now()).is_some()
}

/// Makes the record's token the one in memory.
pub(super) fn publish(inner: &Inner, record: &Record) -> Token {
    let header_name = match &inner.config.authorization_header {
        Some(_) => inner.header_name(None),
        None => record.header_name.clone(),
    };
    let token = Token::new(record.access_token.clone(), record.expires_at, header_name, record.generation);
    let obtained_at = record.obtained_at.unwrap_or_else(|| inner.context.clock.now());
    let mut refresh_at = token::refresh_at(obtained_at, record.expires_at, inner.jitter);
    if locked(&inner.unsaved).is_some() {
        refresh_at = refresh_at.min(inner.context.clock.now().plus(UNSAVED_RETRY));
    }
    if !matches!(inner.config.store.value, StoreKind::None) {
        let current = Current { token: Some(token.clone()), refresh_at: Some(refresh_at), obtained_at };
        inner.cell.publish(current);
    }
    token
}

pub(super) fn publish_no_auth(inner: &Inner) -> Option<Token> {
    let obtained_at = inner.context.clock.now();
    let refresh_at = Some(obtained_at.plus(NO_AUTH_LIFETIME));
    inner.cell.set(Some(Current { token: None, refresh_at, obtained_at }));
    None
}
