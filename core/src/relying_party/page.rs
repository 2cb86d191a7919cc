//! What a person reads when there is nothing to redirect to. All are fixed text: nothing of a request is shown, so there
//! is nothing to inject. Programs get the same as JSON.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::web::{self, Request, Response};
use crate::error::{Error, ErrorKind};

/// After how many seconds to try again where nobody said.
const RETRY_AFTER: u64 = 5;

/// An answer in words.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    /// For programs.
    code: &'static str,
    title: &'static str,
    text: &'static str,
    /// The link back to signing in.
    again: &'static str,
}

impl Page {
    pub(super) fn code(&self) -> &'static str {
        self.code
    }
}

const fn bad_answer(code: &'static str, text: &'static str) -> Page {
    Page { status: StatusCode::BAD_REQUEST, code, title: "You are not signed in", text, again: "Sign in" }
}

pub(super) static INVALID: Page = bad_answer(
    "callback_invalid",
    "The answer of the sign-in page cannot be used. It may have been changed on its way.",
);
pub(super) static UNKNOWN: Page =
    bad_answer("login_unknown", "This sign-in was not begun in this browser, took too long, or has ended already.");
pub(super) static REPLAYED: Page =
    bad_answer("login_replayed", "This sign-in has ended already: its answer counts once.");
pub(super) static FOREIGN: Page =
    bad_answer("issuer_mismatch", "The answer comes from another sign-in page than the one that was asked.");
const TOO_LARGE_ANSWER: Page = bad_answer("request_too_large", "The request is larger than a sign-in's answer.");
pub(super) static TOO_LARGE: Page = TOO_LARGE_ANSWER;
pub(super) static BODY_TOO_LARGE: Page = Page { status: StatusCode::PAYLOAD_TOO_LARGE, ..TOO_LARGE_ANSWER };
pub(super) static DECLINED: Page = Page {
    status: StatusCode::FORBIDDEN,
    code: "access_denied",
    title: "You are not signed in",
    text: "The sign-in was declined, or this account has no access. Another account may have.",
    again: "Try again",
};
pub(super) static REFUSED: Page = Page {
    status: StatusCode::FORBIDDEN,
    code: "login_refused",
    title: "You are not signed in",
    text: "The sign-in page refused to sign you in here. If it stays so, tell the administrator of this application.",
    again: "Try again",
};
static UNAVAILABLE: Page = Page {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "provider_unavailable",
    title: "Signing in is not possible now",
    text: "The sign-in service does not answer. It is worth trying again in a moment.",
    again: "Try again",
};
static UNUSABLE: Page = Page {
    status: StatusCode::BAD_GATEWAY,
    code: "provider_unusable",
    title: "Signing in does not work",
    text: "The sign-in service gave an answer that cannot be used. Tell the administrator of this application.",
    again: "Try again",
};
static STORE_UNAVAILABLE: Page = Page {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "store_unavailable",
    title: "Not possible now",
    text: "This application cannot look up who is signed in. It is worth trying again in a moment.",
    again: "Try again",
};
static BROKEN: Page = Page {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: "internal",
    title: "Signing in does not work",
    text: "This application is not set up correctly. Its log says why; tell its administrator.",
    again: "Try again",
};
pub(super) static FORGED: Page = Page {
    status: StatusCode::FORBIDDEN,
    code: "cross_site_request",
    title: "Not done",
    text: "The request did not come from this application, and was not carried out.",
    again: "Sign in",
};
pub(super) static NOT_ALLOWED: Page = Page {
    status: StatusCode::METHOD_NOT_ALLOWED,
    code: "method_not_allowed",
    title: "Not that way",
    text: "This address is not asked in this way.",
    again: "Sign in",
};

