//! Starts the built CLI's sandbox and reads its first line.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

pub(crate) struct Sandbox {
    child: Child,
    _ends_it_when_closed: Option<ChildStdin>,
    pub(crate) http: String,
}

impl Sandbox {
    pub(crate) fn start(bin: &Path) -> Result<Self, String> {
        let mut child = Command::new(bin)
            .args(["sandbox", "--exit-with-stdin", "--auto-approve", "alice@example.org"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| format!("{}: {cause}", bin.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|cause| cause.to_string())?;
        let ready: serde_json::Value = serde_json::from_str(&line).map_err(|cause| format!("sandbox: {cause}"))?;
        let http = ready["http"].as_str().ok_or("the sandbox names no address")?.to_owned();
        Ok(Self { child, _ends_it_when_closed: stdin, http })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
