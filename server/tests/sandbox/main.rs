//! The sandbox as its users see it: over the wire, in this process, on loopback.
#![expect(clippy::unwrap_used, reason = "helpers of tests; the lint knows only test functions")]

mod admin;
mod authorization_code;
mod common;
mod device;
mod discovery;
mod external;
mod machine;
mod refresh;
mod sign_in;
mod state;
mod transport;
