//! `config explain`: every setting, its value with secrets masked, and where it came from.

use std::fmt::Display;
use std::path::PathBuf;

use super::{AuthType, Config, Interactive, Origin, SecretSource, Setting, StaticToken, StoreKind, yaml_list};

/// One line of `config explain`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExplainRow {
    /// Our name, for example `client_id`; parameters are `extra_params.NAME`.
    pub key: String,
    /// The value as text; `None` is "not set". Secrets are `***`.
    pub value: Option<String>,
    /// Where it came from, for example `$FLYTE_ADMIN_ENDPOINT`, `/home/me/.flyte/config.yaml:admin.endpoint`, `default`.
    pub origin: String,
}

const MASKED: &str = "***";

impl AuthType {
    /// Flyte's name, for example `Pkce`; ours where Flyte has none.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::AuthorizationCode => "Pkce",
            Self::ClientCredentials => "ClientSecret",
            Self::Device => "DeviceFlow",
            Self::ExternalCommand => "ExternalCommand",
            Self::Passthrough => "Passthrough",
            Self::None => "none",
        }
    }
}

impl StoreKind {
    /// As in `--store`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Keyring => "keyring",
            Self::EncryptedFile => "encrypted-file",
            Self::File => "file",
            Self::Memory => "memory",
            Self::None => "none",
        }
    }
}

impl Interactive {
    /// As in `--interactive`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Auto => "auto",
            Self::Always => "always",
        }
    }
}

impl Config {
    /// Every setting, those that nobody set included, in a fixed order. No secret is in it.
    pub fn explain(&self) -> Vec<ExplainRow> {
        let mut rows = Rows(Vec::new());
        rows.add("endpoint", self.endpoint.as_ref(), super::endpoint::Endpoint::base_url);
        rows.add("insecure", Some(&self.insecure), ToString::to_string);
        rows.text("profile", self.profile.as_ref());
        rows.text("account", self.account.as_ref());
        rows.add("adopt", self.adopt.as_ref(), ToString::to_string);
        rows.add("auth_type", Some(&self.auth_type), |value| value.name().to_owned());
        rows.text("client_id", self.client_id.as_ref());
        rows.add("client_secret", self.client_secret.as_ref(), |source| match source {
            SecretSource::Value(_) => MASKED.to_owned(),
            SecretSource::File(path) => format!("{MASKED} (file {})", path.display()),
            SecretSource::Env(name) => format!("{MASKED} (variable {name})"),
            SecretSource::Command(argv) => format!("{MASKED} (command {})", masked_command(argv)),
        });
        rows.add("scopes", self.scopes.as_ref(), |scopes| scopes.join(","));
        rows.text("audience", self.audience.as_ref());
        for (name, value) in &self.extra_params {
            rows.add(&format!("extra_params.{name}"), Some(value), |text| {
                if is_secret_name(name) { MASKED.to_owned() } else { text.clone() }
            });
        }
        rows.text("issuer", self.issuer.as_ref());
        rows.text("token_url", self.token_url.as_ref());
        rows.text("authorization_header", self.authorization_header.as_ref());
        rows.add("command", self.command.as_ref(), |argv| masked_command(argv));
        rows.add("proxy_command", self.proxy_command.as_ref(), |argv| masked_command(argv));
        rows.add("static_token", self.static_token.as_ref(), |token| match token {
            StaticToken::Value(_) => MASKED.to_owned(),
            StaticToken::File(path) => format!("{MASKED} (file {})", path.display()),
        });
        rows.add("insecure_skip_verify", self.network.insecure_skip_verify.as_ref(), ToString::to_string);
        rows.path("ca_cert", self.network.ca_cert.as_ref());
        rows.path("client_cert", self.network.client_cert.as_ref());
        rows.path("client_key", self.network.client_key.as_ref());
        rows.add("http_proxy_url", self.network.http_proxy_url.as_ref(), ToString::to_string);
        rows.add("store", Some(&self.store), |value| value.name().to_owned());
        rows.add("interactive", Some(&self.interactive), |value| value.name().to_owned());
        rows.0.push(ExplainRow {
            key: "config_file".to_owned(),
            value: self.file.as_ref().map(|file| {
                let trust = if file.trusted { "trusted" } else { "not trusted" };
                format!("{} ({trust})", file.path.display())
            }),
            origin: self.file.as_ref().map_or_else(
                || Origin::Default.to_string(),
                |file| match &file.origin {
                    Origin::File { key, .. } => key.clone(),
                    origin => origin.to_string(),
                },
            ),
        });
        for withheld in &self.withheld {
            if let Some(row) = rows.0.iter_mut().find(|row| row.key == withheld.key && row.value.is_none()) {
                row.origin = format!("{} (kept back: the file is not trusted)", withheld.origin);
            }
        }
        rows.0
    }
}

struct Rows(Vec<ExplainRow>);

impl Rows {
    fn add<T>(&mut self, key: &str, setting: Option<&Setting<T>>, show: impl Fn(&T) -> String) {
        self.0.push(ExplainRow {
            key: key.to_owned(),
            value: setting.map(|setting| show(&setting.value)),
            origin: setting.map_or(&Origin::Default, |setting| &setting.origin).to_string(),
        });
    }
    fn text<T: Display>(&mut self, key: &str, setting: Option<&Setting<T>>) {
        self.add(key, setting, ToString::to_string);
    }
    fn path(&mut self, key: &str, setting: Option<&Setting<PathBuf>>) {
        self.add(key, setting, |path| path.display().to_string());
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "token", "password", "assertion", "key"].iter().any(|word| name.contains(word))
}

/// A command without the values of arguments that look like secrets: people do put them there.
fn masked_command(argv: &[String]) -> String {
    yaml_list(&masked_argv(argv))
}

/// The words of a command, those that look like secrets masked.
pub(crate) fn masked_argv(argv: &[String]) -> Vec<String> {
    let mut hide_next = false;
    argv.iter()
        .map(|word| {
            let hide = std::mem::take(&mut hide_next);
            match word.split_once('=') {
                Some((name, _)) if is_secret_name(name) => format!("{name}={MASKED}"),
                None if word.starts_with('-') && is_secret_name(word) => {
                    hide_next = true;
                    word.clone()
                }
                _ if hide => MASKED.to_owned(),
                _ => word.clone(),
            }
        })
        .collect()
}
