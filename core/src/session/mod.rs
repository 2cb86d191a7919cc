//! One endpoint, one credential, one store: the session, and the engine behind `token()`.
//!
//! ```no_run
//! # async fn example() -> flyte_auth::Result<()> {
//! use flyte_auth::session::Session;
//! let session = Session::builder(flyte_auth::config::Config::default()).build()?;
//! if let Some(token) = session.token().await? {
//!     println!("{}: {}", token.header_name(), token.header_value());
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp};
use crate::config::{Config, Interactive, StoreKind};
use crate::credential::Context;
use crate::discovery::{Discoverer, Target};
use crate::error::{Error, Result};
use crate::firewall;
use crate::store::os_keyring::Keyring;
use crate::store::{SessionKey, TokenStore};
use crate::transport::HttpTransport;
use crate::transport::dated::{Dated, Skew};

mod account;
pub mod adopt;
mod asking;
mod cell;
pub mod cooldown;
mod ending;
mod engine;
pub mod identity;
mod keeping;
pub mod login;
mod primitives;
mod refresh;
mod static_token;
pub mod status;
pub mod suspicion;
pub mod token;
pub mod transfer;
pub(crate) mod trouble;
mod under_way;

#[cfg(test)]
mod tests;

use trouble::Troubles;

pub(crate) use asking::Asked;
pub use ending::LogoutOutcome;
pub use identity::Source;
pub use token::Token;
pub use under_way::{begin_no_more, under_way};

/// What the store had at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Needs no refresh yet.
    Fresh(Token),
    /// Valid, due for a refresh, and it can be refreshed.
    Due(Token),
}

impl Stored {
    /// The token, due or not.
    pub fn token(&self) -> &Token {
        match self {
            Self::Fresh(token) | Self::Due(token) => token,
        }
    }
}

/// How a one-shot caller wants its token.
#[derive(Debug, Clone, Copy)]
pub struct TokenOptions {
    /// Refresh even a fresh token.
    pub force_refresh: bool,
    /// A token that would be refreshed now still serves if it lives at least this long and the refresh fails or is slow.
    pub min_ttl: Duration,
    /// How long a refresh of a still valid token may keep the caller.
    pub patience: Duration,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self { force_refresh: false, min_ttl: Duration::from_secs(30), patience: Duration::from_secs(2) }
    }
}

/// One endpoint, one credential, one store. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("place", &self.inner.place)
            .field("source", &self.inner.source.name())
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) place: String,
    pub(crate) source: Source,
    pub(crate) key: SessionKey,
    pub(crate) context: Context,
    pub(crate) discoverer: Discoverer,
    pub(crate) target: Target,
    pub(crate) store: Arc<dyn TokenStore>,
    /// Automatic prompts that nobody answered; `None` without a state folder.
    prompts: Option<cooldown::Prompts>,
    /// Other clients' logins for this endpoint; `None` where nothing is adopted.
    foreign: Option<adopt::Foreign>,
    /// 0 to 1, drawn once.
    jitter: f64,
    cell: cell::Cell<Current, engine::Started>,
    /// Not before this time (milliseconds) is a failed background refresh tried again.
    background_after: AtomicI64,
    /// A record that could not be saved: it must not be lost while this process lives.
    unsaved: Mutex<Option<keeping::Unsaved>>,
    /// The refresh token that the server refused last.
    refused: Mutex<Option<refresh::Refused>>,
    /// Rejections that are not written down yet: generation, and age of its token.
    rejected: Mutex<Vec<(u64, Duration)>>,
    troubles: Troubles,
    /// How far the clock of the server that answered last is ahead.
    skew: Skew,
}

/// What these hold is replaced as a whole: a panic elsewhere leaves nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `token()` answers from memory.
struct Current {
    /// `None`: the endpoint has no auth.
    token: Option<Token>,
    /// From here on it is refreshed; `None` only for a static token, which cannot be.
    refresh_at: Option<Timestamp>,
    obtained_at: Timestamp,
}

/// Makes a [`Session`]. Everything but the configuration has a default.
pub struct SessionBuilder {
    config: Config,
    state: Option<PathBuf>,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    store: Option<Arc<dyn TokenStore>>,
    foreign: Option<Arc<dyn adopt::ForeignItems>>,
}

