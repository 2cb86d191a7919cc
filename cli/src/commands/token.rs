//! `token` and `header`: what every client calls. A fresh stored token is printed without network or runtime.

use std::process::ExitCode;
use std::time::Duration;

use flyte_auth::clock::SystemClock;
use flyte_auth::session::suspicion::Ledger;
use flyte_auth::session::{Session, Stored, Token, TokenOptions};
use flyte_auth::{ErrorKind, Result};
use serde_json::json;

use super::login;
use crate::args::{Global, OneShotArgs, TokenArgs, TokenFormat};
use crate::caller::{self, Parent};
use crate::{background, output, prompt, setup};

pub(crate) fn token(global: &Global, args: &TokenArgs, as_json: bool) -> Result<ExitCode> {
    let format = if as_json && args.format == TokenFormat::Raw { TokenFormat::Json } else { args.format };
    let session = setup::pinned_session(global)?;
    if args.one_shot.refresh_only {
        return refresh_only(&session);
    }
    Ok(print(&session, obtain(&session, global, &args.one_shot)?, |token| render(token, format)))
}

pub(crate) fn header(global: &Global, args: &OneShotArgs) -> Result<ExitCode> {
    let session = setup::pinned_session(global)?;
    if args.refresh_only {
        return refresh_only(&session);
    }
    Ok(print(&session, obtain(&session, global, args)?, |token| {
        format!("{}: {}\n", token.header_name(), token.header_value())
    }))
}

fn print(session: &Session, token: Option<Token>, render: impl Fn(&Token) -> String) -> ExitCode {
    setup::warn(session.config());
    match token {
        Some(token) => output::data(&render(&token)),
        None => output::talk(&format!("flyte-auth: {} has no auth: no token is needed", session.place())),
    }
    ExitCode::SUCCESS
}

fn render(token: &Token, format: TokenFormat) -> String {
    let value = token.expose(); // EXPOSE: printing it is this command's purpose.
    let expires_at = token.expires_at().map(flyte_auth::Timestamp::to_rfc3339);
    match format {
        TokenFormat::Raw => format!("{value}\n"),
        TokenFormat::Env => format!("FLYTE_TOKEN={value}\n"),
        TokenFormat::Json => {
            let document = json!({
                "access_token": value, "token_type": "Bearer", "expires_at": expires_at, "header_name": token.header_name(),
            });
            format!("{document:#}\n")
        }
        TokenFormat::ExecCredential => {
            let mut status = json!({ "token": value });
            if let Some(at) = expires_at {
                status["expirationTimestamp"] = at.into();
            }
            let document = json!({
                "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {}, "status": status,
            });
            format!("{document:#}\n")
        }
    }
}

/// What `background::refresh` starts: refreshes a token that is due, and says nothing.
fn refresh_only(session: &Session) -> Result<ExitCode> {
    let options = TokenOptions { patience: Duration::MAX, ..TokenOptions::default() };
    setup::block_on(session.token_once(options))?;
    Ok(ExitCode::SUCCESS)
}

/// The stored token, refreshed if that is due and quick.
fn refreshed_behind(session: &Session, stored: Stored, min_ttl: Duration) -> Result<Option<Token>> {
    let old = match stored {
        Stored::Fresh(token) => return Ok(Some(token)),
        Stored::Due(token) => token,
    };
    let outlives = old.expires_at().is_none_or(|at| at >= SystemClock::read().plus(min_ttl));
    if !outlives || !background::refresh() {
        return Ok(None);
    }
    Ok(Some(match session.stored()? {
        Some(Stored::Fresh(newer)) => newer,
        _ => old,
    }))
}

