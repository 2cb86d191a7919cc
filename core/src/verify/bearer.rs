//! Bearer tokens in requests to a service (RFC 6750): takes the `Authorization` header apart, has the token verified, and
//! says no in the standard's words. Nothing of a token is ever in an answer.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::access_token::VerifiedToken;
use super::jws::MAX_TOKEN;
use super::verifier::Verifier;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::AccessToken;

/// What a request without a good token gets.
pub type Response = http::Response<String>;

/// After how many seconds to try again where the issuer does not say.
const RETRY_SECONDS: u64 = 5;

/// Guards a service by bearer tokens.
#[derive(Debug, Clone)]
pub struct Bearer {
    verifier: Verifier,
    realm: Option<String>,
    required_scopes: Vec<String>,
    resource_metadata: Option<String>,
}

/// Why a request is refused, and the answer to it.
pub struct Refused {
    /// To be sent as it is.
    pub response: Response,
    /// For a log; nothing of the token is in it. `None` where the request had no token at all.
    pub problem: Option<Error>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("status", &self.response.status()).field("problem", &self.problem).finish()
    }
}

/// What an `Authorization` header holds.
enum Credentials<'a> {
    /// None of this scheme.
    None,
    Token(&'a str),
    /// Against the grammar.
    Malformed(&'static str),
}

impl Bearer {
    /// Takes the tokens that `verifier` takes.
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier, realm: None, required_scopes: Vec::new(), resource_metadata: None }
    }

    /// The protected area, for the challenge (RFC 9110 section 11.5).
    ///
    /// # Errors
    /// `realm_invalid` for what is no printable ASCII.
    pub fn realm(mut self, realm: impl Into<String>) -> Result<Self> {
        let realm = realm.into();
        if realm.is_empty() || !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Error::config("realm_invalid", "realm", "the realm is no printable ASCII text"));
        }
        self.realm = Some(realm);
        Ok(self)
    }

    /// A scope that every token must have, besides those that the verifier demands; call it again for another one.
    ///
    /// # Errors
    /// `scope_invalid` for what is no scope (RFC 6749 section 3.3).
    pub fn required_scope(mut self, scope: impl Into<String>) -> Result<Self> {
        let scope = scope.into();
        if scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)) {
            return Err(Error::config("scope_invalid", "requiredScopes", "a required scope is no scope")
                .with_next("One scope for each entry, without spaces and quotes"));
        }
        self.required_scopes.push(scope);
        Ok(self)
    }

    /// The address of this service's metadata (RFC 9728 section 5.1), which tells a client where to get a token.
    ///
    /// # Errors
    /// `resource_metadata_invalid` for what is no web address.
    pub fn resource_metadata(mut self, address: &str) -> Result<Self> {
        let url = url::Url::parse(address).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let url = url.ok_or_else(|| {
            Error::config("resource_metadata_invalid", "resourceMetadata", "the metadata's address is no web address")
        })?;
        self.resource_metadata = Some(url.into());
        Ok(self)
    }

    /// The token of a request, verified.
    ///
    /// # Errors
    /// The answer to the request.
    pub async fn check(&self, headers: &HeaderMap) -> Result<Arc<VerifiedToken>, Box<Refused>> {
        self.check_values(values(headers)).await
    }

    /// As [`Bearer::check`], where nothing has to be fetched; `None`: call that.
    pub fn check_now(&self, headers: &HeaderMap) -> Option<Result<Arc<VerifiedToken>, Box<Refused>>> {
        self.check_values_now(values(headers))
    }

    /// As [`Bearer::check`], with the values of the `Authorization` header: none, one, or too many.
    ///
    /// # Errors
    /// The answer to the request.
    pub async fn check_values<'a>(
        &self,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Arc<VerifiedToken>, Box<Refused>> {
        let token = self.token(values)?;
        self.judged(self.verifier.verify(&token).await)
    }

    /// As [`Bearer::check_now`], with the values of the `Authorization` header.
    pub fn check_values_now<'a>(
        &self,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Option<Result<Arc<VerifiedToken>, Box<Refused>>> {
        match self.token(values) {
            Err(refused) => Some(Err(refused)),
            Ok(token) => self.verifier.verify_now(&token).map(|outcome| self.judged(outcome)),
        }
    }

    fn token<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Result<AccessToken, Box<Refused>> {
        match credentials(values) {
            Credentials::Token(token) => Ok(AccessToken::new(token)),
            // RFC 6750 section 3.1: a request without credentials is told the scheme and nothing else.
            Credentials::None => Err(Box::new(Refused {
                response: self.answer(StatusCode::UNAUTHORIZED, None, "A bearer token is needed"),
                problem: None,
            })),
            Credentials::Malformed(why) => {
                let problem = Error::new(ErrorKind::Denied, "invalid_request", why);
                Err(self.refused(StatusCode::BAD_REQUEST, "invalid_request", problem))
            }
        }
    }

    fn judged(&self, outcome: Result<Arc<VerifiedToken>>) -> Result<Arc<VerifiedToken>, Box<Refused>> {
        let problem = match outcome {
            Ok(token) if self.required_scopes.iter().all(|scope| token.has_scope(scope)) => return Ok(token),
            Ok(_) => Error::new(
                ErrorKind::Denied,
                "insufficient_scope",
                "the token is not accepted: a scope that is required here was not granted",
            ),
            Err(problem) => problem,
        };
        Err(match problem.kind() {
            ErrorKind::Denied if problem.code() == "insufficient_scope" => {
                self.refused(StatusCode::FORBIDDEN, "insufficient_scope", problem)
            }
            ErrorKind::Denied => self.refused(StatusCode::UNAUTHORIZED, "invalid_token", problem),
            // Nothing is known of the token: the client must not throw it away.
            ErrorKind::Network | ErrorKind::Server => {
                let seconds = problem.retry_after().map_or(RETRY_SECONDS, |after| after.as_secs().max(1));
                let mut response = failure(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "Tokens cannot be verified now",
                );
                put(response.headers_mut(), RETRY_AFTER, &seconds.to_string());
                Box::new(Refused { response, problem: Some(problem) })
            }
            _ => {
                let text = "This service is not set up correctly";
                let response = failure(StatusCode::INTERNAL_SERVER_ERROR, "server_error", text);
                Box::new(Refused { response, problem: Some(problem) })
            }
        })
    }

    fn refused(&self, status: StatusCode, code: &'static str, problem: Error) -> Box<Refused> {
        let description = described(problem.message());
        Box::new(Refused { response: self.answer(status, Some(code), &description), problem: Some(problem) })
    }

    /// With the challenge of RFC 6750 section 3.
    fn answer(&self, status: StatusCode, code: Option<&'static str>, description: &str) -> Response {
        let mut parameters: Vec<(&str, String)> = Vec::with_capacity(5);
        parameters.extend(self.realm.clone().map(|realm| ("realm", realm)));
        if let Some(code) = code {
            parameters.push(("error", code.to_owned()));
            parameters.push(("error_description", description.to_owned()));
        }
        if code == Some("insufficient_scope") && !self.required_scopes.is_empty() {
            parameters.push(("scope", self.required_scopes.join(" ")));
        }
        parameters.extend(self.resource_metadata.clone().map(|address| ("resource_metadata", address)));
        let mut challenge = String::from("Bearer");
        for (at, (name, value)) in parameters.iter().enumerate() {
            let _ = write!(challenge, "{} {name}={}", if at == 0 { "" } else { "," }, quoted(value));
        }
        let mut response = failure(status, code.unwrap_or("unauthenticated"), description);
        put(response.headers_mut(), WWW_AUTHENTICATE, &challenge);
        response
    }
}

