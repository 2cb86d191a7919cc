//! A program that forks while its refresh is under way: the child must get a token whatever becomes of the parent.
#![expect(unsafe_code, reason = "fork has no safe wrapper")]

use std::io::BufRead as _;

use flyte_auth::session::Session;
use flyte_auth::{Error, Result};
use serde_json::json;

use crate::{Seen, once, say, wait_for_the_start};

/// Starts a refresh, forks when a line comes on standard input, and says both process ids. The child waits for another
/// line, calls `token()` and says what it got; the parent waits for its own refresh and says that.
///
/// # Errors
/// Kind `Internal` if something needed cannot be started.
pub fn run(session: &Session) -> Result<()> {
    let runtime = once::runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(2))?;
    let refresh = runtime.spawn({
        let session = session.clone();
        async move { session.token().await }
    });
    wait_for_the_start();
    // SAFETY: as every program that forks with threads running (Python's `os.fork`) does; what the child may touch is
    // what this program is here to find out.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = i32::from(in_child(session).is_err());
        // SAFETY: ends the child; the parent's exit handlers and runtime are not its own.
        unsafe { libc::_exit(code) }
    }
    say(&json!({ "parent": std::process::id(), "child": child }));
    let outcome = runtime.block_on(refresh).map_err(|_| Error::internal("the refresh panicked"))?;
    say(&json!({ "who": "parent", "call": Seen::of(&outcome) }));
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    Ok(())
}

fn in_child(session: &Session) -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|cause| Error::internal(cause.to_string()))?;
    // The parent's runtime has no threads here.
    let runtime = once::runtime(&mut tokio::runtime::Builder::new_current_thread())?;
    let outcome = runtime.block_on(session.token());
    say(&json!({ "who": "child", "call": Seen::of(&outcome) }));
    Ok(())
}
