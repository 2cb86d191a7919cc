//! One refresh: metadata before the lock, the store re-read after it, the exchange, the save, and only then the
//! publication. Runs in a task that no caller's cancellation can drop.
//!
//! A valid token beats a failed refresh. Losers never delete.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{Want, is_fresh, publish, publish_no_auth, rejected, serves};
use super::keeping::{self, Held, load, lock, new_record, save};
use super::under_way::UnderWay;
use super::{Inner, Source, Token, adopt, identity, static_token};
use crate::clock::Timestamp;
use crate::config::{SecretSource, Setting};
use crate::credential::client_credentials::{self, ClientCredentials};
use crate::credential::{TokenSet, exchange, external_command};
use crate::discovery::{Discovery, ServerAuth};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::Credential;
use crate::protocol::client::ClientAuthMethod;
use crate::protocol::grant::Grant;
use crate::protocol::secret::RefreshToken;
use crate::store::record::TokenOrigin;
use crate::store::{LockKind, Record};
use crate::testing::{Facts, stop_point, stop_point_with};

/// How long to wait for another process's refresh.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one call waits, in all, for a server that asked for patience.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After a failed background refresh the old token serves this long before the next try.
pub(super) const BACKGROUND_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn obtain(inner: &Arc<Inner>, want: Want) -> Result<Option<Token>> {
    stop_point_with("refresh.start", Facts::NewerThan(want.newer_than));
    match &inner.source {
        Source::None | Source::Passthrough => return Ok(publish_no_auth(inner)),
        Source::Static(token) => return static_token::read(inner, &token.value).await.map(Some),
        _ => {}
    }
    keeping::save_what_could_not_be_saved(inner).await;
    note_rejections(inner).await;
    let record = load(inner).await?;
    stop_point_with("look.after", Facts::Record(record.as_ref()));
    if let Some(record) = record
        && is_fresh(inner, &record, want)
    {
        return Ok(Some(publish(inner, &record)));
    }
    if matches!(inner.source, Source::ExternalCommand(_)) {
        // Asked before the lock: a command that leads back to us would wait for the lock that its own caller holds.
        inner.config.external_command()?;
    }
    let outcome = fetch(inner, want).await;
    stop_point("unlock.after");
    outcome
}

async fn fetch(inner: &Arc<Inner>, want: Want) -> Result<Option<Token>> {
    let mut patience = LONGEST_WAIT;
    if let Some(token) = wait_out_trouble(inner, want, &mut patience).await? {
        return Ok(Some(token));
    }
    // Metadata first: it may take seconds, and nobody should hold the lock meanwhile.
    stop_point("discovery.before");
    let server = match inner.discover().await {
        Ok(Discovery::NoAuth { .. }) => return Ok(publish_no_auth(inner)),
        Ok(Discovery::Auth(server)) => Some(server),
        // A command needs of the server the header's name only.
        Err(error) if matches!(inner.source, Source::ExternalCommand(_)) => {
            tracing::warn!(%error, "discovery failed; the token goes into the header `authorization`");
            None
        }
        Err(error) => {
            let record = load(inner).await?;
            return failed(inner, want, record, error).await.map(Some);
        }
    };
    stop_point("discovery.after");
    loop {
        stop_point("lock.before");
        let held = match lock(inner, LockKind::Refresh, LOCK_TIMEOUT).await {
            Ok(held) => Held(held),
            // A holder that hangs, a file system without locks: a token that lives serves on.
            Err(error) => {
                let record = load(inner).await?;
                return failed(inner, want, record, error).await.map(Some);
            }
        };
        stop_point("lock.after");
        let record = load(inner).await?;
        stop_point_with("reread.after", Facts::Record(record.as_ref()));
        // A sibling may have refreshed while we waited,
        if let Some(record) = &record
            && is_fresh(inner, record, want)
        {
            return Ok(Some(publish(inner, record)));
        }
        // or met a server in trouble: sixty processes must not ask it in turn.
        if paused(inner).await.is_some() {
            drop(held);
            match wait_out_trouble(inner, want, &mut patience).await? {
                Some(token) => return Ok(Some(token)),
                None => continue,
            }
        }
        return exchange_and_save(inner, want, server.as_deref(), record).await.map(Some);
    }
}

