//! The session that all examples use: configured like every Flyte client, by file, environment and the endpoint given.

use flyte_auth::config::{Overrides, ProcessContext, Spelling, load, trust};
use flyte_auth::session::Session;

/// The session for the endpoint in the first argument.
///
/// # Errors
/// Kind `Config`, naming the setting.
pub(crate) fn from_arguments() -> Result<Session, flyte_auth::Error> {
    let overrides = Overrides { endpoint: std::env::args().nth(1), ..Overrides::default() };
    let context = ProcessContext::current(false);
    let config = load(context.request(overrides, Spelling::SnakeCase))?;
    config.ensure_trusted()?;
    Session::builder(config).state_folder(trust::state_dir(&ProcessContext::env).ok()).build()
}
