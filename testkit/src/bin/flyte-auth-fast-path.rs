//! A million calls of `token()` with a fresh token in memory, between two system calls that `strace` can see.
//!
//! `flyte-auth-fast-path ENDPOINT`: credentials come from the environment. Prints how many calls gave a token.

use std::process::ExitCode;

use flyte_auth::config::{Overrides, ProcessContext, Spelling, load};
use flyte_auth::session::Session;
use flyte_auth_testkit::say;

const CALLS: u32 = 1_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(served) => {
            say(&served);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run() -> flyte_auth::Result<u32> {
    let overrides = Overrides { endpoint: std::env::args().nth(1), ..Overrides::default() };
    let context = ProcessContext::current(false);
    let session = Session::builder(load(context.request(overrides, Spelling::SnakeCase))?).build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| flyte_auth::Error::internal("no runtime").with_source(cause))?;
    runtime.block_on(async {
        session.token().await?;
        mark();
        let mut served = 0;
        for _ in 0..CALLS {
            served += u32::from(session.token().await?.is_some());
        }
        mark();
        Ok(served)
    })
}

/// `getppid`: the C library keeps no copy of its answer, and nothing else here asks.
fn mark() {
    #[cfg(unix)]
    std::hint::black_box(std::os::unix::process::parent_id());
}
