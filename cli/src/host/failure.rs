//! An error as the languages show it.

use std::error::Error as _;
use std::time::Duration;

use flyte_auth::config::Spelling;
use flyte_auth::{Error, ErrorKind};

/// The members of an error, in the caller's own spelling of its options. No secret is in any of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The row of the error table.
    pub kind: ErrorKind,
    /// What exactly, for example `invalid_grant`.
    pub code: String,
    /// Message and next step.
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

impl Failure {
    /// `error` for a caller who spells options so.
    pub fn of(error: &Error, spelling: Spelling) -> Self {
        let setting = error.setting().map(|setting| (setting, option(setting, spelling)));
        let spelled = |text: &str| {
            let text = spelling.respell(text).into_owned();
            match &setting {
                Some((named, spelled)) if named.contains('_') => text.replace(named, spelled),
                _ => text,
            }
        };
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self {
            kind: error.kind(),
            code: error.code().to_owned(),
            text: spelled(&error.to_string()),
            message: spelled(error.message()),
            next_step: error.next_step().map(spelled),
            retryable: error.is_retryable(),
            retry_after: error.retry_after(),
            endpoint: error.endpoint().map(str::to_owned),
            oauth_error: error.oauth_error().map(str::to_owned),
            oauth_error_description: error.oauth_error_description().map(str::to_owned),
            setting: setting.map(|(_, spelled)| spelled),
            causes,
        }
    }
}

/// A setting as the caller's options have it; keys of files and variables stay as they are.
fn option(setting: &str, spelling: Spelling) -> String {
    let is_ours = setting.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_ours { spelling.spell(setting) } else { setting.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_as_the_caller_writes_them_and_keys_as_files_do() {
        let error = Error::config("client_secret_empty", "client_secret", "client_secret is empty")
            .with_next("Give --client-secret another value");
        let failure = Failure::of(&error, Spelling::CamelCase);
        assert_eq!(failure.setting.as_deref(), Some("clientSecret"));
        assert_eq!(failure.message, "clientSecret is empty");
        assert_eq!(failure.next_step.as_deref(), Some("Give clientSecret another value"));
        assert_eq!(Failure::of(&error, Spelling::SnakeCase).setting.as_deref(), Some("client_secret"));

        let key = Error::config("scopes_invalid", "admin.scopes", "admin.scopes is no list");
        assert_eq!(Failure::of(&key, Spelling::CamelCase).message, "admin.scopes is no list");
    }

    #[test]
    fn causes_are_in_order() {
        let cause = Error::internal("below").with_source(std::io::Error::other("at the bottom"));
        let failure = Failure::of(&Error::internal("above").with_source(cause), Spelling::SnakeCase);
        assert_eq!(failure.causes.len(), 2);
        assert!(failure.causes[0].contains("below"));
        assert_eq!(failure.causes[1], "at the bottom");
    }
}