fn values(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    // What is no text is no credentials of ours; it still counts.
    headers.get_all(AUTHORIZATION).into_iter().map(|value| value.to_str().unwrap_or("?"))
}

/// RFC 6750 section 2.1, RFC 9110 section 11.4: the scheme in any case, spaces, one `token68`.
fn credentials<'a>(values: impl IntoIterator<Item = &'a str>) -> Credentials<'a> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else { return Credentials::None };
    if values.next().is_some() {
        return Credentials::Malformed("the header Authorization came more than once");
    }
    let value = value.trim_matches([' ', '\t']);
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Credentials::None;
    }
    let token = token.trim_start_matches(' ');
    let core = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if token.len() > MAX_TOKEN {
        Credentials::Malformed("the bearer token is too large")
    } else if core.is_empty() || !core.bytes().all(allowed) {
        Credentials::Malformed("the header Authorization is no scheme and one bearer token")
    } else {
        Credentials::Token(token)
    }
}

/// A failure as JSON that nobody keeps.
fn failure(status: StatusCode, code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description }).to_string();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    put(response.headers_mut(), CONTENT_TYPE, "application/json");
    put(response.headers_mut(), CACHE_CONTROL, "no-store");
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The characters of an `error_description` (RFC 6750 section 3).
fn described(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '\'' }).collect()
}

/// A `quoted-string` (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
