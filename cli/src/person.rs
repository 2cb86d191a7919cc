//! What a language binding shares with the command: sessions as the command opens them, the person at this machine's
//! terminal, its browser, its log.

use std::sync::Arc;
use std::time::Duration;

use flyte_auth::config::{Config, Interactive, Origin};
use flyte_auth::interaction::Flow;
use flyte_auth::interaction::surroundings::Surroundings;
use flyte_auth::session::login::LoginOutcome;
use flyte_auth::session::{Session, Token};
use flyte_auth::{ErrorKind, Result};

use crate::commands::login::{self, Attempt};
use crate::{browser, output, prompt, setup};

/// A session with this machine's state folder.
///
/// # Errors
/// As [`flyte_auth::session::SessionBuilder::build`]; a `FLYTE_AUTH_HOME` that is no folder's path.
pub fn open(config: Config) -> Result<Session> {
    setup::make(config)
}

/// Logs to stderr where `FLYTE_AUTH_LOG_LEVEL` asks for it.
///
/// # Errors
/// Kind `Config`: a level that is none.
pub fn log() -> Result<()> {
    const LEVEL: &str = "FLYTE_AUTH_LOG_LEVEL";
    setup::log_at(setup::environment(LEVEL).map(|level| (LEVEL, level)), output::colours(false), setup::Style::Person)
}

/// Where this process runs.
pub fn surroundings() -> Surroundings {
    prompt::surroundings()
}

/// Opens a browser with `url`: `BROWSER` where it is set, else the system's; `false` if nothing could be started.
pub fn open_browser(url: &str) -> bool {
    browser::open(url)
}

/// How a login is to go.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Which way; `Auto` takes the ladder.
    pub flow: Flow,
    /// Open no browser here.
    pub no_browser: bool,
    /// The whole login's deadline.
    pub timeout: Duration,
}

/// Signs in the person at the terminal: a program was told to. `--interactive never` forbids it.
///
/// # Errors
/// As [`Session::login`].
pub async fn sign_in(session: &Session, login: Login) -> Result<LoginOutcome> {
    let Login { flow, no_browser, timeout } = login;
    let channel = prompt::channel_for_login(session)?;
    let attempt = Attempt { flow, no_browser, timeout, channel, instead_of: None };
    login::run(session, output::colours(false), attempt, None).await
}

/// A token for the next call. Where somebody must sign in and the program opted in (`interactive` was set, or
/// `opted_in`), the person at the terminal is asked, once, for `program`.
///
/// # Errors
/// As [`Session::token`].
pub async fn token(session: &Session, program: &str, opted_in: bool) -> Result<Option<Token>> {
    if !may_ask(session, opted_in) {
        return session.token().await;
    }
    let (store, key) = (Arc::clone(session.store()), session.key().clone());
    let known = tokio::task::spawn_blocking(move || login::stored_generation(&*store, &key)).await.unwrap_or(0);
    let error = match session.token().await {
        Err(error) if error.kind() == ErrorKind::LoginRequired => error,
        other => return other,
    };
    let Ok(channel) = prompt::channel_for_client(session) else { return Err(error) };
    login::for_program(session, output::colours(false), program, channel, known).await
}

/// A library asks nobody unless somebody chose that.
fn may_ask(session: &Session, opted_in: bool) -> bool {
    let interactive = &session.config().interactive;
    !session.source().is_machine()
        && interactive.value != Interactive::Never
        && (opted_in || interactive.origin != Origin::Default)
}
