//! Reads what token and device endpoints answer: tolerant where real servers are sloppy, strict where a mistake costs.
//!
//! Judged by status and content type, never by words in a message; a body never enters an error.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json;
use super::secret::{self, AccessToken, DeviceCode, IdToken, RefreshToken, SecretObject};
use crate::clock::Timestamp;
use crate::transport::Reply;

/// Beyond this an expiry is taken for nonsense, and nonsense for unknown.
const LONGEST_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// RFC 8628 section 3.2: the interval where the server names none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// A device code's lifetime where the server names none (the member is required, some leave it out).
const DEFAULT_DEVICE_LIFETIME: Duration = Duration::from_secs(600);

/// A successful token reply (RFC 6749 section 5.1). Empty strings are absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenReply {
    /// The access token.
    pub access_token: AccessToken,
    /// `expires_in`; `None` if absent, negative, zero or absurd.
    pub expires_in: Option<Duration>,
    /// A new refresh token, if one was sent.
    pub refresh_token: Option<RefreshToken>,
    /// `refresh_expires_in` (Keycloak) or `refresh_token_expires_in`; how long the session can last.
    pub refresh_expires_in: Option<Duration>,
    /// The ID token, not yet validated.
    pub id_token: Option<IdToken>,
    /// Granted scopes, if they were sent.
    pub scopes: Option<Vec<String>>,
}

/// A successful device authorization reply (RFC 8628 section 3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceAuthorization {
    /// For polling.
    pub device_code: DeviceCode,
    /// For the person.
    pub user_code: String,
    /// Where the person types it (`verification_url` is read too).
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Lifetime of both codes.
    pub expires_in: Duration,
    /// Least time between two polls.
    pub interval: Duration,
}

impl fmt::Debug for DeviceAuthorization {
    // Whoever has the user code can confirm another login with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field("verification_uri", &self.verification_uri)
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// Why a reply is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// An OAuth error (RFC 6749 section 5.2), with any status, 200 included: some servers send one with it.
    OAuth {
        /// `error`.
        error: String,
        /// `error_description`, cleaned for a terminal, withheld if it repeats something secret.
        description: Option<String>,
        /// HTTP status.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A 4xx without an OAuth error: an empty body, or JSON of another shape.
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// 408, 429, 5xx without an OAuth error.
    Unavailable {
        /// HTTP status.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// HTML: a proxy, a login page or a captive portal.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// 1xx or 3xx: redirects are not followed, a token request must not go elsewhere.
    Redirect {
        /// HTTP status.
        status: u16,
    },
    /// A success status with an answer that is none; the text says what is wrong, never what was sent.
    Malformed(String),
}

/// Reads the reply of a token endpoint. `secrets` are the values that the request carried: a description that repeats
/// one of them is withheld.
///
/// # Errors
/// The [`Problem`].
pub fn token(reply: &Reply, secrets: &[&str]) -> Result<TokenReply, Problem> {
    let object = success(reply, secrets)?;
    token_reply(object)
}

/// Reads the reply of a device authorization endpoint.
///
/// # Errors
/// The [`Problem`].
pub fn device_authorization(reply: &Reply) -> Result<DeviceAuthorization, Problem> {
    let mut object = success(reply, &[])?;
    let mut text = |name| take_text(&mut object, name);
    let required = |name: &str, value: Option<Zeroizing<String>>| {
        value.ok_or_else(|| Problem::Malformed(format!("`{name}` is missing")))
    };
    let verification_uri = match text("verification_uri")? {
        Some(uri) => Some(uri),
        None => text("verification_url")?,
    };
    Ok(DeviceAuthorization {
        device_code: DeviceCode::from(required("device_code", text("device_code")?)?),
        user_code: printable(&required("user_code", text("user_code")?)?),
        verification_uri: web_address(&required("verification_uri", verification_uri)?)?,
        verification_uri_complete: text("verification_uri_complete")?.map(|uri| web_address(&uri)).transpose()?,
        expires_in: object.get("expires_in").and_then(lifetime).unwrap_or(DEFAULT_DEVICE_LIFETIME),
        interval: object.get("interval").and_then(lifetime).unwrap_or(DEFAULT_INTERVAL),
    })
}

/// Reads the reply of a revocation endpoint (RFC 7009 section 2.2): any 2xx is a success, whatever the body.
///
/// # Errors
/// The [`Problem`].
pub fn revocation(reply: &Reply) -> Result<(), Problem> {
    if reply.status.is_success() { Ok(()) } else { success(reply, &[]).map(drop) }
}

/// A person opens it: only a web address, so that no server can make a browser run something else.
fn web_address(uri: &str) -> Result<String, Problem> {
    match url::Url::parse(uri) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(url.into()),
        _ => Err(Problem::Malformed("the verification URI is not a web address".to_owned())),
    }
}

/// The JSON object of a successful reply.
fn success(reply: &Reply, secrets: &[&str]) -> Result<SecretObject, Problem> {
    let status = reply.status;
    let number = status.as_u16();
    let html = matches!(reply.media_type().as_str(), "text/html" | "application/xhtml+xml");
    let object = if html { None } else { Some(json::parse_object(&reply.body).map(SecretObject::from)) };
    if let Some(Ok(object)) = &object
        && let Some(problem) = oauth_error(object, reply, secrets)
    {
        return Err(problem);
    }
    if status.is_success() {
        return match object {
            None => Err(Problem::Html { status: number }),
            Some(Ok(object)) => Ok(object),
            Some(Err(cause)) => Err(Problem::Malformed(cause.to_string())),
        };
    }
    Err(match number {
        408 | 429 | 500.. => Problem::Unavailable { status: number, retry_after: retry_after(reply) },
        _ if html && !status.is_redirection() => Problem::Html { status: number },
        400..500 => Problem::Refused { status: number },
        _ => Problem::Redirect { status: number },
    })
}

fn oauth_error(object: &Map<String, Value>, reply: &Reply, secrets: &[&str]) -> Option<Problem> {
    let error = object.get("error")?.as_str().filter(|error| !error.is_empty())?;
    let description = object.get("error_description").and_then(Value::as_str).map(printable);
    let repeats = |text: &str| secrets.iter().any(|secret| secret.len() >= 6 && text.contains(secret));
    Some(Problem::OAuth {
        error: if repeats(error) { "(withheld)".to_owned() } else { printable(error) },
        description: description.filter(|text| !text.is_empty() && !repeats(text)),
        status: reply.status.as_u16(),
        retry_after: retry_after(reply),
    })
}

/// Fit for a terminal: control characters (escape sequences too) become spaces, and there is an end to it.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    clean.trim().to_owned()
}

