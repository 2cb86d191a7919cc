//! The engine behind `token()`: one refresh for all waiters, metadata before the lock, the store re-read after it, the
//! exchange and the save in a task that no caller's cancellation can drop, the save before the publication.
//!
//! A valid token beats a failed refresh. Losers never delete.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use futures_util::future::{BoxFuture, Shared};

use super::*;
use crate::config::{ProcessContext, SecretSource, Setting, StaticToken};
use crate::credential::client_credentials::{self, ClientCredentials};
use crate::credential::{TokenSet, client_secret, exchange, external_command, jwt_expiry};
use crate::discovery::{Discovery, ServerAuth};
use crate::error::ErrorKind;
use crate::protocol::client::{Client, ClientAuthMethod};
use crate::protocol::grant::{Grant, Parameters};
use crate::protocol::secret::{AccessToken, ClientSecret, RefreshToken};
use crate::store::record::{SCHEMA_VERSION, TokenOrigin};
use crate::store::{LockGuard, LockKind};

/// One running refresh, shared by all who wait for it.
pub(super) type Flight = Shared<BoxFuture<'static, Result<Option<Token>>>>;

/// How long to wait for another process's refresh.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at a lock that is taken.
const LOCK_POLL: Duration = Duration::from_millis(10);
/// "No auth here" is asked again after this.
const NO_AUTH_LIFETIME: Duration = Duration::from_secs(300);
/// After a failed background refresh the old token serves this long before the next try.
const BACKGROUND_PAUSE: Duration = Duration::from_secs(5);

/// What is wanted of a refresh.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Want {
    /// Not a token of this generation or an older one: it was rejected, or a refresh was forced.
    newer_than: Option<u64>,
    /// A failed refresh is an error even while the old token lives: the caller holds it and decides itself.
    or_fail: bool,
}

pub(super) async fn token(inner: &Arc<Inner>) -> Result<Option<Token>> {
    let now = inner.context.clock.now();
    if let Some(current) = inner.current.load_full() {
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
    let record = load(inner).await?;
    let now = inner.context.clock.now();
    let rejected = rejected_generation(inner);
    let accepted = |record: &Record| rejected.is_none_or(|old| record.generation > old);
    let old = record.as_ref().filter(|record| accepted(record) && servable(inner, record, now).is_some());
    if let Some(record) = old {
        let token = publish(inner, record);
        if !options.force_refresh && inner_is_fresh(inner, now) {
            return Ok(Some(token));
        }
        let want = Want { newer_than: options.force_refresh.then_some(record.generation), or_fail: true };
        let refreshed = wait(inner, want);
        if options.force_refresh {
            return refreshed.await;
        }
        let outlives = token.expires_at().is_none_or(|at| at >= now.plus(options.min_ttl));
        return match tokio::time::timeout(options.patience, refreshed).await {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) if !outlives => Err(error),
            // The refresh goes on in its task; the process may end before it does, and the store stays whole.
            Err(_) if !outlives => wait(inner, want).await,
            Ok(Err(_)) | Err(_) => Ok(Some(token)),
        };
    }
    let newer_than = record.filter(|_| options.force_refresh).map(|record| record.generation);
    wait(inner, Want { newer_than, ..Want::default() }).await
}

fn inner_is_fresh(inner: &Inner, now: Timestamp) -> bool {
    inner.current.load().as_deref().is_some_and(|current| current.refresh_at.is_none_or(|at| now < at))
}

pub(super) fn stored(inner: &Arc<Inner>) -> Result<Option<Token>> {
    if matches!(inner.source, Source::Static(_) | Source::Passthrough | Source::None) {
        return Ok(None);
    }
    let Some(record) = inner.store.load(&inner.key)? else { return Ok(None) };
    let now = inner.context.clock.now();
    let Some(refresh_at) = servable(inner, &record, now) else { return Ok(None) };
    Ok((now < refresh_at).then(|| publish(inner, &record)))
}

