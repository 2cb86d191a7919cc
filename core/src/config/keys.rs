//! The one table of settings: our name, Flyte's YAML and INI spelling, every environment variable. The loader, the
//! unknown-key warnings and `config explain` read it; no other place knows a spelling.

use crate::config::{AuthType, Interactive, Origin, StoreKind};
use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Endpoint,
    Insecure,
    InsecureSkipVerify,
    CaCert,
    TlsCertFile,
    TlsKeyFile,
    HttpProxyUrl,
    AuthType,
    ClientId,
    // The order of these four is flytekit's precedence among them (configuration/__init__.py:433-463), ours last.
    ClientSecretEnvVar,
    ClientSecretLocation,
    ClientSecret,
    ClientSecretCommand,
    Scopes,
    Audience,
    ExtraParams,
    Issuer,
    TokenUrl,
    AuthorizationHeader,
    Command,
    ProxyCommand,
    Store,
    Interactive,
    Profile,
    Account,
    Adopt,
}

/// Keys that say where the client secret is.
pub(super) const SECRET_KEYS: [Key; 4] =
    [Key::ClientSecretEnvVar, Key::ClientSecretLocation, Key::ClientSecret, Key::ClientSecretCommand];

/// What a key's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Bool,
    /// A list of texts; commas in a variable, a flag or INI.
    List,
    /// Names to texts; `k=v,k=v` in a variable or flag.
    Map,
}

pub(super) struct Row {
    pub(super) key: Key,
    /// Our name in snake case; the flag is the same with dashes.
    pub(super) name: &'static str,
    /// Under `admin:`; empty: not in files.
    pub(super) yaml: &'static str,
    /// `section.option`; empty: not in INI files.
    pub(super) ini: &'static str,
    /// Variables by family: ours, flyte-sdk's `FLYTE_ADMIN_*`, flytekit's `FLYTE_<SECTION>_*`. Empty: none.
    pub(super) env: [&'static [&'static str]; 3],
    pub(super) shape: Shape,
}

/// Number of variable families in [`Row::env`].
pub(super) const FAMILIES: usize = 3;

const fn row(
    key: Key,
    name: &'static str,
    yaml: &'static str,
    ini: &'static str,
    env: [&'static [&'static str]; 3],
    shape: Shape,
) -> Row {
    Row { key, name, yaml, ini, env, shape }
}

