//! One configuration file into entries: flytectl's and flyte-sdk's YAML, flytekit's YAML and INI.
//!
//! A file that nobody named may not be Flyte's at all (`./config.yaml`): see [`FileData::is_flyte`].

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::keys::{ADMIN_IGNORED, Entry, INI_IGNORED, Key, Layer, ROWS, Raw, Shape, did_you_mean};
use super::yaml::Node;
use super::{Origin, ini, yaml};
use crate::error::{Error, Result, one_line};

/// Larger files are refused: no client's configuration comes near it (1 MiB).
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// Top-level sections that some client reads. Only `admin` and `profiles` matter here.
const SECTIONS: [&str; 13] = [
    "admin", "profiles", "console", "logger", "storage", "task", "image", "root", "files", "local", "union", "otel",
    "platform",
];

/// What a file says.
pub(crate) struct FileData {
    pub(super) path: PathBuf,
    /// `admin.*`, `[platform]`, `[credentials]`.
    pub(crate) admin: Vec<Entry>,
    /// `profiles.<name>.admin.*`.
    pub(crate) profiles: BTreeMap<String, Vec<Entry>>,
    /// Unknown keys and the like.
    pub(crate) warnings: Vec<String>,
    /// There is a section of Flyte's clients about the platform or its auth.
    pub(crate) is_flyte: bool,
}

impl FileData {
    /// SHA-256 over everything that matters to auth, in hex: a changed endpoint or command changes it, a comment, the
    /// logger or the image section does not.
    pub(crate) fn fingerprint(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let all = self.profiles.iter().map(|(name, entries)| (name.as_str(), entries));
        for (profile, entries) in all.chain([("", &self.admin)]) {
            for entry in entries {
                let value = match &entry.raw {
                    Raw::Text(text) => format!("{text:?}"),
                    Raw::Bool(value) => value.to_string(),
                    Raw::List(items) => format!("{items:?}"),
                    Raw::Map(pairs) => format!("{pairs:?}"),
                };
                lines.push(format!("{profile:?} {} {value}", entry.key.name()));
            }
        }
        lines.sort();
        Sha256::digest(lines.join("\n").as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            admin: Vec::new(),
            profiles: BTreeMap::new(),
            warnings: Vec::new(),
            is_flyte: false,
        }
    }
}

/// Reads and parses `path`. `named` is the flag or variable that names it; without one the path itself is the setting
/// of an error.
///
/// # Errors
/// Kind `Config`: `config_unreadable`, `config_too_large`, `config_encoding`, `config_syntax`, `config_type`.
pub(super) fn read(path: &Path, named: Option<&str>) -> Result<FileData> {
    let text = read_text(path, named)?;
    parse(path, named, &text)
}

fn fail(code: &'static str, path: &Path, named: Option<&str>, what: &str) -> Error {
    let shown = path.display().to_string();
    let message = match named {
        Some(named) => format!("{named}: {shown} {what}"),
        None => format!("{shown} {what}"),
    };
    Error::config(code, named.map_or(shown, str::to_owned), message)
}

pub(super) fn read_text(path: &Path, named: Option<&str>) -> Result<String> {
    let next = match named {
        Some(named) => format!("Correct {named}, or leave it out to use the default search"),
        None => "Correct or remove the file".to_owned(),
    };
    let unreadable = |what: &str| fail("config_unreadable", path, named, what).with_next(next.clone());
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => unreadable("does not exist").with_source(error),
        std::io::ErrorKind::PermissionDenied => unreadable("may not be read (permission denied)").with_source(error),
        std::io::ErrorKind::IsADirectory => unreadable("is a directory, not a file").with_source(error),
        _ => unreadable("cannot be read").with_source(error),
    };
    // A FIFO would block for ever in open(); what is no regular file is refused before it is opened.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(unreadable("is a directory, not a file"));
    }
    if !metadata.is_file() {
        return Err(unreadable("is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail("config_too_large", path, named, "is larger than 1 MiB").with_next(next));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        fail("config_encoding", path, named, &format!("line {line}: is not UTF-8")).with_next("Save the file as UTF-8")
    })?;
    if text.contains('\0') {
        return Err(fail("config_encoding", path, named, "holds NUL bytes").with_next("Save the file as UTF-8"));
    }
    Ok(text)
}

