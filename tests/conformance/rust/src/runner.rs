//! The runner's process: one for each case (and one more after each `restart`), driven line by line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Verdict;

/// One command may take this long on a loaded machine; a case that needs it has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Of our own environment a runner gets these: where its interpreter and its libraries are.
const KEPT: [&str; 9] = [
    "PATH",
    "JAVA_HOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
    "NODE_PATH",
    "GEM_PATH",
    "LANG",
    "SYSTEMROOT",
];

/// A runner that is alive.
pub struct Runner {
    child: Child,
    stdin: ChildStdin,
    stdout: tokio::io::Lines<BufReader<ChildStdout>>,
}

/// How to start one.
pub struct Start<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// Its variables, beside [`KEPT`].
    pub env: &'a [(String, String)],
    /// Its working folder.
    pub folder: &'a Path,
    /// Where its stderr goes.
    pub stderr: &'a Path,
}

impl Runner {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(start: &Start<'_>) -> Verdict<Self> {
        let (program, arguments) = start.command.split_first().ok_or("the runner's command is empty")?;
        let fault = |cause: &dyn std::fmt::Display| format!("the runner {program} cannot be started: {cause}");
        let stderr =
            std::fs::OpenOptions::new().create(true).append(true).open(start.stderr).map_err(|cause| fault(&cause))?;
        // A relative path is meant from here, not from the case's folder.
        let program = if program.contains(std::path::MAIN_SEPARATOR) {
            std::path::absolute(program).map_err(|cause| fault(&cause))?
        } else {
            PathBuf::from(program)
        };
        let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(kept)
            .envs(start.env.iter().map(|(name, value)| (name, value)))
            .current_dir(start.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| fault(&cause))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(fault(&"it has no pipes"));
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout).lines() })
    }

    /// Sends a command; [`Runner::answer`] reads what came of it.
    ///
    /// # Errors
    /// It is gone.
    pub async fn send(&mut self, command: &Value) -> Verdict {
        let line = format!("{command}\n");
        let sent = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.flush().await
        };
        sent.await.map_err(|cause| format!("the runner takes no command: {cause}"))
    }

    /// The answer to the last command.
    ///
    /// # Errors
    /// None in time, or no JSON.
    pub async fn answer(&mut self) -> Verdict<Value> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.stdout.next_line()).await {
            Err(_) => Err(format!("the runner gave no answer in {} s", ANSWER_TIMEOUT.as_secs())),
            Ok(Err(cause)) => Err(format!("the runner cannot be read: {cause}")),
            Ok(Ok(None)) => Err("the runner ended".to_owned()),
            // The line may hold a token.
            Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(|_| "the runner answered no JSON".to_owned()),
        }
    }

    /// Ends it: its stdin closes, and it goes.
    ///
    /// # Errors
    /// It stays, or it ends badly.
    pub async fn end(self) -> Verdict {
        let Self { mut child, stdin, stdout } = self;
        drop((stdin, stdout));
        match tokio::time::timeout(ANSWER_TIMEOUT, child.wait()).await {
            Err(_) => Err("the runner does not end when its stdin closes".to_owned()),
            Ok(Err(cause)) => Err(format!("the runner cannot be waited for: {cause}")),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("the runner ended with {status}")),
        }
    }
}
