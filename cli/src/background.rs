//! A refresh in a process of its own.
//!
//! A one-shot `token` whose stored token is still good waits two seconds for a refresh, then prints the old one. Ending
//! with the request under way could lose the session: the server may have replaced the refresh token, and nobody would
//! keep the new one. So another process makes it, out of reach of the terminal's Ctrl-C, and ends when it is saved.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program;

/// How long a caller waits for a refresh that it does not need yet.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Starts this command line again as the refresher and waits for its end, at most [`PATIENCE`]. `false` if it could not
/// be started.
pub(crate) fn refresh() -> bool {
    let Some(mut command) = program::again() else { return false };
    command.arg("--refresh-only").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    out_of_reach(&mut command);
    let Ok(mut child) = command.spawn() else { return false };
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

/// A process group of its own: the terminal's Ctrl-C goes to the foreground's group.
#[cfg(unix)]
fn out_of_reach(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// No console, and so no Ctrl-C of one: `DETACHED_PROCESS`.
#[cfg(windows)]
fn out_of_reach(command: &mut Command) {
    std::os::windows::process::CommandExt::creation_flags(command, 0x8);
}
