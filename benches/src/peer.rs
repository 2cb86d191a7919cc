//! Peers that are scripts: what they measured, and the servers that some of them are.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::{Row, text_of};

/// Microsoft's hosts, as far as msal, azure-identity and msal-node need them.
const ENTRA: &str = "benches/peers/entra_stand_in.py";

#[derive(Deserialize)]
struct Line {
    case: String,
    subject: String,
    value: f64,
    unit: String,
}

/// What a script measured: JSON lines.
pub(crate) fn measured(area: &'static str, command: &mut Command) -> Result<Vec<Row>, String> {
    let output = command.stdin(Stdio::null()).output().map_err(text_of)?;
    let problems = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", problems.trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Names live as long as the program, as every other row's.
    let named = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let lines = text.lines().map(|line| {
        let line: Line = serde_json::from_str(line).map_err(|cause| format!("{command:?}: {cause}: {line}"))?;
        let (case, subject, unit) = (named(line.case), named(line.subject), named(line.unit));
        let is_rate = unit == "x" || unit.starts_with("per ");
        let make = if is_rate { Row::higher } else { Row::lower };
        Ok(make(area, case, subject, line.value, unit))
    });
    lines.collect()
}

/// A server that is a script: its first line tells where it is, and it ends when its stdin closes.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    ready: Value,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(text_of)?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(stdout).read_line(&mut line).map_err(text_of)?;
        let ready = serde_json::from_str(&line).map_err(|cause| format!("{command:?}: {cause}: {line:?}"))?;
        Ok(Self { child, stdin, ready })
    }

    /// The stand-in for Microsoft's hosts, by a Python that has `cryptography`.
    pub(crate) fn entra(python: &str) -> Result<Self, String> {
        Self::start(Command::new(python).arg(ENTRA))
    }

    /// A member of its first line.
    pub(crate) fn told(&self, member: &str) -> Result<&str, String> {
        self.ready[member].as_str().ok_or_else(|| format!("the server names no {member}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
