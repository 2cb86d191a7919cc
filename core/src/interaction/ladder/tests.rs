use super::*;
use crate::interaction::surroundings::{Facts, Os};

fn surroundings(os: Os, env: &[(&str, &str)]) -> Surroundings {
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Surroundings::new(Facts { os, ..Facts::default() }, &env)
}

fn steps(plan: &Plan) -> Vec<Step> {
    plan.steps.iter().map(|planned| planned.step).collect()
}

const SSH: (&str, &str) = ("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22");
const DISPLAY: (&str, &str) = ("DISPLAY", ":0");

type Row = (Os, &'static [(&'static str, &'static str)], Step, Step, &'static str);

/// First step where the device grant is offered, first step where it is not, and what the reason must name.
#[test]
fn auto_over_environments() {
    use Step::{Browser as B, Device as D, Paste as P};
    let table: &[Row] = &[
        (Os::Unix, &[], D, P, "neither DISPLAY nor WAYLAND_DISPLAY"),
        (Os::Unix, &[DISPLAY], B, B, "DISPLAY"),
        (Os::Unix, &[("WAYLAND_DISPLAY", "wayland-0")], B, B, "WAYLAND_DISPLAY"),
        (Os::Unix, &[("DISPLAY", "")], D, P, "no display"),
        (Os::MacOs, &[], B, B, "macOS"),
        (Os::Windows, &[], B, B, "Windows"),
        (Os::Unix, &[SSH, DISPLAY], D, P, "SSH_CONNECTION"),
        (Os::MacOs, &[SSH], D, P, "SSH_CONNECTION"),
        (Os::Windows, &[("SSH_CLIENT", "192.0.2.1 1 22")], D, P, "SSH_CLIENT"),
        (Os::Unix, &[("SSH_TTY", "/dev/pts/1")], D, P, "SSH_TTY"),
        (Os::Unix, &[SSH, ("BROWSER", "/vscode/bin/helpers/browser.sh")], B, B, "BROWSER"),
        (Os::Unix, &[("BROWSER", "firefox")], B, B, "BROWSER"),
        (Os::Unix, &[DISPLAY, ("BROWSER", "lynx")], D, P, "text browser"),
        (Os::Unix, &[DISPLAY, ("BROWSER", "/usr/bin/w3m -o x %s:firefox")], D, P, "text browser"),
        (Os::MacOs, &[("BROWSER", "www-browser")], D, P, "text browser"),
        (Os::Unix, &[("WSL_DISTRO_NAME", "Debian"), ("WSL_INTEROP", "/run/WSL/1_interop")], B, B, "WSL"),
        (Os::Unix, &[("WSL_DISTRO_NAME", "Debian")], D, P, "no display"),
        (Os::Unix, &[("WSL_DISTRO_NAME", "Debian"), DISPLAY], B, B, "DISPLAY"),
        (Os::Unix, &[("WSL_INTEROP", "/run/WSL/1_interop")], D, P, "no display"),
        (Os::Unix, &[("WSL_DISTRO_NAME", "D"), ("WSL_INTEROP", "x"), ("VSCODE_IPC_HOOK_CLI", "/s")], B, B, "WSL"),
        (Os::Unix, &[("WSL_DISTRO_NAME", "D"), ("WSL_INTEROP", "x"), SSH], D, P, "SSH_CONNECTION"),
        (Os::Unix, &[("container", "podman"), DISPLAY], D, P, "container"),
        (Os::Unix, &[("container", "podman"), ("BROWSER", "open-outside")], B, B, "BROWSER"),
        (Os::Unix, &[("CODESPACES", "true"), DISPLAY], D, P, "CODESPACES"),
        (Os::Unix, &[("CODESPACES", "true"), ("BROWSER", "/vscode/browser.sh")], B, B, "BROWSER"),
        (Os::Unix, &[("GITPOD_WORKSPACE_ID", "x")], D, P, "GITPOD_WORKSPACE_ID"),
        (Os::Unix, &[("REMOTE_CONTAINERS", "true"), DISPLAY], D, P, "REMOTE_CONTAINERS"),
        (Os::Unix, &[("VSCODE_IPC_HOOK_CLI", "/tmp/s"), DISPLAY], D, P, "VSCODE_IPC_HOOK_CLI"),
        (Os::Unix, &[("JPY_PARENT_PID", "1"), DISPLAY], D, P, "JPY_PARENT_PID"),
        (Os::MacOs, &[("JPY_SESSION_NAME", "n.ipynb")], D, P, "JPY_SESSION_NAME"),
        (Os::Unix, &[("COLAB_RELEASE_TAG", "r")], D, P, "COLAB_RELEASE_TAG"),
        (Os::Unix, &[("JUPYTERHUB_USER", "a"), ("KUBERNETES_SERVICE_HOST", "h")], D, P, "JUPYTERHUB_USER"),
        (Os::Unix, &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), DISPLAY], D, P, "KUBERNETES_SERVICE_HOST"),
        (Os::Unix, &[("FLYTE_INTERNAL_EXECUTION_ID", "x")], D, P, "FLYTE_INTERNAL_EXECUTION_ID"),
        (Os::Unix, &[("CI", "true"), DISPLAY], D, P, "CI"),
        (Os::Unix, &[("CI", "false"), DISPLAY], B, B, "DISPLAY"),
    ];
    for (os, env, with_device, without, reason) in table {
        let here = surroundings(*os, env);
        for (device, first) in [(true, with_device), (false, without)] {
            let plan = plan(Flow::Auto, &here, Offered { device }, false);
            let first_step = &plan.steps[0];
            assert_eq!(first_step.step, *first, "{os:?} {env:?} device {device}");
            assert!(first_step.why.contains(reason), "{env:?}: {}", first_step.why);
            assert!(plan.steps.iter().all(|planned| !planned.why.is_empty() && !planned.why.contains('\n')));
            // It always ends at what works anywhere, no step comes twice, and the device grant only where offered.
            assert_eq!(plan.steps.last().unwrap().step, Step::Paste);
            let expected: &[Step] = match (first, device) {
                (B, true) => &[B, D, P],
                (B, false) => &[B, P],
                (_, true) => &[D, P],
                (_, false) => &[P],
            };
            assert_eq!(steps(&plan), expected, "{env:?} device {device}");
        }
    }
}

