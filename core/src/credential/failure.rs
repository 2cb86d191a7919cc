//! Maps what an endpoint answered to the error table, one row per situation.

use crate::error::{Error, ErrorKind};
use crate::protocol::client::Client;
use crate::protocol::grant::Grant;
use crate::protocol::reply::Problem;
use crate::transport::Purpose;

/// Which grant failed: the same OAuth error means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantKind {
    /// RFC 6749 section 4.1.
    AuthorizationCode,
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 8628.
    DeviceCode,
}

impl GrantKind {
    /// The kind of `grant`.
    pub fn of(grant: &Grant<'_>) -> Self {
        match grant {
            Grant::AuthorizationCode { .. } => Self::AuthorizationCode,
            Grant::ClientCredentials => Self::ClientCredentials,
            Grant::RefreshToken(_) => Self::RefreshToken,
            Grant::DeviceCode { .. } => Self::DeviceCode,
        }
    }
}

/// The values that a request carries and that no message may repeat.
pub fn secrets_of<'a>(client: &'a Client, grant: &Grant<'a>) -> Vec<&'a str> {
    let mut secrets = Vec::new();
    if let Some(secret) = &client.secret {
        secrets.push(secret.expose()); // EXPOSE: to withhold what repeats it.
    }
    match *grant {
        Grant::AuthorizationCode { code, verifier, .. } => {
            secrets.extend([code.expose(), verifier.expose()]); // EXPOSE: to withhold what repeats it.
        }
        Grant::ClientCredentials => {}
        Grant::RefreshToken(token) => secrets.push(token.expose()), // EXPOSE: to withhold what repeats it.
        Grant::DeviceCode { code, verifier } => {
            secrets.push(code.expose()); // EXPOSE: to withhold what repeats it.
            secrets.extend(verifier.map(|verifier| verifier.expose())); // EXPOSE: to withhold what repeats it.
        }
    }
    secrets
}

/// The error for a token endpoint's [`Problem`].
pub fn grant_error(problem: &Problem, kind: GrantKind, endpoint: &str, client_id: &str) -> Error {
    match problem {
        Problem::OAuth { error, description, status, retry_after } => {
            let row = oauth_row(error, kind, *status, client_id);
            let said = description.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            let mut made = Error::new(row.kind, error.clone(), format!("{} ({error}{said})", row.what))
                .with_retryable(row.retryable)
                .with_retry_after(*retry_after)
                .with_oauth(error.clone(), description.clone())
                .with_endpoint(place(endpoint));
            if let Some(setting) = row.setting {
                made = made.with_setting(setting);
            }
            made.with_next(row.next)
        }
        Problem::Refused { status } if !is_absent(*status) => {
            refused(*status, kind, client_id).with_endpoint(place(endpoint))
        }
        other => unusable(other, Purpose::Token, endpoint),
    }
}

/// The error for an answer that is unusable at any endpoint.
pub fn unusable(problem: &Problem, purpose: Purpose, endpoint: &str) -> Error {
    let what = purpose.words();
    let error = match problem {
        Problem::Unavailable { status, retry_after } => {
            let code = if *status == 429 { "too_many_requests" } else { "unavailable" };
            server(code, format!("the {what} answered HTTP {status}"))
                .with_retryable(true)
                .with_retry_after(*retry_after)
                .with_next("Try again later; the stored session is kept")
        }
        Problem::Html { status } => {
            server("html", format!("the {what} answered a web page (HTTP {status}) in place of JSON"))
                .with_retryable(true)
                .with_next("A proxy or a login page may stand in front: check the address, the VPN and httpProxyURL")
        }
        Problem::Redirect { status } => {
            server("redirect", format!("the {what} redirects (HTTP {status}), which is not followed"))
                .with_next("Check the address in the authorization server metadata; a login page may stand in front")
        }
        Problem::Malformed(why) => server("malformed", format!("the {what} gave an unusable answer: {why}"))
            .with_next("Report it to the administrator of the authorization server"),
        Problem::Refused { status } if is_absent(*status) => {
            server("not_found", format!("there is no {what} at this address (HTTP {status})"))
                .with_next("Check the address, admin.tokenUrl if it is set, and the authorization server metadata")
        }
        Problem::Refused { status } => {
            Error::new(ErrorKind::Denied, "refused", format!("the {what} refused (HTTP {status})"))
                .with_next("Ask the administrator whether this client may use it")
        }
        Problem::OAuth { error, description, status, retry_after } => {
            let said = description.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            let passing =
                *status >= 500 || *status == 429 || error == "temporarily_unavailable" || error == "slow_down";
            let kind = if passing { ErrorKind::Server } else { ErrorKind::Denied };
            Error::new(kind, error.clone(), format!("the {what} refused ({error}{said})"))
                .with_retryable(passing)
                .with_retry_after(*retry_after)
                .with_oauth(error.clone(), description.clone())
                .with_next("Ask the administrator whether this client may use it")
        }
    };
    error.with_endpoint(place(endpoint))
}

