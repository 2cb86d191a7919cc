//! The refresh protocol of `core/src/session` as a model: what processes, the store, its lock and an authorization server
//! may do to each other, step by step, with a crash, a lost answer or a full disk between any two steps.
//!
//! - [`actions`] and [`steps`] say what may happen; [`properties`] say what must hold; [`check`] explores all of it.
//! - [`settings::Broken`] names protocols that are wrong in one place; each must be found out.
//! - [`replay`] judges traces that real processes recorded: each must be a path of this model.
//!
//! Threads are folded into "callers who wait": that they share one refresh is the cell's promise, which
//! `tests/cell.rs` proves on the very source file of the core.

pub mod actions;
pub mod check;
pub mod properties;
pub mod replay;
pub mod settings;
pub mod state;
pub mod steps;
pub mod trace;
