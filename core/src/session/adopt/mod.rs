//! Moving in with an existing login: what flytekit, flyte or flytectl keep in the operating system's keyring becomes our
//! session, if it is of the issuer and the client that the endpoint's discovery names.
//!
//! From then on two programs hold one refresh token, which most servers rotate and whose second use ends both sessions.
//! Those clients ignore our lock. So their item is read again right before each exchange and after `invalid_grant`, and
//! the new pair is written back to where the old one came from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use super::{Config, Inner, Session, Source, StoreKind, engine, identity, keeping, token};
use crate::config::Setting;
use crate::credential::TokenSet;
use crate::discovery::ServerAuth;
use crate::error::{ErrorKind, Result};
use crate::interaction::{Flow, LoginEvent, UserInteraction};
use crate::store::Record;
use crate::store::record::TokenOrigin;
use crate::verify::access_token::{UnverifiedClaims, verify_signature};
use crate::verify::{KeySet, Refusal};

pub mod items;
#[cfg(test)]
mod tests;

use items::Held;
pub use items::{ForeignClient, ForeignItems, ForeignLogin, OsKeyring};

/// A keyring that shows no sign of life within this time holds no login, where nobody is there to wait: exit 4 comes
/// within a second (contract, "Called by a client" 2).
const GLANCE: Duration = Duration::from_millis(500);
/// How long the issuer's key set may take.
const KEYS_TIMEOUT: Duration = Duration::from_secs(3);

/// The other clients' logins for one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    items: Arc<dyn ForeignItems>,
    places: Arc<[ForeignLogin]>,
    /// What a glance saw: a keyring that did not answer then is not asked again by this process.
    seen: Arc<OnceLock<Vec<ForeignLogin>>>,
    /// A person is there. macOS asks one by itself for items of other programs, and must not where nobody can answer.
    attended: Arc<AtomicBool>,
}

impl Foreign {
    /// `None` where nothing is adopted: it is switched off, nobody signs in here, the session is to leave no trace, or
    /// no endpoint is named (an issuer alone is nothing that those clients know).
    pub(super) fn new(config: &Config, source: &Source, items: Option<Arc<dyn ForeignItems>>) -> Option<Self> {
        // A login from a file that nobody trusted yet begins a session of its own: another program's refresh token is not
        // sent where that file leads.
        let astray = !config.untrusted_settings().is_empty();
        let wanted = config.adopt.as_ref().is_none_or(|adopt| adopt.value) && !astray;
        let kept = !matches!(config.store.value, StoreKind::Memory | StoreKind::None);
        let endpoint = config.endpoint.as_ref().filter(|_| wanted && kept && !source.is_machine())?;
        Some(Self {
            items: items?,
            places: items::places(&endpoint.value).into(),
            seen: Arc::default(),
            attended: Arc::default(),
        })
    }

    /// Looks into every place; a keyring that fails or does not answer holds nothing. With `patience` it must show a
    /// sign of life within that time: after the first answer the others are waited for.
    fn look(&self, patience: Option<Duration>) -> Vec<ForeignLogin> {
        let (sender, answers) = mpsc::channel();
        let (items, places) = (Arc::clone(&self.items), Arc::clone(&self.places));
        // One after the other: the first answer comes soonest so.
        let asking = std::thread::Builder::new().name("keyring".to_owned()).spawn(move || {
            for place in &*places {
                let held = place.read(&*items);
                // One failure (no keyring, a locked one, no answer) is all of them.
                let failed = held.as_ref().is_err_and(|error| {
                    tracing::debug!(%error, "the keyring cannot be asked for another client's login");
                    true
                });
                let found = held.ok().flatten().is_some().then(|| place.clone());
                if sender.send(found).is_err() || failed {
                    break;
                }
            }
        });
        if asking.is_err() {
            return Vec::new();
        }
        let first = match patience {
            Some(patience) => answers.recv_timeout(patience).ok(),
            None => answers.recv().ok(),
        };
        match first {
            Some(first) => first.into_iter().chain(answers.iter().flatten()).collect(),
            None => Vec::new(),
        }
    }

    fn may_look(&self) -> bool {
        !cfg!(target_os = "macos") || self.attended.load(Ordering::Relaxed)
    }
}

