//! JSON from the network, read strictly: duplicate members, deep nesting, trailing bytes and huge bodies are refused,
//! because two parsers that disagree about one document are how tokens are confused (RFC 8259 section 4, RFC 7515
//! section 5.2 step 4).

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

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
    let bytes = trimmed(bytes)?;
    let problem = Cell::new(None);
    finished(bytes, &problem, Strict::<Whole> { depth: 0, problem: &problem, shape: PhantomData })
}

/// Parses one JSON object by the same rules and keeps only some of its members: `wanted` says where a member of that name
/// goes. The others are checked like the rest and not built, which is most of the cost of a large object.
///
/// # Errors
/// As [`parse_object`].
pub fn parse_members<const N: usize>(
    bytes: &[u8],
    wanted: fn(&str) -> Option<usize>,
) -> Result<[Option<Member<'_>>; N], JsonProblem> {
    let bytes = trimmed(bytes)?;
    let problem = Cell::new(None);
    finished(bytes, &problem, Members { wanted, problem: &problem })
}

/// One member of an object: a text where it stands, if it has no escapes, and anything else built.
#[derive(Debug, Clone, PartialEq)]
pub enum Member<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// Any other value.
    Other(Value),
}

fn trimmed(bytes: &[u8]) -> Result<&[u8], JsonProblem> {
    if bytes.len() > MAX_BYTES {
        return Err(JsonProblem::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonProblem::Empty);
    }
    Ok(bytes)
}

/// Runs `seed` over the whole of `bytes`. serde's errors are texts: what we refuse ourselves is handed past them, in
/// `problem`.
fn finished<'de, S: DeserializeSeed<'de>>(
    bytes: &'de [u8],
    problem: &Cell<Option<JsonProblem>>,
    seed: S,
) -> Result<S::Value, JsonProblem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
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

/// What is made of the JSON that is read, and of what lies within it.
trait Shape<'de> {
    type Value;
    type Inner: Shape<'de>;
    type Array: Default;
    fn scalar(value: impl Into<Value>) -> Self::Value;
    fn text(text: Cow<'de, str>) -> Self::Value;
    fn push(array: &mut Self::Array, item: <Self::Inner as Shape<'de>>::Value);
    fn array(array: Self::Array) -> Self::Value;
    fn object<A: MapAccess<'de>>(members: A, inner: Strict<'_, Self::Inner>) -> Result<Self::Value, A::Error>;
}

/// A [`Value`].
enum Whole {}

/// Nothing: the JSON is only checked.
enum Checked {}

/// A [`Member`].
enum InPlace {}

impl<'de> Shape<'de> for Whole {
    type Value = Value;
    type Inner = Self;
    type Array = Vec<Value>;
    fn scalar(value: impl Into<Value>) -> Value {
        value.into()
    }
    fn text(text: Cow<'de, str>) -> Value {
        Value::String(text.into_owned())
    }
    fn push(array: &mut Vec<Value>, item: Value) {
        array.push(item);
    }
    fn array(array: Vec<Value>) -> Value {
        Value::Array(array)
    }
    fn object<A: MapAccess<'de>>(mut members: A, inner: Strict<'_, Self>) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match map.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(members.next_value_seed(inner)?);
                }
                Entry::Occupied(there) => return Err(twice(inner.problem, there.key())),
            }
        }
        Ok(Value::Object(map))
    }
}

impl<'de> Shape<'de> for InPlace {
    type Value = Member<'de>;
    type Inner = Whole;
    type Array = Vec<Value>;
    fn scalar(value: impl Into<Value>) -> Member<'de> {
        Member::Other(value.into())
    }
    fn text(text: Cow<'de, str>) -> Member<'de> {
        Member::Text(text)
    }
    fn push(array: &mut Vec<Value>, item: Value) {
        array.push(item);
    }
    fn array(array: Vec<Value>) -> Member<'de> {
        Member::Other(Value::Array(array))
    }
    fn object<A: MapAccess<'de>>(members: A, inner: Strict<'_, Whole>) -> Result<Member<'de>, A::Error> {
        Whole::object(members, inner).map(Member::Other)
    }
}

impl<'de> Shape<'de> for Checked {
    type Value = ();
    type Inner = Self;
    type Array = ();
    fn scalar(_: impl Into<Value>) {}
    fn text(_: Cow<'de, str>) {}
    fn push((): &mut (), (): ()) {}
    fn array((): ()) {}
    fn object<A: MapAccess<'de>>(mut members: A, inner: Strict<'_, Self>) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(name) = members.next_key_seed(Name)? {
            names.push(name);
            members.next_value_seed(inner)?;
        }
        names.check(inner.problem)
    }
}

/// Reads any JSON, counting depth and refusing a second member of one name.
struct Strict<'a, S> {
    depth: usize,
    problem: &'a Cell<Option<JsonProblem>>,
    shape: PhantomData<S>,
}

impl<S> Clone for Strict<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Strict<'_, S> {}

