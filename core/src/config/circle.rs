//! The circle: the clients' configuration names this program as `admin.command`, and this program reads the same file.
//!
//! A command that is ours is never executed; the global flags inside it hold for every command that reads the file
//! (contract, "Called by a client" 3). Wrappers that are not recognised are caught by [`DEPTH_VARIABLE`].

use std::path::{Path, PathBuf};

use super::keys::{Entry, Key, Layer, ROWS, Raw, Shape};
use super::{Origin, yaml_list};
use crate::error::{Error, Result};

/// Set to [`DEPTH_VALUE`] for every command that is started to get a token. A `token` or `header` that sees it and
/// would start a command itself is inside that command.
pub const DEPTH_VARIABLE: &str = "FLYTE_AUTH_DEPTH";
/// Value of [`DEPTH_VARIABLE`].
pub const DEPTH_VALUE: &str = "1";

/// What is needed to know this program in somebody's argv.
#[derive(Debug, Clone, Copy)]
pub(super) struct Me<'a> {
    /// The running binary; `None` where the program is a library in another one.
    pub(super) exe: Option<&'a Path>,
    /// `PATH`.
    pub(super) search_path: Option<&'a str>,
    pub(super) cwd: &'a Path,
    pub(super) home: Option<&'a Path>,
}

/// Index of the first argument of ours in `argv`, if the command is this program.
pub(super) fn ours(argv: &[String], me: Me<'_>) -> Option<usize> {
    let program = argv.first()?;
    let stem = stem(program);
    if stem == "flyte-auth" {
        return Some(1);
    }
    if is_python(&stem) {
        // Options before -m take no value but -X, -W and --check-hash-based-pycs.
        let mut index = 1;
        while let Some(argument) = argv.get(index) {
            match argument.as_str() {
                "-m" => {
                    let module = argv.get(index + 1).map(String::as_str);
                    return matches!(module, Some("flyte_auth" | "flyte_auth.__main__")).then_some(index + 2);
                }
                "-mflyte_auth" => return Some(index + 1),
                "-X" | "-W" | "--check-hash-based-pycs" => index += 2,
                option if option.starts_with('-') => index += 1,
                // `python /venv/bin/flyte-auth token`.
                script => return (self::stem(script) == "flyte-auth").then_some(index + 1),
            }
        }
        return None;
    }
    if matches!(stem.as_str(), "node" | "nodejs") {
        // `node --no-warnings /app/node_modules/flyte-auth/bin/flyte-auth.js token`: what the npm package starts itself by.
        let takes_value = |option: &str| {
            matches!(option, "-r" | "--require" | "--import" | "--loader" | "-C" | "--conditions" | "--env-file")
        };
        let script =
            (1..argv.len()).find(|&index| !argv[index].starts_with('-') && !takes_value(argv[index - 1].as_str()))?;
        return (self::stem(&argv[script]) == "flyte-auth").then_some(script + 1);
    }
    if matches!(
        stem.as_str(),
        "uvx" | "npx" | "bunx" | "pnpx" | "pipx" | "uv" | "npm" | "pnpm" | "yarn" | "bun" | "deno"
    ) {
        let names_us = |argument: &str| {
            let name = argument.strip_prefix("npm:").unwrap_or(argument);
            let name = name.split_once('@').map_or(name, |(name, _)| name);
            name == "flyte-auth" || self::stem(name) == "flyte-auth"
        };
        let takes_value = |option: &str| {
            matches!(option, "--from" | "--with" | "--package" | "-p" | "--python" | "--spec" | "--index-url" | "-w")
        };
        return (1..argv.len())
            .find(|&index| names_us(&argv[index]) && !takes_value(argv[index - 1].as_str()))
            .map(|index| index + 1);
    }
    same_binary(program, me).then_some(1)
}