/// A login of another client, read as a record of ours.
#[derive(Debug)]
struct Candidate {
    record: Record,
    claims: UnverifiedClaims,
}

/// What a token must say of itself to be taken for one of this session.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    issuer: &'a str,
    client_id: &'a str,
    audience: Option<&'a str>,
    account: Option<&'a str>,
    subject: Option<&'a str>,
    scopes: &'a [String],
}

impl Wanted<'_> {
    /// Unverified claims are enough to choose: a wrong choice is a token that the server rejects.
    fn fits(&self, claims: &UnverifiedClaims) -> Result<(), &'static str> {
        if claims.issuer.as_deref() != Some(self.issuer) {
            return Err("it is of another issuer");
        }
        if claims.clients.is_empty() || claims.clients.iter().any(|client| client != self.client_id) {
            return Err("it is of another client");
        }
        let subject = claims.subject.as_deref();
        if subject.is_none() || subject == Some(self.client_id) {
            // flyte and flytectl keep a machine's token under the same name as a person's.
            return Err("it is of no person");
        }
        if self.subject.is_some_and(|wanted| subject != Some(wanted)) {
            return Err("it is of another person");
        }
        if let Some(account) = self.account
            && !super::account::names([subject, claims.email.as_deref(), claims.preferred_username.as_deref()], account)
        {
            return Err("it is of another account");
        }
        if self.audience.is_some_and(|wanted| !claims.audience.iter().any(|audience| audience == wanted)) {
            return Err("it is for another audience");
        }
        // Scopes that only an authorization server looks at are in no access token.
        let of_server = |scope: &str| matches!(scope, "openid" | "profile" | "email" | "offline_access" | "offline");
        let granted = |scope: &String| claims.scopes.is_empty() || claims.scopes.contains(scope);
        if !self.scopes.iter().all(|scope| of_server(scope) || granted(scope)) {
            return Err("it has not all of the scopes");
        }
        Ok(())
    }
}

fn candidate(
    inner: &Inner,
    server: &ServerAuth,
    before: Option<&Record>,
    login: &ForeignLogin,
    held: Held,
) -> Result<Candidate, &'static str> {
    let issuer = server.metadata.issuer.as_deref().ok_or("the endpoint names no issuer")?;
    let client_id = inner.client_id(server).map_err(|_| "the endpoint names no client")?;
    let value = |setting: &Option<Setting<String>>| setting.as_ref().map(|setting| setting.value.clone());
    let (audience, account) = (value(&inner.config.audience), value(&inner.config.account));
    let claims = UnverifiedClaims::read(&held.access).ok_or("it is no JWT")?;
    let wanted = Wanted {
        issuer,
        client_id: &client_id,
        audience: audience.as_deref(),
        account: account.as_deref(),
        subject: before.and_then(|record| record.subject.as_deref()),
        scopes: inner.config.scopes.as_ref().map_or(&[], |scopes| &scopes.value),
    };
    wanted.fits(&claims)?;
    let now = inner.context.clock.now();
    if claims.expires_at.is_none_or(|at| now >= at) && held.refresh.is_none() {
        return Err("it has expired and has no refresh token");
    }
    let tokens = TokenSet {
        access_token: held.access,
        // A JWT without an expiry is none that can be relied upon.
        expires_at: claims.expires_at.or(Some(now)),
        refresh_token: held.refresh,
        refresh_expires_at: None,
        id_token: None,
        scopes: Some(claims.scopes.clone()).filter(|scopes| !scopes.is_empty()),
        obtained_at: claims.issued_at.unwrap_or(now),
    };
    let mut record = keeping::new_record(inner, Some(server), before, TokenOrigin::Adopted, tokens);
    record.subject.clone_from(&claims.subject);
    record.email = claims.email.clone().or_else(|| claims.preferred_username.clone());
    record.adopted_from = Some(login.clone());
    // They were granted to another program, whoever the metadata names by now.
    record.token_endpoint_origin = before.and_then(|record| record.token_endpoint_origin.clone());
    Ok(Candidate { record, claims })
}

/// One place, read now.
async fn read(inner: &Arc<Inner>, login: &ForeignLogin) -> Option<Held> {
    let login = login.clone();
    let read = keeping::blocking(inner, move |inner| match &inner.foreign {
        Some(foreign) => login.read(&*foreign.items),
        None => Ok(None),
    });
    read.await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the keyring cannot be asked for another client's login");
        None
    })
}

