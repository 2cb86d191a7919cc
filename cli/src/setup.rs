//! From arguments to a session; the runtime; logging.

use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyte_auth::config::{self, Config, Overrides, ProcessContext, Spelling, StoreKind, trust};
use flyte_auth::session::{self, Session};
use flyte_auth::store::TokenStore;
use flyte_auth::{Error, Result};

use crate::args::Global;
use crate::{output, program};

/// One variable of the environment; empty is unset.
pub(crate) fn environment(name: &str) -> Option<String> {
    ProcessContext::env(name).filter(|value| !value.is_empty())
}

/// The state folder, if there is a place for one.
pub(crate) fn state_folder() -> Option<PathBuf> {
    trust::state_dir(&ProcessContext::env).ok()
}

/// The state folder for the token store; a `FLYTE_AUTH_HOME` that is no folder's path is a mistake to be told.
fn checked_state_folder() -> Result<Option<PathBuf>> {
    match trust::state_dir(&ProcessContext::env) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if environment(trust::HOME_VARIABLE).is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

/// What a command needs of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// To show it.
    Look,
    /// To sign a person in: they see file and endpoint before anything is sent.
    Login,
    /// To use it: nothing of an untrusted file that could carry a secret away.
    Use,
    /// As `Use`, for output that goes to a server which the caller chose: one endpoint, beyond doubt.
    UsePinned,
}

fn load(global: &Global, need: Need) -> Result<Config> {
    let given = |flag: bool| flag.then_some(true);
    let overrides = Overrides {
        config: global.config.clone(),
        endpoint: global.endpoint.clone(),
        profile: global.profile.clone(),
        account: global.account.clone(),
        store: global.store.clone(),
        interactive: global.interactive.clone(),
        insecure: given(global.insecure),
        insecure_skip_verify: given(global.insecure_skip_verify),
        ca_cert: global.ca_cert.clone(),
        auth_type: global.auth_type.clone(),
        client_id: global.client_id.clone(),
        issuer: global.issuer.clone(),
        scopes: global.scopes.as_deref().map(list),
        audience: global.audience.clone(),
        ..Overrides::default()
    };
    let context = program::context();
    let mut request = context.request(overrides, Spelling::Flags);
    request.for_login = need == Need::Login;
    let config = config::load(request)?;
    if matches!(need, Need::Use | Need::UsePinned) {
        config.ensure_trusted()?;
    }
    if need == Need::UsePinned {
        config.require_unambiguous_endpoint()?;
    }
    // A client shows stderr of a failed `token` as the reason: there the reason stands alone.
    if need != Need::UsePinned {
        warn(&config);
    }
    Ok(config)
}

/// Shows what is unwise in the configuration.
pub(crate) fn warn(config: &Config) {
    for warning in &config.warnings {
        output::talk(&format!("flyte-auth: warning: {warning}"));
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The configuration, to show it.
pub(crate) fn config(global: &Global) -> Result<Config> {
    load(global, Need::Look)
}

/// The stored session, whatever token the environment brings: for `logout`.
pub(crate) fn session_to_end(global: &Global) -> Result<Session> {
    let mut config = load(global, Need::Look)?;
    config.static_token = None;
    make(config)
}

/// A session for `status`, which sends nothing that a file could divert.
pub(crate) fn session_to_look(global: &Global) -> Result<Session> {
    make(load(global, Need::Look)?)
}

/// A session to use.
pub(crate) fn session(global: &Global) -> Result<Session> {
    make(load(global, Need::Use)?)
}

/// A session for `token` and `header`.
pub(crate) fn pinned_session(global: &Global) -> Result<Session> {
    make(load(global, Need::UsePinned)?)
}

/// A session to sign in to.
pub(crate) fn login_session(global: &Global) -> Result<Session> {
    make(load(global, Need::Login)?)
}

pub(crate) fn make(config: Config) -> Result<Session> {
    Session::builder(config).state_folder(checked_state_folder()?).build()
}

/// Where every session of this machine can be found, whichever store keeps it; only one store if the command line names
/// one. For commands that need no endpoint.
pub(crate) fn stores(global: &Global) -> Result<Arc<dyn TokenStore>> {
    let config = load(global, Need::Look)?;
    // A variable or file says where sessions go, not which of them to show.
    let kind = if global.store.is_some() { config.store.value } else { StoreKind::Auto };
    session::open_store(kind, checked_state_folder()?.as_deref())
}

/// `login HOST` means `login --endpoint HOST`.
pub(crate) fn with_target(global: &Global, target: Option<&str>) -> Global {
    let mut global = global.clone();
    if let Some(target) = target {
        global.endpoint = Some(target.to_owned());
    }
    global
}

/// Runs a future on this thread, and ends the process as a shell expects when it is interrupted: everything that the
/// future holds (the callback's port, the locks) is let go first.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime(tokio::runtime::Builder::new_current_thread())?;
    let done = runtime.block_on(async {
        let interrupts = Interrupts::catch();
        tokio::select! {
            done = future => Ok(done),
            code = interrupts.first() => Err(code),
        }
    });
    // A session must not be lost to our end: what is on its way to the store arrives first.
    let interrupted = done.is_err();
    runtime.block_on(let_refreshes_end(interrupted));
    // Anything else that nobody waits for any more must not keep a process that has its token.
    runtime.shutdown_timeout(Duration::from_millis(50));
    match done {
        Ok(done) => done,
        Err(code) => std::process::exit(code),
    }
}

/// How long the end of this process waits for a refresh that could otherwise lose the session; a request's own deadline
/// is shorter.
const LONGEST_END: Duration = Duration::from_secs(20);

/// Waits for refreshes whose answer would be lost; a second interrupt ends the wait.
async fn let_refreshes_end(interrupted: bool) {
    if session::under_way() == 0 {
        return;
    }
    if interrupted {
        output::talk("flyte-auth: saving a refresh that is under way; once more ends at once");
    }
    let ended = async {
        while session::under_way() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let interrupts = Interrupts::catch();
    tokio::select! {
        _ = tokio::time::timeout(LONGEST_END, ended) => {}
        _ = interrupts.first() => {}
    }
}

/// Runs a future on all cores; the future itself listens to [`Interrupts`].
pub(crate) fn block_on_all_cores<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime(tokio::runtime::Builder::new_multi_thread())?;
    let done = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_millis(50));
    done
}

