//! The auth plane of a Flyte deployment: [`serve`] stands in front of a real one, [`sandbox`] is one on loopback, so that
//! anyone can try the clients with no deployment, and so that tests have a real server.
//!
//! Rooms: [`authorization_server`] issues tokens, [`flyte`] answers Flyte's own discovery and identity services,
//! [`resource`] checks tokens, [`state`] remembers, [`config`] reads flyteadmin's file, [`gateway`] carries requests to
//! the services behind, [`listen`] and [`tls`] carry bytes, [`keys`] signs. [`serve`] puts them together for a deployment;
//! [`sandbox`] puts them together and adds what must never exist in a real server: its faults, its movable clock and its
//! admin interface.
//!
//! Arrows point one way: `serve` and `sandbox` know the others, and not each other; none of the others knows them.
#![forbid(unsafe_code)]

pub mod authorization_server;
pub mod config;
pub mod flyte;
pub mod gateway;
pub mod keys;
pub mod listen;
pub mod metrics;
pub mod random;
pub mod resource;
pub mod sandbox;
pub mod serve;
pub mod sites;
pub mod state;
pub mod tls;
pub mod users;

mod peer;
mod private_file;
