//! Which site a request comes from: what another site makes a browser send must change nothing (CSRF).
//!
//! | what the browser says | a request that may change something |
//! |---|---|
//! | `Sec-Fetch-Site: same-origin`, `none` (the person did it) | passes |
//! | `Sec-Fetch-Site: same-site`, `cross-site` | passes from an origin of `trustedOrigins` only |
//! | no `Sec-Fetch-Site`, but `Origin` | passes from the base URL's origin and those of `trustedOrigins` |
//! | neither, but `Referer` | the same |
//! | nothing at all | is refused: a program that has a session cookie can say its `Origin` |
//!
//! What is there twice, or is no text, is refused.

use super::settings::Settings;
use super::web::{Header, Request};
use crate::firewall::Origin;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// From here, or an origin that is trusted.
    Own,
    /// From elsewhere, or contradictory.
    Foreign,
    /// It does not say.
    Unsaid,
}

impl Settings {
    /// Where `request` comes from.
    pub(super) fn site(&self, request: &Request) -> Site {
        match request.header("sec-fetch-site") {
            Header::Unclear => return Site::Foreign,
            Header::One(site) if site.eq_ignore_ascii_case("same-origin") || site.eq_ignore_ascii_case("none") => {
                return Site::Own;
            }
            Header::One(_) => {
                return match request.header("origin") {
                    Header::One(origin) if self.trusts(origin) => Site::Own,
                    _ => Site::Foreign,
                };
            }
            Header::Absent => {}
        }
        let by_origin = |text: &str| {
            let own = Origin::parse(text).is_some_and(|origin| origin == self.origin) || self.trusts(text);
            if own { Site::Own } else { Site::Foreign }
        };
        match (request.header("origin"), request.header("referer")) {
            (Header::One(origin), _) => by_origin(origin),
            (Header::Absent, Header::One(referer)) => by_origin(referer),
            (Header::Absent, Header::Absent) => Site::Unsaid,
            _ => Site::Foreign,
        }
    }

    fn trusts(&self, text: &str) -> bool {
        Origin::parse(text).is_some_and(|origin| self.trusted_origins.contains(&origin))
    }

    /// Whether another site may have made a browser send this.
    pub(super) fn is_forged(&self, request: &Request) -> bool {
        request.may_change_state() && self.site(request) != Site::Own
    }
}

#[cfg(test)]
mod tests;
