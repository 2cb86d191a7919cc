//! YAML text into a small tree that keeps line numbers. Typed errors name the line and never quote a value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A node. Scalars keep their text where YAML would make a number of them. No `Debug`: a value may be a secret.
#[derive(Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Text(String),
    /// A number whose text is lost (`1.50`): an error where a text is wanted.
    Float(f64),
    List(Vec<Node>),
    Map(Vec<(String, u64, Node)>),
}

impl Node {
    /// Entries of a mapping as name, line (1-based), value; an empty value (`admin:`) has none.
    pub(super) fn entries(&self) -> Option<&[(String, u64, Node)]> {
        match self {
            Self::Map(entries) => Some(entries),
            Self::Null => Some(&[]),
            _ => None,
        }
    }

    /// The value of a key of a mapping.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(key, ..)| key == name).map(|(.., node)| node)
    }

    /// What it is, for "must be a mapping, not …".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "true or false",
            Self::Text(_) => "a text",
            Self::Float(_) => "a number",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }
    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }
    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, Spanned<Node>>()? {
            entries.push((key, value.referenced.line(), value.value));
        }
        Ok(Node::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// Why a text is not YAML: the line where known (1-based), and words that quote nothing of the file but key names.
pub(super) struct Problem {
    pub(super) line: Option<u64>,
    pub(super) what: String,
}

/// Parses one document. Anchors, aliases and merge keys work, within the library's limits on expansion; duplicate keys
/// and further documents are errors.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        with_snippet: false,
        // A configuration has some dozens of nodes: these limits stop an alias bomb at once.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000, max_replay_stack_depth: 16 },
        emit_comments: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(text, &error))
}

fn problem(text: &str, error: &serde_saphyr::Error) -> Problem {
    let mut line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    // The scanner notices a tab on its line or on one beside it.
    let first = usize::try_from(line.unwrap_or(1)).unwrap_or(1).saturating_sub(2);
    let tab = text.lines().enumerate().skip(first).take(4).find(|(_, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.contains('\t')
    });
    if let Some((index, _)) = tab {
        line = Some(index as u64 + 1);
    }
    let mut original = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error, .. } = original {
        original = error;
    }
    let what = match original {
        _ if tab.is_some() => "a tab in the indentation; YAML allows spaces only".to_owned(),
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("the key {key:?} stands there twice"),
            None => "a key stands there twice".to_owned(),
        },
        serde_saphyr::Error::MultipleDocuments { .. } => "more than one document (---) in the file".to_owned(),
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayCounterOverflow { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasExpansionLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => {
            "nesting, aliases or size beyond any sane configuration".to_owned()
        }
        serde_saphyr::Error::UnknownAnchor { .. } => "an alias (*name) without its anchor (&name)".to_owned(),
        _ => "it is not valid YAML".to_owned(),
    };
    Problem { line, what }
}
