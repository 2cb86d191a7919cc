//! Claims of a JWT (RFC 7519 section 4), read by type: a claim of the wrong type refuses the token.

use std::time::Duration;

use serde_json::{Map, Value};

use super::refusal::{Refusal, RefusalKind};
use crate::clock::Timestamp;

/// How wrong the two clocks may be, unless said otherwise.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Claims that name the client: RFC 9068, OpenID Connect's authorized party, Okta's, Entra's first version.
const CLIENT: [&str; 4] = ["client_id", "azp", "cid", "appid"];
/// Scopes: RFC 9068 and RFC 8693, then Okta, Entra and flyteadmin.
const SCOPES: [&str; 2] = ["scope", "scp"];
/// What Entra writes in place of scopes where no user is involved.
const ROLES: &str = "roles";

/// Reads one claim after the other.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

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
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Absent and `null` are the same.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong("a claim has the wrong type")),
        }
    }

    /// A text that says something: an empty one is absent.
    pub(super) fn filled(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// `sub`: at most 255 characters (OpenID Connect Core section 2).
    pub(super) fn subject(&self) -> Result<Option<&'a str>, Refusal> {
        match self.filled("sub")? {
            Some(subject) if subject.len() > 255 => Err(wrong("its subject is too long (sub)")),
            subject => Ok(subject),
        }
    }

    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), Refusal> {
        match self.text("iss")? {
            Some(found) if found == issuer => Ok(()),
            Some(_) => Err(Refusal::new(RefusalKind::Issuer, "it is of another issuer")),
            None => Err(Refusal::new(RefusalKind::Issuer, "it names no issuer (iss)")),
        }
    }

    /// `aud`: a text, or a list of texts.
    pub(super) fn audience(&self) -> Result<Vec<&'a str>, Refusal> {
        let texts = match self.0.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(list)) => list
                .iter()
                .map(|one| one.as_str().ok_or(wrong("a claim has the wrong type")))
                .collect::<Result<_, _>>()?,
            Some(Value::Null) | None => Vec::new(),
            Some(_) => return Err(wrong("a claim has the wrong type")),
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
        let mut add = |name: &str| -> Result<(), Refusal> {
            let mut one = |text: &str| {
                if !scopes.iter().any(|scope| scope == text) {
                    scopes.push(text.to_owned());
                }
            };
            match self.0.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(texts)) => texts.split_ascii_whitespace().for_each(one),
                Some(Value::Array(list)) => {
                    for text in list {
                        one(text.as_str().ok_or(wrong("a claim has the wrong type"))?);
                    }
                }
                Some(_) => return Err(wrong("a claim has the wrong type")),
            }
            Ok(())
        };
        for name in SCOPES {
            add(name)?;
        }
        if !SCOPES.iter().any(|name| self.has(name)) {
            add(ROLES)?;
        }
        Ok(scopes)
    }

    /// The client that the token was issued to, from the first claim that names one.
    pub(super) fn client_id(&self) -> Result<Option<&'a str>, Refusal> {
        for name in CLIENT {
            if let Some(client) = self.filled(name)? {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }

    /// Every claim that names the client.
    pub(super) fn clients(&self) -> Vec<String> {
        CLIENT.iter().filter_map(|name| self.filled(name).ok().flatten()).map(str::to_owned).collect()
    }

    /// A NumericDate (RFC 7519 section 2): seconds, with a fraction or without.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..1e11).contains(&seconds) => Ok(Some(Timestamp::from_secs(seconds as i64))),
                _ => Err(wrong("a time claim is no time")),
            },
        }
    }

    /// `exp` is required in every kind of token here; the others where the kind says so.
    pub(super) fn times(&self) -> Result<Times, Refusal> {
        Ok(Times {
            expires_at: self.time("exp")?.ok_or(wrong("it never expires (exp)"))?,
            not_before: self.time("nbf")?,
            issued_at: self.time("iat")?,
        })
    }
}

impl Times {
    /// Whether the token is valid at `now`, with clocks that differ by at most `skew`.
    pub(super) fn check(&self, now: Timestamp, skew: Duration) -> Result<(), Refusal> {
        if now >= self.expires_at.plus(skew) {
            return Err(Refusal::new(RefusalKind::Expired, "it has expired (exp); check this machine's clock"));
        }
        let latest = now.plus(skew);
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
