//! The error table in UniFFI's shape: one enum, a variant for each row, the same members in each.
//!
//! The members are in a record of their own: a member `message` of a variant would hide Kotlin's `Throwable.message`.

use std::time::Duration;

use flyte_auth::{Error, ErrorKind};
use flyte_auth_cli::host;

use crate::language::spelling;

/// What is known of a failure. No secret is in any member.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Failure {
    /// What exactly, for example `invalid_grant`.
    pub code: String,
    /// Message and next step: what a person is shown.
    pub text: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub next_step: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// When, if the server said so (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Who failed.
    pub endpoint: Option<String>,
    /// Which setting is wrong.
    pub setting: Option<String>,
    /// `error` of the server's reply (RFC 6749 section 5.2).
    pub oauth_error: Option<String>,
    /// `error_description`.
    pub oauth_error_description: Option<String>,
    /// The messages of what caused it, the nearest first.
    pub causes: Vec<String>,
}

/// Every failure: the variant says what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error, uniffi::Error)]
pub enum FlyteAuthError {
    /// Fix the named setting.
    #[error("{}", failure.text)]
    Config { failure: Box<Failure> },
    /// Try again later.
    #[error("{}", failure.text)]
    Network { failure: Box<Failure> },
    /// Report it; the message names the endpoint.
    #[error("{}", failure.text)]
    Server { failure: Box<Failure> },
    /// Start a login.
    #[error("{}", failure.text)]
    LoginRequired { failure: Box<Failure> },
    /// Tell the user.
    #[error("{}", failure.text)]
    Denied { failure: Box<Failure> },
    /// Stop quietly.
    #[error("{}", failure.text)]
    Cancelled { failure: Box<Failure> },
    /// Check path, lock holder, keyring.
    #[error("{}", failure.text)]
    Store { failure: Box<Failure> },
    /// File a bug.
    #[error("{}", failure.text)]
    Internal { failure: Box<Failure> },
}

impl From<Error> for FlyteAuthError {
    fn from(error: Error) -> Self {
        let of = host::Failure::of(&error, spelling());
        let failure = Box::new(Failure {
            code: of.code,
            text: of.text,
            message: of.message,
            next_step: of.next_step,
            retryable: of.retryable,
            retry_after: of.retry_after,
            endpoint: of.endpoint,
            setting: of.setting,
            oauth_error: of.oauth_error,
            oauth_error_description: of.oauth_error_description,
            causes: of.causes,
        });
        match of.kind {
            ErrorKind::Config => Self::Config { failure },
            ErrorKind::Network => Self::Network { failure },
            ErrorKind::Server => Self::Server { failure },
            ErrorKind::LoginRequired => Self::LoginRequired { failure },
            ErrorKind::Denied => Self::Denied { failure },
            ErrorKind::Cancelled => Self::Cancelled { failure },
            ErrorKind::Store => Self::Store { failure },
            // `Internal`, and a kind that this crate does not know yet.
            _ => Self::Internal { failure },
        }
    }
}