pub(super) fn invalidate(inner: &Arc<Inner>, rejected: Option<&Token>) {
    let Some(current) = inner.current.load_full() else { return };
    let Some(token) = &current.token else { return };
    if rejected.is_some_and(|rejected| rejected.generation() != token.generation()) {
        return;
    }
    // Stays as the marker of what not to serve again: expired, so that `fresh` and the margin pass it by.
    let marker = Token::new(
        AccessToken::new(token.expose()), // EXPOSE: kept in memory only.
        Some(Timestamp::from_millis(0)),
        token.header_name().to_owned(),
        token.generation(),
    );
    inner.current.store(Some(Arc::new(Current { token: Some(marker), refresh_at: Some(Timestamp::from_millis(0)) })));
}

/// Waits for a refresh that satisfies `want`. A refresh that was under way before may have started too early for it:
/// then one more.
async fn wait(inner: &Arc<Inner>, want: Want) -> Result<Option<Token>> {
    let mut last = join(inner, want).await;
    for _ in 0..2 {
        match &last {
            Ok(Some(token)) if want.newer_than.is_some_and(|old| token.generation() <= old) => {}
            // The task died with another runtime (a test's, a closed event loop's): start it on this one.
            Err(error) if error.code() == "refresh_abandoned" => {}
            _ => break,
        }
        last = join(inner, want).await;
    }
    last
}

fn flight(inner: &Inner) -> MutexGuard<'_, Option<Flight>> {
    inner.flight.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins the running refresh, or starts one in a task of its own.
fn join(inner: &Arc<Inner>, want: Want) -> Flight {
    let mut slot = flight(inner);
    if let Some(running) = slot.as_ref().filter(|flight| flight.peek().is_none()) {
        return running.clone();
    }
    let task = tokio::spawn({
        let inner = Arc::clone(inner);
        async move {
            let result = obtain(&inner, want).await;
            // Whoever comes next starts anew: a failure is not remembered for those who did not wait for it.
            *flight(&inner) = None;
            if result.is_err() {
                let after = inner.context.clock.now().plus(BACKGROUND_PAUSE).as_millis();
                inner.background_after.store(after, Ordering::Relaxed);
            }
            result
        }
    });
    let started = async move {
        task.await.unwrap_or_else(|cause| {
            Err(Error::new(ErrorKind::Internal, "refresh_abandoned", "the refresh was abandoned").with_source(cause))
        })
    };
    let started = started.boxed().shared();
    *slot = Some(started.clone());
    started
}

async fn obtain(inner: &Arc<Inner>, want: Want) -> Result<Option<Token>> {
    match &inner.source {
        Source::None | Source::Passthrough => return Ok(publish_no_auth(inner)),
        Source::Static(token) => return static_token(inner, &token.value).await.map(Some),
        _ => {}
    }
    let want = Want { newer_than: rejected_generation(inner).max(want.newer_than), ..want };
    if let Some(record) = load(inner).await?
        && is_fresh(inner, &record, want)
    {
        return Ok(Some(publish(inner, &record)));
    }
    if matches!(inner.source, Source::ExternalCommand(_)) {
        // Asked before the lock: a command that leads back to us would wait for the lock that its own caller holds.
        inner.config.external_command()?;
    }
    // Metadata first: it may take seconds, and nobody should hold the lock meanwhile.
    let server = match inner.discoverer.discover(&inner.target).await {
        Ok(Discovery::NoAuth { .. }) => return Ok(publish_no_auth(inner)),
        Ok(Discovery::Auth(server)) => Some(server),
        // A command needs of the server the header's name only.
        Err(error) if matches!(inner.source, Source::ExternalCommand(_)) => {
            tracing::warn!(%error, "discovery failed; the token goes into the header `authorization`");
            None
        }
        Err(error) => {
            // No network, but a stored token that still lives.
            return match load(inner).await? {
                Some(record) if serves(inner, &record, want) && !want.or_fail => Ok(Some(publish(inner, &record))),
                _ => Err(error),
            };
        }
    };
    let _lock = lock(inner, LockKind::Refresh, LOCK_TIMEOUT).await?;
    let record = load(inner).await?;
    // A sibling may have refreshed while we waited.
    if let Some(record) = &record
        && is_fresh(inner, record, want)
    {
        return Ok(Some(publish(inner, record)));
    }
    match renew(inner, server.as_deref(), record.as_ref()).await {
        Ok(renewed) => {
            // What a command prints without an expiry may end at any moment: only this process knows how old it is.
            if renewed.origin != TokenOrigin::ExternalCommand || renewed.expires_at.is_some() {
                save(inner, &renewed).await;
                adopt::write_back(inner, &renewed).await;
            }
            Ok(Some(publish(inner, &renewed)))
        }
        Err(error) => match record {
            Some(record) if serves(inner, &record, want) && !want.or_fail => {
                tracing::warn!(%error, "the refresh failed; the stored token is still valid and serves on");
                let pause = inner.context.clock.now().plus(BACKGROUND_PAUSE).as_millis();
                inner.background_after.store(pause, Ordering::Relaxed);
                Ok(Some(publish(inner, &record)))
            }
            _ => Err(error),
        },
    }
}