#[test]
fn a_container_file_counts() {
    let facts = Facts { container_file: Some("/.dockerenv"), ..Facts::default() };
    let here = Surroundings::new(facts, &|name| (name == "DISPLAY").then(|| ":0".to_owned()));
    let plan = plan(Flow::Auto, &here, Offered { device: true }, false);
    assert!(plan.steps[0].step == Step::Device && plan.steps[0].why.contains("/.dockerenv"), "{plan:?}");
}

#[test]
fn an_explicit_flow_is_one_step() {
    use Step::{Browser, Device, Paste};
    let display = surroundings(Os::Unix, &[DISPLAY]);
    let ssh = surroundings(Os::Unix, &[SSH]);
    let text = surroundings(Os::Unix, &[DISPLAY, ("BROWSER", "elinks")]);
    for (flow, here, no_browser, expected) in [
        (Flow::Pkce, &display, false, Browser),
        (Flow::Pkce, &display, true, Paste),
        (Flow::Pkce, &ssh, false, Paste),
        (Flow::Pkce, &text, false, Paste),
        (Flow::Device, &display, false, Device),
        (Flow::Device, &ssh, true, Device),
        (Flow::Paste, &display, false, Paste),
        (Flow::Paste, &ssh, true, Paste),
    ] {
        for device in [true, false] {
            let plan = plan(flow, here, Offered { device }, no_browser);
            assert_eq!(steps(&plan), [expected], "{flow:?} {no_browser}");
            // Only a step that is not what was asked for needs a word.
            assert_eq!(plan.steps[0].why.is_empty(), flow != Flow::Pkce || expected == Browser, "{plan:?}");
        }
    }
}

#[test]
fn no_browser_shows_the_address() {
    for env in [&[DISPLAY][..], &[SSH], &[]] {
        let here = surroundings(Os::Unix, env);
        assert_eq!(steps(&plan(Flow::Auto, &here, Offered { device: true }, true)), [Step::Paste, Step::Device]);
        assert_eq!(steps(&plan(Flow::Auto, &here, Offered { device: false }, true)), [Step::Paste]);
    }
}

#[test]
fn hint_for_a_tunnel() {
    for (env, expected) in [
        (&[SSH, ("USER", "alice")][..], Some("ssh -L 53593:127.0.0.1:53593 alice@192.0.2.2")),
        (&[SSH, ("LOGNAME", "bob")], Some("ssh -L 53593:127.0.0.1:53593 bob@192.0.2.2")),
        (
            &[("SSH_CONNECTION", "fe80::1 1 fe80::2%eth0 22"), ("USER", "a")],
            Some("ssh -L 53593:127.0.0.1:53593 a@fe80::2%eth0"),
        ),
        (&[("SSH_TTY", "/dev/pts/1")], Some("ssh -L 53593:127.0.0.1:53593 USER@THIS-HOST")),
        // What would be pasted into a shell is a word, or it is not shown.
        (
            &[("SSH_CONNECTION", "a 1 -oProxyCommand=x 22"), ("USER", "$(reboot)")],
            Some("ssh -L 53593:127.0.0.1:53593 USER@THIS-HOST"),
        ),
        (&[("USER", "alice")], None),
    ] {
        assert_eq!(ssh_hint(53593, &surroundings(Os::Unix, env)).as_deref(), expected, "{env:?}");
    }
}
