use super::*;

fn read(env: &[(&str, &str)]) -> Surroundings {
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Surroundings::new(Facts::default(), &env)
}

#[test]
fn nothing_set_says_nothing() {
    assert_eq!(read(&[]), Surroundings::default());
    let blank = ["BROWSER", "DISPLAY", "SSH_TTY", "CI", "container", "KUBERNETES_SERVICE_HOST"].map(|name| (name, " "));
    assert_eq!(read(&blank), Surroundings::default());
}

#[test]
fn ci() {
    for (env, expected) in [
        (&[("CI", "true")][..], Some("CI")),
        (&[("CI", "1")], Some("CI")),
        (&[("CI", "woodpecker")], Some("CI")),
        (&[("CI", "false")], None),
        (&[("CI", "0")], None),
        (&[("CI", "")], None),
        (&[("CI", "False"), ("GITHUB_ACTIONS", "true")], None),
        (&[("CI", ""), ("GITHUB_ACTIONS", "true")], Some("GITHUB_ACTIONS")),
        (&[("GITLAB_CI", "true")], Some("GITLAB_CI")),
        (&[("GITLAB_CI", "false")], None),
        (&[("BUILDKITE", "true")], Some("BUILDKITE")),
        (&[("JENKINS_URL", "https://jenkins.example")], Some("JENKINS_URL")),
        (&[("TF_BUILD", "True")], Some("TF_BUILD")),
        (&[("CIRCLECI", "true")], Some("CIRCLECI")),
    ] {
        assert_eq!(read(env).ci, expected, "{env:?}");
    }
}

#[test]
fn pods_and_what_only_looks_like_one() {
    for (name, expected) in [
        ("KUBERNETES_SERVICE_HOST", true),
        ("FLYTE_INTERNAL_EXECUTION_ID", true),
        ("FLYTE_INTERNAL_EXECUTION_PROJECT", true),
        ("FLYTE_INTERNAL_TASK_NAME", true),
        // People set these to register workflows.
        ("FLYTE_INTERNAL_IMAGE", false),
        ("FLYTE_INTERNAL_VERSION", false),
    ] {
        assert_eq!(read(&[(name, "x")]).pod.is_some(), expected, "{name}");
    }
}

#[test]
fn browsers() {
    use BrowserVariable::{Set, Text, Unset};
    for (value, expected) in [
        ("", Unset),
        ("firefox", Set),
        ("/opt/lynx-like/firefox", Set),
        ("node driver.mjs %s", Set),
        ("lynx", Text),
        ("/usr/bin/elinks %s", Text),
        ("\"/usr/bin/w3m\" %s", Text),
        ("firefox:links", Text),
        ("www-browser", Text),
        (r"C:\tools\lynx.exe", Text),
        ("lynxish", Set),
    ] {
        assert_eq!(read(&[("BROWSER", value)]).browser, expected, "{value}");
    }
}

#[test]
fn each_is_kept_by_name() {
    let all = read(&[
        ("SSH_CLIENT", "a"),
        ("WAYLAND_DISPLAY", "w"),
        ("CODESPACES", "true"),
        ("JPY_PARENT_PID", "1"),
        ("container", "lxc"),
    ]);
    assert_eq!(
        (all.ssh, all.display, all.workspace, all.notebook, all.container),
        (Some("SSH_CLIENT"), Some("WAYLAND_DISPLAY"), Some("CODESPACES"), Some("JPY_PARENT_PID"), Some("container"))
    );
    assert!(read(&[("DISPLAY", ":0")]).ssh_target.is_none());
}

#[test]
fn gathering_reads_what_is_there() {
    use std::io::IsTerminal as _;
    let gathered = Surroundings::gather(&|name| (name == "SSH_TTY").then(|| "/dev/pts/1".to_owned()));
    assert_eq!(gathered.ssh, Some("SSH_TTY"));
    assert_eq!(gathered.facts.stdin_terminal, std::io::stdin().is_terminal());
    assert_eq!(gathered.facts.container_file == Some("/.dockerenv"), std::path::Path::new("/.dockerenv").exists());
}
