//! Gathers every value from flags, environment and the one file that counts, in order of precedence.
//!
//! Cheap on purpose, since `flyte-auth token` does it at every call: no subprocess, no runtime, one file parsed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Spelling;
use super::circle::{self, Me};
use super::file::{self, FileData};
use super::keys::{Entry, FAMILIES, Key, Layer, ROWS, Raw};
use super::search::{self, Place};
use super::{ApiKey, Config, ConfigFile, Origin, ProxyUrl, resolve, trust};
use crate::error::{Error, Result};
use crate::protocol::secret::ClientSecret;

/// Variables that hold an API key, in order; the latter two are what Flyte 2 and Union set in their pods.
pub(super) const API_KEY_VARIABLES: [&str; 3] = ["FLYTE_API_KEY", "_UNION_EAGER_API_KEY", "EAGER_API_KEY"];

/// Variables that Flyte 2 sets in its pods, below everything that somebody chose.
const POD_VARIABLES: [(Key, &str); 3] = [
    (Key::Endpoint, "_U_EP_OVERRIDE"),
    (Key::Insecure, "_U_INSECURE"),
    (Key::InsecureSkipVerify, "_U_INSECURE_SKIP_VERIFY"),
];

/// Typed flags or keyword arguments. `None` and the empty text are "not given".
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--endpoint`.
    pub endpoint: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--store`.
    pub store: Option<String>,
    /// `--interactive`.
    pub interactive: Option<String>,
    /// `--insecure`, `--plaintext`.
    pub insecure: Option<bool>,
    /// `--insecure-skip-verify`.
    pub insecure_skip_verify: Option<bool>,
    /// `--ca-cert`.
    pub ca_cert: Option<PathBuf>,
    /// Client certificate chain (PEM).
    pub client_cert: Option<PathBuf>,
    /// Client certificate's key (PEM).
    pub client_key: Option<PathBuf>,
    /// HTTP proxy for every call.
    pub http_proxy_url: Option<ProxyUrl>,
    /// `--auth-type`.
    pub auth_type: Option<String>,
    /// `--client-id`.
    pub client_id: Option<String>,
    /// The client secret; no flag, since argv is public.
    pub client_secret: Option<ClientSecret>,
    /// `--issuer`.
    pub issuer: Option<String>,
    /// `--scopes`; an empty list is set to be empty.
    pub scopes: Option<Vec<String>>,
    /// `--audience`.
    pub audience: Option<String>,
    /// Further parameters for authorization and token requests.
    pub extra_params: BTreeMap<String, String>,
    /// A Flyte client read these from files and environment itself, and does not say where each is from. What an
    /// untrusted file has too counts as that file's.
    pub from_client: bool,
}

/// What a configuration is made from.
pub struct LoadRequest<'a> {
    /// Typed flags or keyword arguments.
    pub overrides: Overrides,
    /// How the caller spells them.
    pub spelling: Spelling,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The working folder, absolute.
    pub cwd: &'a Path,
    /// The home folder.
    pub home: Option<&'a Path>,
    /// The running binary, to know it in `admin.command`; `None` in a library.
    pub exe: Option<&'a Path>,
    /// For `login` alone, which shows a person file and endpoint before anything is sent: an untrusted file's own CA,
    /// proxy, issuer and token URL then hold. Secrets from the environment and its commands stay withheld.
    pub for_login: bool,
}

/// The process's own environment and folders: the one place where this crate's configuration reads them.
#[derive(Debug, Clone)]
pub struct ProcessContext {
    /// The working folder.
    pub cwd: PathBuf,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// The running binary.
    pub exe: Option<PathBuf>,
}

impl ProcessContext {
    /// The environment lookup of this process; text that is no Unicode is made so.
    pub fn env(name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }
    /// Of this process, now. `is_cli`: the running binary is `flyte-auth` and not a host such as `python`.
    pub fn current(is_cli: bool) -> Self {
        Self {
            // A deleted working folder holds no configuration file.
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            home: trust::home_dir(&Self::env),
            exe: if is_cli { std::env::current_exe().ok() } else { None },
        }
    }
    /// A request with this context.
    pub fn request(&self, overrides: Overrides, spelling: Spelling) -> LoadRequest<'_> {
        LoadRequest {
            overrides,
            spelling,
            env: &Self::env,
            cwd: &self.cwd,
            home: self.home.as_deref(),
            exe: self.exe.as_deref(),
            for_login: false,
        }
    }
}

/// Everything found, before it is decided upon.
pub(super) struct Gathered {
    /// In order of precedence.
    pub(super) entries: Vec<Entry>,
    pub(super) file: Option<ConfigFile>,
    /// The file was named for this call: its endpoint stands above the endpoint variables.
    pub(super) file_named: bool,
    pub(super) profile: Option<Entry>,
    pub(super) api_key: Option<(ApiKey, Origin)>,
    pub(super) other_files: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
}

