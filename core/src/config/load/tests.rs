use std::collections::HashMap;

use super::*;
use crate::config::{AuthType, Interactive, SecretSource, Setting, StaticToken, StoreKind};

/// A home folder, a working folder beside it, an environment and flags.
pub(super) struct Place {
    dir: tempfile::TempDir,
    env: HashMap<String, String>,
    pub(super) overrides: Overrides,
    for_login: bool,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["home/.flyte", "work/.flyte"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let mut env = HashMap::new();
        env.insert("FLYTE_AUTH_HOME".to_owned(), dir.path().join("state").display().to_string());
        Self { dir, env, overrides: Overrides::default(), for_login: false }
    }
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
    pub(super) fn file(self, path: &str, text: &str) -> Self {
        std::fs::write(self.path(path), text).unwrap();
        self
    }
    pub(super) fn home(self, text: &str) -> Self {
        self.file("home/.flyte/config.yaml", text)
    }
    pub(super) fn cwd(self, text: &str) -> Self {
        self.file("work/.flyte/config.yaml", text)
    }
    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
    pub(super) fn flags(mut self, set: impl FnOnce(&mut Overrides)) -> Self {
        set(&mut self.overrides);
        self
    }
    pub(super) fn login(mut self) -> Self {
        self.for_login = true;
        self
    }
    pub(super) fn load(&self) -> Result<Config> {
        let (cwd, home) = (self.path("work"), self.path("home"));
        load(LoadRequest {
            overrides: self.overrides.clone(),
            spelling: Spelling::Flags,
            env: &|name| self.env.get(name).cloned(),
            cwd: &cwd,
            home: Some(&home),
            exe: None,
            for_login: self.for_login,
        })
    }
    pub(super) fn ok(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }
    pub(super) fn fails(&self) -> Error {
        self.load().expect_err("loads")
    }
}

fn endpoint(config: &Config) -> String {
    config.endpoint.as_ref().map_or_else(String::new, |endpoint| endpoint.value.base_url())
}

fn origin<T>(setting: Option<&Setting<T>>) -> String {
    setting.map_or_else(String::new, |setting| setting.origin.to_string())
}

#[test]
fn nothing_configured() {
    let config = Place::new().ok();
    assert_eq!(config, Config::default());
    assert_eq!(config.require_endpoint().unwrap_err().code(), "endpoint_missing");
    config.require_unambiguous_endpoint().unwrap();
    config.ensure_trusted().unwrap();
}

#[test]
fn precedence_of_one_key_through_every_layer() {
    let file = "admin: {endpoint: h, audience: file, command: [flyte-auth, token, --audience, argv]}\n\
                profiles: {p: {admin: {audience: profile}}}\n";
    let mut place = Place::new().home(file).env("FLYTE_CREDENTIALS_AUDIENCE", "kit");
    let found = |place: &Place| {
        let config = place.ok();
        (config.audience.as_ref().map(|a| a.value.clone()).unwrap(), origin(config.audience.as_ref()))
    };
    assert_eq!(found(&place).0, "argv");
    assert!(found(&place).1.ends_with(".flyte/config.yaml:admin.command"));
    place = place.home(&file.replace("--audience", "--min-ttl")).flags(|o| o.profile = Some("p".to_owned()));
    assert_eq!(found(&place), ("kit".to_owned(), "$FLYTE_CREDENTIALS_AUDIENCE".to_owned()));
    place = place.env("FLYTE_ADMIN_AUDIENCE", "sdk");
    assert_eq!(found(&place), ("sdk".to_owned(), "$FLYTE_ADMIN_AUDIENCE".to_owned()));
    place = place.env("FLYTE_AUTH_AUDIENCE", "own");
    assert_eq!(found(&place), ("own".to_owned(), "$FLYTE_AUTH_AUDIENCE".to_owned()));
    place = place.flags(|o| o.audience = Some("flag".to_owned()));
    assert_eq!(found(&place), ("flag".to_owned(), "--audience".to_owned()));
    place = place.flags(|o| o.audience = None);
    for name in ["FLYTE_AUTH_AUDIENCE", "FLYTE_ADMIN_AUDIENCE", "FLYTE_CREDENTIALS_AUDIENCE"] {
        place = place.env(name, " ");
    }
    assert_eq!(found(&place).0, "profile", "empty variables are unset");
    assert!(found(&place).1.ends_with("config.yaml:profiles.p.admin.audience"));
    place = place.flags(|o| o.profile = None);
    assert_eq!(found(&place).0, "file");
}

