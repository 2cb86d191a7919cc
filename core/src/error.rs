//! The error table: one type leaves this crate, and every language and the CLI map it from here.
//!
//! What a caller does is decided by [`ErrorKind`]; what a person reads is `Display` (one line: what, where, next step).
//! A response body, a token or a secret never enters a message.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do; the same eight kinds in every language and as exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting or argument is wrong: fix the one named.
    Config,
    /// No answer (DNS, TCP, TLS, timeout): try again later.
    Network,
    /// An unusable answer (5xx, 429, HTML, malformed): `is_retryable` says whether trying again can help.
    Server,
    /// Nobody is signed in, or the session has ended: start a login.
    LoginRequired,
    /// The authorization server or the resource refused: tell the user.
    Denied,
    /// The person declined or the deadline passed: stop quietly.
    Cancelled,
    /// The token store could not be read, written or locked.
    Store,
    /// A bug here.
    Internal,
}

/// One row of the error table.
struct Row {
    kind: ErrorKind,
    name: &'static str,
    code: &'static str,
    exit: u8,
    retryable: bool,
}

const TABLE: [Row; 8] = [
    row(ErrorKind::Config, "config", "FLYTE_AUTH_CONFIG", 2, false),
    row(ErrorKind::Network, "network", "FLYTE_AUTH_NETWORK", 3, true),
    row(ErrorKind::Server, "server", "FLYTE_AUTH_SERVER", 8, false),
    row(ErrorKind::LoginRequired, "login_required", "FLYTE_AUTH_LOGIN_REQUIRED", 4, false),
    row(ErrorKind::Denied, "denied", "FLYTE_AUTH_DENIED", 5, false),
    row(ErrorKind::Cancelled, "cancelled", "FLYTE_AUTH_CANCELLED", 6, false),
    row(ErrorKind::Store, "store", "FLYTE_AUTH_STORE", 7, false),
    row(ErrorKind::Internal, "internal", "FLYTE_AUTH_INTERNAL", 1, false),
];

const fn row(kind: ErrorKind, name: &'static str, code: &'static str, exit: u8, retryable: bool) -> Row {
    Row { kind, name, code, exit, retryable }
}

impl ErrorKind {
    /// Every kind, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.kind)
    }

    fn row(self) -> &'static Row {
        // The table is in the enum's order; the test `table_is_in_order` holds it there.
        &TABLE[self as usize]
    }

    /// Lower-case name, for example `login_required`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Stable identifier in every language, for example `FLYTE_AUTH_LOGIN_REQUIRED`.
    pub fn identifier(self) -> &'static str {
        self.row().code
    }

    /// The CLI's exit code.
    pub fn exit_code(self) -> u8 {
        self.row().exit
    }
}

