//! The native half of the packages for the JVM, Ruby and Swift: data types, the error table, callbacks. Nothing here
//! decides anything about auth; each package adds its language's own idiom.

#![expect(unreachable_pub, reason = "uniffi exports what is `pub`")]

mod call;
mod error;
mod json;
mod language;
mod login;
mod secret;
mod session;
mod verify;

uniffi::setup_scaffolding!("flyte_auth");

/// The package's version.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Does nothing: what a call costs before it does anything (`benches`).
#[uniffi::export]
pub fn nothing() {}
