//! The pages for people: sign-in, device code, answers. Plain HTML and one style sheet, no script but the one line that
//! posts a form, nothing from elsewhere; they work without script and in dark and light.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flyte_auth::clock::Entropy;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::{Host, Url};

use super::params::Params;
use super::{AuthorizationRequest, Person, paths};
use crate::random;
use crate::sites::Site;
use crate::users::Users;

const STYLE: &str = include_str!("pages.css");
const SUBMIT: &str = "document.forms[0].submit()";
const COOKIE: &str = "flyte_auth_csrf";

/// Who answers a page.
#[derive(Debug)]
pub(super) enum Who<'a> {
    /// Whoever says so: the sandbox's.
    Choose(&'a Users),
    /// Somebody who is signed in.
    Is(&'a Person),
}

impl Who<'_> {
    fn is_sandbox(&self) -> bool {
        matches!(self, Self::Choose(_))
    }

    /// What the form asks of the person: who it is, where that is not known, and yes or no.
    fn fields(&self, hint: Option<&str>) -> String {
        match self {
            Self::Choose(users) => choice(users, hint),
            Self::Is(person) => format!(
                "<p class=\"who-is\">Your account: <strong>{}</strong></p>\
                 <input type=\"hidden\" name=\"as\" value=\"{}\">\
                 <div class=\"buttons\"><button name=\"action\" value=\"approve\" class=\"primary\">Allow</button>\
                 <button name=\"action\" value=\"deny\">Deny</button></div>",
                escape(person.shown()),
                random::digest(&person.subject),
            ),
        }
    }

    fn note(&self) -> &'static str {
        if self.is_sandbox() { NOTE } else { "" }
    }
}

/// The style and script sources of the content security policy: exactly the two texts above.
static SOURCES: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!("style-src 'sha256-{}'; script-src 'sha256-{}'", hash(STYLE), hash(SUBMIT))
});

/// Text as HTML text or as the value of a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The source expression for a redirect: browsers hold `form-action` also against the redirect that follows a form.
fn redirect_source(redirect_uri: &str) -> String {
    let Ok(url) = Url::parse(redirect_uri) else { return String::new() };
    match (url.scheme(), url.host()) {
        // An IPv6 address cannot be written in a policy.
        ("http" | "https", Some(Host::Ipv6(_)) | None) => format!("{}:", url.scheme()),
        ("http" | "https", Some(_)) => url.origin().ascii_serialization(),
        (scheme, _) => format!("{scheme}:"),
    }
}

/// Headers that every page carries. `form_action`: where its forms may lead beside this server.
fn page_headers(response: &mut Response, form_action: &str) {
    let policy = format!(
        "default-src 'none'; {}; form-action 'self' {form_action}; frame-ancestors 'none'; base-uri 'none'",
        *SOURCES
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of these pages holds the request; it stays here.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn page(sandbox: bool, status: StatusCode, title: &str, body: &str, form_action: &str) -> Response {
    let (brand, tag) = if sandbox { ("Flyte sandbox", " <span class=\"tag\">sandbox</span>") } else { ("Flyte", "") };
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} - {brand}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"brand\"><span class=\"mark\" aria-hidden=\"true\"></span>Flyte{tag}</p>\n\
         {body}\n</main>\n</body>\n</html>\n",
        title = escape(title),
    );
    let mut response = (status, Html(html)).into_response();
    page_headers(&mut response, form_action);
    response
}

/// Protection of the forms against other sites: a cookie that only this site can set, repeated in the form.
pub(super) struct Csrf {
    value: String,
    is_new: bool,
    /// Under TLS the cookie's name keeps other hosts and paths from setting it (RFC 6265bis section 4.1.3.2).
    secure: bool,
}

impl Csrf {
    fn name(secure: bool) -> String {
        format!("{}{COOKIE}", if secure { "__Host-" } else { "" })
    }

    fn cookie(headers: &HeaderMap, secure: bool) -> Option<&str> {
        let wanted = Self::name(secure);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    }

    /// The browser's value, so that two tabs do not disturb each other; a new one for a new browser.
    pub(super) fn of(headers: &HeaderMap, site: &Site, entropy: &dyn Entropy) -> Self {
        let secure = site.is_secure();
        match Self::cookie(headers, secure).filter(|value| super::authorize::is_challenge(value)) {
            Some(value) => Self { value: value.to_owned(), is_new: false, secure },
            None => Self { value: random::token(entropy), is_new: true, secure },
        }
    }