#[rustfmt::skip]
pub(super) const ROWS: [Row; 26] = [
    row(Key::Endpoint, "endpoint", "endpoint", "platform.url",
        [&["FLYTE_AUTH_ENDPOINT"], &["FLYTE_ADMIN_ENDPOINT"], &["FLYTE_PLATFORM_URL"]], Shape::Text),
    row(Key::Insecure, "insecure", "insecure", "platform.insecure",
        [&["FLYTE_AUTH_INSECURE", "FLYTE_AUTH_PLAINTEXT"], &["FLYTE_ADMIN_INSECURE"], &["FLYTE_PLATFORM_INSECURE"]], Shape::Bool),
    row(Key::InsecureSkipVerify, "insecure_skip_verify", "insecureSkipVerify", "platform.insecure_skip_verify",
        [&["FLYTE_AUTH_INSECURE_SKIP_VERIFY"], &["FLYTE_ADMIN_INSECURESKIPVERIFY"], &["FLYTE_PLATFORM_INSECURE_SKIP_VERIFY"]], Shape::Bool),
    row(Key::CaCert, "ca_cert", "caCertFilePath", "platform.ca_cert_file_path",
        [&["FLYTE_AUTH_CA_CERT"], &["FLYTE_ADMIN_CACERTFILEPATH"], &["FLYTE_PLATFORM_CA_CERT_FILE_PATH"]], Shape::Text),
    row(Key::TlsCertFile, "client_cert", "clientCertFilePath", "", [&["FLYTE_AUTH_CLIENT_CERT"], &[], &[]], Shape::Text),
    row(Key::TlsKeyFile, "client_key", "clientKeyFilePath", "", [&["FLYTE_AUTH_CLIENT_KEY"], &[], &[]], Shape::Text),
    row(Key::HttpProxyUrl, "http_proxy_url", "httpProxyURL", "platform.http_proxy_url",
        [&["FLYTE_AUTH_HTTP_PROXY_URL"], &["FLYTE_ADMIN_HTTPPROXYURL"], &["FLYTE_PLATFORM_HTTP_PROXY_URL"]], Shape::Text),
    row(Key::AuthType, "auth_type", "authType", "credentials.auth_mode",
        [&["FLYTE_AUTH_TYPE", "FLYTE_AUTH_AUTH_TYPE"], &["FLYTE_ADMIN_AUTHTYPE"], &["FLYTE_CREDENTIALS_AUTH_MODE"]], Shape::Text),
    row(Key::ClientId, "client_id", "clientId", "credentials.client_id",
        [&["FLYTE_AUTH_CLIENT_ID"], &["FLYTE_ADMIN_CLIENTID"], &["FLYTE_CREDENTIALS_CLIENT_ID"]], Shape::Text),
    row(Key::ClientSecretEnvVar, "client_secret_env_var", "clientSecretEnvVar", "credentials.client_secret_env_var",
        [&["FLYTE_AUTH_CLIENT_SECRET_ENV_VAR"], &["FLYTE_ADMIN_CLIENTSECRETENVVAR"], &["FLYTE_CREDENTIALS_CLIENT_SECRET_ENV_VAR"]], Shape::Text),
    row(Key::ClientSecretLocation, "client_secret_location", "clientSecretLocation", "credentials.client_secret_location",
        [&["FLYTE_AUTH_CLIENT_SECRET_LOCATION"], &["FLYTE_ADMIN_CLIENTSECRETLOCATION"], &["FLYTE_CREDENTIALS_CLIENT_SECRET_LOCATION"]], Shape::Text),
    row(Key::ClientSecret, "client_secret", "clientSecret", "credentials.client_secret",
        [&["FLYTE_AUTH_CLIENT_SECRET"], &[], &["FLYTE_CREDENTIALS_CLIENT_SECRET"]], Shape::Text),
    row(Key::ClientSecretCommand, "client_secret_command", "clientSecretCommand", "",
        [&["FLYTE_AUTH_CLIENT_SECRET_COMMAND"], &[], &[]], Shape::List),
    row(Key::Scopes, "scopes", "scopes", "credentials.scopes",
        [&["FLYTE_AUTH_SCOPES"], &["FLYTE_ADMIN_SCOPES"], &["FLYTE_CREDENTIALS_SCOPES"]], Shape::List),
    row(Key::Audience, "audience", "audience", "credentials.audience",
        [&["FLYTE_AUTH_AUDIENCE"], &["FLYTE_ADMIN_AUDIENCE"], &["FLYTE_CREDENTIALS_AUDIENCE"]], Shape::Text),
    row(Key::ExtraParams, "extra_params", "extraParams", "", [&["FLYTE_AUTH_EXTRA_PARAMS"], &[], &[]], Shape::Map),
    row(Key::Issuer, "issuer", "issuer", "", [&["FLYTE_AUTH_ISSUER"], &[], &[]], Shape::Text),
    row(Key::TokenUrl, "token_url", "tokenUrl", "", [&["FLYTE_AUTH_TOKEN_URL"], &[], &[]], Shape::Text),
    row(Key::AuthorizationHeader, "authorization_header", "authorizationHeader", "",
        [&["FLYTE_AUTH_AUTHORIZATION_HEADER"], &[], &[]], Shape::Text),
    row(Key::Command, "command", "command", "credentials.command",
        [&["FLYTE_AUTH_COMMAND"], &["FLYTE_ADMIN_COMMAND"], &["FLYTE_CREDENTIALS_COMMAND"]], Shape::List),
    row(Key::ProxyCommand, "proxy_command", "proxyCommand", "credentials.proxy_command",
        [&["FLYTE_AUTH_PROXY_COMMAND"], &["FLYTE_ADMIN_PROXYCOMMAND"], &["FLYTE_CREDENTIALS_PROXY_COMMAND"]], Shape::List),
    row(Key::Store, "store", "store", "", [&["FLYTE_AUTH_STORE"], &[], &[]], Shape::Text),
    row(Key::Interactive, "interactive", "", "", [&["FLYTE_AUTH_INTERACTIVE"], &[], &[]], Shape::Text),
    row(Key::Profile, "profile", "", "", [&["FLYTE_AUTH_PROFILE", "FLYTE_PROFILE"], &[], &[]], Shape::Text),
    row(Key::Account, "account", "", "", [&["FLYTE_AUTH_ACCOUNT"], &[], &[]], Shape::Text),
    row(Key::Adopt, "adopt", "", "", [&["FLYTE_AUTH_ADOPT"], &[], &[]], Shape::Bool),
];