/// Without control characters: a file's key, a folder's name or a server's word must not write escape sequences to a
/// terminal through a message.
pub(crate) fn one_line(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// What a message may have: a value that it repeats may be a file that somebody pasted.
const LONGEST: usize = 4_096;

/// `one_line`, and no longer than a person reads: what is in the middle of a long one is left out.
fn readable(text: impl Into<String>) -> String {
    let text = one_line(text);
    if text.len() <= LONGEST {
        return text;
    }
    let boundary = |from: usize| (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let head = boundary(LONGEST / 2);
    // What is wrong mostly stands behind the value.
    let tail = boundary(text.len() - LONGEST / 8);
    format!("{} … {}", &text[..head], &text[tail..])
}

/// The only error type that leaves this crate. Cheap to clone: one refresh may fail for many waiters.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: String,
    next: Option<String>,
    retryable: bool,
    retry_after: Option<Duration>,
    endpoint: Option<String>,
    setting: Option<String>,
    oauth_error: Option<String>,
    oauth_error_description: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error. `code` is an RFC error code (`invalid_grant`) or one of ours in snake case (`endpoint_invalid`);
    /// `message` says what happened, in one line without a final stop.
    pub fn new(kind: ErrorKind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            code: code.into(),
            message: readable(message),
            next: None,
            retryable: kind.row().retryable,
            retry_after: None,
            endpoint: None,
            setting: None,
            oauth_error: None,
            oauth_error_description: None,
            source: None,
        }))
    }

    /// A wrong setting or argument: `setting` is its name as the user wrote it (`admin.endpoint`, `--scopes`).
    pub fn config(code: &'static str, setting: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Config, code, message);
        error.edit().setting = Some(readable(setting));
        error
    }

    /// A bug here.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, "internal", message).with_next("please report this as a bug")
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    /// The next step for a person, for example `Run: flyte-auth login HOST`.
    #[must_use]
    pub fn with_next(mut self, next: impl Into<String>) -> Self {
        self.edit().next = Some(readable(next));
        self
    }

    /// The endpoint (host or URL without query) that the failure is about.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.edit().endpoint = Some(readable(endpoint));
        self
    }

    /// The setting that the failure is about.
    #[must_use]
    pub fn with_setting(mut self, setting: impl Into<String>) -> Self {
        self.edit().setting = Some(readable(setting));
        self
    }

    /// Whether trying again later can help, where it differs from the kind's default.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.edit().retryable = retryable;
        self
    }

    /// The server's `Retry-After`.
    #[must_use]
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.edit().retry_after = after;
        self
    }

    /// `error` and `error_description` of an OAuth error reply (RFC 6749 section 5.2).
    #[must_use]
    pub fn with_oauth(mut self, error: impl Into<String>, description: Option<String>) -> Self {
        let inner = self.edit();
        inner.oauth_error = Some(error.into());
        inner.oauth_error_description = description;
        self
    }

    /// The cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.edit().source = Some(Arc::new(source));
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// RFC error code or ours in snake case; stable.
    pub fn code(&self) -> &str {
        &self.0.code
    }
    /// Whether the same call can succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
    /// The server's `Retry-After`, if it sent one.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
    /// What happened, without the next step.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// The next step for a person.
    pub fn next_step(&self) -> Option<&str> {
        self.0.next.as_deref()
    }
    /// The endpoint that the failure is about.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }
    /// The setting that the failure is about.
    pub fn setting(&self) -> Option<&str> {
        self.0.setting.as_deref()
    }
    /// `error` of an OAuth error reply.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }
    /// `error_description` of an OAuth error reply, cleaned for a terminal.
    pub fn oauth_error_description(&self) -> Option<&str> {
        self.0.oauth_error_description.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(endpoint) = self.endpoint()
            && !self.0.message.contains(endpoint)
        {
            write!(f, " ({endpoint})")?;
        }
        if let Some(setting) = self.setting()
            && !self.0.message.contains(setting)
        {
            write!(f, " [{setting}]")?;
        }
        if let Some(next) = self.next_step() {
            write!(f, ". {next}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("next", &self.0.next)
            .field("retryable", &self.0.retryable)
            .field("endpoint", &self.0.endpoint)
            .field("setting", &self.0.setting)
            .field("oauth_error", &self.0.oauth_error)
            .field("source", &self.0.source.as_ref().map(ToString::to_string))
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, index, "{}", row.name);
        }
        let exits: Vec<u8> = ErrorKind::all().map(ErrorKind::exit_code).collect();
        assert_eq!(exits, [2, 3, 8, 4, 5, 6, 7, 1]);
    }

    #[test]
    fn no_part_of_a_message_reaches_a_terminal_as_an_escape_sequence() {
        let error = Error::config("c", "a\u{1b}[31m", "b\u{7}\nc").with_next("d\u{9b}2J").with_endpoint("e\rf");
        assert_eq!(error.to_string(), "b  c (e f) [a [31m]. d 2J");
        assert_eq!(error.with_setting("g\th").setting(), Some("g h"));
    }

    #[test]
    fn a_long_value_is_not_repeated_whole() {
        let error = Error::config("c", "endpoint", format!("endpoint \"{}\": is no host", "ö".repeat(1_000_000)));
        assert!(error.message().len() < LONGEST, "{}", error.message().len());
        assert!(error.message().starts_with("endpoint \"öö") && error.message().ends_with("öö\": is no host"));
    }

    #[test]
    fn display_names_place_and_next_step_once() {
        let error = Error::new(ErrorKind::Server, "html", "HTML instead of JSON")
            .with_endpoint("idp.example")
            .with_next("Set X");
        assert_eq!(error.to_string(), "HTML instead of JSON (idp.example). Set X");
        let named = Error::config("endpoint_invalid", "admin.endpoint", "admin.endpoint is empty");
        assert_eq!(named.to_string(), "admin.endpoint is empty");
    }
}
