//! Which configuration file: named by a flag or variable, else the first that exists.
//!
//! The clients disagree about the order (flytekit: INI before YAML; flyte: the working folder before its variables;
//! flytectl: one place). Merged, and written down here because no client documents it:
//!
//! 1. `--config`; `FLYTE_AUTH_CONFIG`
//! 2. `_FLYTECTL_CONFIG_PYFLYTE_OVERRIDE` (set by `pyflyte -c` for its children)
//! 3. `UCTL_CONFIG`, then `FLYTECTL_CONFIG`
//! 4. the working folder: `config.yaml`, `.flyte/config.yaml`, `flytekit.config`
//! 5. the git root: `.flyte/config.yaml`
//! 6. the home folder: `.union/config.yaml`, `.flyte/config.yaml`, then `.flyte/config` (INI)
//!
//! A file named under 1 to 3 must exist. `config.yaml` in the working folder counts only if it has a section of Flyte's.

use std::path::{Path, PathBuf};

use super::Origin;

/// Variables that name a file, in order.
pub(super) const FILE_VARIABLES: [&str; 4] =
    ["FLYTE_AUTH_CONFIG", "_FLYTECTL_CONFIG_PYFLYTE_OVERRIDE", "UCTL_CONFIG", "FLYTECTL_CONFIG"];

/// Where a file that nobody named was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Working folder or git root: other people's files may lie there.
    Project,
    /// The user's own home folder.
    Home,
}

/// A candidate of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// The name is so common that the file may be another program's.
    pub(super) may_be_foreign: bool,
}

/// The file that a flag or variable names, as an absolute path.
pub(super) fn named(
    flag: Option<(&Path, &str)>,
    env: &dyn Fn(&str) -> Option<String>,
    cwd: &Path,
    home: Option<&Path>,
) -> Option<(PathBuf, Origin)> {
    if let Some((path, spelling)) = flag.filter(|(path, _)| !path.as_os_str().is_empty()) {
        return Some((absolute(path, cwd, home), Origin::Flag(spelling.to_owned())));
    }
    FILE_VARIABLES.iter().find_map(|name| {
        let value = env(name).filter(|value| !value.trim().is_empty())?;
        Some((absolute(Path::new(value.trim()), cwd, home), Origin::Env((*name).to_owned())))
    })
}

/// `~/` expanded, relative paths from the working folder.
pub(super) fn absolute(path: &Path, cwd: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => cwd.join(path),
    }
}

/// Files that exist and that nobody named, in order, without repetition. Stats only; reads nothing.
pub(super) fn discovered(cwd: &Path, home: Option<&Path>) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut add = |path: PathBuf, place: Place, may_be_foreign: bool| {
        // In the home folder `./.flyte/config.yaml` is the user's own file.
        let place = match home {
            // Directly in it: a repository that was cloned below is other people's.
            Some(home) if [".flyte", ".union"].iter().any(|own| path.parent() == Some(&home.join(own))) => Place::Home,
            _ => place,
        };
        if path.is_file() && !found.iter().any(|candidate| candidate.path == path) {
            found.push(Candidate { path, place, may_be_foreign });
        }
    };
    add(cwd.join("config.yaml"), Place::Project, true);
    add(cwd.join(".flyte").join("config.yaml"), Place::Project, false);
    add(cwd.join("flytekit.config"), Place::Project, false);
    if let Some(root) = git_root(cwd) {
        add(root.join(".flyte").join("config.yaml"), Place::Project, false);
    }
    if let Some(home) = home {
        add(home.join(".union").join("config.yaml"), Place::Home, false);
        add(home.join(".flyte").join("config.yaml"), Place::Home, false);
        add(home.join(".flyte").join("config"), Place::Home, false);
    }
    found
}

/// The nearest folder upwards with a `.git` (a folder, or a file in work trees); no subprocess, unlike flyte's.
fn git_root(cwd: &Path) -> Option<&Path> {
    cwd.ancestors().find(|folder| folder.join(".git").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_files_that_nobody_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let repo = home.join("repo");
        let cwd = repo.join("a/b");
        for folder in [&cwd, &cwd.join(".flyte"), &repo.join(".flyte"), &home.join(".flyte"), &home.join(".union")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        assert_eq!(discovered(&cwd, Some(&home)), []);
        std::fs::write(repo.join(".git"), "gitdir: x").unwrap();
        let expected = [
            cwd.join("config.yaml"),
            cwd.join(".flyte/config.yaml"),
            cwd.join("flytekit.config"),
            repo.join(".flyte/config.yaml"),
            home.join(".union/config.yaml"),
            home.join(".flyte/config.yaml"),
            home.join(".flyte/config"),
        ];
        for path in &expected {
            std::fs::write(path, "").unwrap();
        }
        let found = discovered(&cwd, Some(&home));
        assert_eq!(found.iter().map(|c| c.path.clone()).collect::<Vec<_>>(), expected);
        let places: Vec<Place> = found.iter().map(|c| c.place).collect();
        assert_eq!(places[..4], [Place::Project; 4]);
        assert_eq!(places[4..], [Place::Home; 3]);
        assert!(found[0].may_be_foreign && !found[1].may_be_foreign);
        // From the home folder itself its files are home's, once each.
        let at_home = discovered(&home, Some(&home));
        assert_eq!(at_home[0].path, home.join(".flyte/config.yaml"));
        assert!(at_home.iter().all(|c| c.place == Place::Home), "{at_home:?}");
        assert_eq!(at_home.len(), 3);
        // What somebody cloned below that folder is not the user's own.
        let below = home.join(".flyte/clone");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join("config.yaml"), "").unwrap();
        assert_eq!(discovered(&below, Some(&home))[0].place, Place::Project);
        // A folder of that name is no file.
        std::fs::remove_file(cwd.join("config.yaml")).unwrap();
        std::fs::create_dir(cwd.join("config.yaml")).unwrap();
        assert_eq!(discovered(&cwd, None)[0].path, cwd.join(".flyte/config.yaml"));
    }

    #[test]
    fn order_of_names() {
        let all = [
            ("FLYTECTL_CONFIG", "f"),
            ("UCTL_CONFIG", "u"),
            ("_FLYTECTL_CONFIG_PYFLYTE_OVERRIDE", "/o"),
            ("FLYTE_AUTH_CONFIG", "~/a"),
        ];
        let (cwd, home) = (Path::new("/w"), Path::new("/home/x"));
        for (count, expected) in
            [(0, None), (1, Some("/w/f")), (2, Some("/w/u")), (3, Some("/o")), (4, Some("/home/x/a"))]
        {
            let env = |name: &str| all[..count].iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            let found = named(None, &env, cwd, Some(home));
            assert_eq!(found.map(|(path, _)| path), expected.map(PathBuf::from), "{count}");
            let flagged = named(Some((Path::new("flag"), "--config")), &env, cwd, None).unwrap();
            assert_eq!(flagged, (PathBuf::from("/w/flag"), Origin::Flag("--config".to_owned())));
        }
        assert_eq!(named(None, &|_| Some(" ".to_owned()), cwd, None), None, "empty is unset");
    }
}
