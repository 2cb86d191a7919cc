//! Questions a command asks of its [`Config`] before it acts.

use std::path::{Path, PathBuf};

use super::endpoint::Endpoint;
use super::{AuthType, Config, Origin, Setting, circle, file};
use crate::error::{Error, Result};
use crate::firewall::Plaintext;

impl Config {
    /// The endpoint.
    ///
    /// # Errors
    /// Kind `Config`, code `endpoint_missing`.
    pub fn require_endpoint(&self) -> Result<&Endpoint> {
        self.endpoint.as_ref().map(|setting| &setting.value).ok_or_else(|| {
            let place = self.file.as_ref().map_or("no configuration file was found".to_owned(), |file| {
                format!("{} names none", file.path.display())
            });
            Error::config("endpoint_missing", "endpoint", format!("which Flyte endpoint? {place}"))
                .with_next("Give --endpoint dns:///HOST, set FLYTE_AUTH_ENDPOINT, or write admin.endpoint into ~/.flyte/config.yaml")
        })
    }

    /// The file that decides where a login goes, if it is not trusted yet: a person sees it before they sign in
    /// (contract, "Called by a client" 6). An endpoint that was typed, or set in the environment, is the person's own.
    pub fn untrusted_origin(&self) -> Option<&Path> {
        let file = self.file.as_ref().filter(|file| !file.trusted)?;
        let place = self.endpoint.as_ref().map(|endpoint| &endpoint.origin);
        match place.or(self.issuer.as_ref().map(|issuer| &issuer.origin))? {
            Origin::File { path, .. } | Origin::Argv(path) if *path == file.path => Some(&file.path),
            _ => None,
        }
    }

    /// Whether the user said that calls may go without TLS beyond this machine. What an untrusted file says is no word of
    /// the user's, not even when they log in from it.
    pub fn plaintext(&self) -> Plaintext {
        if self.insecure.value && !self.is_untrusted(&self.insecure.origin) {
            Plaintext::ByUser
        } else {
            Plaintext::LoopbackOnly
        }
    }

