//! Runs one case: a folder, a peer, a runner, the steps, the verdict.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Verdict;
use crate::case::Case;
use crate::crypto::Tls;
use crate::runner::{Runner, Start};
use crate::script::Script;
use crate::template::Variables;
use crate::{peer, rules, steps};

/// A whole case, on a loaded machine.
const CASE_TIMEOUT: Duration = Duration::from_secs(180);

/// The folders and the processes of a case while it runs.
pub struct Stage {
    /// Requests and replies.
    pub script: Arc<Script>,
    /// The runner, alive.
    pub runner: Option<Runner>,
    /// The case's own folder.
    pub folder: PathBuf,
    command: Vec<String>,
    env: Vec<(String, String)>,
}

impl Stage {
    /// The state folder (`FLYTE_AUTH_HOME`).
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Sets the clock that the SDK sees, `seconds` further than before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn move_clock(&self, seconds: i64) -> Verdict {
        let offset = {
            let mut state = self.script.state();
            state.offset = state.offset.saturating_add(seconds.saturating_mul(1000));
            state.offset
        };
        // Read at any moment: never half a number.
        let whole = self.folder.join("clock.new");
        std::fs::write(&whole, offset.to_string())
            .and_then(|()| std::fs::rename(&whole, self.folder.join("clock")))
            .map_err(|cause| format!("the clock cannot be set: {cause}"))
    }

    /// Starts the runner, anew if there is one.
    ///
    /// # Errors
    /// As [`Runner`].
    pub async fn start(&mut self) -> Verdict {
        if let Some(runner) = self.runner.take() {
            runner.end().await?;
        }
        self.runner = Some(Runner::start(&Start {
            command: &self.command,
            env: &self.env,
            folder: &self.folder.join("work"),
            stderr: &self.folder.join("stderr"),
        })?);
        Ok(())
    }

    /// The runner.
    ///
    /// # Errors
    /// A step before the start.
    pub fn runner(&mut self) -> Verdict<&mut Runner> {
        self.runner.as_mut().ok_or_else(|| "no runner".to_owned())
    }
}

/// Runs `case` with the runner that `command` starts.
///
/// # Errors
/// Why it fails, in one line.
pub async fn run(case: &Case, command: &[String], tls: &Tls) -> Verdict {
    match tokio::time::timeout(CASE_TIMEOUT, run_to_the_end(case, command, tls)).await {
        Ok(verdict) => verdict,
        Err(_) => Err(format!("not done in {} s", CASE_TIMEOUT.as_secs())),
    }
    .map_err(|reason| reason.replace('\n', " "))
}

async fn run_to_the_end(case: &Case, command: &[String], tls: &Tls) -> Verdict {
    let temporary = tempfile::tempdir().map_err(|cause| format!("no folder: {cause}"))?;
    let folder = temporary.path().to_owned();
    let fault = |cause: std::io::Error| format!("{}: {cause}", folder.display());
    for name in ["home", "work", "tmp"] {
        std::fs::create_dir(folder.join(name)).map_err(fault)?;
    }
    let mut variables = Variables::default();
    variables.set("dir", folder.display().to_string());
    variables.set("closed", "http://127.0.0.1:1");
    variables.set("callback_port", free_port()?.to_string());
    let ca_cert = folder.join("ca.pem");
    std::fs::write(&ca_cert, &tls.authority_pem).map_err(fault)?;
    variables.set("ca_cert", ca_cert.display().to_string());
    let bound = peer::bind(&case.hosts, &mut variables).await?;

    variables.set("api_key", STANDARD.encode(variables.text("{{flyte}}:machine:key-secret:with:colons:acme")?));
    for (name, text) in &case.files {
        write(&folder, &variables.text(name)?, &variables.text(text)?)?;
    }
    let mut env = environment(&folder);
    for (name, value) in &case.env {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), variables.text(value)?));
    }
    let script = Script::new(case, variables)?;
    let _peer = bound.serve(&script, tls);
    let mut stage = Stage { script, runner: None, folder, command: command.to_vec(), env };
    stage.move_clock(0)?;
    stage.start().await?;

    let played = play(case, &mut stage).await;
    let ended = match stage.runner.take() {
        Some(runner) if played.is_ok() => runner.end().await,
        _ => Ok(()),
    };
    // What a request did wrong explains what a step then got.
    match (stage.script.verdict(), played) {
        (Err(request), Err(step)) => return Err(format!("{request}; {step}")),
        (Err(reason), Ok(())) | (Ok(()), Err(reason)) => return Err(with_stderr(reason, &stage)),
        (Ok(()), Ok(())) => {}
    }
    ended.map_err(|reason| with_stderr(reason, &stage))?;
    rules::message(&stderr(&stage), &stage.script.state().memory).map_err(|reason| format!("stderr: {reason}"))
}

async fn play(case: &Case, stage: &mut Stage) -> Verdict {
    for (at, step) in case.steps.iter().enumerate() {
        steps::perform(step, stage).await.map_err(|reason| format!("step {}: {reason}", at + 1))?;
    }
    Ok(())
}

/// Variables of every runner. The file store: the keyring of whoever runs this is none of our business.
fn environment(folder: &Path) -> Vec<(String, String)> {
    let in_folder = |name: &str| folder.join(name).display().to_string();
    [
        ("HOME", in_folder("home")),
        ("TMPDIR", in_folder("tmp")),
        ("FLYTE_AUTH_HOME", in_folder("state")),
        ("FLYTE_AUTH_STORE", "file".to_owned()),
        ("FLYTE_AUTH_TESTING_CLOCK", in_folder("clock")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Writes a file of the case; a relative path is one in its folder.
///
/// # Errors
/// It cannot be written.
pub fn write(folder: &Path, name: &str, text: &str) -> Verdict {
    let path = folder.join(name);
    let fault = |cause: std::io::Error| format!("{}: {cause}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fault)?;
    }
    std::fs::write(&path, text).map_err(fault)
}

/// A port for the loopback redirect, free in both families. Below the ports that the operating system hands out by
/// itself, and a new one for each case: nobody else takes it between here and the login.
fn free_port() -> Verdict<u16> {
    const FROM: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let port = FROM + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
                Ok(_) => true,
                // A machine without IPv6.
                Err(cause) => cause.kind() != std::io::ErrorKind::AddrInUse,
            };
        if free {
            return Ok(port);
        }
    }
    Err("no free port".to_owned())
}

fn stderr(stage: &Stage) -> String {
    std::fs::read(stage.folder.join("stderr"))
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .unwrap_or_default()
}

/// The last line that the runner said says most where it broke down.
fn with_stderr(reason: String, stage: &Stage) -> String {
    match stderr(stage).lines().rev().find(|line| !line.trim().is_empty()) {
        Some(last) => format!("{reason} (stderr: {})", last.chars().take(300).collect::<String>()),
        None => reason,
    }
}
