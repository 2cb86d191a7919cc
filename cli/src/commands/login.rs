//! `login`, and the login that `token` starts for a client.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use flyte_auth::config::{StoreKind, trust};
use flyte_auth::interaction::Flow;
use flyte_auth::session::login::{LoginOptions, LoginOutcome};
use flyte_auth::session::{Session, Token, identity};
use flyte_auth::store::{SessionKey, TokenStore};
use flyte_auth::{ErrorKind, Result};
use serde_json::json;

use crate::args::{FlowArg, Global, LoginArgs};
use crate::terminal::{Channel, Terminal};
use crate::{output, prompt, setup};

/// The contract's deadline.
const DEFAULT_TIMEOUT: Duration = flyte_auth::session::login::DEFAULT_TIMEOUT;

pub(crate) fn login(global: &Global, args: &LoginArgs, as_json: bool) -> Result<ExitCode> {
    let global = setup::with_target(global, args.target.as_deref());
    let session = setup::login_session(&global)?;
    let flow = match args.flow {
        FlowArg::Auto => Flow::Auto,
        FlowArg::Pkce => Flow::Pkce,
        FlowArg::Device => Flow::Device,
        FlowArg::Paste => Flow::Paste,
    };
    let outcome = setup::block_on(async {
        if session.source().is_machine() {
            // Nobody signs in; what a person wants to know is whether the credential works.
            let token = session.token().await?;
            return Ok((None, token.and_then(|token| token.expires_at())));
        }
        let channel = prompt::channel_for_login(&session)?;
        let attempt = Attempt {
            flow,
            no_browser: args.no_browser,
            timeout: Duration::from_secs(args.timeout),
            channel,
            instead_of: None,
        };
        let outcome = run(&session, output::colours(global.no_color), attempt, None).await?;
        let expires_at = outcome.expires_at;
        Ok((Some(outcome), expires_at))
    });
    let (outcome, expires_at) = outcome?;
    // Named on the command line: what every refusal of an untrusted file tells a person to do.
    if global.config.is_some()
        && let Err(error) = trust_file(&session)
    {
        output::talk(&format!("flyte-auth: warning: {error}"));
    }
    report(&session, outcome.as_ref());
    if as_json {
        let origin = outcome.as_ref().and_then(|outcome| outcome.origin);
        output::json(&json!({
            "endpoint": session.place(),
            "signed_in": true,
            "token_source": origin.map_or_else(|| session.source().name(), |origin| origin.name()),
            "subject": outcome.as_ref().and_then(|outcome| outcome.subject.clone()),
            "email": outcome.as_ref().and_then(|outcome| outcome.email.clone()),
            "access_token_expires_at": expires_at.map(flyte_auth::Timestamp::to_rfc3339),
            "has_refresh_token": outcome.as_ref().is_some_and(|outcome| outcome.has_refresh_token),
            "store": session.store().describe().kind.name(),
        }));
    }
    Ok(ExitCode::SUCCESS)
}

fn report(session: &Session, outcome: Option<&LoginOutcome>) {
    let place = session.place();
    match outcome {
        // Nobody has asked a server about it.
        None if session.source().name() == "static" => {
            output::talk(&format!(
                "flyte-auth: {place} gets the token that the environment names, as it is; unset FLYTE_TOKEN and FLYTE_TOKEN_FILE to sign in"
            ));
        }
        None => output::talk(&format!(
            "flyte-auth: the {} credential for {place} works; no login is needed",
            session.source().name()
        )),
        Some(outcome) if outcome.origin.is_none() => {
            output::talk(&format!("flyte-auth: {place} has no auth: no login is needed"));
        }
        Some(outcome) => {
            let who =
                outcome.email.as_ref().or(outcome.subject.as_ref()).map(|who| format!(" as {who}")).unwrap_or_default();
            output::talk(&format!("flyte-auth: signed in to {place}{who}"));
            if !outcome.has_refresh_token {
                let until = outcome
                    .expires_at
                    .map_or_else(|| "the token is rejected".to_owned(), flyte_auth::Timestamp::to_rfc3339);
                output::talk(&format!(
                    "flyte-auth: the server granted no refresh token: you will be asked again when {until} has passed \
                     (ask your administrator to allow offline_access)"
                ));
            }
            let store = session.store().describe();
            if matches!(store.kind, StoreKind::Memory | StoreKind::None) {
                output::talk(&format!(
                    "flyte-auth: warning: this login ends with this command, no other program can use it ({}). Set \
                     FLYTE_AUTH_HOME to a folder that can be written",
                    store.reason
                ));
            } else if session.config().file.is_none() || !session.config().command_is_ours {
                output::talk(&format!(
                    "flyte-auth: to make pyflyte, flyte and flytectl use this login, run: flyte-auth configure {}",
                    identity::login_argument(session.config())
                ));
            }
        }
    }
}

