//! The block that makes `pyflyte`, `flyte` and `flytectl` ask this program for their token, and its place in a file.
//!
//! The file is edited as text: comments, order and every other setting stay as they are. What cannot be edited safely
//! (an `admin` section in flow style, say) is refused, and the result is parsed and compared before it is handed out.
//!
//! `disableKeyring` is not in the block, although flyte 2 needs it (it keeps our token in its keyring, without expiry):
//! flytectl decodes strictly and refuses a file with a key that it does not know. Files that flytectl refuses anyway
//! get it; for the others there is `FLYTE_ADMIN_DISABLEKEYRING=true`, which only flyte reads.

use std::path::Path;

use super::endpoint::Endpoint;
use super::yaml::{self, Node};
use super::{file, yaml_list};
use crate::error::{Error, Result};

mod diff;
mod edit;

/// Top-level sections that flytectl has no use for: its strict mode refuses the whole file.
const UNKNOWN_TO_FLYTECTL: [&str; 5] = ["profiles", "task", "image", "local", "union"];

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct ConfigureRequest<'a> {
    /// The endpoint to pin.
    pub endpoint: &'a Endpoint,
    /// How to start this program from anywhere: `["/abs/flyte-auth"]`, or `["/abs/python", "-m", "flyte_auth"]`. Absolute,
    /// since `PATH` differs in IDEs and notebook kernels.
    pub program: &'a [String],
    /// Further global flags for the command, for example `["--profile", "prod"]`.
    pub flags: &'a [String],
    /// The file, for messages and the diff.
    pub path: &'a Path,
    /// Its present text; `None` if there is none.
    pub existing: Option<&'a str>,
}

/// What to print or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The block alone.
    pub block: String,
    /// The file's new text.
    pub text: String,
    /// Unified diff from the present text to the new one; empty if nothing changes.
    pub diff: String,
    /// What else stands in the way of one login for all clients: one line each, with what to do.
    pub traps: Vec<String>,
}

/// Makes the block, puts it into the file's text and looks for traps. Writes nothing.
///
/// # Errors
/// Kind `Config`: the present text does not parse (as in loading), or code `configure_by_hand`: it cannot be edited
/// without rewriting what is the user's.
pub fn configure(request: ConfigureRequest<'_>) -> Result<Configured> {
    let place = request.endpoint.dns_form();
    let mut command: Vec<String> = request.program.to_vec();
    command.extend(["token", "--endpoint", &place].map(str::to_owned));
    if !request.endpoint.tls() {
        command.push("--insecure".to_owned());
    }
    command.extend(request.flags.iter().cloned());

    let existing = request.existing.unwrap_or("");
    let before = parse(request.path, existing)?;
    let flytectl_reads_it = !UNKNOWN_TO_FLYTECTL.iter().any(|section| before.get(section).is_some());
    let admin = before.get("admin");

    let mut wanted = vec![("endpoint", place)];
    let insecure_now = admin.and_then(|admin| admin.get("insecure"));
    if !request.endpoint.tls() {
        wanted.push(("insecure", "true".to_owned()));
    } else if insecure_now.is_some_and(|value| *value != Node::Bool(false)) {
        wanted.push(("insecure", "false".to_owned()));
    }
    wanted.push(("authType", "ExternalCommand".to_owned()));
    wanted.push(("command", yaml_list(&command)));
    let block: String = wanted.iter().map(|(key, value)| format!("  {key}: {value}\n")).collect();
    let mut block = format!("admin:\n{block}");
    if flytectl_reads_it {
        block.push_str(
            "  # flyte 2 alone: export FLYTE_ADMIN_DISABLEKEYRING=true\n\
             \x20 # (or `disableKeyring: true` here, if flytectl never reads this file: it refuses keys it does not know)\n",
        );
    } else {
        wanted.push(("disableKeyring", "true".to_owned()));
        block.push_str("  disableKeyring: true\n");
    }

    let text = if existing.trim_start_matches('\u{feff}').trim().is_empty() {
        block.clone()
    } else {
        edit::edit(existing, &wanted).ok_or_else(|| by_hand(request.path, &block))?
    };
    let after = parse(request.path, &text).map_err(|_| by_hand(request.path, &block))?;
    if !changes_only(&before, &after, &wanted) {
        return Err(by_hand(request.path, &block));
    }
    let diff = diff::unified(&request.path.display().to_string(), existing, &text);
    Ok(Configured { block, text, diff, traps: traps(&request, &before, flytectl_reads_it) })
}