/// Keys under `admin:` that the existing clients read and that have no effect here.
pub(super) const ADMIN_IGNORED: [&str; 13] = [
    "disableKeyring",
    "maxRetries",
    "perRetryTimeout",
    "maxBackoffDelay",
    "maxMessageSizeBytes",
    "useAudienceFromAdmin",
    "tokenRefreshWindow",
    "useAuth",
    "authorizationServerUrl",
    "defaultServiceConfig",
    "pkceConfig",
    "deviceFlowConfig",
    "rpcRetries",
];

/// INI options that flytekit reads and that have no effect here.
pub(super) const INI_IGNORED: [&str; 2] = ["platform.console_endpoint", "credentials.disable_keyring"];

impl Key {
    pub(super) fn row(self) -> &'static Row {
        // The table is in the enum's order; a test holds it there.
        &ROWS[self as usize]
    }
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }
}

/// A value as it was found. No `Debug`: it may be a secret.
#[derive(Clone)]
pub(crate) enum Raw {
    Text(String),
    Bool(bool),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

/// Where in the order of precedence a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Flag,
    Argv,
    Env,
    Profile,
    File,
    /// Variables that Flyte sets in its own pods: below everything that somebody chose.
    Pod,
}

impl Layer {
    /// Whether the value stands in the configuration file.
    pub(super) fn in_file(self) -> bool {
        matches!(self, Self::Argv | Self::Profile | Self::File)
    }
}

/// One value of one key.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(super) layer: Layer,
    pub(crate) raw: Raw,
    pub(super) origin: Origin,
}

impl Entry {
    fn wrong(&self, expected: &str) -> Error {
        let setting = self.setting();
        let message = format!("{setting} must be {expected}");
        Error::config("setting_invalid", setting, message).with_next("Correct it, or leave it out")
    }

    /// The name that the user gave the setting, for messages.
    pub(super) fn setting(&self) -> String {
        match &self.origin {
            Origin::Default => self.key.name().to_owned(),
            Origin::Argv(_) => format!("{} (--{})", self.origin, self.key.name().replace('_', "-")),
            origin => origin.to_string(),
        }
    }

    pub(super) fn text(&self) -> Result<String> {
        match &self.raw {
            Raw::Text(text) => Ok(text.trim().to_owned()),
            Raw::Bool(value) => Ok(value.to_string()),
            Raw::List(_) | Raw::Map(_) => Err(self.wrong("a text")),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        match &self.raw {
            Raw::Bool(value) => Ok(*value),
            Raw::Text(text) => parse_bool(text).ok_or_else(|| self.wrong("true or false (also 1/0, yes/no, on/off)")),
            Raw::List(_) | Raw::Map(_) => Err(self.wrong("true or false")),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<String>> {
        match &self.raw {
            Raw::List(items) => Ok(items.clone()),
            // flyte reads a JSON list from a variable, for every list.
            Raw::Text(text) if text.trim_start().starts_with('[') => {
                serde_json::from_str(text).map_err(|_| self.wrong("a list, for example [\"a\", \"b\"]"))
            }
            Raw::Text(text) => match self.key {
                Key::Command | Key::ProxyCommand | Key::ClientSecretCommand if !self.is_flytekits() => {
                    shell_words(text).ok_or_else(|| self.wrong("a command line with closed quotes"))
                }
                // No scope holds white space (RFC 6749 section 3.3): flyte's and OAuth's own separator as well.
                Key::Scopes => Ok(text.split_whitespace().flat_map(split_commas).collect()),
                _ => Ok(split_commas(text)),
            },
            Raw::Bool(_) | Raw::Map(_) => Err(self.wrong("a list")),
        }
    }

    /// flytekit separates the words of a command by commas, in its variables and in INI files.
    fn is_flytekits(&self) -> bool {
        match &self.origin {
            Origin::Env(name) => name.starts_with("FLYTE_CREDENTIALS_"),
            origin => matches!(origin, Origin::File { .. }),
        }
    }

    pub(super) fn map(&self) -> Result<Vec<(String, String)>> {
        match &self.raw {
            Raw::Map(pairs) => Ok(pairs.clone()),
            Raw::Text(text) => split_commas(text)
                .iter()
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) if !name.trim().is_empty() => {
                        Ok((name.trim().to_owned(), value.trim().to_owned()))
                    }
                    _ => Err(self.wrong("of the form name=value,name=value")),
                })
                .collect(),
            Raw::Bool(_) | Raw::List(_) => Err(self.wrong("names with values")),
        }
    }