const STYLE: &str = "\
:root{--back:#f5f4fa;--card:#fff;--text:#1d1a2b;--soft:#5d5a6d;--edge:#e4e1ee;--act:#5b3fc4;--on:#fff}\
@media (prefers-color-scheme:dark){:root{--back:#14121c;--card:#1e1b29;--text:#f1eff8;--soft:#aba7bd;--edge:#322e41;\
--act:#b7a4ff;--on:#14121c}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--back);\
color:var(--text);font:16px/1.5 system-ui,sans-serif}\
main{max-width:26rem;width:100%;padding:2.5rem 2rem;text-align:center;background:var(--card);\
border:1px solid var(--edge);border-radius:16px}\
h1{margin:0 0 .5rem;font-size:1.35rem;line-height:1.3}\
p{margin:0 0 1.5rem;color:var(--soft)}\
a,button{display:inline-block;padding:.6rem 1.4rem;border:0;border-radius:8px;background:var(--act);color:var(--on);\
font:inherit;text-decoration:none;cursor:pointer}\
a:focus-visible,button:focus-visible{outline:3px solid var(--text);outline-offset:2px}";

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| BASE64.encode(Sha256::digest(STYLE.as_bytes())));

fn policy(form_action: &str) -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action {form_action}; frame-ancestors 'none'",
        *STYLE_HASH
    )
}

/// Text for an attribute or between tags.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn html(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{head}<title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )
}

/// `page` as the request accepts it.
pub(super) fn answer(request: &Request, login: &str, page: &Page) -> Response {
    if !request.wants_page() {
        return web::json_error(page.status, page.code, page.text);
    }
    let body = format!("<p>{}</p><a href=\"{}\">{}</a>", page.text, escaped(login), page.again);
    web::page(page.status, &policy("'none'"), html(page.title, "", &body))
}

/// What a person is told of a failure; the log has the rest.
pub(super) fn of_failure(error: &Error) -> &'static Page {
    match error.kind() {
        ErrorKind::Network => &UNAVAILABLE,
        ErrorKind::Store if error.is_retryable() => &STORE_UNAVAILABLE,
        ErrorKind::Server if error.is_retryable() => &UNAVAILABLE,
        // Never the answer of the sign-in page: the token endpoint refuses what this application presents.
        ErrorKind::Denied if error.code() == "invalid_client" => &UNUSABLE,
        ErrorKind::Server => &UNUSABLE,
        ErrorKind::Cancelled => &DECLINED,
        ErrorKind::Denied | ErrorKind::LoginRequired => &REFUSED,
        _ if error.oauth_error().is_some() => &REFUSED,
        _ => &BROKEN,
    }
}

/// The answer to a failure, with a time to try again where that may help.
pub(super) fn unavailable(request: &Request, login: &str, error: &Error) -> Response {
    let page = of_failure(error);
    let response = answer(request, login, page);
    if page.status != StatusCode::SERVICE_UNAVAILABLE {
        return response;
    }
    let seconds = error.retry_after().map_or(RETRY_AFTER, |after| after.as_secs().max(1));
    web::with(response, header::RETRY_AFTER, &seconds.to_string())
}

/// Goes on to `to` by itself. A browser sends SameSite=Strict cookies only with what a page of the same site asks for,
/// not along a redirect that began at the provider.
pub(super) fn onward(to: &str) -> Response {
    let to = escaped(to);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={to}\">");
    let body = format!("<p>One moment.</p><a href=\"{to}\">Go on</a>");
    web::page(StatusCode::OK, &policy("'none'"), html("You are signed in", &head, &body))
}

/// Asks whether to sign out; `token` shows that the form is ours.
pub(super) fn confirm(logout: &str, token: &str, return_to: Option<&str>) -> Response {
    let hidden =
        |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    let body = format!(
        "<p>Do you want to sign out of this application?</p><form method=\"post\" action=\"{}\">{}{}\
         <button type=\"submit\">Sign out</button></form>",
        escaped(logout),
        hidden("confirmation", token),
        return_to.map(|to| hidden("return_to", to)).unwrap_or_default(),
    );
    // The answer to the form redirects to the provider, which Chromium counts as a part of `form-action`.
    web::page(StatusCode::OK, &policy("'self' https: http:"), html("Sign out", "", &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(escaped("<a href=\"x\" o='y'>&"), "&lt;a href=&quot;x&quot; o=&#39;y&#39;&gt;&amp;");
        let page = confirm("/logout", "\"><script>", Some("/\"><script>"));
        assert!(!page.body().contains("<script"));
    }

    #[test]
    fn the_policy_names_the_style_that_is_there() {
        let page = onward("/");
        let (_, rest) = page.body().split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash = BASE64.encode(Sha256::digest(style.as_bytes()));
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    }
}
