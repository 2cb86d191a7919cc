//! Reads the answer of the authorization endpoint: as an HTTP request to the loopback redirect, or as a pasted line.
//!
//! `state` decides who speaks. Without the right one the sender is a stranger (a stray page, an old tab, an attacker)
//! and the wait goes on. With it the sender is the server that was asked: whatever it says is final.

use std::collections::HashSet;
use std::fmt;

use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::reply::printable;
use super::secret::AuthorizationCode;

/// Most bytes of a code; Microsoft's reach a few thousand.
pub const MAX_CODE: usize = 16 * 1024;
/// Most bytes of a whole answer.
pub const MAX_ANSWER: usize = 32 * 1024;
/// A shorter pasted word is taken for talk ("yes", "help"), not for a code.
const SHORTEST_BARE_CODE: usize = 16;

/// What the answer is checked against. No `Debug`: `state` stays unseen until it is used.
pub struct Expected {
    /// The redirect URI's path.
    pub path: String,
    /// The `state` that was sent.
    pub state: String,
    /// The issuer that was asked, where it is known.
    pub issuer: Option<String>,
    /// `authorization_response_iss_parameter_supported`: an answer without `iss` is refused (RFC 9207 section 2.4).
    pub iss_required: bool,
}

/// An answer of the server that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The code to exchange.
    Code(AuthorizationCode),
    /// `error` (RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6), cleaned for a terminal.
    Error {
        /// `error`.
        error: String,
        /// `error_description`.
        description: Option<String>,
    },
    /// `state` is right and the rest is unusable.
    Unusable(Refusal),
}

/// What a request or a line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Another path: nothing to do with the login.
    NotOurs,
    /// A stranger's, or a slip of the person's: the wait goes on.
    Invalid(Refusal),
    /// The login's answer.
    Done(Answer),
}

/// Why an answer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Beyond [`MAX_ANSWER`] or [`MAX_CODE`].
    TooLarge,
    /// A parameter came twice (RFC 6749 section 3.1).
    Duplicate,
    /// No `state`.
    NoState,
    /// Another `state`: another attempt's answer, or forged.
    WrongState,
    /// Neither `code` nor `error`.
    Empty,
    /// `iss` is another server (mix-up, RFC 9207).
    WrongIssuer,
    /// No `iss` from a server that announces it.
    NoIssuer,
    /// The authorization URL itself was pasted.
    AuthorizationUrl,
    /// A pasted line that is no answer.
    NoAnswer,
    /// A bare code where `iss` must be checked.
    BareCode,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "it is too large",
            Self::Duplicate => "a parameter came twice",
            Self::NoState => "it has no `state`, so it cannot be told whose it is",
            Self::WrongState => "its `state` is of another login",
            Self::Empty => "it has neither a code nor an error",
            Self::WrongIssuer => "it comes from another issuer (`iss`) than the one that was asked",
            Self::NoIssuer => "it does not name its issuer (`iss`), as this server announces",
            Self::AuthorizationUrl => "it is the address of the sign-in page, not the one that the browser ends at",
            Self::NoAnswer => "it is not the address that the browser ends at",
            Self::BareCode => "the code alone is not enough at this server",
        })
    }
}

/// Reads a request to the loopback redirect. `form` is the body of a `form_post` (OAuth 2.0 Form Post Response Mode);
/// then the query counts for nothing.
pub fn from_request(target: &str, form: Option<&[u8]>, expected: &Expected) -> Outcome {
    let origin_form = path_and_query(target);
    let (path, query) = origin_form.split_once('?').unwrap_or((origin_form, ""));
    if path != expected.path {
        return Outcome::NotOurs;
    }
    read(form.unwrap_or(query.as_bytes()), expected)
}

