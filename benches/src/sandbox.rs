//! Starts the built CLI's sandbox, reads its first line, and speaks to its admin interface.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

pub(crate) struct Sandbox {
    child: Child,
    _ends_it_when_closed: Option<ChildStdin>,
    pub(crate) http: String,
    /// `127.0.0.1:PORT` of the admin interface.
    admin: String,
}

impl Sandbox {
    pub(crate) fn start(bin: &Path, flags: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(bin)
            .args(["sandbox", "--exit-with-stdin", "--auto-approve", "alice@example.org"])
            .args(flags)
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
        let admin = ready["admin"].as_str().ok_or("the sandbox names no admin interface")?;
        let admin = admin.trim_start_matches("http://").to_owned();
        Ok(Self { child, _ends_it_when_closed: stdin, http, admin })
    }

    /// The token endpoint's answers come this much later from now on.
    pub(crate) fn answers_late(&self, millis: u32) -> Result<(), String> {
        let order = serde_json::json!({"kind": format!("delay-{millis}"), "count": 1_000_000, "path": "/oauth2/token"});
        self.ask("POST", "/faults", &order.to_string()).map(drop)
    }

    /// Token requests so far, whatever became of them.
    pub(crate) fn token_requests(&self) -> Result<u64, String> {
        let stats: serde_json::Value =
            serde_json::from_str(&self.ask("GET", "/stats", "")?).map_err(|cause| cause.to_string())?;
        Ok(stats["requests"]["/oauth2/token"].as_u64().unwrap_or_default())
    }

    /// The body of the admin interface's answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String, String> {
        let text = |cause: std::io::Error| format!("the admin interface: {cause}");
        let mut connection = TcpStream::connect(&self.admin).map_err(text)?;
        let (host, length) = (&self.admin, body.len());
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).map_err(text)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).map_err(text)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) => {
                Ok(body.to_owned())
            }
            _ => Err(format!("the admin interface answered {:?}", answer.lines().next())),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
