//! Reads keys of the tree one by one, notes what becomes of each, and finds those that nobody read.

use std::collections::BTreeSet;
use std::time::Duration;

use flyte_auth::error::{Error, Result};
use serde_json::{Map, Value};
use url::Url;

use super::duration;
use super::report::{Row, Verdict};

/// In place of a secret.
pub(super) const MASKED: &str = "***";

/// Keys that hold further keys.
const SECTIONS: [&str; 16] = [
    "server",
    "server.security",
    "server.security.ssl",
    "server.grpc",
    "auth",
    "auth.userAuth",
    "auth.userAuth.openId",
    "auth.userAuth.cookieSetting",
    "auth.appAuth",
    "auth.appAuth.selfAuthServer",
    "auth.appAuth.externalAuthServer",
    "auth.appAuth.externalAuthServer.introspection",
    "auth.appAuth.thirdPartyConfig",
    "auth.appAuth.thirdPartyConfig.flyteClient",
    "secrets",
    "gateway",
];

pub(super) struct Reader {
    tree: Map<String, Value>,
    rows: Vec<Row>,
    /// In lower case: keys that were asked for, whether they are there or not.
    asked: BTreeSet<String>,
    known: Vec<&'static str>,
}

/// A value in words: texts as they are, lists joined.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(members) => format!("{} entries", members.len()),
        other => other.to_string(),
    }
}

/// The value of a key whose meaning nobody here knows: it may be a secret.
fn outline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("{} entries", items.len()),
        Value::Null | Value::Bool(_) | Value::Object(_) => shown(value),
        Value::String(_) | Value::Number(_) => MASKED.to_owned(),
    }
}

pub(super) fn wrong(key: &str, what: impl std::fmt::Display, next: &str) -> Error {
    Error::config("setting_invalid", key, format!("{key} {what}")).with_next(next)
}