fn parse(path: &Path, text: &str) -> Result<Node> {
    // The loader's own reading first: it knows what is wrong with the file, by line.
    file::parse(path, None, text)?;
    yaml::parse(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|_| {
        Error::config("configure_by_hand", path.display().to_string(), format!("{} is not YAML", path.display()))
    })
}

fn by_hand(path: &Path, block: &str) -> Error {
    let shown = path.display().to_string();
    let message =
        format!("the admin section of {shown} cannot be edited safely (flow style, anchors or an unusual layout)");
    Error::config("configure_by_hand", shown, message).with_next(format!("Put this there by hand:\n{block}"))
}

/// Whether `after` has all of `wanted`, and beside it exactly what `before` had.
fn changes_only(before: &Node, after: &Node, wanted: &[(&str, String)]) -> bool {
    let is_wanted = |name: &str| wanted.iter().any(|(key, _)| *key == name);
    let rest = |root: &Node| -> Option<Vec<(String, Node)>> {
        let mut rest = Vec::new();
        for (name, _, node) in root.entries()? {
            if name != "admin" {
                rest.push((name.clone(), without_lines(node)));
            }
        }
        for (name, _, node) in root.get("admin").map_or(Some(&[][..]), Node::entries)? {
            if !is_wanted(name) {
                rest.push((format!("admin.{name}"), without_lines(node)));
            }
        }
        Some(rest)
    };
    let holds = |(key, value): &(&str, String)| {
        let found = after.get("admin").and_then(|admin| admin.get(key));
        found.is_some_and(|found| yaml::parse(value).is_ok_and(|value| without_lines(&value) == without_lines(found)))
    };
    wanted.iter().all(holds) && rest(before).is_some_and(|before| rest(after) == Some(before))
}

/// The same tree with every line number 0, for comparison.
fn without_lines(node: &Node) -> Node {
    match node {
        Node::List(items) => Node::List(items.iter().map(without_lines).collect()),
        Node::Map(entries) => {
            Node::Map(entries.iter().map(|(name, _, node)| (name.clone(), 0, without_lines(node))).collect())
        }
        scalar => scalar.clone(),
    }
}

fn traps(request: &ConfigureRequest<'_>, before: &Node, flytectl_reads_it: bool) -> Vec<String> {
    let shown = request.path.display();
    let mut traps = Vec::new();
    let admin = before.get("admin");
    let has = |key: &str| admin.and_then(|admin| admin.get(key)).is_some_and(|node| *node != Node::Null);
    for key in ["clientSecretLocation", "clientSecretEnvVar"] {
        if has(key) {
            traps.push(format!(
                "{shown}: {key} makes pyflyte and flyte use ClientSecret and ignore ExternalCommand; remove it"
            ));
        }
    }
    if admin.and_then(|admin| admin.get("authType")) == Some(&Node::Text("flyte_auth".to_owned())) {
        traps.push(format!(
            "{shown}: authType flyte_auth broke flyte and flytectl; ExternalCommand replaces it (for pyflyte alone: \
             FLYTE_CREDENTIALS_AUTH_MODE=flyte_auth)"
        ));
    }
    if flytectl_reads_it {
        traps.push(
            "flyte 2 keeps the token in its keyring and does not know when it expires: export \
             FLYTE_ADMIN_DISABLEKEYRING=true (disableKeyring: true in a file makes flytectl refuse the file)"
                .to_owned(),
        );
    } else {
        let found: Vec<&str> =
            UNKNOWN_TO_FLYTECTL.into_iter().filter(|section| before.get(section).is_some()).collect();
        traps.push(format!(
            "{shown}: flytectl refuses files with the section {}; keep a file of its own for it (flytectl --config)",
            found.join(", ")
        ));
    }
    if !request.endpoint.tls() {
        traps.push("flyte 2 sends no token at all to a plaintext endpoint (insecure: true); it needs TLS".to_owned());
    }
    if !request.endpoint.path().is_empty() {
        traps.push(format!("the clients know no path: {} is left out of the endpoint", request.endpoint.path()));
    }
    if request.program.first().is_some_and(|program| !Path::new(program).is_absolute()) {
        traps.push("the command has no absolute path: IDEs and notebook kernels may not find it".to_owned());
    }
    traps.push(
        "inside Flyte 2 pods flyte drops the command: give task pods an API key or client credentials".to_owned(),
    );
    traps
}

#[cfg(test)]
mod tests;