/// `Retry-After` (RFC 9110 section 10.2.3), at most a day. Its date is measured against the reply's own `Date`: the
/// server's clock, whatever ours shows.
pub fn retry_after(reply: &Reply) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(86_400);
    let value = reply.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Timestamp::parse_http_date(value)?.since(reply.date()?),
    };
    Some(wait.min(LONGEST))
}

/// Seconds as an integer, a float or a string; `None` for what is negative, zero, absurd or no number.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (seconds > 0.0 && seconds <= LONGEST_LIFETIME.as_secs_f64()).then(|| Duration::from_secs_f64(seconds))
}

/// A text member, moved out of a reply that may hold secrets. Empty and null are absent.
fn take_text(members: &mut SecretObject, name: &'static str) -> Result<Option<Zeroizing<String>>, Problem> {
    match members.take(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(Zeroizing::new(text)).filter(|text| !text.is_empty())),
        Some(mut other) => {
            secret::wipe(&mut other);
            Err(Problem::Malformed(format!("`{name}` is not a string")))
        }
    }
}

/// The reply of a token endpoint, tolerant where real servers are sloppy.
fn token_reply(mut members: SecretObject) -> Result<TokenReply, Problem> {
    let access_token = match take_text(&mut members, "access_token")? {
        Some(token) => token,
        None => return Err(Problem::Malformed("`access_token` is missing or empty".to_owned())),
    };
    // A header takes visible ASCII only; anything else would fail later, at every call, with a worse message.
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::Malformed("`access_token` has characters that no header can carry".to_owned()));
    }
    if let Some(kind) = take_text(&mut members, "token_type")?
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err(Problem::Malformed(format!("`token_type` is {:?}; only Bearer is supported", printable(&kind))));
    }
    let scopes: Option<Vec<String>> = match members.get("scope") {
        Some(Value::String(text)) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(items)) => Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    };
    let refresh_expires_in =
        ["refresh_expires_in", "refresh_token_expires_in"].iter().find_map(|name| members.get(*name));
    Ok(TokenReply {
        expires_in: members.get("expires_in").and_then(lifetime),
        refresh_expires_in: refresh_expires_in.and_then(lifetime),
        scopes: scopes.filter(|scopes| !scopes.is_empty()),
        access_token: AccessToken::from(access_token),
        refresh_token: take_text(&mut members, "refresh_token")?.map(RefreshToken::from),
        id_token: take_text(&mut members, "id_token")?.map(IdToken::from),
    })
}

#[cfg(test)]
mod tests;
