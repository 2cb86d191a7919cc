//! Files, environment and arguments into one [`Config`] that remembers where each value came from.
//!
//! Flyte's words (`authType: Pkce`, `clientSecretLocation`) stop here.
//!
//! Precedence of a value: typed flag; flag inside our own `admin.command`; environment (`FLYTE_AUTH_*`, then
//! `FLYTE_API_KEY`, `FLYTE_ADMIN_*`, `FLYTE_PLATFORM_*` and `FLYTE_CREDENTIALS_*`); the profile; the file; what Flyte
//! sets in its own pods (`_U_EP_OVERRIDE`, `_U_INSECURE`); default. One exception, so that a command started by a client
//! asks for the cluster that the client was told: the endpoint (and `insecure`) of a file named by `--config`,
//! `FLYTE_AUTH_CONFIG` or `pyflyte -c` stands above the endpoint variables. Which file is read: see `search`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

mod api_key;
mod checks;
mod circle;
pub mod configure;
pub mod endpoint;
mod explain;
pub(crate) mod file;
mod ini;
pub(crate) mod keys;
mod load;
mod proxy_url;
mod resolve;
mod search;
mod shown;
mod spelling;
pub mod trust;
mod validate;
mod yaml;

pub use api_key::ApiKey;
pub use circle::{DEPTH_VALUE, DEPTH_VARIABLE};
pub use explain::ExplainRow;
pub(crate) use explain::masked_argv;
pub use load::{LoadRequest, Overrides, ProcessContext, load};
pub use proxy_url::ProxyUrl;
pub use spelling::Spelling;

use crate::protocol::secret::{AccessToken, ClientSecret};

/// Where a value came from; shown by `config explain` and in errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A typed flag or a keyword argument, for example `--endpoint`.
    Flag(String),
    /// A flag inside the configuration file's own `command: [flyte-auth, token, …]` (contract, "Called by a client" 3).
    Argv(PathBuf),
    /// An environment variable.
    Env(String),
    /// A key of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The dotted key, for example `admin.endpoint` or `platform.url`.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag(name) => f.write_str(name),
            Self::Argv(path) => write!(f, "{}:admin.command", path.display()),
            Self::Env(name) => write!(f, "${name}"),
            Self::File { path, key } => write!(f, "{}:{key}", path.display()),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value with its origin.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
    /// A value that nobody set.
    pub fn default_value(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }
}

/// How a token is obtained. Flyte's and our names map here; `Auto` takes the first that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AuthType {
    /// The first that is configured: static token, explicit secret, key or API key, stored session, a person.
    #[default]
    Auto,
    /// Authorization code with PKCE (`Pkce`, `standard`).
    AuthorizationCode,
    /// Client credentials (`ClientSecret`, `client_credentials`, `basic`).
    ClientCredentials,
    /// Device authorization grant (`DeviceFlow`, `headless`).
    Device,
    /// A command prints the token (`ExternalCommand`, `external_process`).
    ExternalCommand,
    /// The caller brings the header (`Passthrough`); there is nothing to obtain.
    Passthrough,
    /// No auth (`none`).
    None,
}

/// Where the client secret is. Everything but `Value` is read again when it is needed.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The value itself.
    Value(ClientSecret),
    /// A file; read at every grant, so that a rotated file is picked up.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A command (argv) that prints it.
    Command(Vec<String>),
}

/// A token given from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaticToken {
    /// `FLYTE_TOKEN`.
    Value(AccessToken),
    /// `FLYTE_TOKEN_FILE`; read again when it changes.
    File(PathBuf),
}

/// `--store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StoreKind {
    /// The best that works here.
    #[default]
    Auto,
    /// The operating system's keyring.
    Keyring,
    /// An encrypted file whose key is in the keyring.
    EncryptedFile,
    /// A 0600 file.
    File,
    /// This process only.
    Memory,
    /// Nothing is kept, not even in memory between calls.
    None,
}

/// `--interactive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Interactive {
    /// Nobody is asked.
    Never,
    /// A person is asked where one can answer.
    #[default]
    Auto,
    /// Somebody is asked even where none seems to be there.
    Always,
}

/// TLS and proxy settings: they hold for every call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkConfig {
    /// `insecureSkipVerify`: certificates are not checked.
    pub insecure_skip_verify: Option<Setting<bool>>,
    /// `caCertFilePath`: roots trusted besides the platform's (a PEM file, or a folder of them).
    pub ca_cert: Option<Setting<PathBuf>>,
    /// Client certificate chain (PEM).
    pub client_cert: Option<Setting<PathBuf>>,
    /// Client certificate's key (PEM).
    pub client_key: Option<Setting<PathBuf>>,
    /// `httpProxyURL`: used for every call but those that `NO_PROXY` names; without it `HTTPS_PROXY` and `HTTP_PROXY`.
    pub http_proxy_url: Option<Setting<ProxyUrl>>,
}

