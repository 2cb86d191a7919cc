//! Compares one value with what a case wants of it.
//!
//! A text is compared as it is; `null` means absent. An object with one member says more:
//!
//! | matcher | holds for |
//! |---|---|
//! | `{"any": true}` | whatever is there and not empty |
//! | `{"save": "name"}` | the same, and `{{name}}` is that from here on |
//! | `{"words": ["a", "b"]}` | these words, in any order, separated by single spaces |
//! | `{"one_of": ["a", "b"]}` | one of these |
//! | `{"not": "a"}` | anything else |
//! | `{"has": "a"}` | a text with `a` in it |
//! | `{"basic": ["id", "secret"]}` | HTTP Basic, both parts form-decoded (RFC 6749 section 2.3.1) |
//! | `{"basic_raw": "id:secret"}` | HTTP Basic, as it is on the wire once base64 is off |
//! | `{"from_now": SECONDS}` | an RFC 3339 time so far from now, as precisely as the case ran |
//! | `{"list": ["a", "b"]}` | a list of these, in any order |
//! | `{"verifier_of": "challenge"}` | the PKCE verifier of that S256 challenge |

use base64::Engine as _;
use flyte_auth::Timestamp;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::Verdict;
use crate::crypto::s256;
use crate::template::Variables;

/// Names of matchers that are objects.
const NAMES: [&str; 11] =
    ["any", "save", "words", "one_of", "not", "has", "basic", "basic_raw", "from_now", "list", "verifier_of"];

/// When a value was made, at the earliest and at the latest.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The case's start, on the clock as it is set now.
    pub from: Timestamp,
    /// Now.
    pub to: Timestamp,
}

/// What a comparison needs.
pub struct Matching<'a> {
    /// `{{name}}`; `save` adds to it.
    pub variables: &'a mut Variables,
    /// For `from_now`.
    pub window: Window,
}

impl Matching<'_> {
    /// Compares `found` with `wanted`; `what` names it in the reason.
    ///
    /// # Errors
    /// The reason.
    pub fn value(&mut self, what: &str, wanted: &Value, found: Option<&Value>) -> Verdict {
        let found = found.filter(|found| !found.is_null());
        if let Value::Object(members) = wanted {
            return match matcher(members) {
                Some((name, argument)) => self.special(what, name, argument, found),
                None => self.members(what, members, found),
            };
        }
        match (wanted, found) {
            (Value::Null, None) => Ok(()),
            (Value::String(text), Some(Value::String(found))) => {
                let text = self.variables.text(text)?;
                if text == *found { Ok(()) } else { Err(format!("{what} is {found:?}, not {text:?}")) }
            }
            (wanted, Some(found)) if wanted == found => Ok(()),
            (wanted, None) => Err(format!("{what} is absent, not {wanted}")),
            (wanted, Some(found)) => Err(format!("{what} is {found}, not {wanted}")),
        }
    }

    /// A text, for parameters and headers.
    ///
    /// # Errors
    /// The reason.
    pub fn text(&mut self, what: &str, wanted: &Value, found: Option<&str>) -> Verdict {
        self.value(what, wanted, found.map(|text| Value::String(text.to_owned())).as_ref())
    }

    fn members(&mut self, what: &str, wanted: &Map<String, Value>, found: Option<&Value>) -> Verdict {
        let Some(Value::Object(found)) = found else {
            return Err(format!("{what} is {}, not an object", found.unwrap_or(&Value::Null)));
        };
        // `{}` is the object without members (no header where there is no auth).
        if wanted.is_empty() && !found.is_empty() {
            return Err(format!("{what} has members: {:?}", found.keys().collect::<Vec<_>>()));
        }
        for (name, wanted) in wanted {
            self.value(&format!("{what}.{name}"), wanted, found.get(name))?;
        }
        Ok(())
    }

    fn special(&mut self, what: &str, name: &str, argument: &Value, found: Option<&Value>) -> Verdict {
        let Some(found) = found else { return Err(format!("{what} is absent, not {{{name:?}: {argument}}}")) };
        let text = found.as_str().unwrap_or_default();
        let strings = |value: &Value, variables: &Variables| -> Verdict<Vec<String>> {
            let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            items.map(|item| variables.text(item)).collect()
        };
        let holds = match name {
            "any" => *found != Value::String(String::new()),
            "save" => {
                self.variables.set(argument.as_str().unwrap_or_default(), text);
                !text.is_empty()
            }
            "words" | "list" => {
                let mut wanted = strings(argument, self.variables)?;
                let mut words: Vec<String> = match found {
                    Value::Array(_) if name == "list" => strings(found, &Variables::default())?,
                    Value::String(text) if name == "words" => text.split(' ').map(str::to_owned).collect(),
                    _ => return Err(format!("{what} is {found}, of another type than {name}")),
                };
                wanted.sort();
                words.sort();
                wanted == words
            }
            "one_of" => strings(argument, self.variables)?.iter().any(|one| one == text),
            "not" => text != self.variables.text(argument.as_str().unwrap_or_default())?,
            "has" => text.contains(&self.variables.text(argument.as_str().unwrap_or_default())?),
            "basic" => {
                let wanted = strings(argument, self.variables)?;
                let parts = basic(text).and_then(|raw| {
                    let (id, secret) = raw.split_once(':')?;
                    Some(vec![form_decoded(id), form_decoded(secret)])
                });
                parts.is_some_and(|parts| parts == wanted)
            }
            "verifier_of" => s256(text) == self.variables.text(argument.as_str().unwrap_or_default())?,
            "basic_raw" => basic(text).as_deref() == argument.as_str(),
            "from_now" => return self.seconds_from_now(what, argument.as_i64().unwrap_or_default(), text),
            _ => return Err(format!("no matcher is called {name}")),
        };
        // The header may hold a secret, but only the case's own.
        if holds { Ok(()) } else { Err(format!("{what} is {found}, which is not {{{name:?}: {argument}}}")) }
    }

    fn seconds_from_now(&self, what: &str, seconds: i64, text: &str) -> Verdict {
        let Some(time) = Timestamp::parse_rfc3339(text) else {
            return Err(format!("{what} is {text:?}, not a time in RFC 3339"));
        };
        // Whole seconds are rounded, and the two clocks are read at their own moments.
        let (earliest, latest) = (self.window.from.as_secs() + seconds - 2, self.window.to.as_secs() + seconds + 2);
        if (earliest..=latest).contains(&time.as_secs()) {
            return Ok(());
        }
        Err(format!("{what} is {} s from now, not {seconds} s", time.as_secs() - self.window.to.as_secs()))
    }
}