    /// Whether a form came from our own page in the same browser.
    pub(super) fn is_valid(headers: &HeaderMap, site: &Site, params: &Params) -> bool {
        match (Self::cookie(headers, site.is_secure()), params.get("csrf")) {
            (Some(cookie), Some(field)) => {
                super::authorize::is_challenge(cookie) && cookie.as_bytes().ct_eq(field.as_bytes()).into()
            }
            _ => false,
        }
    }

    fn field(&self) -> String {
        format!("<input type=\"hidden\" name=\"csrf\" value=\"{}\">", self.value)
    }

    fn set(&self, mut response: Response) -> Response {
        if self.is_new {
            let secure = if self.secure { "; Secure" } else { "" };
            let name = Self::name(self.secure);
            let cookie = format!("{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}", self.value);
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
        response
    }
}

/// What a scope means, for a person.
fn scope_words(scope: &str) -> &str {
    match scope {
        "all" => "Use Flyte as you",
        "offline" | "offline_access" => "Stay signed in when you are away",
        "openid" => "Know who you are",
        "profile" => "See your name",
        "email" => "See your email address",
        other => other,
    }
}

fn scope_list(scopes: &[String]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for scope in scopes {
        let word = scope_words(scope);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let items: String = words.iter().map(|word| format!("<li>{}</li>", escape(word))).collect();
    format!("<ul class=\"scopes\" aria-label=\"It will be able to\">{items}</ul>")
}

/// The choice of a person and the two buttons.
fn choice(users: &Users, hint: Option<&str>) -> String {
    let known = &users.known;
    let preset = known.iter().position(|user| Some(user.subject.as_str()) == hint);
    let mut html = String::from("<fieldset><legend>Sign in as</legend>");
    for (index, user) in known.iter().enumerate() {
        // A hint that is nobody here is typed into the field below instead: then nobody is picked.
        let picked = preset.or_else(|| hint.is_none().then_some(0));
        let checked = if picked == Some(index) { " checked" } else { "" };
        let initial = user.name.chars().next().unwrap_or('?').to_uppercase().to_string();
        let _ = write!(
            html,
            "<label class=\"user\"><input type=\"radio\" name=\"user\" value=\"{subject}\"{checked}>\
             <span class=\"face\" aria-hidden=\"true\">{initial}</span>\
             <span class=\"who\"><strong>{name}</strong><small>{subject}</small></span></label>",
            subject = escape(&user.subject),
            initial = escape(&initial),
            name = escape(&user.name),
        );
    }
    let other = hint.filter(|_| preset.is_none()).unwrap_or_default();
    let _ = write!(
        html,
        "<label class=\"other\" for=\"other\">or someone else</label>\
         <input id=\"other\" name=\"other\" type=\"text\" maxlength=\"128\" autocomplete=\"off\" spellcheck=\"false\" \
         placeholder=\"name or email\" value=\"{}\"></fieldset>\
         <div class=\"buttons\"><button name=\"action\" value=\"approve\" class=\"primary\">Sign in</button>\
         <button name=\"action\" value=\"deny\">Deny</button></div>",
        escape(other)
    );
    html
}

const NOTE: &str = "<p class=\"note\">A development server: it asks for no password. Never type a real one here.</p>";

/// The page of an authorization request: who is asked, who asks, what for, and where the answer goes.
pub(super) fn consent(who: &Who<'_>, request: &AuthorizationRequest, id: &str, csrf: &Csrf) -> Response {
    let title = if who.is_sandbox() { "Sign in" } else { "Allow access" };
    // The host alone: it is what a person can judge.
    let target = Url::parse(&request.redirect_uri).ok().and_then(|url| url.host_str().map(str::to_owned));
    let body = format!(
        "<h1>{title}</h1>\n<p><strong>{client}</strong> asks to:</p>\n{scopes}\n\
         <form method=\"post\" action=\"{action}\">{csrf}<input type=\"hidden\" name=\"request\" value=\"{id}\">\n\
         {fields}</form>\n<p class=\"target\">You will be sent back to <strong>{target}</strong>.</p>\n{note}",
        client = escape(&request.client_id),
        scopes = scope_list(&request.scopes),
        action = paths::CONSENT,
        csrf = csrf.field(),
        fields = who.fields(request.login_hint.as_deref()),
        note = who.note(),
        target = escape(target.as_deref().unwrap_or("the application")),
    );
    csrf.set(page(who.is_sandbox(), StatusCode::OK, title, &body, &redirect_source(&request.redirect_uri)))
}

/// The page where a user code is typed. `problem`: why the last one was refused.
pub(super) fn device_entry(sandbox: bool, csrf: &Csrf, typed: &str, problem: Option<&str>) -> Response {
    let problem =
        problem.map(|problem| format!("<p class=\"problem\" role=\"alert\" id=\"problem\">{}</p>", escape(problem)));
    let body = format!(
        "<h1>Connect a device</h1>\n<p>Enter the code that your terminal or device shows.</p>\n{problem}\n\
         <form method=\"post\" action=\"{action}\">{csrf}<label class=\"other\" for=\"user_code\">Code</label>\
         <input class=\"code\" id=\"user_code\" name=\"user_code\" type=\"text\" value=\"{typed}\" maxlength=\"16\" \
         placeholder=\"XXXX-XXXX\" autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" required \
         autofocus{described}><div class=\"buttons\"><button class=\"primary\">Continue</button></div></form>",
        problem = problem.as_deref().unwrap_or_default(),
        action = paths::DEVICE,
        csrf = csrf.field(),
        typed = escape(typed),
        described = if problem.is_some() { " aria-describedby=\"problem\" aria-invalid=\"true\"" } else { "" },
    );
    csrf.set(page(sandbox, StatusCode::OK, "Connect a device", &body, ""))
}

/// The page where a person compares the code and answers (RFC 8628 section 5.4: a link alone must not sign in).
pub(super) fn device_confirm(
    who: &Who<'_>,
    csrf: &Csrf,
    user_code: &str,
    client_id: &str,
    scopes: &[String],
) -> Response {
    let body = format!(
        "<h1>Connect a device</h1>\n<p>Is this the code that your device shows?</p>\n\
         <p class=\"code\">{user_code}</p>\n<p><strong>{client}</strong> on that device asks to:</p>\n{scopes}\n\
         <form method=\"post\" action=\"{action}\">{csrf}\
         <input type=\"hidden\" name=\"user_code\" value=\"{user_code}\">\n{fields}</form>\n\
         <p class=\"target\">If somebody sent you this link, press Deny: approving signs <em>them</em> in as you.</p>\n{note}",
        user_code = escape(user_code),
        client = escape(client_id),
        scopes = scope_list(scopes),
        action = paths::DEVICE_DECISION,
        csrf = csrf.field(),
        fields = who.fields(None),
        note = who.note(),
    );
    csrf.set(page(who.is_sandbox(), StatusCode::OK, "Connect a device", &body, ""))
}

/// An answer that goes to the client by a form (OAuth 2.0 Form Post Response Mode); posts itself, or by its button.
pub(super) fn form_post(redirect_uri: &str, parameters: &[(&str, &str)]) -> Response {
    let fields: String = parameters
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value)))
        .collect();
    let body = format!(
        "<h1>Signing you in</h1>\n<form method=\"post\" action=\"{}\">{fields}\
         <div class=\"buttons\"><button class=\"primary\">Continue</button></div></form>\n<script>{SUBMIT}</script>",
        escape(redirect_uri)
    );
    page(false, StatusCode::OK, "Signing you in", &body, &redirect_source(redirect_uri))
}

