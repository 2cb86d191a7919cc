//! Where a browser may be sent after a sign-in or sign-out: a path here, or an origin that the settings name.

use url::Url;

use super::settings::Settings;
use crate::firewall::Origin;

/// A longer address becomes the home: it has to fit into a cookie.
const LONGEST: usize = 2048;

impl Settings {
    /// `wanted` as an address to redirect to, written anew from what a browser's parser made of it; `None` if it may
    /// not be redirected to.
    pub(super) fn return_to(&self, wanted: &str) -> Option<String> {
        let strange = |c: char| c.is_control() || c == '\\' || c.is_whitespace();
        if wanted.is_empty() || wanted.len() > LONGEST || wanted.contains(strange) {
            return None;
        }
        // Of the relative forms only a path: `//host` names another host, and `x` or `?x` would depend on the page.
        let url = if wanted.starts_with('/') {
            if wanted.starts_with("//") {
                return None;
            }
            self.base.join(wanted).ok()?
        } else {
            let (scheme, rest) = wanted.split_once("://")?;
            // `https:///host` and `https:host` are addresses to a browser.
            if rest.starts_with('/') || !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) {
                return None;
            }
            Url::parse(wanted).ok()?
        };
        if !url.username().is_empty() || url.password().is_some() || url.as_str().len() > LONGEST {
            return None;
        }
        let origin = Origin::of(&url);
        if origin == self.origin {
            let local = &url[url::Position::BeforePath..];
            // `/.//host` is `//host` once its dot is gone.
            return (local.starts_with('/') && !local.starts_with("//")).then(|| local.to_owned());
        }
        self.return_origins.contains(&origin).then(|| url.into())
    }

    /// As [`Settings::return_to`]; what may not be redirected to becomes the home.
    pub(super) fn return_to_or_home(&self, wanted: Option<&str>) -> String {
        wanted.and_then(|wanted| self.return_to(wanted)).unwrap_or_else(|| self.home.clone())
    }
}
