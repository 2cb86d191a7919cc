//! One request from its headers to an answer, or to whoever is signed in.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use url::form_urlencoded;

use super::Inner;
use super::RelyingParty;
use super::data::User;
use super::look::{Found, Seen};
use super::page::{self, Page};
use super::signed_in::SignedIn;
use super::web::{self, Request, Response};
use crate::clock::Timestamp;
use crate::error::Error;

/// What an application wants of a request that is none of the four routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guard {
    /// To know who is signed in, if anybody is. A request that another site may have made is nobody's.
    #[default]
    Look,
    /// Somebody to be signed in: a browser is sent to sign in, a program gets 401, a request that another site may have
    /// made gets 403.
    Login,
}

impl Guard {
    /// `none` or `login`.
    ///
    /// # Errors
    /// `guard_invalid`.
    pub fn named(name: &str) -> crate::Result<Self> {
        match name {
            "none" => Ok(Self::Look),
            "login" => Ok(Self::Login),
            _ => Err(Error::config("guard_invalid", "guard", "the guard is neither none nor login")),
        }
    }
}

/// What became of a request.
#[derive(Default)]
pub struct Handled {
    /// To be sent as it is; the application does not see the request.
    pub response: Option<Response>,
    /// `Set-Cookie` values for the application's own answer; empty where there is a `response`, which has its own.
    pub set_cookies: Vec<HeaderValue>,
    /// Who is signed in.
    pub signed_in: Option<SignedIn>,
    /// Whom this answer of the callback route signed in, for a log.
    pub person: Option<Arc<User>>,
    /// What went wrong, for a log; nothing secret is in it.
    pub problem: Option<Error>,
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handled")
            .field("status", &self.response.as_ref().map(Response::status))
            .field("set_cookies", &self.set_cookies.len())
            .field("signed_in", &self.signed_in.is_some())
            .field("person", &self.person)
            .field("problem", &self.problem)
            .finish()
    }
}

impl From<Response> for Handled {
    fn from(response: Response) -> Self {
        Self { response: Some(response), ..Self::default() }
    }
}

