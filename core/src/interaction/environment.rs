//! Which environment variables say where the process runs.

use super::surroundings::{BrowserVariable, Facts, Surroundings};

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

const SSH: [&str; 3] = ["SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"];
const DISPLAY: [&str; 2] = ["WAYLAND_DISPLAY", "DISPLAY"];
/// Jupyter and IPython kernels, and the hosted notebooks that run them.
const NOTEBOOK: [&str; 9] = [
    "JPY_PARENT_PID",
    "JPY_SESSION_NAME",
    "JUPYTERHUB_USER",
    "COLAB_RELEASE_TAG",
    "COLAB_GPU",
    "COLAB_JUPYTER_IP",
    "KAGGLE_KERNEL_RUN_TYPE",
    "DATABRICKS_RUNTIME_VERSION",
    "SAGEMAKER_INTERNAL_IMAGE_URI",
];
const WORKSPACE: [&str; 8] = [
    "CODESPACES",
    "GITPOD_WORKSPACE_ID",
    "REMOTE_CONTAINERS",
    "CODER_WORKSPACE_NAME",
    "GOOGLE_CLOUD_SHELL",
    "CLOUD_SHELL",
    "AZUREPS_HOST_ENVIRONMENT",
    "DEVPOD",
];
/// Set in terminals of VS Code's server: over SSH, in a container, in a tunnel, and in WSL, which has a display.
const VSCODE_SERVER: &str = "VSCODE_IPC_HOOK_CLI";
const CI: [&str; 16] = [
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "BUILDKITE",
    "JENKINS_URL",
    "TF_BUILD",
    "CIRCLECI",
    "TRAVIS",
    "TEAMCITY_VERSION",
    "BITBUCKET_BUILD_NUMBER",
    "CODEBUILD_BUILD_ID",
    "APPVEYOR",
    "DRONE",
    "CIRRUS_CI",
    "PROW_JOB_ID",
    "SEMAPHORE",
    "CONTINUOUS_INTEGRATION",
];
/// `FLYTE_INTERNAL_EXECUTION_*` and `_TASK_NAME` are set in task pods of both generations; other `FLYTE_INTERNAL_*`
/// (image, version) are set by people too, to register.
const POD: [&str; 5] = [
    "KUBERNETES_SERVICE_HOST",
    "FLYTE_INTERNAL_EXECUTION_ID",
    "FLYTE_INTERNAL_EXECUTION_PROJECT",
    "FLYTE_INTERNAL_EXECUTION_DOMAIN",
    "FLYTE_INTERNAL_TASK_NAME",
];
/// They take over the terminal; some distributions' `www-browser` is one of them.
const TEXT_BROWSERS: [&str; 8] = ["lynx", "w3m", "links", "links2", "elinks", "www-browser", "browsh", "carbonyl"];

/// Reads all of it.
pub(super) fn read(facts: Facts, env: Env<'_>) -> Surroundings {
    let first = |names: &[&'static str]| names.iter().copied().find(|name| value(env, name).is_some());
    let wsl = facts.wsl || value(env, "WSL_DISTRO_NAME").is_some();
    let ssh = first(&SSH);
    Surroundings {
        facts,
        browser: browser(env),
        display: first(&DISPLAY),
        wsl_interop: wsl && value(env, "WSL_INTEROP").is_some(),
        ssh,
        ssh_target: ssh.map(|_| ssh_target(env)),
        // `container` is set by systemd-nspawn, podman and LXC (systemd's container interface).
        container: facts.container_file.or_else(|| first(&["container"])),
        workspace: first(&WORKSPACE).or_else(|| first(&[VSCODE_SERVER]).filter(|_| !wsl)),
        notebook: first(&NOTEBOOK),
        ci: ci(env),
        pod: first(&POD),
    }
}

fn value(env: Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

/// `CI=false` is how people say that it is none, whatever else is set.
fn ci(env: Env<'_>) -> Option<&'static str> {
    let no = |text: &str| ["false", "0", "no", "off"].iter().any(|no| text.trim().eq_ignore_ascii_case(no));
    match value(env, "CI") {
        Some(text) if no(&text) => None,
        Some(_) => Some("CI"),
        None => CI.into_iter().find(|name| value(env, name).is_some_and(|text| !no(&text))),
    }
}

/// One text browser in the list is enough: which of them will be started is not known before.
fn browser(env: Env<'_>) -> BrowserVariable {
    let Some(browsers) = value(env, "BROWSER") else { return BrowserVariable::Unset };
    let text = browsers.split(':').any(|browser| {
        let program = browser.split_whitespace().next().unwrap_or("").trim_matches(['"', '\'']);
        let name = program.rsplit(['/', '\\']).next().unwrap_or("");
        let name = name.strip_suffix(".exe").unwrap_or(name);
        TEXT_BROWSERS.contains(&name)
    });
    if text { BrowserVariable::Text } else { BrowserVariable::Set }
}

/// `user@host` as the person reaches this machine: the address that SSH came in on. What is no such word (it will be
/// pasted into a shell) is replaced by a placeholder.
fn ssh_target(env: Env<'_>) -> String {
    let word = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let user = value(env, "USER").or_else(|| value(env, "LOGNAME")).filter(|user| word(user, "._-"));
    let connection = value(env, "SSH_CONNECTION").unwrap_or_default();
    let host = connection.split_whitespace().nth(2).filter(|host| word(host, ".:%-"));
    format!("{}@{}", user.as_deref().unwrap_or("USER"), host.unwrap_or("THIS-HOST"))
}