/// The person has signed in from this file, as it was read: from now on it is trusted in its folder too.
fn trust_file(session: &Session) -> Result<()> {
    match (&session.config().file, setup::state_folder()) {
        (Some(file), Some(state)) => trust::record_trust(file, &state),
        _ => Ok(()),
    }
}

/// How a login is to go.
pub(crate) struct Attempt {
    pub(crate) flow: Flow,
    pub(crate) no_browser: bool,
    pub(crate) timeout: Duration,
    pub(crate) channel: Channel,
    /// As [`LoginOptions::instead_of`].
    pub(crate) instead_of: Option<u64>,
}

/// The generation that is stored (0: none): what another process stores from here on spares the person a login.
pub(crate) fn stored_generation(store: &dyn TokenStore, key: &SessionKey) -> u64 {
    store.load(key).ok().flatten().map_or(0, |record| record.generation)
}

/// Signs in the person at `channel` for `program`, which needs a token and found none newer than `known`.
pub(crate) async fn for_program(
    session: &Session,
    colours: bool,
    program: &str,
    channel: Channel,
    known: u64,
) -> Result<Option<Token>> {
    let words = format!("{program} needs a login to {}", session.place());
    let attempt =
        Attempt { flow: Flow::Auto, no_browser: false, timeout: DEFAULT_TIMEOUT, channel, instead_of: Some(known) };
    run(session, colours, attempt, Some(&words)).await?;
    session.token().await
}

/// Signs a person in; `words` introduce the prompt of a program that asks unbidden.
pub(crate) async fn run(
    session: &Session,
    colours: bool,
    attempt: Attempt,
    words: Option<&str>,
) -> Result<LoginOutcome> {
    let automatic = words.is_some();
    if automatic {
        session.may_prompt()?;
    }
    let terminal = Terminal::new(attempt.channel, colours);
    terminal.line(&words.map_or_else(|| format!("Signing in to {}", session.place()), str::to_owned));
    let untrusted = session.config().untrusted_origin();
    if let Some(file) = untrusted {
        // Contract, "Called by a client" 6: a login makes such a file trusted, so the person sees what they trust.
        let settings = session.config().untrusted_settings();
        let with = if settings.is_empty() { String::new() } else { format!(", with its {}", settings.join(", ")) };
        let question = format!(
            "{} was found in this folder and is not trusted yet. It sends you to {}{with}. Go on? [y/N]",
            file.display(),
            session.place()
        );
        let answers = match attempt.channel {
            Channel::Stdio => std::io::stdin().is_terminal(),
            Channel::ControllingTerminal => true,
            Channel::StderrOnly => false,
        };
        if answers {
            if !terminal.confirm(&question).await {
                if automatic {
                    session.note_declined();
                }
                return Err(flyte_auth::Error::new(
                    ErrorKind::Cancelled,
                    "trust_declined",
                    "the configuration file was not trusted",
                )
                .with_next("Name another with --config, or give --endpoint"));
            }
        } else {
            return Err(flyte_auth::Error::config(
                "untrusted_config",
                "--config",
                format!("{} is not trusted", file.display()),
            )
            .with_next(format!("Name it: flyte-auth login --config {}", file.display())));
        }
    }
    let options = LoginOptions {
        flow: attempt.flow,
        no_browser: attempt.no_browser,
        timeout: attempt.timeout,
        automatic,
        surroundings: prompt::surroundings(),
        instead_of: attempt.instead_of,
    };
    let outcome = session.login(&options, &terminal).await;
    terminal.finish();
    let outcome = outcome?;
    if untrusted.is_some() {
        trust_file(session)?;
    }
    Ok(outcome)
}
