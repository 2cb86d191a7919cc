//! Flyte authentication in one crate: discovery of Flyte 1 and Flyte 2, every OAuth grant its users need, token stores,
//! a refresh that never loses a session, and verification.
//!
//! The way of the main job, [`session::Session::token`]: a fresh token in memory returns at once; otherwise one task
//! discovers the endpoint's authorization server, re-reads the [`store`], asks the [`credential`] (through
//! [`protocol`], carried by [`transport`]), saves, and publishes to every waiter.
//!
//! Arrows point one way: `protocol` knows nothing of the others and does no I/O; nothing here knows a host language.

pub mod clock;
pub mod config;
pub mod credential;
pub mod discovery;
pub mod error;
pub mod firewall;
pub mod fork;
mod integration;
pub mod interaction;
pub mod protocol;
pub mod relying_party;
pub mod session;
pub mod store;
pub mod testing;
pub mod transport;
pub mod verify;

pub use clock::Timestamp;
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "blocking")]
pub use integration::blocking;
#[cfg(feature = "reqwest")]
pub use integration::reqwest;
#[cfg(feature = "tonic")]
pub use integration::tonic;
#[cfg(feature = "tower")]
pub use integration::tower;