impl SessionBuilder {
    /// The state folder (`FLYTE_AUTH_HOME`); without one nothing is kept on disk.
    #[must_use]
    pub fn state_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.state = folder;
        self
    }
    /// Another transport than the built-in one.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }
    /// Another clock than the operating system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
    /// Another store than the configured one.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where other clients keep their logins, instead of the operating system's keyring; `None`: they are left alone.
    #[must_use]
    pub fn adopt_from(mut self, items: Option<Arc<dyn adopt::ForeignItems>>) -> Self {
        self.foreign = items;
        self
    }

    /// Makes the session. Touches neither network nor disk.
    ///
    /// # Errors
    /// Kind `Config`: no endpoint, or an auth type without what it needs, or unusable TLS settings.
    pub fn build(self) -> Result<Session> {
        let place = identity::place(&self.config)?;
        firewall::ensure_transport(&self.config)?;
        let source = Source::select(&self.config)?;
        let key = identity::session_key(&self.config, &source)?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(crate::transport::reqwest::ReqwestTransport::new(&self.config.network)?),
        };
        let store = match self.store {
            Some(store) => store,
            None => {
                let keyring = Keyring::asking(self.config.interactive.value != Interactive::Never);
                crate::store::open::open(self.config.store.value, self.state.as_deref(), keyring)?
            }
        };
        let target = match (&self.config.issuer, &self.config.endpoint) {
            (Some(issuer), _) => Target::Issuer(issuer.value.clone()),
            (None, Some(endpoint)) => Target::Endpoint(endpoint.value.clone()),
            (None, None) => return Err(Error::internal("a session without a place")),
        };
        let dated = Dated::new(transport, Arc::clone(&self.clock));
        let skew = dated.skew();
        let transport: Arc<dyn HttpTransport> = Arc::new(dated);
        let cache = self.state.as_ref().map(|state| state.join("metadata"));
        let discoverer = Discoverer::new(Arc::clone(&transport), Arc::clone(&self.clock), cache)
            .plaintext(self.config.plaintext())
            .seen_through(&self.config.network);
        let mut byte = [0_u8; 1];
        self.entropy.fill(&mut byte);
        Ok(Session {
            inner: Arc::new(Inner {
                troubles: Troubles::new(self.state.as_deref(), &key),
                skew,
                rejected: Mutex::default(),
                refused: Mutex::default(),
                place,
                context: Context { transport, clock: self.clock, entropy: self.entropy },
                discoverer,
                target,
                store,
                prompts: self.state.as_deref().map(|state| cooldown::Prompts::new(state, &key)),
                foreign: adopt::Foreign::new(&self.config, &source, self.foreign),
                jitter: f64::from(byte[0]) / 255.0,
                cell: cell::Cell::new(),
                background_after: AtomicI64::new(i64::MIN),
                unsaved: Mutex::new(None),
                source,
                key,
                config: self.config,
            }),
        })
    }
}

impl Session {
    /// Starts a session from a loaded configuration.
    pub fn builder(config: Config) -> SessionBuilder {
        crate::testing::log();
        SessionBuilder {
            config,
            state: None,
            transport: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            store: None,
            // A unit test must not look into the keyring of whoever runs it.
            foreign: (!cfg!(test)).then(|| Arc::new(adopt::OsKeyring) as Arc<dyn adopt::ForeignItems>),
        }
    }

    /// The token in memory, if it needs no refresh yet: no lock, no allocation, no system call but the clock's vDSO.
    #[inline]
    pub fn fresh(&self) -> Option<Token> {
        let current = self.inner.cell.load();
        let current = current.as_deref()?;
        if let Some(refresh_at) = current.refresh_at {
            let now = self.inner.context.clock.now();
            if now >= refresh_at || now.plus(token::CLOCK_SET_BACK) < current.obtained_at {
                return None;
            }
        }
        current.token.clone()
    }

    /// A token for the next call; `None` if the endpoint has no auth.
    ///
    /// Fresh in memory: at once. Inside the refresh margin: the old one at once, refreshed in the background. Otherwise
    /// all callers wait for one refresh, which goes on even if they stop waiting. Needs a tokio runtime.
    ///
    /// # Errors
    /// `LoginRequired` if a person must sign in; the error table otherwise.
    pub async fn token(&self) -> Result<Option<Token>> {
        if let Some(token) = self.fresh() {
            return Ok(Some(token));
        }
        engine::token(&self.inner).await
    }

    /// The header for the next call, name and value; `None` if the endpoint has no auth.
    ///
    /// # Errors
    /// As [`Session::token`].
    pub async fn header(&self) -> Result<Option<(String, String)>> {
        Ok(self.token().await?.map(|token| (token.header_name().to_owned(), token.header_value())))
    }

    /// The server rejected this token (401, gRPC 16): it is not served again, and the next `token()` refreshes. A late
    /// rejection of an older token starts nothing. Without a token the current one is meant.
    pub fn invalidate(&self, token: Option<&Token>) {
        engine::invalidate(&self.inner, token);
    }

    /// The stored token, if it is valid and, where it is due for a refresh, can be refreshed: reads the store, never the
    /// network, needs no runtime. For one-shot processes before anything else.
    ///
    /// # Errors
    /// Kind `Store`.
    pub fn stored(&self) -> Result<Option<Stored>> {
        engine::stored(&self.inner)
    }

    /// A token for a process that ends after printing it: a token inside its refresh margin is refreshed in the
    /// foreground, for at most `patience`; if that fails the old one serves while it outlives `min_ttl`.
    ///
    /// # Errors
    /// As [`Session::token`].
    pub async fn token_once(&self, options: TokenOptions) -> Result<Option<Token>> {
        engine::token_once(&self.inner, options).await
    }

    /// Whether this process holds a session newer than the stored one, because it could not be saved: a process that ends
    /// now loses it.
    pub fn is_unsaved(&self) -> bool {
        locked(&self.inner.unsaved).is_some()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }
    /// Where tokens come from.
    pub fn source(&self) -> &Source {
        &self.inner.source
    }
    /// Whom the session is with, as a person names it.
    pub fn place(&self) -> &str {
        &self.inner.place
    }
    /// The store in use.
    pub fn store(&self) -> &Arc<dyn TokenStore> {
        &self.inner.store
    }
    /// The session's key in the store.
    pub fn key(&self) -> &SessionKey {
        &self.inner.key
    }
}

/// Opens the store that is configured, for commands that need no session. Nobody is asked to unlock a keyring.
///
/// # Errors
/// As [`crate::store::open::open`].
pub fn open_store(kind: StoreKind, state: Option<&std::path::Path>) -> Result<Arc<dyn TokenStore>> {
    crate::store::open::open(kind, state, Keyring::SILENT)
}
