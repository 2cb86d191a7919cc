//! Pure functions and types: metadata, PKCE, client authentication, grants, replies, wire errors.
//!
//! No I/O, no clock, no files: bytes in, values out, so that every rule is tested without a server.

pub mod callback;
pub mod client;
pub mod flyteidl;
pub mod grant;
pub mod json;
pub mod metadata;
pub mod pkce;
pub mod reply;
pub mod secret;