/// Loads the configuration.
///
/// # Errors
/// Kind `Config`: a named file is missing or unusable, a value does not parse, a profile is not declared. What is
/// merely unwise becomes a warning. A missing endpoint is no error here (`list`, `config explain` need none).
pub fn load(request: LoadRequest<'_>) -> Result<Config> {
    let gathered = gather(&request)?;
    resolve::resolve(gathered, &request)
}

fn gather(request: &LoadRequest<'_>) -> Result<Gathered> {
    let mut warnings = Vec::new();
    let flags = flag_entries(request);
    let (data, file, file_named, other_files) = choose_file(request, &mut warnings)?;
    let (env, api_key) = env_entries(request)?;

    // `--profile` inside our own command in the file's defaults chooses the profile, whose own command then counts.
    let base = data.as_ref().map_or(&[][..], |data| &data.admin[..]);
    let own_profile = command_flags(request, &env, &[], base, file.as_ref(), &mut Vec::new())?;
    let profile = [&flags, &own_profile, &env].into_iter().flatten().find(|entry| entry.key == Key::Profile).cloned();
    let profile_entries = match &profile {
        Some(entry) => profile_entries(entry, data.as_ref())?,
        None => &[],
    };
    let mut argv = command_flags(request, &env, profile_entries, base, file.as_ref(), &mut warnings)?;
    argv.retain(|entry| entry.key != Key::Profile);

    let pod = POD_VARIABLES.iter().filter_map(|(key, name)| env_entry(request, *key, name, Layer::Pod));
    let mut entries = flags;
    entries.extend(argv);
    entries.extend(env);
    entries.extend(profile_entries.iter().cloned());
    entries.extend(base.iter().cloned());
    entries.extend(pod);
    entries.retain(|entry| entry.key != Key::Profile);
    Ok(Gathered { entries, file, file_named, profile, api_key, other_files, warnings })
}

fn flag_entries(request: &LoadRequest<'_>) -> Vec<Entry> {
    let given = &request.overrides;
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| Raw::Text(path.display().to_string()));
    let text = |text: &Option<String>| text.clone().map(Raw::Text);
    let pairs: Vec<(String, String)> = given.extra_params.clone().into_iter().collect();
    let secret = given.client_secret.as_ref().map(|secret| {
        // EXPOSE: carried to the setting of the same type; `Raw` has no Debug.
        Raw::Text(secret.expose().to_owned())
    });
    let all = [
        (Key::Endpoint, text(&given.endpoint)),
        (Key::Insecure, given.insecure.map(Raw::Bool)),
        (Key::InsecureSkipVerify, given.insecure_skip_verify.map(Raw::Bool)),
        (Key::CaCert, path(&given.ca_cert)),
        (Key::TlsCertFile, path(&given.client_cert)),
        (Key::TlsKeyFile, path(&given.client_key)),
        // EXPOSE: carried to the setting of the same type; `Raw` has no Debug.
        (Key::HttpProxyUrl, given.http_proxy_url.as_ref().and_then(|url| text(&Some(url.expose().to_owned())))),
        (Key::AuthType, text(&given.auth_type)),
        (Key::ClientId, text(&given.client_id)),
        (Key::ClientSecret, secret),
        (Key::Issuer, text(&given.issuer)),
        (Key::Scopes, given.scopes.clone().map(Raw::List)),
        (Key::Audience, text(&given.audience)),
        (Key::ExtraParams, (!pairs.is_empty()).then_some(Raw::Map(pairs))),
        (Key::Store, text(&given.store)),
        (Key::Interactive, text(&given.interactive)),
        (Key::Profile, text(&given.profile)),
        (Key::Account, text(&given.account)),
    ];
    all.into_iter()
        .filter_map(|(key, raw)| {
            let origin = Origin::Flag(request.spelling.spell(key.name()));
            Some(Entry { key, layer: Layer::Flag, raw: raw?, origin })
        })
        .filter(|entry| !entry.is_unset())
        .collect()
}

fn env_entry(request: &LoadRequest<'_>, key: Key, name: &str, layer: Layer) -> Option<Entry> {
    let value = (request.env)(name)?;
    let entry = Entry { key, layer, raw: Raw::Text(value), origin: Origin::Env(name.to_owned()) };
    (!entry.is_unset()).then_some(entry)
}

type FromEnv = (Vec<Entry>, Option<(ApiKey, Origin)>);

/// Variables in order: ours; the API key; flyte-sdk's; flytekit's.
fn env_entries(request: &LoadRequest<'_>) -> Result<FromEnv> {
    let mut entries = Vec::new();
    let mut api_key = None;
    for family in 0..FAMILIES {
        for row in &ROWS {
            entries.extend(row.env[family].iter().filter_map(|name| env_entry(request, row.key, name, Layer::Env)));
        }
        if family == 0
            && let Some((name, value)) = API_KEY_VARIABLES
                .iter()
                .find_map(|name| Some((*name, (request.env)(name).filter(|value| !value.trim().is_empty())?)))
        {
            let origin = Origin::Env(name.to_owned());
            let key = ApiKey::parse(&value, &origin.to_string())?;
            let mut add = |setting: Key, text: String| {
                entries.push(Entry { key: setting, layer: Layer::Env, raw: Raw::Text(text), origin: origin.clone() });
            };
            add(Key::Endpoint, key.endpoint.base_url());
            add(Key::ClientId, key.client_id.clone());
            // EXPOSE: carried to the setting of the same type; `Raw` has no Debug.
            add(Key::ClientSecret, key.client_secret.expose().to_owned());
            // A static token stands above the key in `auto`.
            if resolve::static_token(request).is_none() {
                add(Key::AuthType, "ClientSecret".to_owned());
            }
            api_key = Some((key, origin));
        }
    }
    Ok((entries, api_key))
}