/// Under the lock.
async fn exchange_and_save(
    inner: &Arc<Inner>,
    want: Want,
    server: Option<&ServerAuth>,
    record: Option<Record>,
) -> Result<Token> {
    // Only a refresh token can be used up by a request whose answer nobody keeps.
    let by_refresh_token = matches!(inner.source, Source::Person { .. });
    if by_refresh_token && let Err(error) = room_to_save(inner, record.as_ref()).await {
        // A process that lives on keeps the session itself until there is room; one that ends would lose it.
        if want.one_shot {
            return failed(inner, want, record, error).await;
        }
        tracing::warn!(%error, "the refreshed session cannot be saved; this process keeps it");
    }
    let _under_way = if by_refresh_token { Some(UnderWay::begin()?) } else { None };
    stop_point("exchange.before");
    let renewed = renew(inner, server, record.as_ref()).await;
    stop_point_with("exchange.after", Facts::Answer(&renewed));
    match renewed {
        Ok(mut renewed) => {
            // The very text that was rejected, given anew: it is served, and whoever rejects it again means this one.
            if rejected(inner).is_some_and(|rejected| rejected.is(&renewed.access_token, renewed.generation)) {
                renewed.generation += 1;
            }
            stop_point("save.before");
            // What a command prints without an expiry may end at any moment: only this process knows how old it is.
            if renewed.origin != TokenOrigin::ExternalCommand || renewed.expires_at.is_some() {
                save(inner, &renewed).await;
                adopt::write_back(inner, &renewed).await;
            }
            stop_point("save.after");
            let after_rejection = rejected(inner).is_some();
            let _ = keeping::blocking(inner, move |inner| {
                inner.troubles.passed(after_rejection);
                Ok(())
            })
            .await;
            let token = publish(inner, &renewed);
            stop_point_with("publish.after", Facts::Record(Some(&renewed)));
            Ok(token)
        }
        Err(error) => failed(inner, want, record, error).await,
    }
}

/// Whether the answer could be saved; the next record is taken for about as long as this one.
async fn room_to_save(inner: &Arc<Inner>, record: Option<&Record>) -> Result<()> {
    let Some(record) = record else { return Ok(()) };
    let len = record.to_json()?.len() + 8192;
    keeping::blocking(inner, move |inner| inner.store.check_room(&inner.key, len)).await
}

/// Remembers the failure for every process, and serves the stored token while it lives.
async fn failed(inner: &Arc<Inner>, want: Want, record: Option<Record>, error: Error) -> Result<Token> {
    let now = inner.context.clock.now();
    let noted = error.clone();
    let _ = keeping::blocking(inner, move |inner| {
        inner.troubles.failed(&noted, now);
        Ok(())
    })
    .await;
    match record {
        Some(record) if serves(inner, &record, want) && !want.or_fail => {
            tracing::warn!(%error, "the refresh failed; the stored token is still valid and serves on");
            inner.background_after.store(now.plus(BACKGROUND_PAUSE).as_millis(), Ordering::Relaxed);
            Ok(publish(inner, &record))
        }
        _ => Err(error),
    }
}

/// What the server, asked a moment ago, had to say for itself; how long it wants to be left alone.
async fn paused(inner: &Arc<Inner>) -> Option<(Duration, Error)> {
    let now = inner.context.clock.now();
    keeping::blocking(inner, move |inner| Ok(inner.troubles.pause(now))).await.ok().flatten()
}

/// Waits until the server may be asked; a token, if one serves meanwhile or came from a sibling.
async fn wait_out_trouble(inner: &Arc<Inner>, want: Want, patience: &mut Duration) -> Result<Option<Token>> {
    let clock = &inner.context.clock;
    if rejected(inner).is_some() {
        let (now, skew) = (clock.now(), inner.skew.millis());
        let loops = keeping::blocking(inner, move |inner| Ok(inner.troubles.loops(&inner.place, skew, now))).await?;
        if let Some(error) = loops {
            return Err(error);
        }
    }
    let Some((left, error)) = paused(inner).await else { return Ok(None) };
    if let Some(record) = load(inner).await?
        && serves(inner, &record, want)
    {
        if want.or_fail {
            return Err(error);
        }
        inner.background_after.store(clock.now().plus(left).as_millis(), Ordering::Relaxed);
        return Ok(Some(publish(inner, &record)));
    }
    if left > *patience {
        return Err(error);
    }
    *patience = patience.saturating_sub(left);
    tracing::info!(%error, "waiting");
    clock.sleep(left).await;
    Ok(load(inner).await?.filter(|record| is_fresh(inner, record, want)).map(|record| publish(inner, &record)))
}

