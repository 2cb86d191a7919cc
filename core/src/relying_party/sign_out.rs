//! The route `/logout`: here first, then at the provider.
//!
//! A sign-out is asked for by POST from a page here, or by GET where the browser says that a page here, or the person,
//! began it. Another site's link gets a page that asks.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use url::{Url, form_urlencoded};

use super::Inner;
use super::cookies::Jar;
use super::data::Data;
use super::handle::Handled;
use super::look::{Found, Seen};
use super::page;
use super::seal::Purpose;
use super::sign_in::wanted_return;
use super::site::Site;
use super::web::{self, MAX_BODY, Request};
use crate::clock::Timestamp;
use crate::firewall::address::usable;

/// How long the page that asks may stay open.
const CONFIRMATION: Duration = Duration::from_secs(3600);
/// A larger ID token makes an address that servers refuse; the provider then asks the person.
const LONGEST_HINT: usize = 4096;

impl Inner {
    pub(super) async fn logout(self: &Arc<Self>, request: &Request, now: Timestamp) -> Handled {
        let mut return_to = wanted_return(request);
        match request.method {
            Method::GET => {
                if !self.is_meant(request) {
                    let sid = self.session_id(request).unwrap_or_default();
                    return match self.confirmation(&sid, now) {
                        Ok(token) => {
                            let back = return_to.and_then(|to| self.settings.return_to(&to));
                            page::confirm(&self.settings.paths.logout, &token, back.as_deref()).into()
                        }
                        Err(error) => {
                            Handled::failed(page::unavailable(request, &self.settings.paths.login, &error), error)
                        }
                    };
                }
            }
            Method::POST => {
                let form = request.body.as_deref().filter(|_| request.is_form()).unwrap_or_default();
                if form.len() > MAX_BODY {
                    return self.answer(request, &page::BODY_TOO_LARGE).into();
                }
                let field = |wanted: &[&str]| {
                    let mut found = form_urlencoded::parse(form).filter(|(name, _)| wanted.contains(&&**name));
                    found.next().map(|(_, value)| value.into_owned()).filter(|_| found.next().is_none())
                };
                if self.settings.site(request) != Site::Own
                    && !field(&["confirmation"]).is_some_and(|token| self.is_confirmed(request, &token, now))
                {
                    return self.answer(request, &page::FORGED).into();
                }
                return_to = return_to.or_else(|| field(&["return_to", "redirect_url"]));
            }
            _ => return self.not_allowed(request, "GET, POST").into(),
        }
        self.sign_out(request, return_to.as_deref(), now).await
    }

    /// Whether a GET says that it was begun here by somebody who wants it: pages fetch their links ahead of time. Where
    /// browsers would tell and nothing is told, it is no browser.
    fn is_meant(&self, request: &Request) -> bool {
        let says = |name: &str| request.headers.contains_key(name);
        if says("sec-purpose") || (says("sec-fetch-mode") && !request.is_navigation()) {
            return false;
        }
        if says("sec-fetch-site") {
            return self.settings.site(request) == Site::Own;
        }
        let told = ["origin", "referer", "sec-fetch-mode", "sec-fetch-dest"].into_iter().any(says);
        !told && self.settings.is_trustworthy()
    }

    /// Shows, for an hour, that a form was made here for this session.
    fn confirmation(&self, sid: &str, now: Timestamp) -> crate::Result<String> {
        let until = now.plus(CONFIRMATION).as_millis().to_string();
        self.settings.keys.seal(Purpose::Confirmation, sid, until.as_bytes())
    }

    fn is_confirmed(&self, request: &Request, token: &str, now: Timestamp) -> bool {
        let sid = self.session_id(request).unwrap_or_default();
        let opened = self.settings.keys.open(Purpose::Confirmation, &sid, token);
        let until = opened.and_then(|opened| std::str::from_utf8(&opened.plain).ok()?.parse().ok());
        until.is_some_and(|until| now < Timestamp::from_millis(until))
    }

    async fn sign_out(self: &Arc<Self>, request: &Request, return_to: Option<&str>, now: Timestamp) -> Handled {
        let mut seen = self.see(request, now);
        if let (Seen::Ask(known, held), Some(store)) = (&seen, &self.store) {
            seen = self.ask(&**store, known, *held, now).await;
        }
        let held = Jar::read(&request.headers, &self.settings.cookie_name).held();
        let mut end_session = None;
        // Where the store does not answer, its record cannot be had; the session's id is enough to end it here.
        if let Some(sid) = self.session_id(request) {
            self.end(&sid).await;
        }
        if let Seen::Found(Found { live, .. }) = seen {
            let current = live.current();
            if self.settings.provider_logout {
                end_session = self.end_session_url(&current.data).await;
            }
            if self.settings.revoke_on_logout {
                self.revoke_later(current.data.clone());
            }
        }
        let after = || {
            let asked = return_to.and_then(|to| self.settings.return_to(to));
            asked.or_else(|| self.settings.post_logout_redirect.clone()).unwrap_or_else(|| self.settings.home.clone())
        };
        let to = end_session.unwrap_or_else(after);
        let status = if request.method == Method::POST { StatusCode::SEE_OTHER } else { StatusCode::FOUND };
        web::with_cookies(web::redirect(status, &to), self.settings.cleared(held)).into()
    }

    /// Where the provider ends its own session (OpenID Connect RP-Initiated Logout 1.0 section 2). `None` if it offers
    /// nothing of the kind, or does not answer: signed out here is signed out.
    async fn end_session_url(&self, data: &Data) -> Option<String> {
        let metadata = self.provider.metadata().await.ok()?;
        let mut url: Url = usable(metadata.end_session_endpoint.as_deref()?, self.settings.plaintext).ok()?;
        {
            let mut query = url.query_pairs_mut();
            let hint = data.id_token.expose(); // EXPOSE: the provider's own, back to it through the browser.
            if hint.len() <= LONGEST_HINT {
                query.append_pair("id_token_hint", hint);
            }
            query.append_pair("client_id", &self.settings.client_id);
            if let Some(to) = &self.settings.post_logout_redirect {
                query.append_pair("post_logout_redirect_uri", to);
            }
        }
        Some(url.into())
    }
}