/// Whether the record's token serves without an exchange.
fn serves(inner: &Inner, record: &Record) -> bool {
    let now = inner.context.clock.now();
    let due = token::refresh_at(record.obtained_at.unwrap_or(now), record.expires_at, inner.jitter);
    now < due || (record.refresh_token.is_none() && record.expires_at.is_some_and(|at| now < at))
}

/// The best login of another client, refreshed if it is due; called under the refresh lock where there is no session.
///
/// # Errors
/// "Not signed in" if there is none; `Network` or `Server` if one was found and could not be refreshed.
pub(super) async fn adopt(inner: &Arc<Inner>, server: &ServerAuth) -> Result<Record> {
    let not_signed_in = || identity::not_signed_in(&inner.config);
    let Some(foreign) = inner.foreign.clone().filter(Foreign::may_look) else { return Err(not_signed_in()) };
    let places =
        keeping::blocking(inner, move |_| Ok(foreign.seen.get().cloned().unwrap_or_else(|| foreign.look(None))))
            .await?;
    let mut best: Option<Candidate> = None;
    for login in places {
        let Some(held) = read(inner, &login).await else { continue };
        match candidate(inner, server, None, &login, held) {
            Ok(found) => {
                let rank = |one: &Candidate| (one.record.refresh_token.is_some(), one.claims.expires_at);
                if best.as_ref().is_none_or(|best| rank(&found) > rank(best)) {
                    best = Some(found);
                }
            }
            Err(why) => tracing::info!("a login of {} is not adopted: {why}", login.client.name()),
        }
    }
    let Some(Candidate { record, .. }) = best else { return Err(not_signed_in()) };
    let client = record.adopted_from.as_ref().map_or("another client", |login| login.client.name());
    let adopted = if serves(inner, &record) {
        is_signed(inner, server, &record).await.map(|()| record).map_err(|why| {
            tracing::warn!("a login of {client} is not adopted: {why}");
            not_signed_in()
        })
    } else {
        // Not verified here: what counts is the refresh token, and the authorization server judges that.
        refresh(inner, server, &record).await.map_err(|error| match error.kind() {
            ErrorKind::LoginRequired => not_signed_in(),
            _ => error,
        })
    }?;
    tracing::info!("a login of {client} was found and is used");
    Ok(adopted)
}