/// Sets every key by every spelling and looks at what `explain` says of it: no row of the table is dead.
#[test]
fn every_spelling_of_every_key_reaches_its_setting() {
    for row in &ROWS {
        let value = match row.key {
            Key::Endpoint => "https://value.example",
            Key::Insecure | Key::InsecureSkipVerify | Key::Adopt => "true",
            Key::AuthType => "DeviceFlow",
            Key::Store => "memory",
            Key::Interactive => "always",
            Key::ExtraParams => "a=value",
            Key::Profile => "p",
            Key::Issuer | Key::TokenUrl => "https://value.example/x",
            _ => "value",
        };
        let expect = |config: &Config, spelled: &str| {
            let key = match row.key {
                Key::ExtraParams => "extra_params.a",
                key if crate::config::keys::SECRET_KEYS.contains(&key) => "client_secret",
                _ => row.name,
            };
            let rows = config.explain();
            let found = rows.iter().find(|found| found.key == key).unwrap_or_else(|| panic!("{key} not explained"));
            assert!(found.origin.ends_with(spelled), "{spelled}: {found:?}");
            assert_ne!(found.value, None, "{spelled}");
        };
        let base = "profiles: {p: {}}\nadmin:\n";
        for name in row.env.iter().copied().flatten() {
            expect(&Place::new().home(base).env(name, value).ok(), &format!("${name}"));
        }
        if !row.yaml.is_empty() {
            let yaml = match row.shape {
                crate::config::keys::Shape::List => "[value]",
                crate::config::keys::Shape::Map => "{a: value}",
                _ => value,
            };
            let text = format!("{base}  {}: {yaml}\n", row.yaml);
            expect(&Place::new().home(&text).ok(), &format!("config.yaml:admin.{}", row.yaml));
        }
        if let Some((section, option)) = row.ini.split_once('.') {
            let text = format!("[{section}]\n{option} = {value}\n");
            expect(&Place::new().file("home/.flyte/config", &text).ok(), &format!("config:{}", row.ini));
        }
    }
}

#[test]
fn flags_reach_their_settings() {
    let place = Place::new().flags(|o| {
        *o = Overrides {
            endpoint: Some("h".to_owned()),
            account: Some("a@b".to_owned()),
            store: Some("file".to_owned()),
            interactive: Some("never".to_owned()),
            insecure: Some(true),
            insecure_skip_verify: Some(true),
            ca_cert: Some("~/ca.pem".into()),
            client_cert: Some("c.pem".into()),
            client_key: Some("/k.pem".into()),
            http_proxy_url: Some("http://u:p@proxy:1".into()),
            auth_type: Some("device".to_owned()),
            client_id: Some("id".to_owned()),
            client_secret: Some(ClientSecret::new("canary")),
            issuer: Some("https://i".to_owned()),
            scopes: Some(Vec::new()),
            audience: Some("aud".to_owned()),
            extra_params: [("prompt".to_owned(), "login".to_owned())].into(),
            from_client: false,
            config: None,
            profile: None,
        };
    });
    let config = place.ok();
    assert_eq!(endpoint(&config), "http://h");
    assert_eq!(config.store.value, StoreKind::File);
    assert_eq!(config.interactive.value, Interactive::Never);
    assert_eq!(config.network.ca_cert.as_ref().unwrap().value, place.path("home/ca.pem"));
    assert_eq!(config.network.client_cert.as_ref().unwrap().value, place.path("work/c.pem"));
    assert_eq!(config.network.client_key.as_ref().unwrap().value, Path::new("/k.pem"));
    assert_eq!(config.scopes.as_ref().unwrap().value, Vec::<String>::new(), "an empty list is set");
    assert_eq!(origin(config.client_secret.as_ref()), "--client-secret");
    let shown = format!("{config:?} {:?}", config.explain());
    assert!(!shown.contains("canary"), "{shown}");
    assert!(format!("{:?}", config.explain()).contains("http://***@proxy:1"));
    for row in config.explain().iter().filter(|row| row.value.is_some() && row.key != "config_file") {
        assert!(row.origin.starts_with("--"), "{row:?}");
    }
    assert_eq!(Spelling::CamelCase.spell("client_secret_env_var"), "clientSecretEnvVar");
    assert_eq!(Spelling::SnakeCase.spell("client_id"), "client_id");
}