/// Gets a new token from the source.
async fn renew(inner: &Arc<Inner>, server: Option<&ServerAuth>, record: Option<&Record>) -> Result<Record> {
    match (&inner.source, server) {
        (Source::ExternalCommand(_), server) => {
            let tokens = external_command::fetch(&inner.context, inner.config.external_command()?).await?;
            Ok(new_record(inner, server, record, TokenOrigin::ExternalCommand, tokens))
        }
        (Source::ClientCredentials { client_id, secret }, Some(server)) => {
            let remembered = record.and_then(|record| record.client_auth_method);
            let mut outcome = grant_client(inner, server, client_id, secret, remembered).await;
            if let Err(error) = &outcome
                && let Some(current) = current_metadata(inner, server, error).await
            {
                outcome = grant_client(inner, &current, client_id, secret, remembered).await;
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

/// The refresh-token grant.
pub(super) async fn refresh(inner: &Arc<Inner>, server: &ServerAuth, record: &Record) -> Result<Record> {
    let ended = |code: &'static str, why: String| {
        Error::new(ErrorKind::LoginRequired, code, why)
            .with_endpoint(inner.place.clone())
            .with_next(format!("Run: flyte-auth login {}", identity::login_argument(&inner.config)))
    };
    let Some(refresh_token) = &record.refresh_token else {
        let why = format!("the session with {} has expired and there is no refresh token", inner.place);
        return Err(ended("session_expired", why));
    };
    // The same name served by another authorization server must not be handed this token.
    if let (Some(then), Some(now)) = (&record.issuer, &server.metadata.issuer)
        && then != now
    {
        return Err(ended("issuer_changed", format!("{} has another authorization server now ({now})", inner.place)));
    }
    let client_id = match &record.client_id {
        Some(id) => id.clone(),
        None => inner.client_id(server)?,
    };
    let mut outcome = grant_refresh(inner, server, record, &client_id, refresh_token).await;
    if let Err(error) = &outcome
        && let Some(current) = current_metadata(inner, server, error).await
    {
        outcome = grant_refresh(inner, &current, record, &client_id, refresh_token).await;
    }
    match outcome {
        Ok(tokens) => Ok(new_record(inner, Some(server), Some(record), record.origin, tokens)),
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
                _ => Err(error.with_next(format!("Run: flyte-auth login {}", identity::login_argument(&inner.config)))),
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
    remembered: Option<ClientAuthMethod>,
) -> Result<(TokenSet, ClientAuthMethod)> {
    let secret = inner.read_secret(secret).await?;
    let endpoint = inner.token_endpoint(server)?;
    let asked = inner.asked(server, false);
    let grant = ClientCredentials {
        token_endpoint: &endpoint,
        client_id,
        secret: &secret,
        methods_supported: &server.metadata.token_endpoint_auth_methods_supported,
        remembered,
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
    let client = inner.presented_client(client_id, server, record.client_auth_method).await?;
    let endpoint = inner.token_endpoint(server)?;
    let asked = inner.asked(server, true);
    exchange(&inner.context, &endpoint, &client, Grant::RefreshToken(refresh_token), asked.parameters()).await
}

/// If a failure shows that cached metadata is stale: the metadata as it is now, where that differs.
async fn current_metadata(inner: &Inner, used: &ServerAuth, error: &Error) -> Option<ServerAuth> {
    const CONTRADICTIONS: [&str; 7] =
        ["refused", "client_refused", "refresh_refused", "redirect", "html", "invalid_client", "unauthorized_client"];
    let contradicts = CONTRADICTIONS.contains(&error.code()) || error.kind() == ErrorKind::Network;
    if !contradicts || !inner.discoverer.forget(&inner.target) {
        return None;
    }
    match inner.discoverer.discover(&inner.target).await {
        Ok(Discovery::Auth(current)) if *current != *used => Some(*current),
        _ => None,
    }
}

async fn static_token(inner: &Arc<Inner>, token: &StaticToken) -> Result<Token> {
    let text = match token {
        StaticToken::Value(token) => token.expose().to_owned(), // EXPOSE: served as it is.
        StaticToken::File(path) => tokio::fs::read_to_string(path).await.map_err(|cause| {
            Error::config(
                "token_unreadable",
                "FLYTE_TOKEN_FILE",
                format!("the token file {} cannot be read: {cause}", path.display()),
            )
            .with_next("Check the path and its permissions")
            .with_source(cause)
        })?,
    };
    let text = text.trim_start_matches('\u{feff}').trim();
    let name = if matches!(token, StaticToken::Value(_)) { "FLYTE_TOKEN" } else { "FLYTE_TOKEN_FILE" };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::config(
            "token_invalid",
            name,
            format!("{name} holds no token: it is empty or has characters that no header can carry"),
        )
        .with_next("Set it to the token alone, without `Bearer`"));
    }
    let header_name = match inner.discoverer.cached(&inner.target) {
        Some(Discovery::Auth(server)) => inner.header_name(Some(&server)),
        _ => inner.header_name(None),
    };
    let token = Token::new(AccessToken::new(text), jwt_expiry(text), header_name, 0);
    // A projected file is rotated under us long before its token expires: it is read again often.
    let refresh_at = match &inner.source {
        Source::Static(setting) if matches!(setting.value, StaticToken::File(_)) => {
            Some(inner.context.clock.now().plus(Duration::from_secs(10)))
        }
        _ => None,
    };
    inner.current.store(Some(Arc::new(Current { token: Some(token.clone()), refresh_at })));
    Ok(token)
}

pub(super) fn new_record(
    inner: &Inner,
    server: Option<&ServerAuth>,
    before: Option<&Record>,
    origin: TokenOrigin,
    tokens: TokenSet,
) -> Record {
    let text = |setting: &Option<Setting<String>>| setting.as_ref().map(|setting| setting.value.clone());
    let asked = server.map(|server| inner.asked(server, true));
    Record {
        schema_version: SCHEMA_VERSION,
        generation: before.map_or(0, |record| record.generation) + 1,
        endpoint: inner.place.clone(),
        profile: text(&inner.config.profile),
        account: text(&inner.config.account),
        flyte_generation: server.and_then(|server| server.generation),
        origin,
        issuer: server.and_then(|server| server.metadata.issuer.clone()),
        client_id: before
            .and_then(|record| record.client_id.clone())
            .or_else(|| server.and_then(|server| inner.client_id(server).ok())),
        client_auth_method: before.and_then(|record| record.client_auth_method),
        scopes: tokens
            .scopes
            .or_else(|| before.map(|record| record.scopes.clone()))
            .or_else(|| asked.as_ref().map(|asked| asked.scopes.clone()))
            .unwrap_or_default(),
        audience: asked.and_then(|asked| asked.audience),
        subject: before.and_then(|record| record.subject.clone()),
        email: before.and_then(|record| record.email.clone()),
        header_name: inner.header_name(server),
        access_token: tokens.access_token,
        expires_at: tokens.expires_at,
        obtained_at: Some(tokens.obtained_at),
        // RFC 6749 section 6: a reply without a refresh token keeps the old one.
        refresh_token: tokens.refresh_token.or_else(|| before.and_then(|record| record.refresh_token.clone())),
        session_expires_at: tokens.refresh_expires_at.or_else(|| before.and_then(|record| record.session_expires_at)),
        adopted_from: before.and_then(|record| record.adopted_from.clone()),
    }
}

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
    pub(crate) fn token_endpoint(&self, server: &ServerAuth) -> Result<String> {
        let configured = self.config.token_url.as_ref().map(|url| url.value.clone());
        configured.or_else(|| server.metadata.token_endpoint.clone()).ok_or_else(|| {
            Error::new(
                ErrorKind::Server,
                "metadata_incomplete",
                "the authorization server metadata has no token_endpoint",
            )
            .with_endpoint(self.place.clone())
            .with_next("Set admin.tokenUrl, or ask the administrator to complete the metadata")
        })
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

    async fn read_secret(&self, secret: &Setting<SecretSource>) -> Result<ClientSecret> {
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

/// The generation that `invalidate` marked, if the token in memory is such a marker.
fn rejected_generation(inner: &Inner) -> Option<u64> {
    let current = inner.current.load();
    let token = current.as_deref()?.token.as_ref()?;
    (token.expires_at() == Some(Timestamp::from_millis(0))).then(|| token.generation())
}

/// When the record's token is due for refresh; `None` if it cannot be served at all (expired).
fn servable(inner: &Inner, record: &Record, now: Timestamp) -> Option<Timestamp> {
    if record.expires_at.is_some_and(|at| now >= at) {
        return None;
    }
    Some(token::refresh_at(record.obtained_at.unwrap_or(now), record.expires_at, inner.jitter))
}

/// Whether the record's token is what is wanted and needs no refresh yet.
fn is_fresh(inner: &Inner, record: &Record, want: Want) -> bool {
    let now = inner.context.clock.now();
    serves(inner, record, want) && servable(inner, record, now).is_some_and(|at| now < at)
}

fn serves(inner: &Inner, record: &Record, want: Want) -> bool {
    want.newer_than.is_none_or(|old| record.generation > old)
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
    let refresh_at = Some(token::refresh_at(obtained_at, record.expires_at, inner.jitter));
    if !matches!(inner.config.store.value, StoreKind::None) {
        inner.current.store(Some(Arc::new(Current { token: Some(token.clone()), refresh_at })));
    }
    token
}

fn publish_no_auth(inner: &Inner) -> Option<Token> {
    let refresh_at = Some(inner.context.clock.now().plus(NO_AUTH_LIFETIME));
    inner.current.store(Some(Arc::new(Current { token: None, refresh_at })));
    None
}

/// The newest record: a save that failed in this process comes before what is on disk.
pub(super) async fn load(inner: &Arc<Inner>) -> Result<Option<Record>> {
    let unsaved = inner.unsaved.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let stored = blocking(inner, |inner| match inner.store.load(&inner.key) {
        // Damaged: as if there were none, so that a login can mend it. A newer or foreign one is an error.
        Err(error) if error.code() == "store_corrupt" => {
            tracing::warn!(%error, "the stored session is ignored");
            Ok(None)
        }
        other => other,
    })
    .await?;
    Ok(match (unsaved, stored) {
        (Some(unsaved), Some(stored)) if stored.generation >= unsaved.generation => Some(stored),
        (Some(unsaved), _) => Some(unsaved),
        (None, stored) => stored,
    })
}

/// Saves before anything is published. If that cannot be done the token still serves this process, and the record is
/// kept for the next try: an error here would throw away a refresh token that exists nowhere else.
pub(super) async fn save(inner: &Arc<Inner>, record: &Record) {
    let saved = save_strictly(inner, record).await;
    let mut unsaved = inner.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
    *unsaved = match saved {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(%error, "the session could not be saved; it serves this process only");
            Some(record.clone())
        }
    };
}

/// Saves, or says why not: after a login the person is there to hear it.
pub(super) async fn save_strictly(inner: &Arc<Inner>, record: &Record) -> Result<()> {
    let record = record.clone();
    blocking(inner, move |inner| inner.store.save(&inner.key, &record)).await
}

/// Takes a lock, looking again every few milliseconds: a waiter can be cancelled, and nothing blocks a thread.
pub(super) async fn lock(inner: &Arc<Inner>, kind: LockKind, timeout: Duration) -> Result<Box<dyn LockGuard>> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let holder = match blocking(inner, move |inner| inner.store.try_lock(&inner.key, kind)).await? {
            Ok(guard) => return Ok(guard),
            Err(holder) => holder,
        };
        if tokio::time::Instant::now() >= deadline {
            let by = holder.map_or_else(String::new, |pid| format!(" by pid {pid}"));
            return Err(Error::new(
                ErrorKind::Store,
                "lock_timeout",
                format!("another process{by} holds the session's lock for {} s", timeout.as_secs()),
            )
            .with_retryable(true)
            .with_next("Wait for it or end it, then try again"));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Runs a store call off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    call: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
) -> Result<T> {
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || call(&inner))
        .await
        .map_err(|cause| Error::internal("a store call panicked").with_source(cause))?
}
