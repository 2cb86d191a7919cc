//! Claims of a JWT (RFC 7519 section 4), read by type: a claim of the wrong type refuses the token.

use std::time::Duration;

use serde_json::Value;

use super::jws::malformed;
use super::refusal::{Refusal, RefusalKind};
use crate::clock::Timestamp;
use crate::protocol::json::{self, Member};

/// How wrong the two clocks may be, unless said otherwise.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// How far the coarse clock may be behind: a token of this very second must not come from the future.
const COARSE: Duration = Duration::from_millis(20);

macro_rules! names {
    ($($name:ident $text:literal),* $(,)?) => {
        /// A claim that is looked at here.
        #[derive(Clone, Copy)]
        pub(super) enum Name {
            $($name),*
        }

        const COUNT: usize = [$($text),*].len();

        fn place(name: &str) -> Option<usize> {
            match name {
                $($text => Some(Name::$name as usize),)*
                _ => None,
            }
        }
    };
}

names! {
    Active "active", Appid "appid", AtHash "at_hash", Aud "aud", Azp "azp", CHash "c_hash", Cid "cid",
    ClientId "client_id", Cnf "cnf", Email "email", Events "events", Exp "exp", Iat "iat", Iss "iss", Jti "jti",
    Nbf "nbf", Nonce "nonce", PreferredUsername "preferred_username", Roles "roles", Scope "scope", Scp "scp",
    Sid "sid", Sub "sub", TokenType "token_type", TokenUse "token_use", Typ "typ",
}

/// Claims that name the client: RFC 9068, OpenID Connect's authorized party, Okta's, Entra's first version.
const CLIENT: [Name; 4] = [Name::ClientId, Name::Azp, Name::Cid, Name::Appid];
/// Scopes: RFC 9068 and RFC 8693, then Okta, Entra and flyteadmin.
const SCOPES: [Name; 2] = [Name::Scope, Name::Scp];

/// The claims that are looked at, out of a whole set that was read strictly; the others are checked and not built.
pub(super) struct Claims<'a>([Option<Member<'a>>; COUNT]);

/// `exp`, `nbf` and `iat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) expires_at: Timestamp,
    pub(super) not_before: Option<Timestamp>,
    pub(super) issued_at: Option<Timestamp>,
}

pub(super) const fn wrong(why: &'static str) -> Refusal {
    Refusal::new(RefusalKind::Claims, why)
}

