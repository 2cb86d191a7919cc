//! Other people's HTTP stacks, each behind a cargo feature: the token goes into their requests here, and nothing about
//! auth is decided here that the session does not decide.

#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(any(feature = "reqwest", feature = "tonic"))]
mod http_service;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;

#[cfg(test)]
mod tests;
