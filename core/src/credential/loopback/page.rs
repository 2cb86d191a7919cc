//! The pages of the loopback redirect. All are fixed text: nothing of a request is ever shown, so there is nothing to
//! inject, and nothing to steal from a page left open.

use http::StatusCode;

/// A reply.
#[derive(Debug)]
pub(crate) struct Page {
    pub(super) status: StatusCode,
    /// The `Allow` header of a 405.
    pub(super) allow: Option<&'static str>,
    title: &'static str,
    text: &'static str,
    /// Colour of the mark.
    mark: &'static str,
}

const GOOD: &str = "M5 13l4 4L19 7";
const BAD: &str = "M7 7l10 10M17 7L7 17";

const fn plain(status: StatusCode, title: &'static str, text: &'static str) -> Page {
    Page { status, allow: None, title, text, mark: BAD }
}

pub(super) static SIGNED_IN: Page = Page {
    status: StatusCode::OK,
    allow: None,
    title: "You are signed in",
    text: "You can close this window and go back to where you started.",
    mark: GOOD,
};
pub(super) static FAILED: Page = plain(
    // 200 would tell a script that all is well; the browser shows the page either way.
    StatusCode::BAD_REQUEST,
    "You are not signed in",
    "The sign-in did not succeed. The terminal or program where you started says why. You can close this window.",
);
pub(super) static NOT_THIS_LOGIN: Page = plain(
    StatusCode::BAD_REQUEST,
    "This answer is not for this sign-in",
    "It may come from an earlier attempt. Use the newest sign-in window, or start again where you started.",
);
pub(super) static NOT_FOUND: Page =
    plain(StatusCode::NOT_FOUND, "Nothing here", "This address only waits for the end of a sign-in.");
pub(super) static METHOD_NOT_ALLOWED: Page = Page {
    allow: Some("GET, POST"),
    ..plain(StatusCode::METHOD_NOT_ALLOWED, "Not that way", "This address only waits for the end of a sign-in.")
};
pub(super) static BAD_REQUEST: Page = plain(
    StatusCode::BAD_REQUEST,
    "Not understood",
    "This is not a request that a browser sends at the end of a sign-in.",
);
pub(super) static MISDIRECTED: Page = plain(
    StatusCode::MISDIRECTED_REQUEST,
    "Wrong host",
    "This address only answers under localhost, 127.0.0.1 and [::1].",
);
pub(super) static HEAD_TOO_LARGE: Page =
    plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Too large", "The request is larger than a sign-in's answer.");
pub(super) static BODY_TOO_LARGE: Page =
    plain(StatusCode::PAYLOAD_TOO_LARGE, "Too large", "The request is larger than a sign-in's answer.");
pub(super) static LENGTH_REQUIRED: Page =
    plain(StatusCode::LENGTH_REQUIRED, "Not understood", "The request does not say how long it is.");
pub(super) static FORM_REQUIRED: Page =
    plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not understood", "The request is not a form.");

impl Page {
    /// The whole HTTP/1.1 reply.
    pub(super) fn reply(&self) -> String {
        let body = self.html();
        let allow = self.allow.map(|methods| format!("allow: {methods}\r\n")).unwrap_or_default();
        format!(
            "HTTP/1.1 {status} {reason}\r\n{allow}content-type: text/html; charset=utf-8\r\ncontent-length: {length}\r\n\
             cache-control: no-store\r\ncontent-security-policy: default-src 'none'; style-src 'unsafe-inline'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nreferrer-policy: no-referrer\r\n\
             x-content-type-options: nosniff\r\nx-frame-options: DENY\r\nconnection: close\r\n\r\n{body}",
            status = self.status.as_u16(),
            reason = self.status.canonical_reason().unwrap_or("Error"),
            length = body.len(),
        )
    }

    fn html(&self) -> String {
        let Self { title, text, mark, .. } = self;
        let colour = if *mark == GOOD { "good" } else { "bad" };
        format!(
            r##"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title} · Flyte</title>
<style>
:root{{--back:#f5f4fa;--card:#fff;--text:#1d1a2b;--soft:#5d5a6d;--edge:#e4e1ee;--good:#1a7f4b;--bad:#b3403a}}
@media (prefers-color-scheme:dark){{:root{{--back:#14121c;--card:#1e1b29;--text:#f1eff8;--soft:#aba7bd;--edge:#322e41;--good:#4cc38a;--bad:#ff8f86}}}}
*{{box-sizing:border-box}}
body{{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}}
main{{max-width:26rem;width:100%;padding:2.5rem 2rem;text-align:center;background:var(--card);border:1px solid var(--edge);border-radius:16px}}
svg{{width:56px;height:56px;padding:14px;border-radius:50%;fill:none;stroke:currentColor;stroke-width:2.5;stroke-linecap:round;stroke-linejoin:round;border:2px solid currentColor}}
.good{{color:var(--good)}}.bad{{color:var(--bad)}}
h1{{margin:1.25rem 0 .5rem;font-size:1.35rem;line-height:1.3}}
p{{margin:0;color:var(--soft)}}
</style></head>
<body><main><svg class="{colour}" viewBox="0 0 24 24" aria-hidden="true"><path d="{mark}"/></svg>
<h1>{title}</h1><p>{text}</p></main></body></html>
"##
        )
    }
}
