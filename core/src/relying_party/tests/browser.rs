//! A browser, as far as cookies and redirects go.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use super::super::{Guard, Handled, RelyingParty, Request, Response};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cookie {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) path: String,
    pub(super) attributes: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: Vec<Cookie>,
}

/// A `Set-Cookie` value taken apart; `None` in place of a cookie that is cleared.
pub(super) fn parsed(line: &HeaderValue) -> (Cookie, bool) {
    let line = line.to_str().unwrap();
    let (pair, attributes) = line.split_once("; ").unwrap();
    let (name, value) = pair.split_once('=').unwrap();
    let attribute = |wanted: &str| attributes.split("; ").find_map(|one| one.strip_prefix(wanted));
    let path = attribute("Path=").unwrap().to_owned();
    let gone = attribute("Max-Age=") == Some("0");
    assert!(name.len() + value.len() <= 4096, "a browser would not take {name}");
    assert!(attributes.split("; ").any(|one| one == "HttpOnly"));
    (Cookie { name: name.into(), value: value.into(), path, attributes: attributes.into() }, gone)
}

impl Browser {
    pub(super) fn take<'a>(&mut self, lines: impl IntoIterator<Item = &'a HeaderValue>) {
        for line in lines {
            let (cookie, gone) = parsed(line);
            self.cookies.retain(|old| (&old.name, &old.path) != (&cookie.name, &cookie.path));
            if !gone {
                self.cookies.push(cookie);
            }
        }
    }

    /// A request with this browser's cookies.
    pub(super) fn request(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
        let path = target.split('?').next().unwrap();
        let sent = self.cookies.iter().filter(|cookie| path.starts_with(&cookie.path));
        let sent: Vec<String> = sent.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let mut map = HeaderMap::new();
        if !sent.is_empty() {
            map.insert(header::COOKIE, sent.join("; ").parse().unwrap());
        }
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        Request::new(method, target, map)
    }

    pub(super) fn get(&self, target: &str) -> Request {
        self.request(Method::GET, target, &NAVIGATION)
    }

    /// Sends a request, and keeps the cookies of the answer.
    pub(super) async fn send(&mut self, to: &RelyingParty, request: &Request, guard: Guard) -> Handled {
        let handled = to.handle(request, guard).await;
        self.take(&handled.set_cookies);
        if let Some(response) = &handled.response {
            self.take(response.headers().get_all(header::SET_COOKIE));
        }
        handled
    }

    pub(super) async fn open(&mut self, to: &RelyingParty, target: &str) -> Handled {
        let request = self.get(target);
        self.send(to, &request, Guard::Login).await
    }

    pub(super) fn session(&self) -> Vec<&Cookie> {
        self.cookies.iter().filter(|cookie| !cookie.name.contains("_t_") && !cookie.name.ends_with("_i")).collect()
    }

    /// The one session cookie.
    pub(super) fn session_mut(&mut self) -> &mut Cookie {
        let name = self.session()[0].name.clone();
        self.cookies.iter_mut().find(|cookie| cookie.name == name).unwrap()
    }

    pub(super) fn transactions(&self) -> Vec<&Cookie> {
        self.cookies.iter().filter(|cookie| cookie.name.contains("_t_")).collect()
    }
}

pub(super) const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin"), ("accept", "text/html,*/*;q=0.8")];

pub(super) fn location(response: &Response) -> &str {
    response.headers()[header::LOCATION].to_str().unwrap()
}

/// The query of the address that a redirect leads to.
pub(super) fn query(response: &Response) -> HashMap<String, String> {
    Url::parse(location(response)).unwrap().query_pairs().into_owned().collect()
}