/// Writes down what `invalidate` was told: it may neither block nor fail.
async fn note_rejections(inner: &Arc<Inner>) {
    let told = std::mem::take(&mut *super::locked(&inner.rejected));
    if told.is_empty() {
        return;
    }
    let now = inner.context.clock.now();
    let _ = keeping::blocking(inner, move |inner| {
        for (generation, age) in told {
            inner.troubles.rejected(generation, age, now);
        }
        Ok(())
    })
    .await;
}

/// Gets a new token from the source.
async fn renew(inner: &Arc<Inner>, server: Option<&ServerAuth>, record: Option<&Record>) -> Result<Record> {
    match (&inner.source, server) {
        (Source::ExternalCommand(_), server) => {
            let tokens = external_command::fetch(&inner.context, inner.config.external_command()?).await?;
            Ok(new_record(inner, server, record, TokenOrigin::ExternalCommand, tokens))
        }
        (Source::ClientCredentials { client_id, secret }, Some(server)) => {
            let mut outcome = grant_client(inner, server, client_id, secret, record).await;
            if let Err(error) = &outcome
                && let Some(current) = current_metadata(inner, server, error).await
            {
                outcome = grant_client(inner, &current, client_id, secret, record).await;
            }
            let (tokens, method) = outcome?;
            let mut made = new_record(inner, Some(server), record, TokenOrigin::ClientCredentials, tokens);
            made.client_id = Some(client_id.clone());
            made.client_auth_method = Some(method);
            Ok(made)
        }
        (Source::Person { .. }, Some(server)) => match record {
            Some(record) => adopt::refresh(inner, server, record).await,
            None => adopt::adopt(inner, server).await,
        },
        _ => Err(Error::internal("a source without a server")),
    }
}

/// The session is over; a person must sign in.
fn ended(inner: &Inner, code: &'static str, why: String) -> Error {
    Error::new(ErrorKind::LoginRequired, code, why)
        .with_endpoint(inner.place.clone())
        .with_next(format!("Run: flyte-auth login {}", identity::login_argument(&inner.config)))
}

/// A refresh token that the server does not take is not shown to it again for this long, by callers that come a moment
/// later: a server may take that for a theft.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// The record whose refresh token the server refused.
pub(super) struct Refused {
    record: u64,
    until: Timestamp,
    error: Error,
}

fn refused_a_moment_ago(inner: &Inner, record: &Record) -> Option<Error> {
    let refused = super::locked(&inner.refused);
    let refused = refused.as_ref()?;
    (refused.record == record.generation && inner.context.clock.now() < refused.until).then(|| refused.error.clone())
}

