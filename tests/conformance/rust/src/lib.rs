//! Conducts the language-neutral conformance cases: plays each case's HTTP exchanges, records and judges what the SDK
//! under test sent, and tells a runner of any language what to do next.
//!
//! The protocol between the two, and how a case is written: `tests/conformance/README.md`.

pub mod browser;
pub mod case;
pub mod conduct;
pub mod crypto;
pub mod matcher;
pub mod peer;
pub mod reply;
pub mod report;
pub mod rules;
pub mod runner;
pub mod schema;
pub mod script;
pub mod steps;
pub mod template;

/// What fails a case: the reason, in one line, for a person who reads the case beside it.
pub type Verdict<T = ()> = Result<T, String>;