fn obtain(session: &Session, global: &Global, args: &OneShotArgs) -> Result<Option<Token>> {
    let parent = caller::parent();
    let mut ledger = Followed::open(session, &parent);
    if !args.force_refresh {
        let mut stored = session.stored()?;
        if stored.as_ref().is_some_and(|stored| ledger.suspects(stored.token())) {
            setup::block_on(ledger.follow_up(session))?;
            stored = session.stored()?;
        }
        if let Some(stored) = stored
            && let Some(token) = refreshed_behind(session, stored, Duration::from_secs(args.min_ttl))?
        {
            ledger.served(&token);
            return Ok(Some(token));
        }
    }
    let known = login::stored_generation(&**session.store(), session.key());
    setup::block_on(async {
        let options = TokenOptions {
            force_refresh: args.force_refresh,
            min_ttl: Duration::from_secs(args.min_ttl),
            ..TokenOptions::default()
        };
        let asked = async { session.token_once(options).await };
        let outcome = if nobody_can_help(session)? {
            // The answer will be "not signed in" or "no auth": a pod or a notebook is told within a second.
            tokio::time::timeout(UNATTENDED_PATIENCE, asked)
                .await
                .unwrap_or_else(|_| Err(flyte_auth::session::identity::not_signed_in(session.config())))
        } else {
            asked.await
        };
        let token = match outcome {
            Err(error) if error.kind() == ErrorKind::LoginRequired && !session.source().is_machine() => {
                ask(session, global, &parent, known, error).await?
            }
            other => other?,
        };
        if let Some(token) = &token {
            ledger.served(token);
        }
        if session.is_unsaved() {
            output::talk(
                "flyte-auth: warning: the refreshed session could not be saved; the next call may need a login",
            );
        }
        Ok(token)
    })
}

/// How long the endpoint may take to say whether it has auth at all, where nobody is signed in and nobody can be asked.
const UNATTENDED_PATIENCE: Duration = Duration::from_millis(800);

/// Nobody is signed in, nobody can be asked, and no machine credential is configured.
fn nobody_can_help(session: &Session) -> Result<bool> {
    Ok(!session.source().is_machine()
        && prompt::channel_for_client(session).is_err()
        && session.store().load(session.key()).is_ok_and(|record| record.is_none())
        && !session.may_adopt())
}

/// Nobody is signed in: asks the person, where there is one (contract, "Called by a client" 1 and 2).
async fn ask(
    session: &Session,
    global: &Global,
    parent: &Parent,
    known: u64,
    error: flyte_auth::Error,
) -> Result<Option<Token>> {
    let channel = match prompt::channel_for_client(session) {
        Ok(channel) => channel,
        Err(reason) => {
            tracing::info!(reason, "nobody is asked");
            let error = session.login_under_way().await?.unwrap_or(error);
            crate::terminal::say_on_controlling_terminal(&format!("flyte-auth: {error}"));
            return Err(error);
        }
    };
    login::for_program(session, output::colours(global.no_color), &parent.name, channel, known).await
}

/// The ledger of who received which token, where there is a place to keep it.
struct Followed {
    ledger: Ledger,
    place: Option<(std::path::PathBuf, flyte_auth::session::suspicion::Caller)>,
    key: flyte_auth::store::SessionKey,
}

impl Followed {
    fn open(session: &Session, parent: &Parent) -> Self {
        let key = session.key().clone();
        // A person at a shell asks as often as they like.
        let asked_by_program = !std::io::IsTerminal::is_terminal(&std::io::stdout());
        let place =
            setup::state_folder().zip(parent.caller.filter(|_| asked_by_program && !session.source().is_machine()));
        let ledger = place.as_ref().map(|(state, _)| Ledger::load(state, &key)).unwrap_or_default();
        Self { ledger, place, key }
    }

    fn suspects(&self, token: &Token) -> bool {
        self.place
            .as_ref()
            .is_some_and(|(_, caller)| self.ledger.suspects(*caller, token.generation(), SystemClock::read()))
    }

    async fn follow_up(&mut self, session: &Session) -> Result<()> {
        let Some((state, caller)) = &self.place else { return Ok(()) };
        session.follow_up(&mut self.ledger, *caller).await?;
        self.ledger.save(state, &self.key);
        Ok(())
    }

    fn served(&mut self, token: &Token) {
        if let Some((state, caller)) = &self.place
            && self.ledger.note(*caller, token.generation(), SystemClock::read())
        {
            self.ledger.save(state, &self.key);
        }
    }
}