/// The refresh-token grant.
pub(super) async fn refresh(inner: &Arc<Inner>, server: &ServerAuth, record: &Record) -> Result<Record> {
    let Some(refresh_token) = &record.refresh_token else {
        let why = format!("the session with {} has expired and there is no refresh token", inner.place);
        return Err(ended(inner, "session_expired", why));
    };
    if let Some(error) = refused_a_moment_ago(inner, record) {
        return Err(error);
    }
    // The tokens belong to the client that obtained them, whichever the endpoint names by now.
    let client_id = match &record.client_id {
        Some(id) => id.clone(),
        None => inner.client_id(server)?,
    };
    let other_client = inner.client_id(server).ok().filter(|now| *now != client_id);
    if let Some(missing) = server.public_client.scopes.iter().find(|scope| !record.scopes.contains(scope)) {
        tracing::info!(scope = missing, "the endpoint asks for a scope that this session lacks; a new login gets it");
    }
    let mut outcome = grant_refresh(inner, server, record, &client_id, refresh_token).await;
    if let Err(error) = &outcome
        && let Some(current) = current_metadata(inner, server, error).await
    {
        outcome = grant_refresh(inner, &current, record, &client_id, refresh_token).await;
    }
    match outcome {
        Ok(tokens) => Ok(new_record(inner, Some(server), Some(record), record.origin, tokens)),
        Err(error) if other_client.is_some() && ["invalid_client", "unauthorized_client"].contains(&error.code()) => {
            let now = other_client.unwrap_or_default();
            let why = format!("{} has replaced its client `{client_id}` by `{now}`", inner.place);
            Err(ended(inner, "client_changed", why))
        }
        Err(error) if error.kind() == ErrorKind::LoginRequired => {
            // Somebody who does not hold our lock may have used the token a moment ago: what they saved counts.
            match load(inner).await? {
                Some(newer) if newer.generation != record.generation || newer.access_token != record.access_token => {
                    if serves(inner, &newer, Want::default()) {
                        Ok(newer)
                    } else {
                        Err(error)
                    }
                }
                _ => {
                    let next = format!("Run: flyte-auth login {}", identity::login_argument(&inner.config));
                    let error = error.with_next(next);
                    let until = inner.context.clock.now().plus(REFUSED_FOR);
                    *super::locked(&inner.refused) =
                        Some(Refused { record: record.generation, until, error: error.clone() });
                    Err(error)
                }
            }
        }
        Err(error) => Err(error),
    }
}

async fn grant_client(
    inner: &Inner,
    server: &ServerAuth,
    client_id: &str,
    secret: &Setting<SecretSource>,
    record: Option<&Record>,
) -> Result<(TokenSet, ClientAuthMethod)> {
    let bound = record.map(Record::bound).unwrap_or_default();
    let judged = inner.authorization_server(server).token_endpoint_for(Credential::ClientSecret, bound).await?;
    let endpoint = judged.map_err(|changed| {
        // Nobody signs in here: whoever knows that the move is right says so.
        let next =
            "If that is right, flyte-auth logout forgets the old server; admin.tokenUrl names the new one for good";
        Error::new(ErrorKind::Config, changed.code, changed.message).with_endpoint(inner.place.clone()).with_next(next)
    })?;
    let secret = inner.read_secret(secret).await?;
    let asked = inner.asked(server, false);
    let grant = ClientCredentials {
        token_endpoint: &endpoint,
        client_id,
        secret: &secret,
        methods_supported: &server.metadata.token_endpoint_auth_methods_supported,
        remembered: record.and_then(|record| record.client_auth_method),
        parameters: asked.parameters(),
    };
    client_credentials::fetch(&inner.context, grant).await
}

async fn grant_refresh(
    inner: &Inner,
    server: &ServerAuth,
    record: &Record,
    client_id: &str,
    refresh_token: &RefreshToken,
) -> Result<TokenSet> {
    let judged =
        inner.authorization_server(server).token_endpoint_for(Credential::RefreshToken, record.bound()).await?;
    let endpoint = judged.map_err(|changed| ended(inner, changed.code, changed.message))?;
    let client = inner.presented_client(client_id, server, record.client_auth_method).await?;
    let asked = inner.asked(server, true);
    exchange(&inner.context, &endpoint, &client, Grant::RefreshToken(refresh_token), asked.parameters()).await
}

/// If a failure shows that cached metadata is stale: the metadata as it is now, where that differs.
async fn current_metadata(inner: &Inner, used: &ServerAuth, error: &Error) -> Option<ServerAuth> {
    const CONTRADICTIONS: [&str; 8] = [
        "refused",
        "not_found",
        "client_refused",
        "refresh_refused",
        "redirect",
        "html",
        "invalid_client",
        "unauthorized_client",
    ];
    let contradicts = CONTRADICTIONS.contains(&error.code()) || error.kind() == ErrorKind::Network;
    if !contradicts || !inner.discoverer.forget(&inner.target) {
        return None;
    }
    match inner.discoverer.discover(&inner.target).await {
        Ok(Discovery::Auth(current)) if *current != *used => Some(*current),
        _ => None,
    }
}