/// Base name without `.exe` and the like, in lower case.
fn stem(program: &str) -> String {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_ascii_lowercase();
    for suffix in [".exe", ".cmd", ".bat", ".ps1", ".js", ".py"] {
        if let Some(stem) = name.strip_suffix(suffix) {
            return stem.to_owned();
        }
    }
    name
}

fn is_python(stem: &str) -> bool {
    let rest =
        stem.strip_prefix("pythonw").or_else(|| stem.strip_prefix("python")).or_else(|| stem.strip_prefix("pypy"));
    match rest {
        Some(version) => version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
        None => stem == "py",
    }
}

fn same_binary(program: &str, me: Me<'_>) -> bool {
    let Some(exe) = me.exe.and_then(|exe| exe.canonicalize().ok()) else {
        return false;
    };
    let found: Option<PathBuf> = if program.contains('/') || program.contains('\\') {
        Some(super::search::absolute(Path::new(program), me.cwd, me.home))
    } else {
        std::env::split_paths(me.search_path.unwrap_or(""))
            .flat_map(|folder| [folder.join(program), folder.join(format!("{program}.exe"))])
            .find(|candidate| candidate.is_file())
    };
    found.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == exe)
}

/// Global flags among `arguments` as entries of the argv layer; `origin` names the setting that holds the command.
///
/// # Errors
/// Kind `Config`, code `command_flag`: a flag without its value.
pub(super) fn flags(
    arguments: &[String],
    origin: &Origin,
    warnings: &mut Vec<String>,
    file: Option<&Path>,
) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut index = 0;
    while let Some(argument) = arguments.get(index) {
        index += 1;
        if argument == "--" {
            break;
        }
        let Some(flag) = argument.strip_prefix("--") else { continue };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let name = if name == "plaintext" { "insecure" } else { name };
        let row = ROWS.iter().find(|row| row.name.replace('_', "-") == name && is_flag(row.key));
        if row.is_none() && name != "config" {
            continue;
        }
        let raw = if row.is_some_and(|row| row.shape == Shape::Bool) {
            inline.map_or(Raw::Bool(true), Raw::Text)
        } else {
            let value = match inline {
                Some(value) => value,
                None => {
                    index += 1;
                    let missing = || {
                        Error::config("command_flag", origin.to_string(), format!("{origin}: --{name} needs a value"))
                            .with_next("Correct the command, or let `flyte-auth configure` write it")
                    };
                    arguments.get(index - 1).cloned().ok_or_else(missing)?
                }
            };
            Raw::Text(value)
        };
        match row {
            Some(row) => {
                // The last of a repeated flag holds, as on a command line.
                entries.retain(|entry| entry.key != row.key);
                entries.push(Entry { key: row.key, layer: Layer::Argv, raw, origin: origin.clone() });
            }
            None => {
                let Raw::Text(named) = &raw else { continue };
                // Naming the very file is common and harmless; another file would never be reached.
                if file.is_none_or(|file| Path::new(named) != file) {
                    warnings.push(format!("{origin}: --config inside the command is ignored"));
                }
            }
        }
    }
    entries.retain(|entry| !entry.is_unset());
    Ok(entries)
}

/// Whether a key is a global flag of the CLI.
fn is_flag(key: Key) -> bool {
    matches!(
        key,
        Key::Endpoint
            | Key::Profile
            | Key::Account
            | Key::Store
            | Key::Interactive
            | Key::Insecure
            | Key::InsecureSkipVerify
            | Key::CaCert
            | Key::AuthType
            | Key::ClientId
            | Key::Issuer
            | Key::Scopes
            | Key::Audience
    )
}

/// The error for a command that would start itself for ever.
pub(super) fn recursion(setting: &str, argv: &[String]) -> Error {
    Error::config(
        "command_calls_itself",
        setting,
        format!("{setting} calls itself: {}", yaml_list(&argv[..argv.len().min(1)])),
    )
    .with_next("Name flyte-auth itself with its absolute path: `flyte-auth configure` prints the block")
}

#[cfg(test)]
mod tests;