impl<'a, S> Strict<'a, S> {
    fn deeper<'de, E: serde::de::Error>(self) -> Result<Strict<'a, S::Inner>, E>
    where
        S: Shape<'de>,
    {
        if self.depth == MAX_DEPTH {
            self.problem.set(Some(JsonProblem::TooDeep));
            return Err(E::custom("too deep"));
        }
        Ok(Strict { depth: self.depth + 1, problem: self.problem, shape: PhantomData })
    }
}

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for Strict<'_, S> {
    type Value = S::Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(S::scalar(Value::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(S::scalar(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(S::scalar(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(S::scalar(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        // Not finite: null, as serde_json has it.
        Ok(S::scalar(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(S::text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(S::text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = S::Array::default();
        while let Some(item) = items.next_element_seed(inner)? {
            S::push(&mut array, item);
        }
        Ok(S::array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        S::object(members, self.deeper()?)
    }
}

/// Keeps some members of one object.
#[derive(Clone, Copy)]
struct Members<'a, const N: usize> {
    wanted: fn(&str) -> Option<usize>,
    problem: &'a Cell<Option<JsonProblem>>,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = [Option<Member<'de>>; N];
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<Member<'de>>; N];
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut kept = [const { None }; N];
        let mut names = Names::default();
        let kept_whole = Strict::<InPlace> { depth: 1, problem: self.problem, shape: PhantomData };
        let checked = Strict::<Checked> { depth: 1, problem: self.problem, shape: PhantomData };
        while let Some(name) = members.next_key_seed(Name)? {
            match (self.wanted)(&name) {
                Some(place) => kept[place] = Some(members.next_value_seed(kept_whole)?),
                None => members.next_value_seed(checked)?,
            }
            names.push(name);
        }
        names.check(self.problem)?;
        Ok(kept)
    }
}

/// A member's name, without a copy where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The names of one object that is not built.
#[derive(Default)]
struct Names<'de>(Vec<Cow<'de, str>>);

impl<'de> Names<'de> {
    fn push(&mut self, name: Cow<'de, str>) {
        if self.0.is_empty() {
            self.0.reserve(16);
        }
        self.0.push(name);
    }

    /// Sorted only where there are many: a claims set has a dozen, an attack has a hundred thousand.
    fn check<E: serde::de::Error>(&mut self, problem: &Cell<Option<JsonProblem>>) -> Result<(), E> {
        const FEW: usize = 24;
        let names = &mut self.0;
        let found = if names.len() <= FEW {
            names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
        } else {
            names.sort_unstable();
            names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0])
        };
        match found {
            Some(name) => Err(twice(problem, name)),
            None => Ok(()),
        }
    }
}

fn twice<E: serde::de::Error>(problem: &Cell<Option<JsonProblem>>, name: &str) -> E {
    let plain = name.len() <= 48 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    problem.set(Some(JsonProblem::Duplicate(plain.then(|| name.to_owned()))));
    E::custom("duplicate member")
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

    #[test]
    fn some_members_by_the_same_rules() {
        fn read(text: &str) -> Result<[Option<Member<'_>>; 2], JsonProblem> {
            parse_members(text.as_bytes(), |name| ["iss", "aud"].iter().position(|one| *one == name))
        }
        let found = read(r#"{"x": {"deep": [1, {"a": "b"}]}, "aud": ["a", 1], "\u0069ss": "i", "n": null}"#).unwrap();
        let list = Member::Other(serde_json::json!(["a", 1]));
        assert_eq!(found, [Some(Member::Text("i".into())), Some(list)]);
        assert_eq!(read("{}").unwrap(), [None, None]);
        // What is refused whole is refused here too, in members that are kept and in those that are not.
        let many: String = (0..40).map(|number| format!("\"m{number}\":1,")).collect();
        for text in [
            r#"{"iss":1,"iss":1}"#,
            r#"{"x":1,"x":1}"#,
            r#"{"x":1,"\u0078":1}"#,
            r#"{"x":{"y":1,"y":1}}"#,
            r#"{"aud":{"y":1,"y":1}}"#,
            r#"{"x":[[{"y":1,"y":1}]]}"#,
            &format!("{{{many}\"m7\":1}}"),
            &format!("{{{many}\"m77\":{{\"a\":1,\"a\":1}}}}"),
            &format!("{{\"x\":{}{}}}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
            &format!("{{\"aud\":{}{}}}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
            "{\"x\":1",
            "{\"x\":\"",
            "{} {}",
            "",
        ] {
            assert_eq!(read(text).map(|_| ()), parse_object(text.as_bytes()).map(|_| ()), "{text}");
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("[]").is_err() && read("\"iss\"").is_err() && read("7").is_err());
        let just = format!("{{\"x\":{}{}}}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
        assert!(read(&just).is_ok() && parse_object(just.as_bytes()).is_ok());
        assert!(read(&format!("{{{many}\"x\":1}}")).is_ok());
    }
}
