//! A refresh in a process of its own.
//!
//! A one-shot `token` whose stored token is still good waits two seconds for a refresh, then prints the old one. Ending
//! with the request under way could lose the session: the server may have replaced the refresh token, and nobody would
//! keep the new one. So another process makes it, out of reach of the terminal's Ctrl-C, and ends when it is saved.

use std::time::Duration;

/// How long a caller waits for a refresh that it does not need yet.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Starts this command line again as the refresher and waits for its end, at most [`PATIENCE`]. `false` if it could not
/// be started.
#[cfg(unix)]
pub(crate) fn refresh() -> bool {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    let Ok(program) = std::env::current_exe() else { return false };
    let child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--refresh-only")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let Ok(mut child) = child else { return false };
    let step = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if !matches!(child.try_wait(), Ok(None)) {
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "there is no runtime, and nothing else to do")]
        std::thread::sleep(step);
    }
    true
}

/// There is no way here to leave the console's process group.
#[cfg(not(unix))]
pub(crate) fn refresh() -> bool {
    false
}