fn runtime(mut builder: tokio::runtime::Builder) -> Result<tokio::runtime::Runtime> {
    builder.enable_all().build().map_err(|cause| Error::internal("no async runtime can be started").with_source(cause))
}

/// The signals that ask the process to end, caught from the moment this is made.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    signals: Vec<(tokio::signal::unix::Signal, i32)>,
}

impl Interrupts {
    /// Catches them. Needs a runtime.
    #[cfg(unix)]
    pub(crate) fn catch() -> Self {
        use tokio::signal::unix::SignalKind;
        Self::of(&[(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143), (SignalKind::hangup(), 129)])
    }

    /// As [`Interrupts::catch`], for a server, which SIGHUP tells to read its configuration again.
    #[cfg(unix)]
    pub(crate) fn of_a_server() -> Self {
        use tokio::signal::unix::SignalKind;
        Self::of(&[(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)])
    }

    #[cfg(unix)]
    fn of(kinds: &[(tokio::signal::unix::SignalKind, i32)]) -> Self {
        let catch = |(kind, code): &(_, i32)| Some((tokio::signal::unix::signal(*kind).ok()?, *code));
        Self { signals: kinds.iter().filter_map(catch).collect() }
    }

    #[cfg(not(unix))]
    pub(crate) fn catch() -> Self {
        Self {}
    }

    #[cfg(not(unix))]
    pub(crate) fn of_a_server() -> Self {
        Self {}
    }

    /// Completes with the exit code of the first that comes.
    #[cfg(unix)]
    pub(crate) async fn first(mut self) -> i32 {
        if self.signals.is_empty() {
            return std::future::pending().await;
        }
        let waiting = self.signals.iter_mut().map(|(signal, code)| {
            Box::pin(async move {
                signal.recv().await;
                *code
            })
        });
        futures_util::future::select_all(waiting).await.0
    }
    #[cfg(not(unix))]
    pub(crate) async fn first(self) -> i32 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 130,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Logs of this project only: the trace output of HTTP libraries is of no use to a person.
pub(crate) fn logging(global: &Global) -> Result<()> {
    let given = match &global.log_level {
        Some(level) => Some(("--log-level", level.clone())),
        None => match environment("FLYTE_AUTH_LOG_LEVEL") {
            Some(level) => Some(("FLYTE_AUTH_LOG_LEVEL", level)),
            // Starting the logger costs as much as printing a stored token.
            None if !std::io::stderr().is_terminal() => None,
            None => Some(("default", "warn".to_owned())),
        },
    };
    log_at(given, output::colours(global.no_color), Style::Person)
}

/// A server's logs: from `info` unless said, with their time; a JSON object a line where no person reads along.
pub(crate) fn server_logging(global: &Global) -> Result<()> {
    let given = match (&global.log_level, environment("FLYTE_AUTH_LOG_LEVEL")) {
        (Some(level), _) => ("--log-level", level.clone()),
        (None, Some(level)) => ("FLYTE_AUTH_LOG_LEVEL", level),
        (None, None) => ("default", "info".to_owned()),
    };
    log_at(Some(given), output::colours(global.no_color), Style::Server)
}

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Somebody at a terminal, beside other output.
    Person,
    /// Whoever looks after a server, later.
    Server,
}

/// Logs to stderr at the level that a setting, named first, asks for.
pub(crate) fn log_at(given: Option<(&'static str, String)>, colours: bool, style: Style) -> Result<()> {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::fmt::format::FmtSpan;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    let level = given.map(|(setting, text)| {
        text.parse::<LevelFilter>().map_err(|_| {
            Error::config("log_level_invalid", setting, format!("{setting} is {text:?}"))
                .with_next("Use one of off, error, warn, info, debug, trace")
        })
    });
    let talk = level.transpose()?.map(|level| {
        let targets = ["flyte_auth", "flyte_auth_server", "flyte_auth_cli"].map(|target| (target, level));
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
        let layer = match style {
            Style::Person => layer.without_time().boxed(),
            Style::Server if std::io::stderr().is_terminal() => layer.boxed(),
            Style::Server => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        };
        layer.with_filter(Targets::new().with_targets(targets))
    });
    let everything = flyte_auth::testing::log_file().map(|file| {
        let layer = tracing_subscriber::fmt::layer().with_writer(Arc::new(file)).with_ansi(false);
        layer.with_span_events(FmtSpan::NEW)
    });
    if talk.is_some() || everything.is_some() {
        let _ = tracing_subscriber::registry().with(talk).with(everything).try_init();
    }
    Ok(())
}
