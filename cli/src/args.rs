//! The command line. Names are the contract's; help texts teach.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// One login for every Flyte tool and language on this machine.
#[derive(Debug, PartialEq, Eq, Parser)]
#[command(
    name = "flyte-auth",
    version,
    about = "One login for every Flyte tool and language on this machine",
    after_help = "\
First steps:
  flyte-auth login flyte.example.org      sign in (browser, or a code over SSH)
  flyte-auth configure flyte.example.org  make pyflyte, flyte and flytectl use this login
  flyte-auth status                       what is stored, and what would be used
  flyte-auth sandbox                      a Flyte auth plane on this machine, to try things

Output: stdout is data, stderr is talk.
Exit codes: 0 done, 1 internal or a failed check, 2 usage or configuration, 3 no answer (try again), 4 login required,
  5 denied, 6 declined or too late, 7 token store, 8 unusable answer, 130 and 143 interrupted.
Each global option has a variable: --client-id is FLYTE_AUTH_CLIENT_ID.",
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options before or after the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file (flytectl's, flytekit's or flyte's).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Flyte endpoint: dns:///host, https://host, http://host:port or host.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Profile of the configuration file (`profiles.NAME.admin`).
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Which of several accounts at one endpoint.
    #[arg(long, global = true, value_name = "EMAIL")]
    pub(crate) account: Option<String>,
    /// Where tokens are kept: auto, keyring, encrypted-file, file, memory, none.
    #[arg(long, global = true, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// Whether a person may be asked: never, auto, always.
    #[arg(long, global = true, value_name = "WHEN")]
    pub(crate) interactive: Option<String>,
    /// No TLS to the endpoint (Flyte's meaning of insecure); auth stays on.
    #[arg(long, global = true, alias = "plaintext")]
    pub(crate) insecure: bool,
    /// Do not check certificates.
    #[arg(long, global = true)]
    pub(crate) insecure_skip_verify: bool,
    /// Trust these certificates too (PEM file, or a folder of them).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// How tokens are obtained: auto, Pkce, ClientSecret, DeviceFlow, ExternalCommand, Passthrough, none.
    #[arg(long, global = true, value_name = "TYPE")]
    pub(crate) auth_type: Option<String>,
    /// OAuth client id.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Authorization server; skips Flyte's discovery.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// Scopes, separated by commas.
    #[arg(long, global = true, value_name = "A,B")]
    pub(crate) scopes: Option<String>,
    /// Audience.
    #[arg(long, global = true, value_name = "AUD")]
    pub(crate) audience: Option<String>,
    /// Log to stderr: error, warn, info, debug, trace. Tokens are never logged.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// No colours (NO_COLOR is honoured too).
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Data as JSON, errors too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Sign in; the session is kept and refreshed for every tool.
    #[command(after_help = "\
Examples:
  flyte-auth login flyte.example.org
  flyte-auth login --flow device flyte.example.org      a code to enter on another device
  flyte-auth login --no-browser flyte.example.org       print the URL, paste the redirect back
  flyte-auth login --issuer https://idp.example --client-id my-app")]
    Login(LoginArgs),
    /// Print the configuration that makes pyflyte, flyte and flytectl use this login.
    Configure(ConfigureArgs),
    /// Print an access token (refreshed if needed), and nothing else.
    #[command(after_help = "\
As the clients call it, in ~/.flyte/config.yaml:
  admin:
    endpoint: dns:///flyte.example.org
    authType: ExternalCommand
    command: [/usr/local/bin/flyte-auth, token, --endpoint, dns:///flyte.example.org]")]
    Token(TokenArgs),
    /// Print the header for a call, as `name: value`.
    #[command(after_help = "\
Pass it through a pipe: in $(…) the token would show up in the process list.
  flyte-auth header | curl -H @- https://flyte.example.org/api/v1/projects")]
    Header(OneShotArgs),
    /// What is stored and what would be used; no network unless --verify.
    Status(StatusArgs),
    /// All sessions on this machine.
    List,
    /// The identity as the server sees it (a real call).
    Whoami,
    /// End the session on this machine; --revoke ends it at the server too.
    Logout(LogoutArgs),
    /// Move a session to another machine.
    #[command(
        subcommand,
        after_help = "\
Example:
  flyte-auth session export --endpoint flyte.example.org | ssh HOST flyte-auth session import"
    )]
    Session(SessionCommand),
    /// Look into the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// A Flyte auth plane on this machine: discovery, sign-in, tokens; runs no workflows.
    #[command(visible_alias = "dev-server")]
    Sandbox(SandboxArgs),
    /// The auth plane in front of a Flyte deployment: sign-in, tokens, and a proxy for what it protects.
    #[command(after_help = "\
