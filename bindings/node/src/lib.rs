//! The native half of the npm package `flyte-auth`: data types, the error table, the runtime. Nothing here decides anything
//! about auth; `node/src` adds types, `AbortSignal`, and what only JavaScript can say.

#![expect(unreachable_pub, reason = "napi exports what is `pub`")]

mod bearer;
mod call;
mod cli;
mod error;
mod login;
mod relying_party;
mod runtime;
mod session;
mod session_store;
mod verify;
mod web;

// A build for tests registers nothing with Node: they are used by being seen.
pub use cli::run_cli;
use napi_derive::napi;
pub use runtime::at_exit;

/// The package's version.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