    /// `""` in a file or a variable is "nobody set it".
    pub(super) fn is_unset(&self) -> bool {
        match &self.raw {
            Raw::Text(text) => text.trim().is_empty(),
            Raw::Bool(_) => false,
            // An empty list of scopes was set to be empty; an empty command is none.
            Raw::List(items) => self.key != Key::Scopes && items.is_empty(),
            Raw::Map(pairs) => pairs.is_empty(),
        }
    }
}

/// flytekit's booleans, both ways.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Comma-separated, trimmed, empty parts dropped.
pub(super) fn split_commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A command line's words: quotes and backslashes as in a shell, nothing expanded. `None`: an open quote.
fn shell_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        end if end == letter => break,
                        '\\' if letter == '"' => word.push(letters.next()?),
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// An auth type, or "counts as unset" (`flyte_auth`, the plug-in's own name in a shared file).
pub(super) fn parse_auth_type(entry: &Entry) -> Result<Option<AuthType>> {
    let raw = entry.text()?;
    let name = raw.to_ascii_lowercase().replace('-', "_");
    Ok(Some(match name.as_str() {
        "flyte_auth" => return Ok(None),
        "auto" => AuthType::Auto,
        "pkce" | "standard" | "authorization_code" | "authorizationcode" => AuthType::AuthorizationCode,
        "clientsecret" | "client_secret" | "client_credentials" | "clientcredentials" | "basic" | "app_credential"
        | "app_credentials" => AuthType::ClientCredentials,
        "deviceflow" | "device_flow" | "headless" | "device" => AuthType::Device,
        "externalcommand" | "external_command" | "external_process" | "command" | "custom" => AuthType::ExternalCommand,
        "passthrough" => AuthType::Passthrough,
        "none" => AuthType::None,
        "github_oidc" | "gitlab_oidc" | "kubernetes" | "gcp" | "aws" | "entra" | "spiffe" => {
            let setting = entry.setting();
            let message = format!("{setting}: {raw} is not in this version");
            return Err(Error::config("auth_type_not_yet", setting, message)
                .with_next("Use ClientSecret, or FLYTE_TOKEN_FILE with the token of your platform"));
        }
        _ => {
            let setting = entry.setting();
            let message = format!("{setting}: unknown auth type {raw:?}");
            return Err(Error::config("auth_type_unknown", setting, message).with_next(
                "Use auto, Pkce, ClientSecret, DeviceFlow, ExternalCommand, Passthrough or none (plug-ins of other \
                 packages are not available here)",
            ));
        }
    }))
}

/// `--store`.
pub(super) fn parse_store(entry: &Entry) -> Result<StoreKind> {
    Ok(match entry.text()?.to_ascii_lowercase().replace('_', "-").as_str() {
        "auto" => StoreKind::Auto,
        "keyring" => StoreKind::Keyring,
        "encrypted-file" => StoreKind::EncryptedFile,
        "file" => StoreKind::File,
        "memory" => StoreKind::Memory,
        "none" => StoreKind::None,
        _ => return Err(entry.wrong("auto, keyring, encrypted-file, file, memory or none")),
    })
}

/// `--interactive`.
pub(super) fn parse_interactive(entry: &Entry) -> Result<Interactive> {
    Ok(match entry.text()?.to_ascii_lowercase().as_str() {
        "never" | "false" => Interactive::Never,
        "auto" => Interactive::Auto,
        "always" | "true" => Interactive::Always,
        _ => return Err(entry.wrong("never, auto or always")),
    })
}

/// The known name nearest to `typed`, if it is near enough to be a typo of it.
pub(super) fn did_you_mean<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let simple = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let typed = simple(typed);
    known
        .map(|name| (distance(&typed, &simple(name)), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len().min(typed.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance in bytes: names of settings are ASCII and short.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(64).enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            row.push((previous[j] + usize::from(x != *y)).min(previous[j + 1] + 1).min(row[j] + 1));
        }
        previous = row;
    }
    previous.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