fn matcher(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = members.iter().next().filter(|_| members.len() == 1)?;
    NAMES.contains(&name.as_str()).then_some((name.as_str(), argument))
}

fn basic(header: &str) -> Option<String> {
    let encoded = header.strip_prefix("Basic ")?;
    let raw = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    String::from_utf8(raw).ok()
}

fn form_decoded(text: &str) -> String {
    form_urlencoded::parse(format!("x={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(wanted: Value, found: Option<Value>) -> Verdict {
        let mut variables = Variables::default();
        let now = Timestamp::from_secs(1_000);
        let window = Window { from: now, to: now };
        Matching { variables: &mut variables, window }.value("it", &wanted, found.as_ref())
    }

    #[test]
    fn every_matcher_can_fail() {
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("a%3Ab:c+d"));
        let table = [
            (json!("a"), json!("a"), json!("b")),
            (json!(null), json!(null), json!("b")),
            (json!({"any": true}), json!("x"), json!("")),
            (json!({"save": "n"}), json!("x"), json!("")),
            (json!({"words": ["a", "b"]}), json!("b a"), json!("a b c")),
            (json!({"one_of": ["a", "b"]}), json!("b"), json!("c")),
            (json!({"not": "a"}), json!("b"), json!("a")),
            (json!({"has": "ell"}), json!("hello"), json!("hallo")),
            (json!({"basic": ["a:b", "c d"]}), json!(basic), json!("Basic YTpi")),
            (json!({"basic_raw": "a%3Ab:c+d"}), json!(basic), json!("Basic YTpi")),
            (json!({"from_now": 60}), json!("1970-01-01T00:17:40Z"), json!("1970-01-01T00:18:40Z")),
            (json!({"verifier_of": s256("v")}), json!("v"), json!("w")),
            (json!({"list": ["a", "b"]}), json!(["b", "a"]), json!(["a"])),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), json!({"b": 2})),
            (json!({}), json!({}), json!({"b": 2})),
        ];
        for (wanted, good, bad) in table {
            assert_eq!(check(wanted.clone(), Some(good)), Ok(()), "{wanted}");
            assert!(check(wanted.clone(), Some(bad)).is_err(), "{wanted}");
            assert_eq!(check(wanted.clone(), None).is_ok(), wanted.is_null(), "{wanted}");
        }
    }
}