impl Handled {
    pub(super) fn failed(response: Response, problem: Error) -> Self {
        Self { response: Some(response), problem: Some(problem), ..Self::default() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Login,
    Callback,
    Logout,
    Me,
}

impl RelyingParty {
    /// Handles a request: answers the four routes, and finds who is signed in for the others.
    ///
    /// Never fails: what goes wrong is an answer, and [`Handled::problem`].
    pub async fn handle(&self, request: &Request, guard: Guard) -> Handled {
        let inner = &self.inner;
        let now = inner.context.clock.now();
        match inner.route(request) {
            Some(Route::Login) => inner.login(request, now).await,
            Some(Route::Callback) => inner.callback(request, now).await,
            Some(Route::Logout) => inner.logout(request, now).await,
            Some(Route::Me) => {
                let seen = inner.tended(request, now).await;
                inner.me(request, seen, now)
            }
            None => {
                let seen = inner.tended(request, now).await;
                inner.serve(request, guard, seen, now)
            }
        }
    }

    /// As [`RelyingParty::handle`], where nothing has to be awaited: no token to renew, no store to ask. `None`: call
    /// that.
    pub fn handle_now(&self, request: &Request, guard: Guard) -> Option<Handled> {
        let inner = &self.inner;
        let now = inner.context.clock.now();
        let route = inner.route(request);
        if route.is_some_and(|route| route != Route::Me) {
            return None;
        }
        let seen = match inner.see(request, now) {
            Seen::Ask(..) => return None,
            Seen::Found(found) if inner.needs_tending(request, &found, now) => return None,
            seen => seen,
        };
        Some(if route.is_some() { inner.me(request, seen, now) } else { inner.serve(request, guard, seen, now) })
    }
}

impl Inner {
    fn route(&self, request: &Request) -> Option<Route> {
        let (path, paths) = (request.path(), &self.settings.paths);
        [
            (&paths.login, Route::Login),
            (&paths.callback, Route::Callback),
            (&paths.logout, Route::Logout),
            (&paths.me, Route::Me),
        ]
        .into_iter()
        .find_map(|(own, route)| (own == path).then_some(route))
    }

    fn needs_tending(&self, request: &Request, found: &Found, now: Timestamp) -> bool {
        // What another site sent must not cause an exchange.
        !self.settings.is_forged(request) && (self.is_due(&found.live, now) || self.is_save_due(found, now))
    }

    /// What is seen, asked for and renewed where that has to be.
    pub(super) async fn tended(self: &Arc<Self>, request: &Request, now: Timestamp) -> Seen {
        let mut seen = self.see(request, now);
        if let (Seen::Ask(known, held), Some(store)) = (&seen, &self.store) {
            seen = self.ask(&**store, known, *held, now).await;
        }
        if let Seen::Found(found) = &seen
            && self.needs_tending(request, found, now)
        {
            self.tend(found, now).await;
            if found.live.is_over() {
                return Seen::Over(found.held);
            }
        }
        seen
    }

    /// Serves what was seen: whatever could be renewed was.
    fn serve(self: &Arc<Self>, request: &Request, guard: Guard, seen: Seen, now: Timestamp) -> Handled {
        if matches!(seen, Seen::Found(_)) && self.settings.is_forged(request) {
            return match guard {
                Guard::Look => Handled::default(),
                Guard::Login => self.answer(request, &page::FORGED).into(),
            };
        }
        match self.usable(seen, now) {
            Usable::Found(found) => self.signed_in(found, now),
            Usable::Nobody(cleared) => match guard {
                Guard::Look => Handled { set_cookies: cleared, ..Handled::default() },
                Guard::Login => web::with_cookies(self.unauthenticated(request), cleared).into(),
            },
            Usable::Trouble(error) => match guard {
                Guard::Look => Handled { problem: Some(error), ..Handled::default() },
                Guard::Login => {
                    let response = page::unavailable(request, &self.settings.paths.login, &error);
                    Handled::failed(response, error)
                }
            },
        }
    }

    /// A session whose access token lives, or what to say in its place.
    fn usable(&self, seen: Seen, now: Timestamp) -> Usable {
        match seen {
            Seen::Nobody | Seen::Ask(..) => Usable::Nobody(Vec::new()),
            Seen::Over(held) => Usable::Nobody(self.settings.cleared(held)),
            Seen::Trouble(error) => Usable::Trouble(error),
            Seen::Found(found) => {
                let current = found.live.current();
                if current.lives(now) {
                    return Usable::Found(found);
                }
                match current.refresh_at {
                    // It may be renewed yet: the session stays.
                    Some(_) => {
                        let why = || Error::new(crate::ErrorKind::Server, "unavailable", "the tokens were not renewed");
                        Usable::Trouble(found.live.pause(now).unwrap_or_else(why))
                    }
                    None => Usable::Nobody(self.settings.cleared(found.held)),
                }
            }
        }
    }

    fn signed_in(self: &Arc<Self>, found: Found, now: Timestamp) -> Handled {
        found.live.use_at(now);
        let (set_cookies, problem) = match self.cookies_due(&found, now) {
            Ok(cookies) => (cookies, None),
            Err(error) => {
                tracing::error!(%error, "a session does not fit into cookies");
                (Vec::new(), Some(error))
            }
        };
        Handled { set_cookies, problem, signed_in: Some(SignedIn::new(Arc::clone(self), found)), ..Handled::default() }
    }

    /// Nobody is signed in, and somebody has to be.
    fn unauthenticated(&self, request: &Request) -> Response {
        let login = &self.settings.paths.login;
        if request.is_navigation() {
            let target = crate::protocol::callback::path_and_query(&request.target);
            let back = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", target).finish();
            // What is too long to come back is not asked for.
            let to = if back.len() > 4096 { login.clone() } else { format!("{login}?{back}") };
            return web::redirect(StatusCode::FOUND, &to);
        }
        self.unauthenticated_json()
    }

    fn unauthenticated_json(&self) -> Response {
        let login = &self.settings.paths.login;
        let body = json!({ "error": "unauthenticated", "message": "Nobody is signed in", "login": login });
        // RFC 9110 section 11.6.1 demands a challenge, and there is no registered one for a cookie.
        let challenge = format!("Cookie realm=\"flyte-auth\", form-action=\"{login}\"");
        web::with(web::json(StatusCode::UNAUTHORIZED, body.to_string()), header::WWW_AUTHENTICATE, &challenge)
    }

    fn me(self: &Arc<Self>, request: &Request, seen: Seen, now: Timestamp) -> Handled {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return self.not_allowed(request, "GET, HEAD").into();
        }
        match self.usable(seen, now) {
            Usable::Found(found) => {
                let handled = self.signed_in(found, now);
                let user = handled.signed_in.as_ref().map(|signed_in| signed_in.user().json().to_owned());
                let response = web::json(StatusCode::OK, user.unwrap_or_default());
                let response = web::with_cookies(response, handled.set_cookies);
                Handled { response: Some(response), problem: handled.problem, ..Handled::default() }
            }
            Usable::Nobody(cleared) => web::with_cookies(self.unauthenticated_json(), cleared).into(),
            Usable::Trouble(error) => {
                Handled::failed(page::unavailable(request, &self.settings.paths.login, &error), error)
            }
        }
    }

    pub(super) fn not_allowed(&self, request: &Request, methods: &str) -> Response {
        let response = page::answer(request, &self.settings.paths.login, &page::NOT_ALLOWED);
        web::with(response, header::ALLOW, methods)
    }

    pub(super) fn answer(&self, request: &Request, page: &Page) -> Response {
        page::answer(request, &self.settings.paths.login, page)
    }
}

enum Usable {
    Found(Found),
    /// What to clear.
    Nobody(Vec<HeaderValue>),
    Trouble(Error),
}