/// Path and query of a request target; a proxy sends the absolute form (RFC 9112 section 3.2.2).
pub(crate) fn path_and_query(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

/// Reads what a person pasted: the address that the browser ended at (browsers leave out its scheme), its query, or the
/// bare code. A bare code has no `state`; it is taken all the same, since PKCE binds it to this attempt's verifier: a
/// code of anybody else's login fails at the token endpoint. Where `iss` must be checked it is refused.
pub fn from_paste(line: &str, expected: &Expected) -> Outcome {
    let line = pasted_text(line);
    if line.len() > MAX_ANSWER {
        return Outcome::Invalid(Refusal::TooLarge);
    }
    let (text, fragment) = line.split_once('#').unwrap_or((&line, ""));
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    if let Some(answer) = [query, fragment].into_iter().find(|part| has(part, "code") || has(part, "error")) {
        return read(answer.as_bytes(), expected);
    }
    if has(query, "response_type") {
        return Outcome::Invalid(Refusal::AuthorizationUrl);
    }
    let like_a_code =
        line.len() >= SHORTEST_BARE_CODE && line.bytes().all(|b| b.is_ascii_graphic()) && !line.contains(['?', '&']);
    if !like_a_code || line.contains("://") || line.starts_with("localhost") {
        return Outcome::Invalid(Refusal::NoAnswer);
    }
    if expected.iss_required {
        return Outcome::Invalid(Refusal::BareCode);
    }
    if line.len() > MAX_CODE {
        return Outcome::Invalid(Refusal::TooLarge);
    }
    Outcome::Done(Answer::Code(AuthorizationCode::new(line)))
}

/// Without what terminals and mail programs put around a paste.
fn pasted_text(line: &str) -> String {
    let around = |c: char| c.is_whitespace() || "\"'<>`".contains(c);
    let mut text = line.trim_matches(around);
    // Around it only: inside, they would make a text that nobody pasted.
    loop {
        let inner = text.strip_prefix("\u{1b}[200~").unwrap_or(text);
        let inner = inner.strip_suffix("\u{1b}[201~").unwrap_or(inner).trim_matches(around);
        if inner.len() == text.len() {
            break;
        }
        text = inner;
    }
    text.trim_matches(|c: char| around(c) || c.is_control()).to_owned()
}

fn has(query: &str, name: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == name && !value.is_empty())
}

/// Reads form-encoded parameters. Empty ones are absent.
fn read(encoded: &[u8], expected: &Expected) -> Outcome {
    if encoded.len() > MAX_ANSWER {
        return Outcome::Invalid(Refusal::TooLarge);
    }
    let (mut code, mut state, mut iss, mut error, mut description) = (None, None, None, None, None);
    let (mut seen, mut duplicate, mut duplicate_state) = (HashSet::new(), false, false);
    for (name, value) in form_urlencoded::parse(encoded) {
        let value = (!value.is_empty()).then(|| value.into_owned());
        match &*name {
            "code" => code = value,
            "state" => {
                duplicate_state |= seen.contains("state");
                state = value;
            }
            "iss" => iss = value,
            "error" => error = value,
            "error_description" => description = value,
            _ => {}
        }
        duplicate |= !seen.insert(name.into_owned());
    }
    match state {
        // Two states are nobody's: which of them would count?
        _ if duplicate_state => return Outcome::Invalid(Refusal::Duplicate),
        None => return Outcome::Invalid(Refusal::NoState),
        Some(state) if !bool::from(state.as_bytes().ct_eq(expected.state.as_bytes())) => {
            return Outcome::Invalid(Refusal::WrongState);
        }
        Some(_) => {}
    }
    if duplicate {
        return Outcome::Done(Answer::Unusable(Refusal::Duplicate));
    }
    Outcome::Done(answer(code, iss, error, description, expected))
}

/// The answer of whoever knew `state`. `iss` comes first: an error of another server is no error of ours.
fn answer(
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    description: Option<String>,
    expected: &Expected,
) -> Answer {
    match (&iss, &expected.issuer) {
        // RFC 9207 section 2.4: simple string comparison.
        (Some(iss), Some(issuer)) if iss != issuer => return Answer::Unusable(Refusal::WrongIssuer),
        (None, _) if expected.iss_required => return Answer::Unusable(Refusal::NoIssuer),
        _ => {}
    }
    match (error, code) {
        (Some(error), _) => Answer::Error {
            error: printable(&error),
            description: description.map(|text| printable(&text)).filter(|text| !text.is_empty()),
        },
        (None, Some(code)) if code.len() > MAX_CODE => Answer::Unusable(Refusal::TooLarge),
        (None, Some(code)) => Answer::Code(AuthorizationCode::new(code)),
        (None, None) => Answer::Unusable(Refusal::Empty),
    }
}

#[cfg(test)]
mod tests;