#[test]
fn bad_values_name_the_setting() {
    let cases: [(&str, &str, &str); 6] = [
        ("FLYTE_ADMIN_INSECURE", "perhaps", "setting_invalid"),
        ("FLYTE_AUTH_STORE", "vault", "setting_invalid"),
        ("FLYTE_AUTH_TYPE", "magic", "auth_type_unknown"),
        ("FLYTE_PLATFORM_URL", "htp://h", "endpoint_invalid"),
        ("FLYTE_API_KEY", "***", "api_key_invalid"),
        ("FLYTE_AUTH_EXTRA_PARAMS", "novalue", "setting_invalid"),
    ];
    for (name, value, code) in cases {
        let error = Place::new().env(name, value).fails();
        assert_eq!((error.code(), error.setting().unwrap()), (code, format!("${name}").as_str()), "{error}");
        assert_eq!(error.kind().exit_code(), 2);
    }
    // FLYTE_ADMIN_INSECURE=false means false, unlike in flyte-sdk.
    let config = Place::new().env("FLYTE_ADMIN_INSECURE", "false").env("FLYTE_ADMIN_ENDPOINT", "h").ok();
    assert_eq!(endpoint(&config), "https://h");
}

#[test]
fn named_files_must_exist() {
    for name in search::FILE_VARIABLES {
        let error = Place::new().env(name, "none.yaml").fails();
        assert_eq!((error.code(), error.setting().unwrap()), ("config_unreadable", format!("${name}").as_str()));
    }
    let error = Place::new().flags(|o| o.config = Some("none.yaml".into())).fails();
    assert_eq!(error.setting(), Some("--config"));
    let error = Place::new().flags(|o| o.config = Some(".flyte".into())).fails();
    assert!(error.to_string().contains("is a directory"), "{error}");
}

#[test]
fn a_strange_config_yaml_in_the_working_folder_is_passed_over() {
    for text in ["a: {{ .Values.x }}\n", "server: {port: 80}\n", "- list\n", "\u{0}"] {
        let config = Place::new().home("admin: {endpoint: h}").file("work/config.yaml", text).ok();
        assert_eq!(endpoint(&config), "https://h", "{text:?}");
    }
    let error = Place::new().file("work/config.yaml", "admin:\n\tendpoint: h\n").fails();
    assert_eq!(error.code(), "config_syntax", "a broken file of Flyte's is not passed over");
    let config = Place::new().home("admin: {endpoint: h}").file("work/config.yaml", "admin: {endpoint: w}").ok();
    assert_eq!(endpoint(&config), "https://w");
}

#[test]
fn profiles() {
    let file = "admin: {endpoint: base, clientId: base-id, scopes: [a]}\n\
                profiles:\n  prod: {admin: {endpoint: prod, authType: ClientSecret}}\n  dev: {admin: {insecure: true}}\n";
    let config = Place::new().home(file).env("FLYTE_PROFILE", "prod").ok();
    assert_eq!(endpoint(&config), "https://prod");
    assert_eq!(config.auth_type.value, AuthType::ClientCredentials);
    assert_eq!(config.client_id.as_ref().unwrap().value, "base-id", "laid over the defaults");
    assert_eq!(origin(config.profile.as_ref()), "$FLYTE_PROFILE");
    config.require_unambiguous_endpoint().unwrap();
    let config = Place::new().home(file).env("FLYTE_PROFILE", "prod").flags(|o| o.profile = Some("dev".into())).ok();
    assert_eq!(endpoint(&config), "http://base");
    let error = Place::new().home(file).env("FLYTE_PROFILE", "staging").fails();
    assert_eq!((error.code(), error.kind().exit_code()), ("profile_unknown", 2));
    assert!(error.to_string().contains("declared: dev, prod"), "{error}");
    let error = Place::new().flags(|o| o.profile = Some("x".into())).fails();
    assert!(error.to_string().contains("no configuration file"), "{error}");
}