/// The configuration file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path.
    pub path: PathBuf,
    /// Named by a flag or variable, in the user's own folder, or trusted before: its commands may run and secrets from
    /// the environment may go to its endpoint (contract, "Called by a client" 6).
    pub trusted: bool,
    /// How it was found: a flag, a variable, or the search.
    pub origin: Origin,
    /// Of its auth settings as they were read: trust is given to these, whatever the file holds a moment later.
    pub fingerprint: String,
}

/// A setting that is kept back because the file that names the endpoint is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// Our name of it, for example `client_secret`.
    pub key: &'static str,
    /// Where it was set.
    pub origin: Origin,
    /// It is, or leads to, a secret that the file did not bring itself: going on without it would hide why.
    pub secret: bool,
}

/// Everything that is configured. `None` is "nobody set it" ("" in a file or variable counts as that too).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The Flyte endpoint; `insecure` is already in it.
    pub endpoint: Option<Setting<endpoint::Endpoint>>,
    /// The profile's name.
    pub profile: Option<Setting<String>>,
    /// Which of several accounts, by e-mail address or subject.
    pub account: Option<Setting<String>>,
    /// Whether a login that flytekit, flyte or flytectl keep in the keyring is used (default: yes).
    pub adopt: Option<Setting<bool>>,
    /// How a token is obtained.
    pub auth_type: Setting<AuthType>,
    /// OAuth client id.
    pub client_id: Option<Setting<String>>,
    /// OAuth client secret.
    pub client_secret: Option<Setting<SecretSource>>,
    /// Scopes; an empty list was set to be empty.
    pub scopes: Option<Setting<Vec<String>>>,
    /// Audience.
    pub audience: Option<Setting<String>>,
    /// Further parameters for authorization and token requests.
    pub extra_params: BTreeMap<String, Setting<String>>,
    /// The authorization server's issuer: skips Flyte's discovery.
    pub issuer: Option<Setting<String>>,
    /// `tokenUrl`: the token endpoint, over what discovery says.
    pub token_url: Option<Setting<String>>,
    /// `authorizationHeader`: the header's name, over what discovery says.
    pub authorization_header: Option<Setting<String>>,
    /// `admin.command` where it is not this program itself.
    pub command: Option<Setting<Vec<String>>>,
    /// `admin.command` was this program itself: it counts as unset (contract, "Called by a client" 3).
    pub command_is_ours: bool,
    /// `proxyCommand` (kept for a later issue; never run from an untrusted file).
    pub proxy_command: Option<Setting<Vec<String>>>,
    /// `FLYTE_TOKEN`, `FLYTE_TOKEN_FILE`.
    pub static_token: Option<Setting<StaticToken>>,
    /// TLS and proxy.
    pub network: NetworkConfig,
    /// Token store.
    pub store: Setting<StoreKind>,
    /// Whether a person may be asked.
    pub interactive: Setting<Interactive>,
    /// The file that was read, if any.
    pub file: Option<ConfigFile>,
    /// `insecure` as it was set: no TLS for endpoints without a scheme of HTTP.
    pub insecure: Setting<bool>,
    /// `proxyCommand` is this program itself with other flags.
    pub proxy_command_is_ours: bool,
    /// The endpoint was named for this very call, or its file was: see [`Config::require_unambiguous_endpoint`].
    pub endpoint_pinned: bool,
    /// Endpoints that variables and the file name, in order; the first is not always [`Config::endpoint`].
    pub endpoint_candidates: Vec<Setting<endpoint::Endpoint>>,
    /// Further files that the search found and that were not read.
    pub other_files: Vec<PathBuf>,
    /// Settings kept back because the file is not trusted: see [`Config::ensure_trusted`].
    pub withheld: Vec<Withheld>,
    /// This process is inside a command that was started to get a token ([`DEPTH_VARIABLE`]).
    pub inside_command: bool,
    /// Unknown keys, ignored values, both of two endpoints …: one line each, for stderr.
    pub warnings: Vec<String>,
}

impl<T: Default> Default for Setting<T> {
    fn default() -> Self {
        Self::default_value(T::default())
    }
}

/// Words as a YAML flow list, quoted where YAML needs it.
fn yaml_list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| yaml_scalar(word)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A word as a YAML scalar that stays a text.
fn yaml_scalar(word: &str) -> String {
    let plain = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || (c == '-' && word.len() > 2))
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@+=".contains(c))
        && !word.ends_with(':')
        && !matches!(
            word.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if plain { word.to_owned() } else { format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")) }
}
