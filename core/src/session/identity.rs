//! Which token source a configuration means, and under which key its session is kept. Neither needs the network.

use crate::config::{AuthType, Config, Origin, SecretSource, Setting, StaticToken};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::ClientSecret;
use crate::store::SessionKey;

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Given from outside.
    Static(Setting<StaticToken>),
    /// A confidential client.
    ClientCredentials {
        /// Client id.
        client_id: String,
        /// Where its secret is.
        secret: Setting<SecretSource>,
    },
    /// A command prints it.
    ExternalCommand(Vec<String>),
    /// A person signs in; the session is refreshed from then on.
    Person {
        /// Only the device grant (`authType: DeviceFlow`).
        device_only: bool,
        /// The secret of a client that has one although a person signs in (Google's desktop clients).
        secret: Option<Setting<SecretSource>>,
    },
    /// The caller brings the header.
    Passthrough,
    /// No auth.
    None,
}

impl Source {
    /// The first that is configured (contract: `--auth-type auto`), or the one that was asked for.
    ///
    /// # Errors
    /// Kind `Config`, naming what the explicit type lacks.
    pub fn select(config: &Config) -> Result<Self> {
        match config.auth_type.value {
            AuthType::Auto => Ok(if let Some(token) = &config.static_token {
                Self::Static(token.clone())
            } else if let Some(secret) = &config.client_secret {
                Self::client_credentials(config, secret.clone())?
            } else {
                Self::Person { device_only: false, secret: None }
            }),
            AuthType::AuthorizationCode => {
                Ok(Self::Person { device_only: false, secret: config.client_secret.clone() })
            }
            AuthType::Device => Ok(Self::Person { device_only: true, secret: config.client_secret.clone() }),
            AuthType::ClientCredentials => match &config.client_secret {
                Some(secret) => Self::client_credentials(config, secret.clone()),
                None => Err(Error::config(
                    "secret_missing",
                    "client_secret",
                    "the auth type is ClientSecret and no client secret is set",
                )
                .with_next("Set FLYTE_AUTH_CLIENT_SECRET, admin.clientSecretLocation or admin.clientSecretEnvVar")),
            },
            // Whether it may run is asked when it is to run: `status` looks at such a session too.
            AuthType::ExternalCommand => Ok(Self::ExternalCommand(
                config.command.as_ref().map(|command| command.value.clone()).unwrap_or_default(),
            )),
            AuthType::Passthrough => Ok(Self::Passthrough),
            AuthType::None => Ok(Self::None),
        }
    }

    fn client_credentials(config: &Config, secret: Setting<SecretSource>) -> Result<Self> {
        let client_id = match &config.client_id {
            Some(id) => id.value.clone(),
            None => {
                return Err(Error::config(
                    "client_id_missing",
                    "admin.clientId",
                    format!("a client secret is set ({}) but no client id", secret.origin),
                )
                .with_next("Set admin.clientId, FLYTE_AUTH_CLIENT_ID or --client-id"));
            }
        };
        Ok(Self::ClientCredentials { client_id, secret })
    }

    /// Nobody is ever asked in its place.
    pub fn is_machine(&self) -> bool {
        !matches!(self, Self::Person { .. })
    }

    /// As `status` shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Static(_) => "static",
            Self::ClientCredentials { .. } => "client_credentials",
            Self::ExternalCommand(_) => "external_command",
            Self::Person { .. } => "person",
            Self::Passthrough => "passthrough",
            Self::None => "none",
        }
    }
}

/// Whom the session is with, as a person names it.
///
/// # Errors
/// `endpoint_missing` if neither endpoint nor issuer is configured.
pub fn place(config: &Config) -> Result<String> {
    match (&config.endpoint, &config.issuer) {
        (None, Some(issuer)) => Ok(issuer.value.clone()),
        _ => config.require_endpoint().map(ToString::to_string),
    }
}

/// The session's key: endpoint, profile, account, proxy layer, kind of source, and what was explicitly configured of
/// issuer, client id, sorted scopes and audience. Two deployments behind one identity provider differ in the endpoint;
/// a machine's token is never served to a person.
///
/// # Errors
/// As [`place`].
pub fn session_key(config: &Config, source: &Source) -> Result<SessionKey> {
    place(config)?;
    let endpoint = config.endpoint.as_ref().map(|endpoint| endpoint.value.key());
    let text = |setting: &Option<Setting<String>>| setting.as_ref().map(|setting| setting.value.clone());
    let scopes = config.scopes.as_ref().map(|scopes| {
        let mut sorted = scopes.value.clone();
        sorted.sort();
        sorted.dedup();
        sorted.join(" ")
    });
    let client_id = match source {
        Source::ClientCredentials { client_id, .. } => Some(client_id.clone()),
        _ => text(&config.client_id),
    };
    let command = match source {
        Source::ExternalCommand(argv) => Some(argv.join("\0")),
        _ => None,
    };
    let kind = if source.is_machine() { source.name() } else { "person" };
    let proxy_layer = config.proxy_command.as_ref().map(|command| command.value.join("\0"));
    let parts = [
        Some("1".to_owned()),
        endpoint,
        text(&config.issuer),
        text(&config.profile),
        text(&config.account),
        proxy_layer,
        Some(kind.to_owned()),
        client_id,
        scopes,
        text(&config.audience),
        command,
    ];
    Ok(SessionKey::of_parts(parts.iter().map(Option::as_deref)))
}

/// What a person types after `flyte-auth login` to reach this session again: the endpoint, and the flags that were typed
/// here and make it another session, or reach it another way.
pub fn login_argument(config: &Config) -> String {
    let mut words = match (&config.endpoint, &config.issuer) {
        (Some(endpoint), _) if !endpoint.value.tls() && !endpoint.value.is_loopback() => {
            vec![endpoint.value.base_url(), "--insecure".to_owned()]
        }
        (Some(endpoint), _) if !endpoint.value.tls() => vec![endpoint.value.base_url()],
        (Some(endpoint), _) => vec![endpoint.value.to_string()],
        (None, Some(issuer)) => vec!["--issuer".to_owned(), issuer.value.clone()],
        (None, None) => vec!["HOST".to_owned()],
    };
    let mut typed = |origin: &Origin, value: String| {
        if let Origin::Flag(name) = origin
            && name.starts_with("--")
        {
            words.extend([name.clone(), value]);
        }
    };
    let texts = [&config.client_id, &config.audience, &config.profile, &config.account];
    for setting in texts.into_iter().flatten() {
        typed(&setting.origin, setting.value.clone());
    }
    if let Some(scopes) = &config.scopes {
        typed(&scopes.origin, scopes.value.join(","));
    }
    if let Some(ca) = &config.network.ca_cert {
        typed(&ca.origin, ca.value.display().to_string());
    }
    if let Some(file) = &config.file {
        typed(&file.origin, file.path.display().to_string());
    }
    typed(&config.store.origin, config.store.value.name().to_owned());
    crate::credential::process::quoted(&words)
}

/// Nobody is signed in: the one line of the contract.
pub fn not_signed_in(config: &Config) -> Error {
    let place = place(config).unwrap_or_default();
    Error::new(ErrorKind::LoginRequired, "not_signed_in", format!("not signed in to {place}"))
        .with_endpoint(place)
        .with_next(format!("Run: flyte-auth login {}", login_argument(config)))
}

/// For tests and for keyword arguments of the bindings.
pub fn secret_value(value: &str, argument: &str) -> Setting<SecretSource> {
    Setting::new(SecretSource::Value(ClientSecret::new(value)), Origin::Flag(argument.to_owned()))
}
