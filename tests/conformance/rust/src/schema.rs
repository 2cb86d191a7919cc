//! Reads the cases, each checked against `schema.json` first.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::Value;

use crate::Verdict;
use crate::case::{Case, Exchange, documents};

/// Every case under `folder/cases`, in order of file and place in it, with the exchanges of its parts
/// (`folder/parts/*.json`) behind its own.
///
/// # Errors
/// Everything that is wrong with the files, a line each.
pub fn load(folder: &Path) -> Verdict<Vec<Case>> {
    let schema = folder.join("schema.json");
    let text = std::fs::read(&schema).map_err(|cause| format!("{}: {cause}", schema.display()))?;
    let schema: Value = serde_json::from_slice(&text).map_err(|cause| format!("schema.json: {cause}"))?;
    let of_case = validator(&schema, None)?;
    let of_part = validator(&schema, Some("part"))?;

    let mut wrong = Vec::new();
    let mut parts: BTreeMap<String, Vec<Exchange>> = BTreeMap::new();
    for (path, document) in documents(&folder.join("parts"))? {
        check(&of_part, &path, &document, &mut wrong);
        match serde_json::from_value::<BTreeMap<String, Vec<Exchange>>>(document) {
            Ok(named) => parts.extend(named),
            Err(cause) => wrong.push(format!("{}: {cause}", path.display())),
        }
    }
    let mut cases = Vec::new();
    let mut names = HashSet::new();
    for (path, document) in documents(&folder.join("cases"))? {
        check(&of_case, &path, &document, &mut wrong);
        let several = match document {
            Value::Array(several) => several,
            one => vec![one],
        };
        for one in several {
            let name = one.get("name").and_then(Value::as_str).unwrap_or("?").to_owned();
            match serde_json::from_value::<Case>(one) {
                Ok(mut case) => {
                    for part in case.parts.clone() {
                        match parts.get(&part) {
                            Some(exchanges) => case.exchanges.extend(exchanges.clone()),
                            None => wrong.push(format!("{}: {name}: no part is called {part}", path.display())),
                        }
                    }
                    cases.push(case);
                }
                Err(cause) => wrong.push(format!("{}: {name}: {cause}", path.display())),
            }
            let room = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with(&format!("{room}/")) {
                wrong.push(format!("{}: {name} must begin with {room}/", path.display()));
            }
            if !names.insert(name.clone()) {
                wrong.push(format!("{}: {name} is there twice", path.display()));
            }
        }
    }
    if wrong.is_empty() { Ok(cases) } else { Err(wrong.join("\n")) }
}

/// The validator of the schema, or of one of its definitions.
fn validator(schema: &Value, definition: Option<&str>) -> Verdict<jsonschema::Validator> {
    let mut schema = schema.clone();
    if let (Some(name), Some(members)) = (definition, schema.as_object_mut()) {
        members.remove("oneOf");
        members.insert("$ref".to_owned(), Value::from(format!("#/$defs/{name}")));
    }
    jsonschema::draft202012::new(&schema).map_err(|cause| format!("schema.json is no schema: {cause}"))
}

fn check(validator: &jsonschema::Validator, path: &Path, document: &Value, wrong: &mut Vec<String>) {
    // A list of cases is checked one by one: "not valid under any of the given schemas" helps nobody.
    let one_by_one = match document {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    };
    for one in one_by_one {
        let name = one.get("name").and_then(Value::as_str).unwrap_or("?");
        for error in validator.iter_errors(one) {
            wrong.push(format!("{}: {name}: at {:?}: {error}", path.display(), error.instance_path().as_str()));
        }
    }
}