    /// What of an untrusted file is in force and could lead a login astray: empty but for a login from that file, which
    /// shows it to the person first.
    pub fn untrusted_settings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let network = &self.network;
        let mut add = |name: &str, origin: Option<&Origin>, value: Option<String>| {
            if origin.is_some_and(|origin| self.is_untrusted(origin)) {
                found.push(value.map_or_else(|| name.to_owned(), |value| format!("{name} {value}")));
            }
        };
        fn origin<T>(setting: &Option<Setting<T>>) -> Option<&Origin> {
            setting.as_ref().map(|setting| &setting.origin)
        }
        let text = |setting: &Option<Setting<String>>| setting.as_ref().map(|setting| setting.value.clone());
        let path =
            |setting: &Option<Setting<PathBuf>>| setting.as_ref().map(|setting| setting.value.display().to_string());
        add("issuer", origin(&self.issuer), text(&self.issuer));
        add("tokenUrl", origin(&self.token_url), text(&self.token_url));
        let proxy = network.http_proxy_url.as_ref().map(|url| url.value.to_string());
        add("httpProxyURL", origin(&network.http_proxy_url), proxy);
        let skips = network.insecure_skip_verify.as_ref().filter(|skip| skip.value);
        add("insecureSkipVerify (certificates are not checked)", skips.map(|skip| &skip.origin), None);
        add("caCertFilePath", origin(&network.ca_cert), path(&network.ca_cert));
        add("clientCertFilePath", origin(&network.client_cert), path(&network.client_cert));
        add("authorizationHeader", origin(&self.authorization_header), text(&self.authorization_header));
        add("store", Some(&self.store.origin), Some(self.store.value.name().to_owned()));
        for (name, value) in &self.extra_params {
            add(&format!("extraParams.{name}"), Some(&value.origin), None);
        }
        found
    }

    fn is_untrusted(&self, origin: &Origin) -> bool {
        let of_file = matches!(origin, Origin::File { .. } | Origin::Argv(_));
        of_file && self.file.as_ref().is_some_and(|file| !file.trusted)
    }

    /// For `token` and `header`, whose output goes to a server that the caller chose: an endpoint that nobody pinned
    /// must be the same in every variable and file that this call could mean (contract, "Called by a client" 4).
    /// Reads the other files of the search; free for a pinned endpoint.
    ///
    /// # Errors
    /// Kind `Config`, code `endpoint_ambiguous`: names both endpoints and where they come from.
    pub fn require_unambiguous_endpoint(&self) -> Result<()> {
        let Some(chosen) = &self.endpoint else { return Ok(()) };
        if self.endpoint_pinned {
            return Ok(());
        }
        let differing = self.endpoint_candidates.iter().find(|other| other.value.key() != chosen.value.key()).cloned();
        // A profile chosen by name says which file is meant.
        let from_files = || match self.profile {
            Some(_) => None,
            None => self.other_files.iter().find_map(|path| {
                let data = file::read(path, None).ok()?;
                let entry = file::endpoint_entry(&data)?;
                let value = Endpoint::parse(&entry.text().ok()?, !chosen.value.tls(), "").ok()?;
                (value.key() != chosen.value.key()).then(|| Setting::new(value, entry.origin.clone()))
            }),
        };
        let Some(other) = differing.or_else(from_files) else { return Ok(()) };
        let (first, second) = (&chosen.value, &other.value);
        let message = format!(
            "two endpoints are configured: {} ({}) and {} ({})",
            first.base_url(),
            chosen.origin,
            second.base_url(),
            other.origin
        );
        Err(Error::config("endpoint_ambiguous", "endpoint", message)
            .with_next(format!("Say which is meant: --endpoint {} (`flyte-auth configure` pins it)", first.base_url())))
    }

    /// Refuses to go on without what was kept back because the file is not trusted: secrets from the environment never
    /// go to an endpoint from such a file, and its commands never run (contract, "Called by a client" 6).
    ///
    /// # Errors
    /// Kind `Config`, code `untrusted_config`: names file, endpoint and the next step.
    pub fn ensure_trusted(&self) -> Result<()> {
        let command_needed = self.auth_type.value == AuthType::ExternalCommand && self.command.is_none();
        let Some(withheld) =
            self.withheld.iter().find(|withheld| withheld.secret || (command_needed && withheld.key == "command"))
        else {
            return Ok(());
        };
        let file = self.file.as_ref().map_or_else(String::new, |file| file.path.display().to_string());
        let host =
            self.endpoint.as_ref().map_or_else(|| "its endpoint".to_owned(), |endpoint| endpoint.value.base_url());
        let what = if withheld.secret {
            format!("the secret from {} does not go to {host}", withheld.origin)
        } else {
            format!("its {} is not run for {host}", withheld.key)
        };
        Err(Error::config("untrusted_config", withheld.origin.to_string(), format!("{file} is not trusted: {what}"))
            .with_endpoint(host)
            .with_next(format!(
                "If you trust it, run: flyte-auth login --config {file} (or set FLYTE_AUTH_TRUST={file})"
            )))
    }

    /// The argv of `authType: ExternalCommand`. Start it with [`super::DEPTH_VARIABLE`] set.
    ///
    /// # Errors
    /// Kind `Config`: `untrusted_config`, `command_missing`, or `command_calls_itself` inside such a command.
    pub fn external_command(&self) -> Result<&[String]> {
        self.ensure_trusted()?;
        let Some(command) = &self.command else {
            return Err(Error::config(
                "command_missing",
                "admin.command",
                "authType ExternalCommand needs admin.command",
            )
            .with_next("Write the command that prints a token into admin.command, as a list of words"));
        };
        self.ensure_not_inside_command(command)?;
        Ok(&command.value)
    }

    /// Refuses to start `command` (any that yields a token or a secret for one) from inside such a command.
    ///
    /// # Errors
    /// Kind `Config`, code `command_calls_itself`.
    pub fn ensure_not_inside_command(&self, command: &Setting<Vec<String>>) -> Result<()> {
        if !self.inside_command {
            return Ok(());
        }
        let setting = match &command.origin {
            Origin::File { key, .. } => key.clone(),
            origin => origin.to_string(),
        };
        Err(circle::recursion(&setting, &command.value))
    }
}