/// Nothing of ours is at the address: an ingress, or a server that is being changed, answers so. That is no word about
/// what was presented, and must not end a session.
fn is_absent(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 415)
}

fn server(code: &'static str, message: String) -> Error {
    Error::new(ErrorKind::Server, code, message)
}

/// A 4xx that says nothing. Some servers answer a wrong secret with 403 and a reused refresh token with 400, both with
/// an empty body: what was presented was refused, whatever the number.
fn refused(status: u16, kind: GrantKind, client_id: &str) -> Error {
    let (error_kind, code, what, next) = match kind {
        GrantKind::RefreshToken => (
            ErrorKind::LoginRequired,
            "refresh_refused",
            "the session can no longer be refreshed".to_owned(),
            "Sign in again: flyte-auth login",
        ),
        GrantKind::ClientCredentials => (
            ErrorKind::Denied,
            "client_refused",
            format!("the authorization server refused client `{client_id}`"),
            "Check the client id and the client secret",
        ),
        GrantKind::AuthorizationCode | GrantKind::DeviceCode => (
            ErrorKind::Denied,
            "login_refused",
            "the authorization server refused to finish the login".to_owned(),
            "Try again; if it stays, ask the administrator whether this client may sign in",
        ),
    };
    Error::new(error_kind, code, format!("{what} (HTTP {status} without an explanation)")).with_next(next)
}

struct OAuthRow {
    kind: ErrorKind,
    what: String,
    next: &'static str,
    setting: Option<&'static str>,
    retryable: bool,
}

fn oauth_row(error: &str, grant: GrantKind, status: u16, client_id: &str) -> OAuthRow {
    let row = |kind, what: &str, next| OAuthRow { kind, what: what.to_owned(), next, setting: None, retryable: false };
    match (error, grant) {
        // A server's trouble may come under any status with these two codes (RFC 6749 section 4.1.2.1).
        ("temporarily_unavailable" | "server_error" | "slow_down", _) => OAuthRow {
            retryable: true,
            ..row(
                ErrorKind::Server,
                "the authorization server cannot answer now",
                "Try again later; the stored session is kept",
            )
        },
        ("invalid_grant", GrantKind::RefreshToken) => {
            row(ErrorKind::LoginRequired, "the session has ended", "Sign in again: flyte-auth login")
        }
        ("interaction_required" | "login_required" | "consent_required" | "account_selection_required", _) => row(
            ErrorKind::LoginRequired,
            "the authorization server wants the person to sign in again",
            "Sign in again: flyte-auth login",
        ),
        ("invalid_grant", GrantKind::AuthorizationCode) => row(
            ErrorKind::Denied,
            "the authorization server did not accept the code of this login",
            "Try again; the code may have expired or been used already",
        ),
        ("expired_token", _) => row(ErrorKind::Cancelled, "the code has expired", "Try again and confirm it in time"),
        ("access_denied", GrantKind::AuthorizationCode | GrantKind::DeviceCode) => {
            row(ErrorKind::Cancelled, "the login was declined", "Try again, or ask the administrator for access")
        }
        ("invalid_client", _) => OAuthRow {
            what: format!("the authorization server does not accept client `{client_id}`"),
            ..row(ErrorKind::Denied, "", "Check the client id and the client secret")
        },
        ("unauthorized_client" | "unsupported_grant_type" | "access_denied", _) => OAuthRow {
            what: format!("client `{client_id}` may not use this grant"),
            ..row(ErrorKind::Denied, "", "Ask the administrator to allow it for this client")
        },
        ("invalid_scope", _) => OAuthRow {
            setting: Some("admin.scopes"),
            ..row(
                ErrorKind::Config,
                "the authorization server does not grant these scopes",
                "Correct admin.scopes or --scopes",
            )
        },
        ("invalid_target", _) => OAuthRow {
            setting: Some("admin.audience"),
            ..row(
                ErrorKind::Config,
                "the authorization server does not know this audience",
                "Correct admin.audience or --audience",
            )
        },
        // RFC 6749 names no status for it but 400; 5xx or 429 with any other code is the server's trouble.
        _ if status >= 500 || status == 429 => OAuthRow {
            retryable: true,
            ..row(
                ErrorKind::Server,
                "the authorization server cannot answer now",
                "Try again later; the stored session is kept",
            )
        },
        _ => row(
            ErrorKind::Denied,
            "the authorization server refused the request",
            "Report it to the administrator of the authorization server",
        ),
    }
}