/// The end of a device authorization.
pub(super) fn done(sandbox: bool, title: &str, text: &str) -> Response {
    page(sandbox, StatusCode::OK, title, &format!("<h1>{}</h1>\n<p>{}</p>", escape(title), escape(text)), "")
}

/// Something that a person should read. `text` may be an error description: it is made a sentence.
pub(crate) fn error(status: StatusCode, title: &str, text: &str) -> Response {
    let mut letters = text.chars();
    let mut text: String =
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    if !text.ends_with('.') {
        text.push('.');
    }
    let text = text.as_str();
    let body = format!("<h1>{}</h1>\n<p class=\"problem\" role=\"alert\">{}</p>", escape(title), escape(text));
    page(false, status, title, &body, "")
}

/// A form that did not come from our own page.
pub(super) fn forged() -> Response {
    error(
        StatusCode::FORBIDDEN,
        "This form did not come from here",
        "Cookies may be turned off, or another site sent it. Start again from the program that sent you here.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(escape("<a href='x'>\"&\""), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;");
    }

    #[test]
    fn redirect_sources() {
        for (uri, source) in [
            ("http://localhost:53593/callback", "http://localhost:53593"),
            ("https://app.example/cb", "https://app.example"),
            ("http://[::1]:5/callback", "http:"),
            ("com.example.app:/cb", "com.example.app:"),
        ] {
            assert_eq!(redirect_source(uri), source, "{uri}");
        }
    }
}