/// Verified where the issuer's keys can be had.
async fn is_signed(inner: &Inner, server: &ServerAuth, record: &Record) -> Result<(), &'static str> {
    let Some(uri) = &server.metadata.jwks_uri else { return Ok(()) };
    let fetched = tokio::time::timeout(KEYS_TIMEOUT, KeySet::fetch(&*inner.context.transport, uri));
    match fetched.await {
        Ok(Ok(keys)) => verify_signature(&record.access_token, &keys).map_err(Refusal::why),
        Ok(Err(error)) => {
            tracing::debug!(%error, "an adopted token is not verified");
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

/// What the other client holds by now, if it is newer than `record` and of the same person.
async fn newer(inner: &Arc<Inner>, server: &ServerAuth, record: &Record) -> Option<Record> {
    let login = record.adopted_from.as_ref()?;
    let held = read(inner, login).await?;
    if held.access == record.access_token && held.refresh == record.refresh_token {
        return None;
    }
    let theirs = candidate(inner, server, Some(record), login, held).ok()?;
    is_newer(&theirs.claims, record).then_some(theirs.record)
}

/// By the tokens' own times: neither side sees the other's generation. Ours may have become an opaque one.
fn is_newer(theirs: &UnverifiedClaims, ours: &Record) -> bool {
    let issued_at = UnverifiedClaims::read(&ours.access_token).and_then(|claims| claims.issued_at).or(ours.obtained_at);
    match (theirs.issued_at, issued_at) {
        (Some(theirs), Some(ours)) => theirs > ours,
        _ => theirs.expires_at > ours.expires_at,
    }
}

/// The refresh-token grant of a session that another client may hold too; of any other session just the grant.
pub(super) async fn refresh(inner: &Arc<Inner>, server: &ServerAuth, record: &Record) -> Result<Record> {
    if record.adopted_from.is_none() || inner.foreign.is_none() {
        return super::refresh::refresh(inner, server, record).await;
    }
    let theirs = newer(inner, server, record).await;
    if let Some(theirs) = theirs.as_ref().filter(|theirs| serves(inner, theirs)) {
        return Ok(theirs.clone());
    }
    let current = theirs.as_ref().unwrap_or(record);
    match super::refresh::refresh(inner, server, current).await {
        Err(error) if error.kind() == ErrorKind::LoginRequired => match newer(inner, server, current).await {
            // They were quicker by an instant.
            Some(theirs) if serves(inner, &theirs) => Ok(theirs),
            Some(theirs) => super::refresh::refresh(inner, server, &theirs).await,
            None => Err(error),
        },
        outcome => outcome,
    }
}

/// Gives the other client the pair that a refresh brought; called after the save, under the refresh lock.
///
/// A failure leaves that client with a refresh token that has been used: it is told in the log, and cannot be helped.
pub(super) async fn write_back(inner: &Arc<Inner>, renewed: &Record) {
    let (Some(login), Some(foreign)) = (renewed.adopted_from.clone(), inner.foreign.clone()) else { return };
    let renewed = renewed.clone();
    let written = keeping::blocking(inner, move |_| {
        // Gone: they have signed out, and it is not for us to sign them in.
        let Some(held) = login.read(&*foreign.items)? else { return Ok(()) };
        let ours = Held { access: renewed.access_token.clone(), refresh: renewed.refresh_token.clone() };
        // A token that is no JWT, somebody else's, or a newer one is a login of theirs that we know nothing of.
        let older = UnverifiedClaims::read(&held.access).is_some_and(|theirs| {
            theirs.issuer == renewed.issuer && theirs.subject == renewed.subject && !is_newer(&theirs, &renewed)
        });
        if held == ours || !older {
            return Ok(());
        }
        login.write(&*foreign.items, &ours, renewed.expires_at)
    });
    if let Err(error) = written.await {
        tracing::warn!(%error, "the client that this login was adopted from keeps an old token");
    }
}

/// Removes the copies of the record's tokens that other clients keep; their names. Never an error: the session is gone.
pub(super) async fn remove_copies(inner: &Arc<Inner>, record: &Record) -> Vec<&'static str> {
    let Some(foreign) = inner.foreign.clone() else { return Vec::new() };
    let record = record.clone();
    let removed = keeping::blocking(inner, move |_| {
        let mut removed = Vec::new();
        for login in foreign.look(None) {
            let Some(held) = login.read(&*foreign.items)? else { continue };
            let same_refresh = held.refresh.is_some() && held.refresh == record.refresh_token;
            if held.access == record.access_token || same_refresh {
                login.delete(&*foreign.items)?;
                if !removed.contains(&login.client.name()) {
                    removed.push(login.client.name());
                }
            }
        }
        Ok(removed)
    });
    removed.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "copies of the tokens may be left in the keyring");
        Vec::new()
    })
}

impl Session {
    /// Whether another client seems to hold a login for this endpoint: a quick look, for callers that would otherwise
    /// give up at once. It may be none that can be used.
    pub fn may_adopt(&self) -> bool {
        let glance = |foreign: &Foreign| !foreign.seen.get_or_init(|| foreign.look(Some(GLANCE))).is_empty();
        self.inner.foreign.as_ref().is_some_and(|foreign| foreign.may_look() && glance(foreign))
    }

    /// Before a person is asked: whether another client's login serves. Only where nobody is signed in and nobody chose
    /// a way of signing in.
    pub(super) async fn adopt_first(&self, flow: Flow, person: &dyn UserInteraction) -> Option<Record> {
        let inner = &self.inner;
        let foreign = inner.foreign.as_ref().filter(|_| flow == Flow::Auto)?;
        if keeping::load(inner).await.ok()?.is_some() {
            return None;
        }
        foreign.attended.store(true, Ordering::Relaxed);
        if let Err(error) = engine::token(inner).await {
            tracing::debug!(%error, "no login of another client serves");
            return None;
        }
        let record = keeping::load(inner).await.ok()??;
        let client = record.adopted_from.as_ref()?.client.name();
        person.show(LoginEvent::Explain(format!("found a login of {client}; using it")));
        Some(record)
    }
}
