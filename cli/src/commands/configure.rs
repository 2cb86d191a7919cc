//! `configure`: the block that makes pyflyte, flyte and flytectl use this login.

use std::path::PathBuf;
use std::process::ExitCode;

use flyte_auth::config::configure::{ConfigureRequest, Configured, configure as plan};
use flyte_auth::config::trust;
use flyte_auth::{Error, Result};
use serde_json::json;

use crate::args::{ConfigureArgs, Global};
use crate::{output, program, setup};

pub(crate) fn configure(global: &Global, args: &ConfigureArgs, as_json: bool) -> Result<ExitCode> {
    let global = setup::with_target(global, args.target.as_deref());
    let path = file(&global)?;
    // The file that is to be written may not be there yet.
    let reading = Global { config: global.config.clone().filter(|path| path.exists()), ..global.clone() };
    let config = setup::config(&reading)?;
    let endpoint = config.require_endpoint()?;
    let program = program::argv()?;
    let existing = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
        Err(cause) => return Err(unwritable(&path, &cause)),
    };
    let planned = plan(ConfigureRequest {
        endpoint,
        program: &program,
        flags: &flags(&global),
        path: &path,
        existing: existing.as_deref(),
    })?;
    if args.write {
        output::talk(if planned.diff.is_empty() { "Nothing to change." } else { planned.diff.trim_end() });
        if !planned.diff.is_empty() {
            write(&path, &planned)?;
            output::talk(&format!("flyte-auth: wrote {}", path.display()));
        }
    }
    if as_json {
        output::json(&json!({
            "path": path.display().to_string(), "block": planned.block, "text": planned.text, "diff": planned.diff,
            "traps": planned.traps, "written": args.write,
        }));
    } else if !args.write {
        output::data(&planned.block);
        output::talk(&format!("flyte-auth: put this into {}, or let --write do it", path.display()));
    }
    for trap in &planned.traps {
        output::talk(&format!("flyte-auth: note: {trap}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that all three clients read: the one that is named, else `~/.flyte/config.yaml`.
fn file(global: &Global) -> Result<PathBuf> {
    if let Some(path) = &global.config {
        return Ok(path.clone());
    }
    let home = trust::home_dir(&setup::environment).ok_or_else(|| {
        Error::config("home_missing", "--config", "there is no home folder to configure")
            .with_next("Name the file with --config")
    })?;
    Ok(home.join(".flyte/config.yaml"))
}

/// The typed options that the command must repeat to reach the same session.
fn flags(global: &Global) -> Vec<String> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let options = [
        ("--profile", global.profile.clone()),
        ("--account", global.account.clone()),
        ("--store", global.store.clone()),
        ("--ca-cert", path(&global.ca_cert)),
        ("--client-id", global.client_id.clone()),
        ("--scopes", global.scopes.clone()),
        ("--audience", global.audience.clone()),
    ];
    let mut flags: Vec<String> =
        options.into_iter().filter_map(|(name, value)| value.map(|value| [name.to_owned(), value])).flatten().collect();
    if global.insecure_skip_verify {
        flags.push("--insecure-skip-verify".to_owned());
    }
    flags
}

/// Replaces the file, keeping its permissions: it may hold what others read.
fn write(path: &std::path::Path, planned: &Configured) -> Result<()> {
    // A link stays a link: dotfiles are often kept elsewhere.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = target.parent().unwrap_or_else(|| std::path::Path::new("."));
    let replace = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut fresh, planned.text.as_bytes())?;
        if let Ok(before) = std::fs::metadata(&target) {
            fresh.as_file().set_permissions(before.permissions())?;
        }
        fresh.persist(&target).map_err(|cause| cause.error)?;
        Ok(())
    };
    replace().map_err(|cause| unwritable(&target, &cause))
}

fn unwritable(path: &std::path::Path, cause: &std::io::Error) -> Error {
    Error::config("configuration_file", "--config", format!("{}: {cause}", path.display()))
        .with_next("Check the path and its permissions, or name another file with --config")
}