type Chosen = (Option<FileData>, Option<ConfigFile>, bool, Vec<PathBuf>);

fn choose_file(request: &LoadRequest<'_>, warnings: &mut Vec<String>) -> Result<Chosen> {
    let spelling = request.spelling.spell("config");
    let flag = request.overrides.config.as_deref().map(|path| (path, spelling.as_str()));
    if let Some((path, origin)) = search::named(flag, request.env, request.cwd, request.home) {
        let mut data = file::read(&path, Some(&origin.to_string()))?;
        warnings.append(&mut data.warnings);
        let for_this_call = match &origin {
            Origin::Env(name) => matches!(name.as_str(), "FLYTE_AUTH_CONFIG" | "_FLYTECTL_CONFIG_PYFLYTE_OVERRIDE"),
            _ => true,
        };
        let others = if for_this_call { Vec::new() } else { paths(search::discovered(request.cwd, request.home)) };
        let fingerprint = data.fingerprint();
        let file = ConfigFile { path, trusted: true, origin, fingerprint };
        return Ok((Some(data), Some(file), for_this_call, others));
    }
    let mut candidates = search::discovered(request.cwd, request.home).into_iter();
    while let Some(candidate) = candidates.next() {
        let path = candidate.path;
        let read = match file::read(&path, None) {
            Ok(data) if candidate.may_be_foreign && !data.is_flyte => continue,
            // Somebody else's `config.yaml` may be a template, and no YAML at all.
            Err(_) if candidate.may_be_foreign && !mentions_flyte(&path) => continue,
            read => read,
        };
        let mut data = read?;
        warnings.append(&mut data.warnings);
        let fingerprint = data.fingerprint();
        let trusted = candidate.place == Place::Home
            || trust::named_by_variable(&path, request.env)
            || trust::state_dir(request.env).is_ok_and(|state| trust::is_recorded(&path, &fingerprint, &state));
        let origin = Origin::File { path: path.clone(), key: "found by the search".to_owned() };
        return Ok((Some(data), Some(ConfigFile { path, trusted, origin, fingerprint }), false, paths(candidates)));
    }
    Ok((None, None, false, Vec::new()))
}

fn paths(candidates: impl IntoIterator<Item = search::Candidate>) -> Vec<PathBuf> {
    candidates.into_iter().map(|candidate| candidate.path).collect()
}

/// Whether a broken file looks as if it was meant for Flyte: then its error matters.
fn mentions_flyte(path: &Path) -> bool {
    file::read_text(path, None)
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("admin:") || line.starts_with("profiles:")))
}

fn profile_entries<'a>(profile: &Entry, data: Option<&'a FileData>) -> Result<&'a [Entry]> {
    let (name, setting) = (profile.text()?, profile.setting());
    let fail = |message: String| Error::config("profile_unknown", setting.clone(), format!("{setting}: {message}"));
    let Some(data) = data else {
        return Err(fail(format!("no configuration file declares a profile {name:?}"))
            .with_next("Name the file with --config, or leave the profile out"));
    };
    data.profiles.get(&name).map(Vec::as_slice).ok_or_else(|| {
        let declared: Vec<&str> = data.profiles.keys().map(String::as_str).collect();
        let list = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
        fail(format!("{} declares no profile {name:?} (declared: {list})", data.path.display()))
            .with_next("Use a declared profile, or add it under profiles:")
    })
}

/// Flags inside the command that counts (environment, profile, file), if that is this program.
fn command_flags(
    request: &LoadRequest<'_>,
    env: &[Entry],
    profile: &[Entry],
    base: &[Entry],
    file: Option<&ConfigFile>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Entry>> {
    let Some(command) = [env, profile, base].into_iter().flatten().find(|entry| entry.key == Key::Command) else {
        return Ok(Vec::new());
    };
    let argv = command.list()?;
    let Some(first) = is_ours(request, &argv) else { return Ok(Vec::new()) };
    let origin = match &command.origin {
        Origin::File { path, .. } => Origin::Argv(path.clone()),
        origin => origin.clone(),
    };
    circle::flags(&argv[first..], &origin, warnings, file.map(|file| file.path.as_path()))
}

/// Index of the first argument of ours, if `argv` is this program.
pub(super) fn is_ours(request: &LoadRequest<'_>, argv: &[String]) -> Option<usize> {
    let search_path = (request.env)("PATH");
    let me = Me { exe: request.exe, search_path: search_path.as_deref(), cwd: request.cwd, home: request.home };
    circle::ours(argv, me)
}

#[cfg(test)]
mod tests;
