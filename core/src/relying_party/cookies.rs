//! Cookies as they are read and written (RFC 6265).
//!
//! A session that does not fit into one cookie is cut into `name.0`, `name.1`, …; the first piece begins with their
//! number, so that a piece left over from a longer session is never taken for a part of this one.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use super::settings::{SameSite, Settings};
use crate::error::{Error, Result};
use crate::protocol::secret::SecretBytes;

/// Most bytes of a cookie's value: browsers take 4,096 with the name.
pub(super) const LARGEST: usize = 3800;
/// Most pieces of a session. Servers and proxies refuse a request whose headers are larger than 8 to 16 KiB in all.
pub(super) const MOST_PIECES: usize = 3;
/// Pieces that are known when they come back, to be cleared: an earlier version may have cut into more.
const KNOWN_PIECES: usize = 10;

/// The session cookies of a request.
#[derive(Default)]
pub(super) struct Jar<'a> {
    whole: Option<&'a str>,
    pieces: [Option<&'a str>; KNOWN_PIECES],
}

/// Which session cookies a browser holds: to clear what a shorter session leaves over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held(u16);

impl Held {
    const WHOLE: u16 = 1 << KNOWN_PIECES;

    pub(super) const fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// Every cookie of a request that is text, in order. Browsers send all in one line, and some applications beside this one
/// set what is no text.
pub(super) fn all(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        Some((name, value))
    })
}

impl<'a> Jar<'a> {
    /// The first of each name counts: it has the longest path.
    pub(super) fn read(headers: &'a HeaderMap, name: &str) -> Self {
        let mut jar = Self::default();
        for (found, value) in all(headers) {
            let Some(rest) = found.strip_prefix(name) else { continue };
            if rest.is_empty() {
                jar.whole.get_or_insert(value);
            } else if let Some([b'.', digit @ b'0'..=b'9']) = rest.as_bytes().first_chunk::<2>()
                && rest.len() == 2
                && let Some(piece) = jar.pieces.get_mut(usize::from(digit - b'0'))
            {
                piece.get_or_insert(value);
            }
        }
        jar
    }

    pub(super) fn held(&self) -> Held {
        let pieces = self.pieces.iter().enumerate().filter(|(_, piece)| piece.is_some());
        let pieces = pieces.fold(0, |held, (at, _)| held | 1 << at);
        Held(pieces | if self.whole.is_some() { Held::WHOLE } else { 0 })
    }

    /// What may be the session: the one cookie, and what the pieces make.
    pub(super) fn sealed(&self) -> impl Iterator<Item = Cow<'a, str>> {
        let whole = self.whole.map(Cow::Borrowed);
        whole.into_iter().chain(self.joined().map(Cow::Owned))
    }

    fn joined(&self) -> Option<String> {
        let (count, first) = self.pieces[0]?.split_once('.')?;
        let count = count.parse().ok().filter(|count| (2..=MOST_PIECES).contains(count))?;
        let mut joined = String::with_capacity(count * LARGEST);
        joined.push_str(first);
        for piece in &self.pieces[1..count] {
            joined.push_str(piece.as_ref()?);
        }
        Some(joined)
    }
}

/// One Set-Cookie value. What it holds is for the browser alone: no log shows it.
fn set(name: &str, value: &str, path: &str, attributes: &str, max_age: Duration) -> Result<HeaderValue> {
    let text = format!("{name}={value}; Path={path}; Max-Age={}; HttpOnly{attributes}", max_age.as_secs());
    SecretBytes::from(text).into_header().ok_or_else(|| Error::internal("a cookie that no header can carry"))
}

impl Settings {
    fn session_attributes(&self) -> String {
        let secure = if self.secure || self.same_site == SameSite::None { "; Secure" } else { "" };
        let domain = self.cookie_domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        format!("{secure}; SameSite={}{domain}", self.same_site.attribute())
    }

    /// The cookies that carry `sealed`, and those that clear what the browser holds beside them.
    ///
    /// # Errors
    /// `session_too_large` beyond the cap.
    pub(super) fn session_cookies(&self, sealed: &str, max_age: Duration, held: Held) -> Result<Vec<HeaderValue>> {
        let attributes = self.session_attributes();
        let (name, mut left_over, mut cookies) = (&self.cookie_name, held.0, Vec::with_capacity(1));
        if sealed.len() <= LARGEST {
            cookies.push(set(name, sealed, "/", &attributes, max_age)?);
            left_over &= !Held::WHOLE;
        } else {
            // Two bytes of the first piece are the number of pieces.
            let count = (sealed.len() + 2).div_ceil(LARGEST);
            if count > MOST_PIECES {
                return Err(too_large(sealed.len()));
            }
            let numbered = format!("{count}.{sealed}");
            let mut rest = numbered.as_str();
            for at in 0..count {
                let (piece, more) = rest.split_at(rest.len().min(LARGEST));
                rest = more;
                cookies.push(set(&format!("{name}.{at}"), piece, "/", &attributes, max_age)?);
                left_over &= !(1 << at);
            }
        }
        cookies.extend(self.cleared(Held(left_over)));
        Ok(cookies)
    }

    /// Clears the session cookies that the browser holds.
    pub(super) fn cleared(&self, held: Held) -> Vec<HeaderValue> {
        let attributes = self.session_attributes();
        let clear = |name: &str| set(name, "", "/", &attributes, Duration::ZERO).ok();
        let mut cookies = Vec::new();
        if held.0 & Held::WHOLE != 0 {
            cookies.extend(clear(&self.cookie_name));
        }
        for at in (0..KNOWN_PIECES).filter(|at| held.0 & (1 << at) != 0) {
            cookies.extend(clear(&format!("{}.{at}", self.cookie_name)));
        }
        cookies
    }

    fn plain_name(&self) -> &str {
        let name = self.cookie_name.as_str();
        name.strip_prefix("__Host-").or_else(|| name.strip_prefix("__Secure-")).unwrap_or(name)
    }

    /// `__Host-` demands the path `/`, and these cookies go to one route only.
    fn route_prefix(&self) -> &'static str {
        if self.secure { "__Secure-" } else { "" }
    }

    /// The cookie of the sign-in whose `state` this is: named by its hash, so that two tabs can sign in at once.
    pub(super) fn transaction_name(&self, state: &str) -> String {
        self.transaction_name_of(&state_id(state))
    }

    pub(super) fn transaction_name_of(&self, id: &str) -> String {
        format!("{}{}_t_{id}", self.route_prefix(), self.plain_name())
    }

    /// The cookie that lists the sign-ins under way, for the login route, to which theirs are not sent.
    pub(super) fn index_name(&self) -> String {
        format!("{}{}_i", self.route_prefix(), self.plain_name())
    }

    pub(super) fn route_cookie(&self, name: &str, value: &str, path: &str, max_age: Duration) -> Result<HeaderValue> {
        // A form that the provider's page posts here is another site's request: Lax cookies do not come with it.
        let attributes = match (self.posts_back(), self.secure) {
            (true, _) => "; Secure; SameSite=None",
            (false, true) => "; Secure; SameSite=Lax",
            (false, false) => "; SameSite=Lax",
        };
        set(name, value, path, attributes, max_age)
    }
}

/// Names a `state` without telling it.
pub(super) fn state_id(state: &str) -> String {
    Sha256::digest(state.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn too_large(size: usize) -> Error {
    Error::config(
        "session_too_large",
        "store",
        format!("the session has {size} bytes, more than browsers and servers take as cookies"),
    )
    .with_next("Keep sessions in a store, or have the provider write smaller tokens (fewer groups and scopes)")
}

#[cfg(test)]
mod tests;
