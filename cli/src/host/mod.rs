//! What every language binding needs besides the core: a session from what its caller gave, errors as its language shows
//! them, the threads that do the work, a verifier from plain settings.

mod failure;
mod verifying;
mod workers;

use flyte_auth::Result;
use flyte_auth::config::{Overrides, ProcessContext, Spelling, load};
use flyte_auth::session::Session;

use crate::person;

pub use failure::Failure;
pub use verifying::VerifierSettings;
pub use workers::{THREADS, blocking, end_of_process, handle, is_ending};

/// A session from what the caller gave; everything else comes from files and environment. Touches no network.
///
/// # Errors
/// Kind `Config`: what was given, or what a file or a variable says; an untrusted file.
pub fn session(given: Overrides, spelling: Spelling) -> Result<Session> {
    person::log()?;
    let config = load(ProcessContext::current(false).request(given, spelling))?;
    config.ensure_trusted()?;
    person::open(config)
}

/// Whoever calls a closed session is told this.
pub fn closed() -> flyte_auth::Error {
    flyte_auth::Error::config("session_closed", "session", "this session is closed").with_next("Open another one")
}

/// Whoever ended a call is told this.
pub fn cancelled() -> flyte_auth::Error {
    flyte_auth::Error::new(flyte_auth::ErrorKind::Cancelled, "call_cancelled", "the call was cancelled")
}
