//! Decides on what was gathered: which endpoint, what an untrusted or foreign file may say about it, which auth type.

use std::path::{Path, PathBuf};

use super::endpoint::Endpoint;
use super::keys::{Entry, Key, Layer, SECRET_KEYS, parse_auth_type, parse_interactive, parse_store};
use super::load::{Gathered, LoadRequest, is_ours};
use super::search;
use super::validate;
use super::{AuthType, Config, NetworkConfig, Origin, SecretSource, Setting, StaticToken, Withheld};
use crate::error::Result;
use crate::protocol::secret::{AccessToken, ClientSecret};

/// flytectl's implicit client and where its secret is mounted (flyteidl clients/go/admin/config.go).
const FLYTEPROPELLER: (&str, &str) = ("flytepropeller", "/etc/secrets/client_secret");

/// `FLYTE_TOKEN`, else `FLYTE_TOKEN_FILE`.
pub(super) fn static_token(request: &LoadRequest<'_>) -> Option<Setting<StaticToken>> {
    let get = |name: &str| (request.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let value = get("FLYTE_TOKEN").map(|token| ("FLYTE_TOKEN", StaticToken::Value(AccessToken::new(token))));
    let file = || {
        get("FLYTE_TOKEN_FILE").map(|path| ("FLYTE_TOKEN_FILE", StaticToken::File(path_of(request, Path::new(&path)))))
    };
    value.or_else(file).map(|(name, token)| Setting::new(token, Origin::Env(name.to_owned())))
}

fn path_of(request: &LoadRequest<'_>, path: &Path) -> PathBuf {
    search::absolute(path, request.cwd, request.home)
}

/// The values in order of precedence, and what is said about them on the way.
struct Pool {
    entries: Vec<Entry>,
    warnings: Vec<String>,
    withheld: Vec<Withheld>,
    /// The file's endpoint stands above the endpoint variables.
    file_named: bool,
    /// `FLYTE_AUTH_CONFIG` names the file: `FLYTE_AUTH_ENDPOINT` stands above it.
    file_variable: bool,
}

impl Pool {
    fn pick(&self, key: Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// As [`Self::pick`], for the endpoint and `insecure` (head of `config`).
    fn pick_for_endpoint(&self, key: Key) -> Option<&Entry> {
        let rank = |entry: &&Entry| match entry.layer {
            Layer::Flag => 0,
            Layer::Argv => 1,
            Layer::Env if self.file_named && self.file_variable && is_own_variable(entry) => 2,
            Layer::Profile | Layer::File if self.file_named => 3,
            Layer::Env => 4,
            Layer::Profile | Layer::File => 5,
            Layer::Pod => 6,
        };
        self.entries.iter().filter(|entry| entry.key == key).min_by_key(rank)
    }

    fn text(&self, key: Key) -> Result<Option<Setting<String>>> {
        self.pick(key).map(|entry| Ok(Setting::new(entry.text()?, entry.origin.clone()))).transpose()
    }

    /// As [`Self::text`], for a value that has a form.
    fn checked(
        &self,
        key: Key,
        check: impl Fn(&Entry, Setting<String>) -> Result<Setting<String>>,
    ) -> Result<Option<Setting<String>>> {
        let Some(entry) = self.pick(key) else { return Ok(None) };
        check(entry, Setting::new(entry.text()?, entry.origin.clone())).map(Some)
    }

    fn boolean(&self, key: Key) -> Result<Option<Setting<bool>>> {
        self.pick(key).map(|entry| Ok(Setting::new(entry.boolean()?, entry.origin.clone()))).transpose()
    }

    fn list(&self, key: Key) -> Result<Option<Setting<Vec<String>>>> {
        self.pick(key).map(|entry| Ok(Setting::new(entry.list()?, entry.origin.clone()))).transpose()
    }

    fn path(&self, key: Key, request: &LoadRequest<'_>) -> Result<Option<Setting<PathBuf>>> {
        let text = self.text(key)?;
        Ok(text.map(|text| Setting::new(path_of(request, Path::new(&text.value)), text.origin)))
    }

    /// Removes what a client handed in where the file has it too: it may be from there ([`Overrides::from_client`]).
    ///
    /// [`Overrides::from_client`]: super::Overrides::from_client
    fn leave_to_file(&mut self) {
        let in_file: Vec<Entry> = self.entries.iter().filter(|entry| entry.layer.in_file()).cloned().collect();
        self.entries.retain(|given| {
            let of_file = |entry: &Entry| match given.key {
                // Another endpoint than the file's is from somewhere else.
                Key::Endpoint => entry.key == Key::Endpoint && same_place(entry, given),
                key if SECRET_KEYS.contains(&key) => SECRET_KEYS.contains(&entry.key),
                key => entry.key == key,
            };
            given.layer != Layer::Flag || !in_file.iter().any(of_file)
        });
    }

    /// Removes entries for which `gone` holds; they are recorded as withheld.
    fn withhold(&mut self, secret: bool, gone: impl Fn(&Entry) -> bool) {
        let withheld = &mut self.withheld;
        self.entries.retain(|entry| {
            let gone = gone(entry);
            if gone {
                withheld.push(Withheld { key: entry.key.name(), origin: entry.origin.clone(), secret });
            }
            !gone
        });
    }
}

fn is_own_variable(entry: &Entry) -> bool {
    matches!(&entry.origin, Origin::Env(name) if name.starts_with("FLYTE_AUTH_"))
}

/// Decides.
///
/// # Errors
/// Kind `Config`: a value that counts does not parse.
pub(super) fn resolve(gathered: Gathered, request: &LoadRequest<'_>) -> Result<Config> {
    let Gathered { entries, file, file_named, profile, api_key, other_files, warnings } = gathered;
    let file_variable = file.as_ref().is_some_and(|file| file.origin == Origin::Env("FLYTE_AUTH_CONFIG".to_owned()));
    let mut pool = Pool { entries, warnings, withheld: Vec::new(), file_named, file_variable };

    if request.overrides.from_client && file.as_ref().is_some_and(|file| !file.trusted) {
        pool.leave_to_file();
    }
    let chosen = pool.pick_for_endpoint(Key::Endpoint).cloned();
    let endpoint_pinned = match &chosen {
        None => false,
        Some(entry) => {
            matches!(entry.layer, Layer::Flag | Layer::Argv)
                || is_own_variable(entry)
                || (entry.layer.in_file() && file_named)
        }
    };
    // File or profile named for this call: endpoint and file were put together on purpose.
    if let Some(chosen) = &chosen
        && !file_named
        && profile.is_none()
    {
        fit_file_to_endpoint(&mut pool, chosen, endpoint_pinned)?;
    }
    if let Some(file) = &file
        && !file.trusted
    {
        let from_file = chosen.as_ref().is_none_or(|chosen| chosen.layer.in_file());
        distrust(&mut pool, &file.path, from_file, request)?;
    }

    let insecure = match pool.pick_for_endpoint(Key::Insecure) {
        Some(entry) => Setting::new(entry.boolean()?, entry.origin.clone()),
        None => Setting::default_value(false),
    };
    let endpoint = chosen.as_ref().map(|entry| parse_endpoint(entry, insecure.value)).transpose()?;
    if let (Some((key, origin)), Some(endpoint)) = (&api_key, &endpoint) {
        bind_api_key(&mut pool, &key.endpoint, origin, &endpoint.value);
    }
    let candidates = pool
        .entries
        .iter()
        .filter(|entry| entry.key == Key::Endpoint && matches!(entry.layer, Layer::Env | Layer::Profile | Layer::File));
    // A candidate that does not parse is no other endpoint; it is reported where it is chosen.
    let mut endpoint_candidates: Vec<Setting<Endpoint>> = Vec::new();
    for candidate in candidates {
        // The profile is laid over the file's defaults: those are no second endpoint.
        let shadowed =
            candidate.layer == Layer::File && endpoint_candidates.iter().any(|other| is_profile_origin(&other.origin));
        if !shadowed && let Ok(candidate) = parse_endpoint(candidate, insecure.value) {
            endpoint_candidates.push(candidate);
        }
    }

    let command = own_command(&pool, Key::Command, request)?;
    let proxy_command = own_command(&pool, Key::ProxyCommand, request)?;
    let command_is_ours = command.as_ref().is_some_and(|(_, ours)| *ours);
    let untrusted =
        file.as_ref().is_some_and(|file| !file.trusted) && chosen.as_ref().is_none_or(|chosen| chosen.layer.in_file());
    let token = static_token(request);
    let token = match token {
        Some(token) if untrusted => {
            pool.withheld.push(Withheld { key: "static_token", origin: token.origin, secret: true });
            None
        }
        token => token,
    };
    let (auth_type, client_id, client_secret) =
        credentials(&mut pool, request, command_is_ours, token.as_ref(), untrusted)?;

    Ok(Config {
        endpoint,
        profile: profile.map(|entry| entry.text().map(|name| Setting::new(name, entry.origin.clone()))).transpose()?,
        account: pool.text(Key::Account)?,
        adopt: pool.boolean(Key::Adopt)?,
        auth_type,
        client_id,
        client_secret,
        scopes: pool.list(Key::Scopes)?,
        audience: pool.text(Key::Audience)?,
        extra_params: validate::extra_params(pool.entries.iter().filter(|entry| entry.key == Key::ExtraParams))?,
        issuer: pool.checked(Key::Issuer, validate::web_address)?,
        token_url: pool.checked(Key::TokenUrl, validate::web_address)?,
        authorization_header: pool.checked(Key::AuthorizationHeader, validate::header_name)?,
        command: command.filter(|(_, ours)| !ours).map(|(command, _)| command),
        command_is_ours,
        proxy_command_is_ours: proxy_command.as_ref().is_some_and(|(_, ours)| *ours),
        proxy_command: proxy_command.map(|(command, _)| command),
        static_token: token,
        network: NetworkConfig {
            insecure_skip_verify: pool.boolean(Key::InsecureSkipVerify)?,
            ca_cert: pool.path(Key::CaCert, request)?,
            client_cert: pool.path(Key::TlsCertFile, request)?,
            client_key: pool.path(Key::TlsKeyFile, request)?,
            http_proxy_url: pool.text(Key::HttpProxyUrl)?.map(|url| Setting::new(url.value.into(), url.origin)),
        },
        store: match pool.pick(Key::Store) {
            Some(entry) => Setting::new(parse_store(entry)?, entry.origin.clone()),
            None => Setting::default(),
        },
        interactive: match pool.pick(Key::Interactive) {
            Some(entry) => Setting::new(parse_interactive(entry)?, entry.origin.clone()),
            None => Setting::default(),
        },
        insecure,
        endpoint_pinned,
        endpoint_candidates,
        other_files,
        inside_command: (request.env)(super::DEPTH_VARIABLE).is_some_and(|value| !value.trim().is_empty()),
        file,
        warnings: pool.warnings,
        withheld: pool.withheld,
    })
}

fn is_profile_origin(origin: &Origin) -> bool {
    matches!(origin, Origin::File { key, .. } if key.starts_with("profiles."))
}

fn parse_endpoint(entry: &Entry, insecure: bool) -> Result<Setting<Endpoint>> {
    let value = Endpoint::parse(&entry.text()?, insecure, &entry.setting())?;
    Ok(Setting::new(value, entry.origin.clone()))
}

/// Two spellings of one place, whatever the transport: `insecure` may stand in the file that one of them comes from.
fn same_place(a: &Entry, b: &Entry) -> bool {
    let parse = |entry: &Entry, insecure| Endpoint::parse(&entry.text().ok()?, insecure, "").ok();
    [false, true].into_iter().any(|insecure| match (parse(a, insecure), parse(b, insecure)) {
        (Some(a), Some(b)) => a.host() == b.host() && a.port() == b.port() && a.path() == b.path(),
        _ => false,
    })
}

/// A file that nobody named for this call and that describes another endpoint says nothing about a pinned one: a client that
/// pins the endpoint of its own file is not to get the client id or the issuer of `~/.flyte/config.yaml`. Certificates
/// and proxies belong to the machine and stay.
///
/// An endpoint from flytekit's or flyte-sdk's variables takes the file's other settings along, as in those clients,
/// but never its "no TLS" or "no checks".
fn fit_file_to_endpoint(pool: &mut Pool, chosen: &Entry, pinned: bool) -> Result<()> {
    if chosen.layer.in_file() {
        return Ok(());
    }
    let described = [Layer::Argv, Layer::Profile, Layer::File]
        .iter()
        .find_map(|layer| pool.entries.iter().find(|entry| entry.key == Key::Endpoint && entry.layer == *layer));
    let Some(described) = described.filter(|described| !same_place(described, chosen)).cloned() else {
        return Ok(());
    };
    let stays = |key: Key| {
        if pinned {
            matches!(key, Key::CaCert | Key::HttpProxyUrl)
        } else {
            !matches!(key, Key::Insecure | Key::InsecureSkipVerify)
        }
    };
    let before = pool.entries.len();
    // The endpoint itself stays for `require_unambiguous_endpoint`; it is not chosen anyway.
    pool.entries.retain(|entry| !entry.layer.in_file() || entry.key == Key::Endpoint || stays(entry.key));
    if pool.entries.len() < before {
        pool.warnings.push(format!(
            "{} describes another endpoint; its {} not apply to {}",
            described.origin,
            if pinned { "auth settings do" } else { "insecure settings do" },
            chosen.text()?
        ));
    }
    Ok(())
}

/// What a file that nobody trusted yet may say: see the head of `trust`.
fn distrust(pool: &mut Pool, path: &Path, endpoint_from_file: bool, request: &LoadRequest<'_>) -> Result<()> {
    let shown = path.display();
    if !endpoint_from_file {
        let before = pool.entries.len();
        pool.entries.retain(|entry| !entry.layer.in_file() || entry.key == Key::Endpoint);
        if pool.entries.len() < before {
            pool.warnings.push(format!(
                "{shown} is not trusted: its settings do not apply to an endpoint that it did not name. If you trust \
                 it, run: flyte-auth login --config {shown}"
            ));
        }
        return Ok(());
    }
    let mut foreign = Vec::new();
    for entry in &pool.entries {
        let is_command = matches!(entry.key, Key::Command | Key::ProxyCommand);
        if is_command && is_ours(request, &entry.list()?).is_none() {
            foreign.push((entry.key, entry.origin.clone()));
        }
    }
    let is_foreign = |entry: &Entry| foreign.iter().any(|(key, origin)| *key == entry.key && *origin == entry.origin);
    // Its programs never run.
    pool.withhold(false, |entry| entry.layer.in_file() && (entry.key == Key::ClientSecretCommand || is_foreign(entry)));
    // Secrets that lie outside the file, whoever points at them, never go to its endpoint. A secret that stands in the
    // file is its own to give.
    pool.withhold(true, |entry| {
        if entry.layer.in_file() {
            matches!(entry.key, Key::ClientSecretEnvVar | Key::ClientSecretLocation)
        } else {
            SECRET_KEYS.contains(&entry.key) || is_foreign(entry)
        }
    });
    // A known endpoint with a strange proxy, CA or token URL would get the stored session's refresh token.
    if !request.for_login {
        let redirects = [
            Key::InsecureSkipVerify,
            Key::CaCert,
            Key::TlsCertFile,
            Key::TlsKeyFile,
            Key::HttpProxyUrl,
            Key::Issuer,
            Key::TokenUrl,
            // What goes along with a refresh, which header a token ends up in, where it lies, and who is asked.
            Key::ExtraParams,
            Key::AuthorizationHeader,
            Key::Store,
            Key::Interactive,
        ];
        pool.withhold(false, |entry| entry.layer.in_file() && redirects.contains(&entry.key));
    }
    let names: Vec<&str> =
        pool.withheld.iter().filter(|withheld| !withheld.secret).map(|withheld| withheld.key).collect();
    if !names.is_empty() {
        pool.warnings.push(format!(
            "{shown} is not trusted: its {} ignored. If you trust it, run: flyte-auth login --config {shown}",
            if names.len() == 1 { format!("{} is", names[0]) } else { format!("{} are", names.join(", ")) }
        ));
    }
    Ok(())
}

/// An API key is for one endpoint: its secret goes nowhere else.
fn bind_api_key(pool: &mut Pool, belongs: &Endpoint, origin: &Origin, chosen: &Endpoint) {
    if (belongs.host(), belongs.port()) == (chosen.host(), chosen.port()) {
        return;
    }
    let before = pool.entries.len();
    pool.entries.retain(|entry| entry.origin != *origin || entry.key == Key::Endpoint);
    if pool.entries.len() < before {
        pool.warnings.push(format!("{origin} is for {belongs}: it is not used for {chosen}"));
    }
}

fn own_command(pool: &Pool, key: Key, request: &LoadRequest<'_>) -> Result<Option<(Setting<Vec<String>>, bool)>> {
    Ok(pool.list(key)?.map(|command| {
        let ours = is_ours(request, &command.value).is_some();
        (command, ours)
    }))
}

type Credentials = (Setting<AuthType>, Option<Setting<String>>, Option<Setting<SecretSource>>);

fn credentials(
    pool: &mut Pool,
    request: &LoadRequest<'_>,
    command_is_ours: bool,
    token: Option<&Setting<StaticToken>>,
    untrusted: bool,
) -> Result<Credentials> {
    let mut chosen: Option<(AuthType, Layer, Origin)> = None;
    for entry in pool.entries.iter().filter(|entry| entry.key == Key::AuthType) {
        match parse_auth_type(entry)? {
            None => {}
            Some(AuthType::ExternalCommand) if command_is_ours => {}
            Some(found) => {
                chosen = Some((found, entry.layer, entry.origin.clone()));
                break;
            }
        }
    }
    let secret_entry = pool.entries.iter().find(|entry| SECRET_KEYS.contains(&entry.key)).cloned();
    let secret = secret_entry.as_ref().map(|entry| secret_source(entry, request)).transpose()?;
    let mut auth_type = match &chosen {
        Some((found, _, origin)) => Setting::new(*found, origin.clone()),
        None => Setting::default(),
    };
    // Somebody who sets a token or a secret for this call means it, whatever the shared file says.
    if let Some((found, layer, _)) = &chosen
        && !matches!(found, AuthType::Passthrough | AuthType::None | AuthType::Auto)
    {
        if let Some(token) = token.filter(|_| *layer > Layer::Env) {
            auth_type = Setting::new(AuthType::Auto, token.origin.clone());
        } else if let Some(entry) = secret_entry.as_ref().filter(|entry| entry.layer < *layer) {
            auth_type = Setting::new(AuthType::ClientCredentials, entry.origin.clone());
        }
    }
    if let (Some(entry), AuthType::AuthorizationCode | AuthType::Device | AuthType::ExternalCommand) =
        (&secret_entry, auth_type.value)
        && matches!(entry.key, Key::ClientSecretEnvVar | Key::ClientSecretLocation)
    {
        pool.warnings.push(format!(
            "{} makes pyflyte and flyte use ClientSecret; here {} holds",
            entry.setting(),
            auth_type.origin
        ));
    }
    let mut client_id = pool.text(Key::ClientId)?;
    let mut secret = secret;
    if auth_type.value == AuthType::ClientCredentials {
        let kept_back = pool.withheld.iter().any(|withheld| withheld.secret);
        if secret.is_none() && untrusted {
            // The mounted secret of a pod is no business of a file that nobody trusted.
            if !kept_back {
                let origin = auth_type.origin.clone();
                pool.withheld.push(Withheld { key: "client_secret", origin, secret: true });
            }
        } else if secret.is_none() {
            secret = Some(Setting::default_value(SecretSource::File(PathBuf::from(FLYTEPROPELLER.1))));
        }
        client_id = client_id.or_else(|| Some(Setting::default_value(FLYTEPROPELLER.0.to_owned())));
    }
    Ok((auth_type, client_id, secret))
}

fn secret_source(entry: &Entry, request: &LoadRequest<'_>) -> Result<Setting<SecretSource>> {
    let value = match entry.key {
        Key::ClientSecretEnvVar => SecretSource::Env(entry.text()?),
        Key::ClientSecretLocation => SecretSource::File(path_of(request, Path::new(&entry.text()?))),
        Key::ClientSecretCommand => SecretSource::Command(entry.list()?),
        _ => SecretSource::Value(ClientSecret::new(entry.text()?)),
    };
    Ok(Setting::new(value, entry.origin.clone()))
}
