//! JSON from the network, read strictly: duplicate members, deep nesting, trailing bytes and huge bodies are refused,
//! because two parsers that disagree about one document are how tokens are confused (RFC 8259 section 4, RFC 7515
//! section 5.2 step 4).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Arrays and objects inside each other beyond this are refused.
pub const MAX_DEPTH: usize = 32;
/// Longer texts are refused (1 MiB), whatever the transport let through.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Why a text is not the JSON object that was expected. Says nothing of the text itself but a plain member name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// Nothing, or only white space.
    #[error("it is empty")]
    Empty,
    /// More than [`MAX_BYTES`].
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// Ends in the middle.
    #[error("the JSON is cut off")]
    Truncated,
    /// Not JSON (position: line and column, both from 1).
    #[error("it is not JSON (line {line}, column {column})")]
    Syntax {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// More than [`MAX_DEPTH`] arrays and objects inside each other.
    #[error("the JSON is nested too deeply")]
    TooDeep,
    /// A member occurs twice. The name is given only where it is plain letters and underscores.
    #[error("the JSON member {} occurs twice", .0.as_deref().unwrap_or("(unprintable)"))]
    Duplicate(Option<String>),
    /// JSON, but no object; what it is instead, for example `an array`.
    #[error("it is {0} instead of a JSON object")]
    NotAnObject(&'static str),
}

/// Parses one JSON object.
///
/// # Errors
/// [`JsonProblem`] for everything that is not exactly one object in UTF-8 (a leading byte order mark is skipped, as
/// RFC 8259 section 8.1 allows).
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonProblem> {
    match parse_value(bytes)? {
        Value::Object(map) => Ok(map),
        Value::Null => Err(JsonProblem::NotAnObject("null")),
        Value::Bool(_) => Err(JsonProblem::NotAnObject("a boolean")),
        Value::Number(_) => Err(JsonProblem::NotAnObject("a number")),
        Value::String(_) => Err(JsonProblem::NotAnObject("a string")),
        Value::Array(_) => Err(JsonProblem::NotAnObject("an array")),
    }
}

/// Parses one JSON value of any type by the same rules.
///
/// # Errors
/// As [`parse_object`].
pub fn parse_value(bytes: &[u8]) -> Result<Value, JsonProblem> {
    if bytes.len() > MAX_BYTES {
        return Err(JsonProblem::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonProblem::Empty);
    }
    // serde's errors are texts: what we refuse ourselves is handed past them.
    let problem = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict { depth: 0, problem: &problem }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| {
        problem.take().unwrap_or_else(|| {
            if error.is_eof() {
                JsonProblem::Truncated
            } else {
                JsonProblem::Syntax { line: error.line(), column: error.column() }
            }
        })
    })
}

/// Builds a [`Value`], counting depth and refusing a second member of one name.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    problem: &'a Cell<Option<JsonProblem>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            self.problem.set(Some(JsonProblem::TooDeep));
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match map.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(members.next_value_seed(inner)?);
                }
                Entry::Occupied(there) => {
                    let name = there.key();
                    let plain = name.len() <= 48 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
                    self.problem.set(Some(JsonProblem::Duplicate(plain.then(|| name.clone()))));
                    return Err(A::Error::custom("duplicate member"));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_send() {
        let map = parse_object(b"\xef\xbb\xbf {\"a\":[1,-2,1.5,null,true,\"x\\u00e9\"],\"b\":{\"a\":{}}}\r\n").unwrap();
        assert_eq!(map["a"], serde_json::json!([1, -2, 1.5, null, true, "x\u{e9}"]));
        assert_eq!(map["b"], serde_json::json!({"a": {}}));
    }

    #[test]
    fn refuses_the_rest() {
        let deep = |n: usize| format!("{}{}", "{\"a\":".repeat(n), "1") + &"}".repeat(n);
        assert!(parse_object(deep(MAX_DEPTH).as_bytes()).is_ok());
        let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
        let many = "[".repeat(100_000);
        let duplicate = |name: &str| JsonProblem::Duplicate(Some(name.to_owned()));
        for (text, expected) in [
            ("", JsonProblem::Empty),
            (" \n", JsonProblem::Empty),
            ("[]", JsonProblem::NotAnObject("an array")),
            ("null", JsonProblem::NotAnObject("null")),
            ("\"x\"", JsonProblem::NotAnObject("a string")),
            ("3", JsonProblem::NotAnObject("a number")),
            ("true", JsonProblem::NotAnObject("a boolean")),
            ("{\"a\":", JsonProblem::Truncated),
            ("{\"a\":\"x", JsonProblem::Truncated),
            ("{", JsonProblem::Truncated),
            ("<!doctype html>", JsonProblem::Syntax { line: 1, column: 1 }),
            ("{} {}", JsonProblem::Syntax { line: 1, column: 4 }),
            ("{\"issuer\":1,\"issuer\":1}", duplicate("issuer")),
            ("{\"k\":[{\"a\":1,\"\\u0061\":2}]}", duplicate("a")),
            ("{\"eyJhbGciOiJ9.x\":1,\"eyJhbGciOiJ9.x\":1}", JsonProblem::Duplicate(None)),
            (deep(MAX_DEPTH + 1).as_str(), JsonProblem::TooDeep),
            (many.as_str(), JsonProblem::TooDeep),
            (huge.as_str(), JsonProblem::TooLarge),
        ] {
            assert_eq!(parse_object(text.as_bytes()), Err(expected), "{}", &text[..text.len().min(40)]);
        }
        assert!(matches!(parse_object(b"{\"a\":\"\xff\"}"), Err(JsonProblem::Syntax { .. })));
    }
}