#[test]
fn static_token_and_secrets_of_the_environment_stand_above_the_files_auth_type() {
    let file = "admin: {endpoint: h, authType: Pkce}\n";
    let config = Place::new().home(file).ok();
    assert_eq!(config.auth_type.value, AuthType::AuthorizationCode);
    let config = Place::new().home(file).env("FLYTE_TOKEN_FILE", "t").env("FLYTE_TOKEN", " canary\n").ok();
    assert_eq!(config.auth_type.value, AuthType::Auto);
    let Some(Setting { value: StaticToken::Value(token), .. }) = &config.static_token else { panic!() };
    // EXPOSE: a test's token.
    assert_eq!(token.expose(), "canary");
    let place = Place::new().home(file).env("FLYTE_TOKEN_FILE", "t");
    assert_eq!(place.ok().static_token.unwrap().value, StaticToken::File(place.path("work/t")));
    let config = Place::new().home(file).env("FLYTE_CREDENTIALS_CLIENT_SECRET", "canary").ok();
    assert_eq!(config.auth_type.value, AuthType::ClientCredentials);
    assert_eq!(origin(Some(&config.auth_type)), "$FLYTE_CREDENTIALS_CLIENT_SECRET");
    let config = Place::new().home(file).env("FLYTE_TOKEN", "x").flags(|o| o.auth_type = Some("Pkce".into())).ok();
    assert_eq!(config.auth_type.value, AuthType::AuthorizationCode, "a typed auth type holds");
    let none = Place::new().home("admin: {endpoint: h, authType: none}").env("FLYTE_TOKEN", "x").ok();
    assert_eq!(none.auth_type.value, AuthType::None);
}

#[test]
fn client_secret_sources_in_flytekits_order() {
    let all = "admin:\n  endpoint: h\n  clientSecretCommand: [vault, read]\n  clientSecret: v\n  \
               clientSecretLocation: /f\n  clientSecretEnvVar: E\n";
    let expected = [
        ("clientSecretEnvVar", SecretSource::Env("E".into())),
        ("clientSecretLocation", SecretSource::File("/f".into())),
        ("clientSecret", SecretSource::Value(ClientSecret::new("v"))),
        ("clientSecretCommand", SecretSource::Command(vec!["vault".into(), "read".into()])),
    ];
    let mut text = all.to_owned();
    for (key, source) in expected {
        let config = Place::new().home(&text).ok();
        assert_eq!(config.client_secret.as_ref().unwrap().value, source, "{key}");
        text = text.lines().filter(|line| !line.contains(&format!("{key}:"))).map(|line| format!("{line}\n")).collect();
    }
    // A variable stands above the file, whatever its kind.
    let config = Place::new().home(all).env("FLYTE_AUTH_CLIENT_SECRET_COMMAND", "pass show x").ok();
    let words = ["pass", "show", "x"].map(str::to_owned).to_vec();
    assert_eq!(config.client_secret.unwrap().value, SecretSource::Command(words));
    // flytectl's implicit client counts only under an explicit ClientSecret.
    let config = Place::new().home("admin: {endpoint: h}").ok();
    assert_eq!((config.client_id, config.client_secret), (None, None));
    let config = Place::new().home("admin: {endpoint: h, authType: ClientSecret}").ok();
    assert_eq!(config.client_id.unwrap(), Setting::default_value("flytepropeller".to_owned()));
    let location = SecretSource::File("/etc/secrets/client_secret".into());
    assert_eq!(config.client_secret.unwrap(), Setting::default_value(location));
    // The trap of flytekit and flyte.
    let config = Place::new().home("admin: {endpoint: h, authType: Pkce, clientSecretLocation: /f}").ok();
    assert_eq!(config.auth_type.value, AuthType::AuthorizationCode);
    assert!(config.warnings[0].contains("makes pyflyte and flyte use ClientSecret"), "{:?}", config.warnings);
}

mod endpoints;
mod trusting;
mod values;