/// Parses a file's text: YAML by suffix or by looks, else INI.
pub(crate) fn parse(path: &Path, named: Option<&str>, text: &str) -> Result<FileData> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or("").to_ascii_lowercase();
    let looks_like_ini = || {
        text.lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
            .is_some_and(|line| line.starts_with('[') && line.ends_with(']') && !line.contains([',', '"']))
    };
    let mut file = if !matches!(suffix.as_str(), "yaml" | "yml" | "json") && looks_like_ini() {
        parse_ini(path, named, text)?
    } else {
        parse_yaml(path, named, text)?
    };
    // Warnings name keys of a file that may be a stranger's.
    file.warnings = file.warnings.into_iter().map(one_line).collect();
    Ok(file)
}

fn parse_yaml(path: &Path, named: Option<&str>, text: &str) -> Result<FileData> {
    let root = yaml::parse(text).map_err(|problem| {
        let at = problem.line.map_or(String::new(), |line| format!("line {line}: "));
        fail("config_syntax", path, named, &format!("{at}{}", problem.what))
            .with_next("Correct the file (`flyte-auth configure` prints a block that works)")
    })?;
    let Some(sections) = root.entries() else {
        return Err(fail("config_type", path, named, &format!("must be a mapping of sections, not {}", root.kind())));
    };
    let mut file = FileData::new(path);
    for (name, line, node) in sections {
        match name.as_str() {
            "admin" => {
                file.is_flyte = true;
                let entries = admin(path, named, "admin", *line, node, Layer::File, &mut file.warnings)?;
                file.admin = entries;
            }
            "profiles" => {
                file.is_flyte = true;
                let profiles = mapping(path, named, "profiles", *line, node)?;
                for (profile, line, node) in profiles {
                    let key = format!("profiles.{profile}");
                    let mut entries = Vec::new();
                    for (section, line, node) in mapping(path, named, &key, *line, node)? {
                        if section == "admin" {
                            let key = format!("{key}.admin");
                            entries = admin(path, named, &key, *line, node, Layer::Profile, &mut file.warnings)?;
                        } else if !SECTIONS.contains(&section.as_str()) {
                            file.warnings.push(format!(
                                "{} line {line}: {key}.{section} is not known; auth settings go under {key}.admin",
                                path.display()
                            ));
                        }
                    }
                    file.profiles.insert(profile.clone(), entries);
                }
            }
            known if SECTIONS.contains(&known) => {}
            other => {
                if let Some(meant) = did_you_mean(other, ["admin", "profiles"].into_iter()) {
                    file.is_flyte = true;
                    file.warnings.push(format!(
                        "{} line {line}: unknown section {other:?}, did you mean {meant:?}?",
                        path.display()
                    ));
                }
            }
        }
    }
    Ok(file)
}

fn mapping<'a>(
    path: &Path,
    named: Option<&str>,
    key: &str,
    line: u64,
    node: &'a Node,
) -> Result<&'a [(String, u64, Node)]> {
    node.entries().ok_or_else(|| wrong_type(path, named, key, line, "a mapping", node))
}

fn wrong_type(path: &Path, named: Option<&str>, key: &str, line: u64, expected: &str, node: &Node) -> Error {
    let what = format!("line {line}: {key} must be {expected}, not {}", node.kind());
    fail("config_type", path, named, &what).with_setting(key.to_owned())
}

fn admin(
    path: &Path,
    named: Option<&str>,
    prefix: &str,
    line: u64,
    node: &Node,
    layer: Layer,
    warnings: &mut Vec<String>,
) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, line, node) in mapping(path, named, prefix, line, node)? {
        let key = format!("{prefix}.{name}");
        // flytectl reads keys in any case, flytekit and flyte only in Flyte's own.
        let Some(row) = ROWS.iter().find(|row| !row.yaml.is_empty() && row.yaml.eq_ignore_ascii_case(name)) else {
            if !ADMIN_IGNORED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let known = ROWS.iter().map(|row| row.yaml).filter(|name| !name.is_empty()).chain(ADMIN_IGNORED);
                let hint =
                    did_you_mean(name, known).map_or(String::new(), |meant| format!(", did you mean {meant:?}?"));
                warnings.push(format!("{} line {line}: unknown key {key}{hint}", path.display()));
            }
            continue;
        };
        if row.yaml != name {
            warnings.push(format!(
                "{} line {line}: pyflyte and flyte read {} only as written here, not {name}",
                path.display(),
                row.yaml
            ));
        }
        if entries.iter().any(|entry| entry.key == row.key) {
            return Err(fail("config_syntax", path, named, &format!("line {line}: {key} stands there twice")));
        }
        let raw = raw_value(path, named, &key, *line, node, row.shape)?;
        let origin = Origin::File { path: path.to_owned(), key };
        if let Some(raw) = raw {
            entries.push(Entry { key: row.key, layer, raw, origin });
        }
    }
    entries.retain(|entry| !entry.is_unset());
    // The table's order is that of precedence among the secret's sources; the file's order says nothing.
    entries.sort_by_key(|entry| entry.key);
    Ok(entries)
}

