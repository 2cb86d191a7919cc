//! Who sent a request: by the one token that it bears, else by a browser's cookies.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use flyte_auth::relying_party::{self, Guard};

use super::browser::{self, Browsers};
use super::identity::Identity;
use super::tokens::Tokens;
use crate::resource::Refused;

/// What was found out about a caller.
pub(super) enum Caller {
    /// Proved, with what the browser has to be told.
    Known(Box<Identity>, Vec<HeaderValue>),
    /// Nothing was presented, or what was is not good. With cookies to clear.
    Refused(Refused, Vec<HeaderValue>),
    /// An answer of the relying party: to the sign-in, or that another site is behind the request.
    Answer(Response),
}

/// What a header presents.
enum Presented<'a> {
    Access(&'a str),
    Id(&'a str),
}

/// Finds out who sent a request.
pub(super) struct Finder {
    pub(super) tokens: Tokens,
    pub(super) browsers: Arc<Browsers>,
    /// Headers that bear tokens, the advertised one first.
    pub(super) headers: Vec<HeaderName>,
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finder").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Finder {
    /// The one token that the headers present. A proxy's own `Authorization: Basic` beside Flyte's header is not for us
    /// (facts 5.5: it broke flyteadmin's).
    fn presented<'a>(&self, headers: &'a HeaderMap) -> Result<Option<Presented<'a>>, Refused> {
        let mut found: Option<(&str, Presented<'a>)> = None;
        for value in self.headers.iter().flat_map(|name| headers.get_all(name)) {
            let Ok(text) = value.to_str() else { continue };
            let (scheme, token) = text.trim().split_once(' ').unwrap_or((text, ""));
            let token = token.trim();
            let presented = if scheme.eq_ignore_ascii_case("bearer") {
                Presented::Access(token)
            } else if scheme.eq_ignore_ascii_case("idtoken") {
                Presented::Id(token)
            } else {
                continue;
            };
            if token.is_empty() || token.contains([' ', ',']) {
                return Err(Refused::Invalid("the header is not a bearer token".into()));
            }
            match &found {
                Some((other, _)) if *other != token => return Err(Refused::Several),
                // The same token in both headers is what some clients send.
                _ => found = Some((token, presented)),
            }
        }
        Ok(found.map(|(_, presented)| presented))
    }

    /// Who bears the token among these headers; `None`: there is none.
    pub(super) async fn by_token(&self, headers: &HeaderMap, site: usize) -> Option<Result<Identity, Refused>> {
        match self.presented(headers) {
            Err(refused) => Some(Err(refused)),
            Ok(Some(Presented::Access(token))) => Some(self.tokens.access_token(site, token).await),
            Ok(Some(Presented::Id(token))) => Some(self.tokens.id_token(token).await),
            Ok(None) => None,
        }
    }

    /// Whose browser it is. With [`Guard::Login`] a navigation of nobody is sent to sign in.
    pub(super) async fn by_cookie(&self, asked: &relying_party::Request, site: usize, guard: Guard) -> Caller {
        let Some(party) = self.browsers.at(site) else { return Caller::Refused(Refused::Missing, Vec::new()) };
        let handled = match party.handle_now(asked, guard) {
            Some(handled) => handled,
            None => party.handle(asked, guard).await,
        };
        if let Some(problem) = &handled.problem {
            tracing::warn!(error = %problem, "a session could not be looked at");
        }
        if let Some(identity) = browser::identity(&handled) {
            return Caller::Known(Box::new(identity), handled.set_cookies);
        }
        match handled.response {
            // A program gets the challenge for a token.
            Some(response) if response.status() == StatusCode::UNAUTHORIZED => {
                let cleared = response.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
                Caller::Refused(Refused::Missing, cleared)
            }
            Some(response) => Caller::Answer(response.map(Body::from)),
            None if handled.problem.is_some() => Caller::Refused(Refused::Unavailable, Vec::new()),
            None => Caller::Refused(Refused::Missing, handled.set_cookies),
        }
    }
}
