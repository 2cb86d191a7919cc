//! The session for programs without an async runtime (feature `blocking`).
//!
//! ```no_run
//! # fn example() -> flyte_auth::Result<()> {
//! use flyte_auth::session::Session;
//! let session = Session::builder(flyte_auth::config::Config::default()).build()?;
//! let session = flyte_auth::blocking::Session::new(session);
//! if let Some((name, value)) = session.header()? {
//!     // put it into your request
//! #   let _ = (name, value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The work is done by one thread of this process, `flyte-auth`, which is started with the first call that needs it and
//! serves every session. Refreshes in the background go on there, also after the session that wanted them is gone.
//!
//! Any thread may call, also one inside an async runtime of your own: nothing panics, but the thread waits, and with it
//! every task of a runtime that has no other. There, use the async [`Session`](crate::session::Session).
//!
//! A forked child may go on with the session: its first call starts a thread of its own.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use crate::clock::Timestamp;
use crate::discovery::UserInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::fork::{self, PerProcess};
use crate::interaction::UserInteraction;
use crate::session;
use crate::session::login::{LoginOptions, LoginOutcome};
use crate::session::status::Status;
use crate::session::{LogoutOutcome, Token, TokenOptions};

/// A session whose calls wait. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Session {
    inner: session::Session,
}

impl From<session::Session> for Session {
    fn from(inner: session::Session) -> Self {
        Self::new(inner)
    }
}

impl Session {
    /// The same session, for calls that wait. Starts nothing yet.
    pub fn new(inner: session::Session) -> Self {
        // From here on forks are counted: a child must not wait for a thread that only its parent has.
        fork::watch();
        Self { inner }
    }

    /// The session itself, with all that needs no waiting.
    pub fn session(&self) -> &session::Session {
        &self.inner
    }

    /// A token for the next call; `None` if the endpoint has no auth. Fresh in memory: at once, without the thread.
    ///
    /// # Errors
    /// As [`session::Session::token`].
    pub fn token(&self) -> Result<Option<Token>> {
        if let Some(token) = self.inner.fresh() {
            return Ok(Some(token));
        }
        let inner = self.inner.clone();
        wait(async move { inner.token().await })
    }

    /// A token for a process that ends after using it.
    ///
    /// # Errors
    /// As [`session::Session::token_once`].
    pub fn token_once(&self, options: TokenOptions) -> Result<Option<Token>> {
        let inner = self.inner.clone();
        wait(async move { inner.token_once(options).await })
    }

    /// The header for the next call, name and value; `None` if the endpoint has no auth.
    ///
    /// # Errors
    /// As [`session::Session::token`].
    pub fn header(&self) -> Result<Option<(String, String)>> {
        Ok(self.token()?.map(|token| (token.header_name().to_owned(), token.header_value())))
    }

    /// The server rejected this token: see [`session::Session::invalidate`].
    pub fn invalidate(&self, token: Option<&Token>) {
        self.inner.invalidate(token);
    }

    /// Signs a person in and waits until that is done: see [`session::Session::login`]. `person` is called from the
    /// thread `flyte-auth` and must not call this session back.
    ///
    /// # Errors
    /// As [`session::Session::login`].
    pub fn login(&self, options: LoginOptions, person: Arc<dyn UserInteraction>) -> Result<LoginOutcome> {
        let inner = self.inner.clone();
        wait(async move { inner.login(&options, &*person).await })
    }

    /// Starts a login and gives what the person needs: see [`session::Session::begin_login`].
    ///
    /// # Errors
    /// As [`session::Session::begin_login`].
    pub fn begin_login(&self, options: LoginOptions) -> Result<Option<PendingLogin>> {
        let inner = self.inner.clone();
        let pending = wait(async move { inner.begin_login(&options).await })?;
        Ok(pending.map(|inner| PendingLogin { inner }))
    }

    /// Ends the session: see [`session::Session::logout`].
    ///
    /// # Errors
    /// As [`session::Session::logout`].
    pub fn logout(&self, revoke: bool) -> Result<LogoutOutcome> {
        let inner = self.inner.clone();
        wait(async move { inner.logout(revoke).await })
    }

    /// What is known of the session without the network.
    ///
    /// # Errors
    /// As [`session::Session::status`].
    pub fn status(&self) -> Result<Status> {
        self.inner.status()
    }

    /// The identity as the server sees it: a real call.
    ///
    /// # Errors
    /// As [`session::Session::whoami`].
    pub fn whoami(&self) -> Result<UserInfo> {
        let inner = self.inner.clone();
        wait(async move { inner.whoami().await })
    }
}

/// A login under way: see [`session::login::PendingLogin`]. Dropping it ends the attempt.
pub struct PendingLogin {
    inner: session::login::PendingLogin,
}

impl fmt::Debug for PendingLogin {
    // The address holds the login's state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin").field("expires_at", &self.inner.expires_at()).finish_non_exhaustive()
    }
}

impl PendingLogin {
    /// The address to open.
    pub fn url(&self) -> &str {
        self.inner.url()
    }
    /// The code to enter there, for the device grant.
    pub fn user_code(&self) -> Option<&str> {
        self.inner.user_code()
    }
    /// When it is too late.
    pub fn expires_at(&self) -> Timestamp {
        self.inner.expires_at()
    }
    /// Ends the attempt.
    pub fn cancel(self) {
        self.inner.cancel();
    }
    /// Waits for the person: see [`session::login::PendingLogin::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(self, redirect_url: Option<String>, timeout: Option<Duration>) -> Result<LoginOutcome> {
        wait(async move { self.inner.finish(redirect_url, timeout).await })
    }
}

/// The thread that does the work.
struct Worker {
    handle: Handle,
    /// Ends the thread when dropped; a worker that was not taken into use goes this way.
    _keep: tokio::sync::oneshot::Sender<()>,
}

static WORKER: PerProcess<Worker> = PerProcess::new();

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn worker() -> Result<Handle> {
    WORKER.with(start, |worker| worker.handle.clone())
}

fn start() -> Result<Worker> {
    let unavailable = |cause: std::io::Error| {
        Error::new(ErrorKind::Internal, "no_thread", format!("the thread for auth calls cannot be started: {cause}"))
            .with_retryable(true)
            .with_next("Check the limits of threads and open files of this process")
            .with_source(cause)
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
    let handle = runtime.handle().clone();
    let (keep, ended) = tokio::sync::oneshot::channel::<()>();
    let work = move || {
        IS_WORKER.set(true);
        let _ = runtime.block_on(ended);
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("flyte-auth".to_owned()).spawn(work).map_err(unavailable)?;
    Ok(Worker { handle, _keep: keep })
}

/// Runs `future` on the worker and waits for it.
fn wait<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    if IS_WORKER.get() {
        return Err(Error::new(
            ErrorKind::Internal,
            "blocking_inside_itself",
            "a blocking call from within a login's callbacks would wait for itself",
        )
        .with_next("Make the call from another thread"));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    worker()?.spawn(async move { sender.send(future.await) });
    receiver.recv().map_err(|_| Error::internal("an auth call ended without an answer"))?
}
