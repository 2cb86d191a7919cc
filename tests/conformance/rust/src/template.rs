//! Fills in what a case cannot know: ports, folders, times, values that the SDK made up, signed tokens.

use std::collections::BTreeMap;

use flyte_auth::Timestamp;
use serde_json::{Map, Value};

use crate::Verdict;
use crate::crypto::Signer;

/// The values of `{{name}}`, and what `$jwt` and `$now` need.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    // Tokens and secrets are among the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Variables {
    /// Sets a value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `text` with every `{{name}}` replaced.
    ///
    /// # Errors
    /// A name that nobody set.
    pub fn text(&self, text: &str) -> Verdict<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or_else(|| format!("an open {{{{ in {text:?}"))?;
            let value = self.get(name).ok_or_else(|| format!("{{{{{name}}}}} is not known at this point"))?;
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The same in every text inside `value`; `{"$now": SECONDS}` becomes a time in seconds, `{"$http_date": SECONDS}`
    /// one in HTTP's form, `{"$jwt": …}` a signed token, `{"$jwks": true}` the key set that verifies it.
    ///
    /// # Errors
    /// As [`Variables::text`]; an unusable `$jwt`.
    pub fn value(&self, value: &Value, now: Timestamp, signer: &Signer) -> Verdict<Value> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.value(item, now, signer)).collect::<Verdict<_>>()?)
            }
            Value::Object(members) => match special(members) {
                Some(("$now", seconds)) => Value::from(now.as_secs() + seconds.as_i64().unwrap_or(0)),
                Some(("$http_date", seconds)) => Value::from(http_date(now.as_secs() + seconds.as_i64().unwrap_or(0))),
                Some(("$jwks", _)) => signer.key_set(),
                Some(("$jwt", spec)) => Value::String(signer.jwt(&self.value(spec, now, signer)?)?),
                _ => {
                    let each = |(name, value): (&String, &Value)| {
                        Ok::<_, String>((self.text(name)?, self.value(value, now, signer)?))
                    };
                    Value::Object(members.iter().map(each).collect::<Verdict<_>>()?)
                }
            },
            other => other.clone(),
        })
    }
}

fn special(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut all = members.iter();
    match (all.next(), all.next()) {
        (Some((name, value)), None) if name.starts_with('$') => Some((name, value)),
        _ => None,
    }
}

/// IMF-fixdate (RFC 9110 section 5.6.7).
pub fn http_date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| String::new(),
        |time| time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_unknown_ones_refused() {
        let mut variables = Variables::default();
        variables.set("flyte", "http://127.0.0.1:1");
        assert_eq!(variables.text("{{flyte}}/a?{{flyte}}").unwrap(), "http://127.0.0.1:1/a?http://127.0.0.1:1");
        assert!(variables.text("{{other}}").unwrap_err().contains("other"));
        assert!(variables.text("{{flyte").is_err());
    }

    #[test]
    fn dates_are_in_the_form_of_http() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
