//! Files, globs, folders and standard input into one tree, as flyteadmin takes `--config`: keys without regard to case,
//! mappings merged, lists and scalars replaced (`flytestdlib/config/viper`).

use std::fmt;
use std::path::{Path, PathBuf};

use flyte_auth::error::{Error, Result};
use serde_json::{Map, Value};

/// A larger file is no configuration.
const LARGEST: u64 = 4 * 1024 * 1024;
/// A tree that is deeper than this is no configuration either.
const DEEPEST: usize = 32;
/// Sections that are ours to judge; what services behind read may have keys that differ in case only.
pub(super) const OURS: [&str; 4] = ["server", "auth", "secrets", "gateway"];

/// One `--config`.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, a glob, or a folder with files named `*.yaml`, `*.yml` or `*.json`.
    Path(PathBuf),
    /// What came on standard input.
    Stdin(Vec<u8>),
}

impl fmt::Debug for Source {
    // A configuration may hold what should not be in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stdin(text) => write!(f, "Stdin({} bytes)", text.len()),
        }
    }
}

/// What was read.
pub(super) struct Read {
    pub(super) tree: Map<String, Value>,
    pub(super) files: Vec<PathBuf>,
}

fn failed(place: &str, why: impl fmt::Display) -> Error {
    Error::config("config_unreadable", "--config", format!("{place} cannot be read: {why}"))
        .with_next("Name a YAML file, a glob, or a folder of them")
}

fn parse(place: &str, text: &[u8]) -> Result<Map<String, Value>> {
    if text.len() as u64 > LARGEST {
        return Err(failed(place, "it is larger than 4 MiB"));
    }
    let text = std::str::from_utf8(text).map_err(|_| failed(place, "it is not UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let wrong = |what: String| {
        Error::config("config_malformed", "--config", format!("{place} is not a configuration: {what}"))
            .with_next("Check its YAML: two spaces a level, no tabs, no key twice")
    };
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        with_snippet: false,
        // A configuration has some hundreds of nodes: these limits stop an alias bomb at once.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000, max_replay_stack_depth: 16 },
        emit_comments: false,
        // A secret or an id of digits stays what was written.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // The whole message may quote the file: only where it is.
        let at = error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        wrong(format!("its YAML is wrong{}", at.unwrap_or_default()))
    })?;
    if depth(&value) > DEEPEST {
        return Err(wrong("it is nested too deeply".to_owned()));
    }
    let tree = match value {
        Value::Object(tree) => tree,
        Value::Null => Map::new(),
        _ => return Err(wrong("its top is not a mapping".to_owned())),
    };
    let ours = |key: &String| OURS.iter().any(|section| section.eq_ignore_ascii_case(key));
    let spelled_twice =
        twice(&tree).or_else(|| tree.iter().filter(|(key, _)| ours(key)).find_map(|(_, below)| twice_below(below)));
    match spelled_twice {
        // viper takes either, by chance; `useAuth` and `USEAUTH` must not be decided so.
        Some(key) => Err(wrong(format!("the key {key} stands there twice; keys are the same in any case"))),
        None => Ok(tree),
    }
}

/// A key that a mapping has in two spellings.
fn twice(members: &Map<String, Value>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    members.keys().find(|key| !seen.insert(key.to_ascii_lowercase())).cloned()
}

fn twice_below(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => twice(members).or_else(|| members.values().find_map(twice_below)),
        Value::Array(items) => items.iter().find_map(twice_below),
        _ => None,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        _ => 1,
    }
}

/// Lays `over` on `under`; of two spellings of a key that differ in case the present one stays.
fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        let known = under.keys().find(|known| known.eq_ignore_ascii_case(&key)).cloned().unwrap_or(key);
        match (under.get_mut(&known), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            // `key:` with nothing below changes nothing.
            (Some(_), Value::Null) => {}
            (_, value) => {
                under.insert(known, value);
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Map<String, Value>> {
    let place = path.display().to_string();
    let known = std::fs::metadata(path).map_err(|error| failed(&place, error))?;
    if !known.is_file() {
        return Err(failed(&place, "it is no file"));
    }
    if known.len() > LARGEST {
        return Err(failed(&place, "it is larger than 4 MiB"));
    }
    parse(&place, &std::fs::read(path).map_err(|error| failed(&place, error))?)
}

fn is_config(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    path.is_file() && matches!(extension.to_ascii_lowercase().as_str(), "yaml" | "yml" | "json")
}

/// The files that a path names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let place = path.display().to_string();
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| failed(&place, error))?;
        let mut found: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_config(path)).collect();
        found.sort();
        return if found.is_empty() { Err(failed(&place, "there is no YAML file in the folder")) } else { Ok(found) };
    }
    if path.exists() || !place.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let matches = glob::glob(&place).map_err(|error| failed(&place, error))?;
    let found: Vec<PathBuf> = matches.filter_map(std::result::Result::ok).filter(|path| path.is_file()).collect();
    if found.is_empty() { Err(failed(&place, "no file matches")) } else { Ok(found) }
}

pub(super) fn read(sources: &[Source]) -> Result<Read> {
    let mut read = Read { tree: Map::new(), files: Vec::new() };
    for source in sources {
        match source {
            Source::Stdin(text) => merge(&mut read.tree, parse("standard input", text)?),
            Source::Path(path) => {
                for file in files(path)? {
                    merge(&mut read.tree, read_file(&file)?);
                    read.files.push(file);
                }
                // A file that is added to a folder is a change too.
                if path.is_dir() {
                    read.files.push(path.clone());
                }
            }
        }
    }
    Ok(read)
}
