//! `sandbox`: an embedded Flyte auth plane on loopback.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use flyte_auth::Result;
use flyte_auth::config::NetworkConfig;
use flyte_auth::transport::reqwest::ReqwestTransport;
use flyte_auth_server::flyte::Generations;
use flyte_auth_server::sandbox::{self, Options};
use tokio::io::AsyncReadExt as _;

use crate::args::{GenerationArg, SandboxArgs};
use crate::{output, setup};

pub(crate) fn sandbox(args: &SandboxArgs) -> Result<ExitCode> {
    let options = options(args)?;
    let exit_with_stdin = args.exit_with_stdin;
    setup::block_on_all_cores(async move {
        // Before the first line: whoever reads it may stop us at once.
        let interrupts = setup::Interrupts::catch();
        let ready = |ready: &sandbox::Ready| {
            output::json_line(ready);
            output::talk("flyte-auth: the sandbox is ready; Ctrl-C stops it");
        };
        let stop = async move {
            tokio::select! {
                () = stdin_closed(exit_with_stdin) => {}
                // An asked-for stop is a success: a service manager and a test fixture both end it this way.
                _ = interrupts.first() => {}
            }
        };
        sandbox::run(options, ready, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn options(args: &SandboxArgs) -> Result<Options> {
    Ok(Options {
        http_port: args.http_port,
        grpc_port: args.grpc_port,
        tls: args.tls,
        generations: match args.generation {
            GenerationArg::One => Generations::One,
            GenerationArg::Two => Generations::Two,
            GenerationArg::Both => Generations::Both,
        },
        state: args.state.clone(),
        access_token_lifetime: Duration::from_secs(args.access_token_lifetime),
        refresh_token_lifetime: Duration::from_secs(args.refresh_token_lifetime),
        rotate_refresh_tokens: args.rotate_refresh_tokens,
        auto_approve: args.auto_approve.clone(),
        clients: args.clients.iter().map(|client| client.0.parse()).collect::<Result<_>>()?,
        external_issuer: args.external_issuer.clone(),
        transport: Some(Arc::new(ReqwestTransport::new(&NetworkConfig::default())?)),
        faults: args.faults.iter().map(|text| text.parse()).collect::<Result<_>>()?,
        ..Options::default()
    })
}

pub(super) async fn stdin_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0_u8; 256];
    while stdin.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