fn raw_value(path: &Path, named: Option<&str>, key: &str, line: u64, node: &Node, shape: Shape) -> Result<Option<Raw>> {
    let wrong = |expected: &str| wrong_type(path, named, key, line, expected, node);
    let text = |node: &Node| match node {
        Node::Text(text) => Some(text.clone()),
        Node::Bool(value) => Some(value.to_string()),
        _ => None,
    };
    Ok(Some(match (shape, node) {
        (_, Node::Null) => return Ok(None),
        (Shape::Bool, Node::Bool(value)) => Raw::Bool(*value),
        (Shape::Bool, Node::Text(value)) if value.trim().is_empty() || super::keys::parse_bool(value).is_some() => {
            Raw::Text(value.clone())
        }
        (Shape::Bool, _) => return Err(wrong("true or false")),
        (Shape::Text, Node::Float(_)) => return Err(wrong("a text; put it in quotes")),
        (Shape::Text, node) => Raw::Text(text(node).ok_or_else(|| wrong("a text"))?),
        (Shape::List, Node::List(items)) => {
            let items = items.iter().map(|item| text(item).ok_or_else(|| wrong("a list of texts")));
            Raw::List(items.collect::<Result<_>>()?)
        }
        // A command in one text would be taken apart in as many ways as there are clients.
        (Shape::List, Node::Text(text)) if text.trim().is_empty() || !key.to_ascii_lowercase().ends_with("command") => {
            Raw::Text(text.clone())
        }
        (Shape::List, _) => return Err(wrong("a list, for example [a, b]")),
        (Shape::Map, Node::Map(pairs)) => {
            let pairs = pairs.iter().map(|(name, line, node)| {
                let value = text(node).or_else(|| matches!(node, Node::Null).then(String::new));
                let key = format!("{key}.{name}");
                value
                    .map(|value| (name.clone(), value))
                    .ok_or_else(|| wrong_type(path, named, &key, *line, "a text", node))
            });
            Raw::Map(pairs.collect::<Result<_>>()?)
        }
        (Shape::Map, _) => return Err(wrong("a mapping of names to texts")),
    }))
}

fn parse_ini(path: &Path, named: Option<&str>, text: &str) -> Result<FileData> {
    let items = ini::parse(text)
        .map_err(|problem| fail("config_syntax", path, named, &format!("line {}: {}", problem.line, problem.what)))?;
    let mut file = FileData::new(path);
    for item in items {
        // flytekit's other sections ([sdk], [images], [s3] …) are not about auth.
        if !matches!(item.section.as_str(), "platform" | "credentials") {
            continue;
        }
        file.is_flyte = true;
        let key = format!("{}.{}", item.section, item.option);
        let Some(row) = ROWS.iter().find(|row| row.ini == key) else {
            if !INI_IGNORED.contains(&key.as_str()) {
                let known = ROWS.iter().map(|row| row.ini).filter(|name| name.starts_with(&item.section));
                let hint =
                    did_you_mean(&key, known).map_or(String::new(), |meant| format!(", did you mean {meant:?}?"));
                file.warnings.push(format!("{}: unknown key {key}{hint}", path.display()));
            }
            continue;
        };
        let value = if row.shape == Shape::List { item.value.replace('\n', ",") } else { item.value };
        let origin = Origin::File { path: path.to_owned(), key };
        file.admin.push(Entry { key: row.key, layer: Layer::File, raw: Raw::Text(value), origin });
    }
    file.admin.retain(|entry| !entry.is_unset());
    file.admin.sort_by_key(|entry| entry.key);
    Ok(file)
}

/// The endpoint that a file's defaults name, without parsing errors: for the warning about two candidates.
pub(super) fn endpoint_entry(file: &FileData) -> Option<&Entry> {
    file.admin.iter().find(|entry| entry.key == Key::Endpoint)
}

#[cfg(test)]
mod tests;