/// The endpoint without query: fit for a message.
pub fn place(endpoint: &str) -> String {
    match url::Url::parse(endpoint) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Err(_) => "the configured address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "https://idp.example/token?x=canary";

    fn oauth(error: &str, status: u16) -> Problem {
        Problem::OAuth { error: error.to_owned(), description: None, status, retry_after: None }
    }

    #[test]
    fn the_table() {
        use ErrorKind as K;
        use GrantKind as G;
        let table = [
            ("invalid_grant", 400, G::RefreshToken, K::LoginRequired, false),
            ("invalid_grant", 401, G::RefreshToken, K::LoginRequired, false),
            ("invalid_grant", 400, G::AuthorizationCode, K::Denied, false),
            ("invalid_client", 401, G::ClientCredentials, K::Denied, false),
            ("invalid_client", 401, G::RefreshToken, K::Denied, false),
            ("unauthorized_client", 400, G::DeviceCode, K::Denied, false),
            ("invalid_scope", 400, G::ClientCredentials, K::Config, false),
            ("invalid_target", 400, G::ClientCredentials, K::Config, false),
            ("access_denied", 400, G::DeviceCode, K::Cancelled, false),
            ("access_denied", 403, G::AuthorizationCode, K::Cancelled, false),
            ("access_denied", 403, G::ClientCredentials, K::Denied, false),
            ("expired_token", 400, G::DeviceCode, K::Cancelled, false),
            ("temporarily_unavailable", 400, G::RefreshToken, K::Server, true),
            ("server_error", 500, G::RefreshToken, K::Server, true),
            ("whatever", 503, G::RefreshToken, K::Server, true),
            ("whatever", 429, G::RefreshToken, K::Server, true),
            ("interaction_required", 400, G::RefreshToken, K::LoginRequired, false),
            ("invalid_request", 400, G::RefreshToken, K::Denied, false),
        ];
        for (error, status, grant, kind, retryable) in table {
            let made = grant_error(&oauth(error, status), grant, AT, "c");
            assert_eq!((made.kind(), made.is_retryable()), (kind, retryable), "{error} {status} {grant:?}");
            assert_eq!(made.oauth_error(), Some(error));
            assert!(made.next_step().is_some_and(|next| !next.is_empty()), "{error}");
            assert!(!made.to_string().contains("canary"), "{made}");
            assert!(made.endpoint().is_some());
        }
    }

    #[test]
    fn problems_without_an_oauth_error() {
        use ErrorKind as K;
        let refresh = GrantKind::RefreshToken;
        for (problem, kind, retryable) in [
            (Problem::Unavailable { status: 503, retry_after: None }, K::Server, true),
            (Problem::Unavailable { status: 429, retry_after: None }, K::Server, true),
            (Problem::Html { status: 200 }, K::Server, true),
            (Problem::Redirect { status: 302 }, K::Server, false),
            (Problem::Malformed("x".to_owned()), K::Server, false),
            (Problem::Refused { status: 400 }, K::LoginRequired, false),
            (Problem::Refused { status: 404 }, K::Server, false),
            (Problem::Refused { status: 405 }, K::Server, false),
        ] {
            let made = grant_error(&problem, refresh, AT, "c");
            assert_eq!((made.kind(), made.is_retryable()), (kind, retryable), "{problem:?}");
            assert!(made.next_step().is_some());
        }
        let client = grant_error(&Problem::Refused { status: 403 }, GrantKind::ClientCredentials, AT, "c");
        assert_eq!(client.kind(), K::Denied);
    }
}
