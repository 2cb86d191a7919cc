//! `serve`: the auth plane in front of a Flyte deployment; `secrets init`: its keys.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use flyte_auth::Result;
use flyte_auth::clock::SystemEntropy;
use flyte_auth::error::Error;
use flyte_auth_server::config::{self, Loaded, Source, Verdict};
use flyte_auth_server::keys::SigningAlgorithm;
use flyte_auth_server::serve::{self, Options};
use zeroize::Zeroizing;

use crate::args::{AlgorithmArg, SecretsInitArgs, ServeArgs};
use crate::{output, setup};

/// The longest configuration that is read from standard input.
const LONGEST: u64 = 4 * 1024 * 1024;

pub(crate) fn serve(args: &ServeArgs, json: bool) -> Result<ExitCode> {
    let options = Options::new(sources(args)?);
    if args.check {
        return check(options, json);
    }
    let exit_with_stdin = args.exit_with_stdin;
    setup::block_on_all_cores(async move {
        // Before the first line: whoever reads it may stop us at once.
        let interrupts = setup::Interrupts::of_a_server();
        let ready = |ready: &serve::Ready, loaded: &Loaded| {
            warn(loaded);
            output::json_line(ready);
        };
        let stop = async move {
            tokio::select! {
                () = super::sandbox::stdin_closed(exit_with_stdin) => {}
                // An asked-for stop is a success: a service manager ends it this way.
                _ = interrupts.first() => {}
            }
        };
        serve::run(options, ready, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn sources(args: &ServeArgs) -> Result<Vec<Source>> {
    if args.config.is_empty() {
        return Err(Error::config("config_missing", "--config", "no configuration is named")
            .with_next("Name flyteadmin's file: flyte-auth serve --config /etc/flyte/config/*.yaml"));
    }
    let mut sources = Vec::new();
    for path in &args.config {
        if path.as_os_str() != "-" {
            sources.push(Source::Path(path.clone()));
            continue;
        }
        let mut text = Vec::new();
        std::io::stdin().take(LONGEST).read_to_end(&mut text).map_err(|error| {
            Error::config("config_unreadable", "--config", format!("standard input cannot be read: {error}"))
        })?;
        sources.push(Source::Stdin(text));
    }
    Ok(sources)
}

fn check(options: Options, json: bool) -> Result<ExitCode> {
    // What was understood is shown even where something else is wrong: it is how one finds out.
    let loaded = options.load()?;
    if json {
        output::json(&loaded.report);
    } else {
        output::data(&config::table(&loaded.report));
    }
    setup::block_on_all_cores(async move { options.check().await })?;
    if !json {
        output::talk("flyte-auth: the configuration can be used");
    }
    Ok(ExitCode::SUCCESS)
}

/// Each setting that is not what it seems, once at the start.
fn warn(loaded: &Loaded) {
    for row in &loaded.report {
        match row.verdict {
            Verdict::Insecure => tracing::warn!(key = row.key, note = row.note, "an insecure setting"),
            Verdict::Unknown => tracing::warn!(key = row.key, note = row.note, "an unknown setting"),
            Verdict::Honoured | Verdict::Ignored | Verdict::DiffersOnPurpose => {}
        }
    }
}

pub(crate) fn secrets_init(args: &SecretsInitArgs, json: bool) -> Result<ExitCode> {
    let algorithm = match args.algorithm {
        AlgorithmArg::Rs256 => SigningAlgorithm::Rs256,
        AlgorithmArg::Es256 => SigningAlgorithm::Es256,
        AlgorithmArg::EdDsa => SigningAlgorithm::EdDsa,
    };
    let folder: PathBuf = args.folder.clone();
    let written = config::secrets_init::init(&folder, algorithm, &SystemEntropy)?;
    if json {
        output::json(&written);
    } else {
        for secret in &written {
            output::talk(&format!("flyte-auth: {secret}"));
        }
        output::talk("flyte-auth: put the identity provider's client secret beside them as oidc_client_secret");
    }
    Ok(ExitCode::SUCCESS)
}

/// Most bytes of a secret that bcrypt reads.
const LONGEST_SECRET: usize = 72;

pub(crate) fn secrets_hash() -> Result<ExitCode> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(LONGEST).read_to_string(&mut text).map_err(|error| {
        Error::config("secret_unreadable", "standard input", format!("the secret cannot be read: {error}"))
    })?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    if secret.is_empty() || secret.len() > LONGEST_SECRET {
        let what = format!("the secret is empty or longer than {LONGEST_SECRET} bytes, which is all that bcrypt reads");
        return Err(Error::config("secret_invalid", "standard input", what)
            .with_next("Send it without a newline: printf %s SECRET | flyte-auth secrets hash"));
    }
    output::data(&format!("{}\n", config::hash_secret(secret)?));
    Ok(ExitCode::SUCCESS)
}