/// A member of a mapping by its name, in any case.
pub(super) fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl Reader {
    /// # Errors
    /// A section is there and is no mapping: its keys would silently have their defaults.
    pub(super) fn new(tree: Map<String, Value>) -> Result<Self> {
        let reader = Self { tree, rows: Vec::new(), asked: BTreeSet::new(), known: Vec::new() };
        match SECTIONS.iter().find(|section| reader.find(section).is_some_and(|value| !value.is_object())) {
            Some(section) => Err(wrong(section, "is no mapping", "Write its keys below it, two spaces further in")),
            None => Ok(reader),
        }
    }

    fn find(&self, key: &str) -> Option<&Value> {
        let mut value = None;
        let mut members = &self.tree;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            value = member(members, part);
            if parts.peek().is_some() {
                members = value?.as_object()?;
            }
        }
        value.filter(|value| !value.is_null())
    }

    /// The value of a key, which counts as read with everything below it.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value> {
        self.asked.insert(key.to_ascii_lowercase());
        self.known.push(key);
        self.find(key).cloned()
    }

    /// Whether it is set at all.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether it stands there with nothing as its value.
    pub(super) fn is_null(&self, key: &str) -> bool {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let members = if section.is_empty() { Some(&self.tree) } else { self.find(section).and_then(Value::as_object) };
        members.and_then(|members| member(members, name)).is_some_and(Value::is_null)
    }

    /// Says what becomes of a key; of two verdicts on one the graver stays.
    pub(super) fn note(&mut self, key: &str, verdict: Verdict, value: impl Into<String>, note: &str) {
        match self.rows.iter_mut().find(|row| row.key == key) {
            Some(row) if row.verdict <= verdict => {
                row.verdict = verdict;
                note.clone_into(&mut row.note);
            }
            Some(_) => {}
            None => self.rows.push(Row { key: key.to_owned(), verdict, value: value.into(), note: note.to_owned() }),
        }
    }

    /// A value that does what flyteadmin does with it.
    fn honoured(&mut self, key: &'static str) -> Option<Value> {
        let value = self.value(key)?;
        self.note(key, Verdict::Honoured, shown(&value), "");
        Some(value)
    }

    /// A value that has another meaning here.
    pub(super) fn differs(&mut self, key: &'static str, note: &str) {
        if let Some(value) = self.value(key) {
            self.note(key, Verdict::DiffersOnPurpose, shown(&value), note);
        }
    }

    /// A section that another setting makes idle, with everything below it; `keys`: those below it that a misspelt key
    /// may have meant.
    pub(super) fn idle(&mut self, key: &'static str, keys: &[&'static str], note: &str) {
        self.known.extend(keys);
        self.asked.insert(key.to_ascii_lowercase());
        if let Some(value) = self.find(key).filter(|value| value.as_object().is_none_or(|below| !below.is_empty())) {
            let outline = outline(value);
            self.note(key, Verdict::Ignored, outline, note);
        }
    }

    /// A key that has no meaning here.
    pub(super) fn ignored(&mut self, key: &'static str, note: &str) {
        if let Some(value) = self.value(key) {
            self.note(key, Verdict::Ignored, shown(&value), note);
        }
    }

    pub(super) fn text(&mut self, key: &'static str, default: &str) -> Result<String> {
        Ok(self.optional(key)?.unwrap_or_else(|| default.to_owned()))
    }

    /// A text; empty counts as absent.
    pub(super) fn optional(&mut self, key: &'static str) -> Result<Option<String>> {
        match self.honoured(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(wrong(key, "is no text", "Write one value in quotes")),
        }
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool> {
        match self.honoured(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(wrong(key, "is neither true nor false", "Write true or false")),
        }
    }

    /// A list of texts; a single text is a list of one, as for viper.
    pub(super) fn list(&mut self, key: &'static str, default: &[&str]) -> Result<Vec<String>> {
        match self.honoured(key) {
            None => Ok(default.iter().map(|text| (*text).to_owned()).collect()),
            Some(value) => texts(&value).ok_or_else(|| wrong(key, "is no list of texts", "Write a list: [one, two]")),
        }
    }

    pub(super) fn duration(&mut self, key: &'static str, default: Duration) -> Result<Duration> {
        let next = "Write a duration of at least 1s as Go does: 30m, 1h30m, 45s";
        let parsed = match self.honoured(key) {
            None => return Ok(default),
            Some(Value::String(text)) => duration::parse(&text),
            Some(Value::Number(number)) => number.as_u64().map(Duration::from_secs),
            Some(_) => None,
        };
        parsed
            .filter(|duration| *duration >= Duration::from_secs(1))
            .ok_or_else(|| wrong(key, "is no such duration", next))
    }

    /// As [`Reader::duration`], where nothing at all is a duration too.
    pub(super) fn duration_or_zero(&mut self, key: &'static str, default: Duration) -> Result<Duration> {
        let parsed = match self.honoured(key) {
            None => return Ok(default),
            Some(Value::String(text)) => duration::parse(&text),
            Some(Value::Number(number)) => number.as_u64().map(Duration::from_secs),
            Some(_) => None,
        };
        parsed.ok_or_else(|| wrong(key, "is no duration", "Write a duration as Go does: 500ms, 1s"))
    }

    /// Shows `value` for a key in place of what it holds.
    pub(super) fn mask(&mut self, key: &str, value: &str) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            value.clone_into(&mut row.value);
        }
    }

    pub(super) fn number(&mut self, key: &'static str, default: u64, most: u64) -> Result<u64> {
        let parsed = match self.honoured(key) {
            None => return Ok(default),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let next = format!("Write a whole number from 0 to {most}");
        parsed.filter(|number| *number <= most).ok_or_else(|| wrong(key, "is no such number", &next))
    }

    pub(super) fn port(&mut self, key: &'static str, default: u16) -> Result<u16> {
        let number = self.number(key, u64::from(default), u64::from(u16::MAX))?;
        Ok(u16::try_from(number).unwrap_or(default))
    }

    /// Takes a whole section out of what is looked through.
    pub(super) fn ignore_section(&mut self, name: &str, note: &str) {
        let known = self.tree.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
        if let Some(value) = known.as_ref().and_then(|key| self.tree.remove(key)) {
            self.note(known.as_deref().unwrap_or(name), Verdict::Ignored, outline(&value), note);
        }
    }

    /// Top-level keys that are none of `known` and no misspelling of one.
    pub(super) fn other_sections(&self, known: &[&str]) -> Vec<String> {
        let meant = |key: &String| known.iter().any(|known| distance(known, key) <= 1 + known.len() / 5);
        self.tree.keys().filter(|key| !meant(key)).cloned().collect()
    }

    /// The known key that an unknown one was most likely meant to be.
    fn meant(&self, key: &str) -> Option<&'static str> {
        let nearest = self.known.iter().copied().min_by_key(|known| distance(known, key));
        let nearest = nearest.filter(|known| distance(known, key) <= 3 + key.len() / 10);
        nearest.or_else(|| self.moved(key))
    }

    /// The one known key that ends as `key` does: a section stands on the wrong level.
    fn moved(&self, key: &str) -> Option<&'static str> {
        let key = key.to_ascii_lowercase();
        let mut tail = key.as_str();
        while let Some((_, shorter)) = tail.split_once('.') {
            tail = shorter;
            let ending = format!(".{tail}");
            let mut ends_so = self.known.iter().filter(|known| known.to_ascii_lowercase().ends_with(&ending));
            match (ends_so.next(), ends_so.next()) {
                (Some(known), None) => return Some(known),
                (Some(_), Some(_)) => return None,
                (None, _) => {}
            }
        }
        None
    }

    /// What became of every key, with those that nobody asked for.
    pub(super) fn finish(mut self) -> Vec<Row> {
        let mut unknown = Vec::new();
        leaves(&self.tree, "", &self.asked, &mut unknown);
        for (key, value) in unknown {
            let note = match self.meant(&key) {
                Some(known) => format!("nobody reads it; did you mean {known}?"),
                None => "nobody reads it".to_owned(),
            };
            self.note(&key, Verdict::Unknown, value, &note);
        }
        self.rows
    }
}

/// The leaves that are neither asked for nor below something that was, with the outline of their values.
fn leaves(members: &Map<String, Value>, path: &str, asked: &BTreeSet<String>, found: &mut Vec<(String, String)>) {
    for (name, value) in members {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let is_section = || SECTIONS.iter().any(|section| section.eq_ignore_ascii_case(&key));
        if asked.contains(&key.to_ascii_lowercase()) {
            continue;
        }
        match value {
            Value::Object(members) if !members.is_empty() => leaves(members, &key, asked, found),
            // A section with nothing in it says nothing.
            Value::Object(_) | Value::Null if is_section() => {}
            value => found.push((key, outline(value))),
        }
    }
}

/// Levenshtein's distance, without regard to case.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

/// A text or a list of texts.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

/// An absolute http or https address without user, query and fragment.
pub(super) fn web_address(key: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.filter(|url| url.query().is_none() && url.fragment().is_none()).ok_or_else(|| {
        wrong(key, "is no web address", "Write a whole address without query: https://flyte.example.com")
    })
}