impl<'a> Claims<'a> {
    /// Reads a claims set (RFC 7519 section 7.2, step 10).
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        // RFC 7515 has no byte order mark; the general parser would skip one.
        if bytes.first() != Some(&b'{') {
            return Err(malformed("its JSON is no object"));
        }
        json::parse_members(bytes, place)
            .map(Self)
            .map_err(|_| malformed("its JSON is malformed or has a member twice"))
    }

    pub(super) fn get(&self, name: Name) -> Option<&Member<'a>> {
        self.0[name as usize].as_ref()
    }

    /// Whatever is no text.
    pub(super) fn other(&self, name: Name) -> Option<&Value> {
        match self.get(name) {
            Some(Member::Other(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn has(&self, name: Name) -> bool {
        self.get(name).is_some()
    }

    /// Absent and `null` are the same.
    pub(super) fn text(&self, name: Name) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            None | Some(Member::Other(Value::Null)) => Ok(None),
            Some(Member::Text(text)) => Ok(Some(text)),
            Some(Member::Other(_)) => Err(wrong("a claim has the wrong type")),
        }
    }

    /// A text that says something: an empty one is absent.
    pub(super) fn filled(&self, name: Name) -> Result<Option<&str>, Refusal> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// `sub`: at most 255 characters (OpenID Connect Core section 2).
    pub(super) fn subject(&self) -> Result<Option<&str>, Refusal> {
        match self.filled(Name::Sub)? {
            Some(subject) if subject.len() > 255 => Err(wrong("its subject is too long (sub)")),
            subject => Ok(subject),
        }
    }

    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), Refusal> {
        match self.text(Name::Iss)? {
            Some(found) if found == issuer => Ok(()),
            Some(_) => Err(Refusal::new(RefusalKind::Issuer, "it is of another issuer")),
            None => Err(Refusal::new(RefusalKind::Issuer, "it names no issuer (iss)")),
        }
    }

    /// `aud`: a text, or a list of texts.
    pub(super) fn audience(&self) -> Result<Vec<&str>, Refusal> {
        let texts = match self.get(Name::Aud) {
            Some(Member::Text(one)) => vec![one.as_ref()],
            Some(Member::Other(Value::Array(list))) => list
                .iter()
                .map(|one| one.as_str().ok_or(wrong("a claim has the wrong type")))
                .collect::<Result<_, _>>()?,
            Some(Member::Other(Value::Null)) | None => Vec::new(),
            Some(Member::Other(_)) => return Err(wrong("a claim has the wrong type")),
        };
        if texts.is_empty() {
            return Err(Refusal::new(RefusalKind::Audience, "it names no audience (aud)"));
        }
        Ok(texts)
    }

    /// Scopes as granted, each once, in order. `roles` counts only where there is neither `scope` nor `scp`: Entra puts
    /// there what an application may do, beside `scp` it would be what the user is.
    pub(super) fn scopes(&self) -> Result<Vec<String>, Refusal> {
        let mut scopes: Vec<String> = Vec::new();
        let mut add = |name: Name| -> Result<(), Refusal> {
            let mut one = |text: &str| {
                if !scopes.iter().any(|scope| scope == text) {
                    scopes.push(text.to_owned());
                }
            };
            match self.get(name) {
                None | Some(Member::Other(Value::Null)) => {}
                Some(Member::Text(texts)) => texts.split_ascii_whitespace().for_each(one),
                Some(Member::Other(Value::Array(list))) => {
                    for text in list {
                        one(text.as_str().ok_or(wrong("a claim has the wrong type"))?);
                    }
                }
                Some(Member::Other(_)) => return Err(wrong("a claim has the wrong type")),
            }
            Ok(())
        };
        for name in SCOPES {
            add(name)?;
        }
        if !SCOPES.into_iter().any(|name| self.has(name)) {
            add(Name::Roles)?;
        }
        Ok(scopes)
    }

    /// The client that the token was issued to, from the first claim that names one.
    pub(super) fn client_id(&self) -> Result<Option<&str>, Refusal> {
        for name in CLIENT {
            if let Some(client) = self.filled(name)? {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }

    /// Every claim that names the client.
    pub(super) fn clients(&self) -> Vec<String> {
        CLIENT.into_iter().filter_map(|name| self.filled(name).ok().flatten()).map(str::to_owned).collect()
    }

    /// A NumericDate (RFC 7519 section 2): seconds, with a fraction or without.
    pub(super) fn time(&self, name: Name) -> Result<Option<Timestamp>, Refusal> {
        if !self.has(name) {
            return Ok(None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        match self.other(name).and_then(Value::as_f64) {
            Some(seconds) if (0.0..1e11).contains(&seconds) => Ok(Some(Timestamp::from_secs(seconds as i64))),
            _ => Err(wrong("a time claim is no time")),
        }
    }

    /// `exp` is required in every kind of token here; the others where the kind says so.
    pub(super) fn times(&self) -> Result<Times, Refusal> {
        Ok(Times {
            expires_at: self.time(Name::Exp)?.ok_or(wrong("it never expires (exp)"))?,
            not_before: self.time(Name::Nbf)?,
            issued_at: self.time(Name::Iat)?,
        })
    }
}

impl Times {
    /// Whether the token is valid at `now`, with clocks that differ by at most `skew`.
    pub(super) fn check(&self, now: Timestamp, skew: Duration) -> Result<(), Refusal> {
        if now >= self.expires_at.plus(skew) {
            return Err(Refusal::new(RefusalKind::Expired, "it has expired (exp); check this machine's clock"));
        }
        let latest = now.plus(skew).plus(COARSE);
        if self.issued_at.is_some_and(|at| at > latest) {
            let why = "it was issued in the future (iat); check this machine's clock";
            return Err(Refusal::new(RefusalKind::IssuedInFuture, why));
        }
        if self.not_before.is_some_and(|at| at > latest) {
            return Err(Refusal::new(
                RefusalKind::NotYetValid,
                "it is not valid yet (nbf); check this machine's clock",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