With the file that flyteadmin has, and a section `gateway` for what stands behind:
  flyte-auth secrets init /etc/secrets
  flyte-auth serve --config /etc/flyte/config/*.yaml --check
  flyte-auth serve --config /etc/flyte/config/*.yaml")]
    Serve(ServeArgs),
    /// The keys of `serve`.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Print completions for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlowArg {
    Auto,
    Pkce,
    Device,
    Paste,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct LoginArgs {
    /// Flyte endpoint (else the configured one).
    #[arg(value_name = "ENDPOINT")]
    pub(crate) target: Option<String>,
    /// How to sign in; `auto` looks at where this runs.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) flow: FlowArg,
    /// Open no browser: print the URL.
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ConfigureArgs {
    /// Flyte endpoint (else the configured one).
    #[arg(value_name = "ENDPOINT")]
    pub(crate) target: Option<String>,
    /// Write it into the configuration file after showing what changes.
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenFormat {
    /// The token and a line feed.
    Raw,
    /// access_token, token_type, expires_at, header_name.
    Json,
    /// Kubernetes' ExecCredential.
    ExecCredential,
    /// FLYTE_TOKEN=…, as an environment file takes it.
    Env,
}

/// Seconds (contract: `--min-ttl`).
pub(crate) const DEFAULT_MIN_TTL: u64 = 30;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct OneShotArgs {
    /// Refresh even a fresh token.
    #[arg(long)]
    pub(crate) force_refresh: bool,
    /// A token that should be refreshed still serves if it lives at least this long and the refresh fails.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_MIN_TTL)]
    pub(crate) min_ttl: u64,
    /// What this command starts to refresh behind a token that still serves.
    #[arg(long, hide = true)]
    pub(crate) refresh_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct TokenArgs {
    /// Output format.
    #[arg(long, value_enum, default_value = "raw")]
    pub(crate) format: TokenFormat,
    #[command(flatten)]
    pub(crate) one_shot: OneShotArgs,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct StatusArgs {
    /// Ask the server whether it accepts the token.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct LogoutArgs {
    /// Flyte endpoint (else the configured one).
    #[arg(value_name = "ENDPOINT")]
    pub(crate) target: Option<String>,
    /// Revoke the tokens at the server too.
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Every session on this machine (their tokens stay valid at the servers until they expire).
    #[arg(long, conflicts_with_all = ["target", "revoke"])]
    pub(crate) all: bool,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum SessionCommand {
    /// Write the session to stdout (a pipe or a file) and remove it from this machine.
    Export,
    /// Read a session from stdin; what is not configured here is taken from it.
    Import {
        /// Replace a session that is here already.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Each setting, its value (secrets masked) and where it comes from.
    Explain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GenerationArg {
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
    Both,
}

/// `id=,secret=,redirect=`: shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientArg(pub(crate) String);

impl From<&str> for ClientArg {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for ClientArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientArg(***)")
    }
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct SandboxArgs {
    /// HTTP port; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) http_port: u16,
    /// gRPC port; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) grpc_port: u16,
    /// TLS with a private CA, whose file is named in the first line.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Which Flyte API answers.
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) generation: GenerationArg,
    /// Keep keys and refresh tokens here over restarts.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Lifetime of access tokens in seconds.
    #[arg(long, value_name = "S", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) access_token_lifetime: u64,
    /// Lifetime of refresh tokens in seconds.
    #[arg(long, value_name = "S", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) refresh_token_lifetime: u64,
    /// A refresh token works once; using an old one again ends the whole session.
    #[arg(long)]
    pub(crate) rotate_refresh_tokens: bool,
    /// Sign this user in without asking (for scripts).
    #[arg(long, value_name = "USER")]
    pub(crate) auto_approve: Option<String>,
    /// A further client: id=ID[,secret=SECRET][,redirect=URI]; repeatable.
    #[arg(long = "client", value_name = "id=,secret=,redirect=")]
    pub(crate) clients: Vec<ClientArg>,
    /// Issue nothing: discover and verify the tokens of this authorization server.
    #[arg(long, value_name = "URL")]
    pub(crate) external_issuer: Option<String>,
    /// Begin with a fault: 503, html, slow, reset, garbage or delay-MILLISECONDS, for the next N requests; repeatable.
    #[arg(long = "fault", value_name = "KIND[:N]")]
    pub(crate) faults: Vec<String>,
    /// Stop when standard input closes (for programs that start it).
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ServeArgs {
    /// Configuration: a file, a glob, a folder, or - for standard input; repeatable, later ones win.
    #[arg(long, value_name = "PATH", num_args = 1.., action = clap::ArgAction::Append)]
    pub(crate) config: Vec<PathBuf>,
    /// Explain the effective configuration and start nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Stop when standard input closes (for programs that start it).
    #[arg(long, conflicts_with = "check")]
    pub(crate) exit_with_stdin: bool,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Make the keys that `serve` and flyteadmin read; what is there already is kept.
    Init(SecretsInitArgs),
    /// Hash a client secret for `staticClients`: read from standard input, printed in base64 as flyteadmin wants it.
    #[command(after_help = "\
Example:
  flyte-auth secrets hash < /etc/secrets/client_secret")]
    Hash,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct SecretsInitArgs {
    /// Where the keys go.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// How access tokens will be signed.
    #[arg(long, value_enum, default_value = "rs256")]
    pub(crate) algorithm: AlgorithmArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlgorithmArg {
    Rs256,
    Es256,
    #[value(name = "eddsa")]
    EdDsa,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        let before = Cli::try_parse_from(["flyte-auth", "--endpoint", "h", "token"]).unwrap();
        let after = Cli::try_parse_from(["flyte-auth", "token", "--endpoint", "h", "--plaintext"]).unwrap();
        assert_eq!(before.global.endpoint, after.global.endpoint);
        assert!(after.global.insecure);
    }

    #[test]
    fn serve_takes_several_configurations_before_and_after_the_command() {
        let several = ["flyte-auth", "serve", "--config", "a.yaml", "b.yaml", "--config", "-", "--check"];
        let Command::Serve(serve) = Cli::try_parse_from(several).unwrap().command else { panic!("another command") };
        assert_eq!(serve.config, ["a.yaml", "b.yaml", "-"].map(PathBuf::from));
        let before = ["flyte-auth", "--config", "a.yaml", "serve"];
        let Command::Serve(serve) = Cli::try_parse_from(before).unwrap().command else { panic!("another command") };
        assert_eq!(serve.config, [PathBuf::from("a.yaml")]);
    }
}
