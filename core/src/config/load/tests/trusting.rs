//! Trust (contract, "Called by a client" 6): what a file in the working folder or git root may do.

use super::*;
use crate::config::trust::{TRUST_VARIABLE, record_trust};

const EVIL: &str = "admin:\n  endpoint: evil\n  clientId: id\n";

fn untrusted(place: &Place) -> Error {
    let config = place.ok();
    assert!(!config.file.as_ref().unwrap().trusted);
    let error = config.ensure_trusted().expect_err("goes on");
    assert_eq!((error.code(), error.kind().exit_code()), ("untrusted_config", 2));
    let file = place.path("work/.flyte/config.yaml").display().to_string();
    let shown = error.to_string();
    assert!(shown.contains(&file) && shown.contains("https://evil"), "{shown}");
    assert!(shown.contains(&format!("flyte-auth login --config {file}")) && shown.contains(TRUST_VARIABLE), "{shown}");
    assert!(!format!("{config:?}{:?}{shown}", config.explain()).contains("canary"));
    assert_eq!((config.static_token, config.command), (None, None));
    error
}

#[test]
fn secrets_of_the_environment_never_go_to_an_endpoint_of_an_untrusted_file() {
    use base64::Engine;
    for (name, value) in [
        ("FLYTE_TOKEN", "canary"),
        ("FLYTE_TOKEN_FILE", "/run/canary"),
        ("FLYTE_AUTH_CLIENT_SECRET", "canary"),
        ("FLYTE_CREDENTIALS_CLIENT_SECRET", "canary"),
        ("FLYTE_CREDENTIALS_CLIENT_SECRET_LOCATION", "/run/canary"),
        ("FLYTE_ADMIN_CLIENTSECRETENVVAR", "CANARY_canary"),
        ("FLYTE_AUTH_CLIENT_SECRET_COMMAND", "print canary"),
        ("FLYTE_CREDENTIALS_COMMAND", "print,canary"),
        ("FLYTE_ADMIN_PROXYCOMMAND", "print,canary"),
    ] {
        let place = Place::new().cwd(EVIL).env(name, value);
        let error = untrusted(&place);
        assert!(error.to_string().contains(&format!("${name}")), "{error}");
        assert_eq!(place.ok().client_secret, None, "{name}");
    }
    // A keyword argument of a program is such a secret too.
    let place = Place::new().cwd(EVIL).flags(|o| o.client_secret = Some(ClientSecret::new("canary")));
    untrusted(&place);
    // An API key names its own endpoint: the file says nothing about that.
    let key = base64::prelude::BASE64_STANDARD.encode("good:kid:canary:None");
    let config =
        Place::new().cwd("admin: {endpoint: evil, tokenUrl: 'https://evil/t'}").env("FLYTE_API_KEY", &key).ok();
    assert_eq!((endpoint(&config).as_str(), config.token_url.as_ref()), ("https://good", None));
    assert!(config.client_secret.is_some());
    config.ensure_trusted().unwrap();
}

#[test]
fn secrets_that_an_untrusted_file_points_at() {
    for line in [
        "clientSecretEnvVar: AWS_SECRET_ACCESS_KEY",
        "clientSecretLocation: /home/me/.ssh/id_ed25519",
        // flytectl's implicit secret in a pod.
        "authType: ClientSecret",
    ] {
        let place = Place::new().cwd(&format!("{EVIL}  {line}\n"));
        untrusted(&place);
        assert_eq!(place.ok().client_secret, None, "{line}");
    }
    // A secret that stands in the file is its own to give.
    let config = Place::new().cwd(&format!("{EVIL}  clientSecret: own\n  authType: ClientSecret\n")).ok();
    assert!(config.client_secret.is_some());
    config.ensure_trusted().unwrap();
}

#[test]
fn commands_of_an_untrusted_file_never_run() {
    let text = format!(
        "{EVIL}  authType: ExternalCommand\n  command: [rm, -rf]\n  proxyCommand: [rm]\n  clientSecretCommand: [rm]\n"
    );
    let place = Place::new().cwd(&text);
    let error = untrusted(&place);
    assert!(error.to_string().contains("its command is not run"), "{error}");
    let config = place.ok();
    assert_eq!((&config.command, &config.proxy_command, &config.client_secret), (&None, &None, &None));
    assert_eq!(config.external_command().unwrap_err().code(), "untrusted_config");
    assert!(config.warnings[0].contains("not trusted"), "{:?}", config.warnings);
    assert!(config.explain().iter().any(|row| row.key == "command" && row.origin.contains("kept back")));
    // Even a login shows it and does not run it.
    assert_eq!(place.login().ok().command, None);
    // Our own command needs no trust.
    let ours = format!("{EVIL}  authType: ExternalCommand\n  command: [flyte-auth, token, --endpoint, evil]\n");
    let config = Place::new().cwd(&ours).ok();
    assert!(config.command_is_ours);
    config.ensure_trusted().unwrap();
    // But its flags are the file's words: a secret does not follow them.
    untrusted(&Place::new().cwd(&ours).env("FLYTE_TOKEN", "canary"));
}

#[test]
fn an_untrusted_file_weakens_nothing() {
    let text = "admin:\n  endpoint: evil\n  insecureSkipVerify: true\n  caCertFilePath: ca.pem\n  \
                httpProxyURL: http://evil:1\n  issuer: https://evil\n  tokenUrl: https://evil/token\n  \
                command: [flyte-auth, token, --ca-cert, x.pem, --issuer, https://evil]\n";
    let weak = |config: &Config| {
        let network = &config.network;
        [
            network.insecure_skip_verify.is_some(),
            network.ca_cert.is_some(),
            network.http_proxy_url.is_some(),
            config.issuer.is_some(),
            config.token_url.is_some(),
        ]
    };
    // The stored session of the same host would be refreshed through them.
    let config = Place::new().cwd(text).ok();
    assert_eq!(weak(&config), [false; 5]);
    assert!(config.warnings[0].contains("insecure_skip_verify"), "{:?}", config.warnings);
    config.ensure_trusted().unwrap();
    // A login shows file and endpoint to a person first, and sends nothing that was there before.
    let config = Place::new().cwd(text).login().ok();
    assert_eq!(weak(&config), [true; 5]);
    // For an endpoint from elsewhere it says nothing at all, even if it names the same one.
    for place in [
        Place::new().cwd(text).env("FLYTE_ADMIN_ENDPOINT", "evil").env("FLYTE_TOKEN", "t"),
        Place::new().cwd(text).flags(|o| o.endpoint = Some("evil".into())).login(),
    ] {
        // The command inside the file names no endpoint, so that the flag or variable decides.
        let config = place.ok();
        assert_eq!(weak(&config), [false; 5]);
        config.ensure_trusted().unwrap();
    }
}

#[test]
fn what_an_untrusted_file_wants_of_a_session_is_kept_back() {
    let text = "admin:\n  endpoint: good\n  authorizationHeader: x-log-me\n  store: file\n  extraParams: {resource: evil}\n  \
                command: [flyte-auth, token, --interactive, always, --insecure-skip-verify]\n";
    let profile = format!("admin: {{endpoint: good}}\nprofiles: {{p: {{{}}}}}\n", {
        "admin: {authorizationHeader: x, store: file, extraParams: {resource: evil}, insecureSkipVerify: true}"
    });
    for place in
        [Place::new().cwd(text), Place::new().cwd(&profile).flags(|overrides| overrides.profile = Some("p".into()))]
    {
        let config = place.ok();
        assert_eq!(endpoint(&config), "https://good");
        assert_eq!((&config.authorization_header, config.extra_params.len()), (&None, 0));
        assert_eq!((config.store.value, config.interactive.value), (StoreKind::Auto, Interactive::Auto));
        assert_eq!((&config.network.insecure_skip_verify, config.untrusted_settings()), (&None, vec![]));
        assert!(config.warnings[0].contains("authorization_header"), "{:?}", config.warnings);
        // A login shows the person what the file changes.
        let shown = place.login().ok().untrusted_settings().join(", ");
        for part in ["authorizationHeader x", "store file", "extraParams.resource", "insecureSkipVerify"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
    // From a trusted file they are in force, and nothing of it is unknown to its user.
    let config = Place::new().home(text).ok();
    assert!(config.authorization_header.is_some() && config.untrusted_settings().is_empty());
}

#[test]
fn no_tls_takes_the_users_own_word() {
    use crate::firewall::Plaintext::{ByUser, LoopbackOnly};
    let said = |place: &Place| {
        let config = place.ok();
        (config.plaintext(), crate::firewall::ensure_transport(&config).map_err(|error| error.code().to_owned()))
    };
    let refused = || Err("plaintext_refused".to_owned());
    let plain = "admin: {endpoint: 'dns:///h', insecure: true}";
    for (place, expected) in [
        (Place::new().home(plain), (ByUser, Ok(()))),
        (Place::new().cwd(plain), (LoopbackOnly, refused())),
        // Not even a login gives a file's word the weight of the user's.
        (Place::new().cwd(plain).login(), (LoopbackOnly, refused())),
        (Place::new().cwd("admin: {endpoint: 'http://h'}"), (LoopbackOnly, refused())),
        (Place::new().cwd("admin: {endpoint: h, command: [flyte-auth, token, --insecure]}"), (LoopbackOnly, refused())),
        (Place::new().cwd("admin: {endpoint: 'localhost:30080', insecure: true}"), (LoopbackOnly, Ok(()))),
        (Place::new().home("admin: {endpoint: 'http://h'}"), (LoopbackOnly, refused())),
        (Place::new().flags(|o| o.endpoint = Some("http://h".into())), (LoopbackOnly, refused())),
        (Place::new().flags(|o| o.endpoint = Some("http://localhost.evil".into())), (LoopbackOnly, refused())),
        (Place::new().env("FLYTE_ADMIN_ENDPOINT", "http://h"), (LoopbackOnly, refused())),
        (Place::new().env("FLYTE_ADMIN_ENDPOINT", "http://h").env("FLYTE_ADMIN_INSECURE", "true"), (ByUser, Ok(()))),
        (
            Place::new().flags(|o| {
                o.endpoint = Some("http://h".into());
                o.insecure = Some(true);
            }),
            (ByUser, Ok(())),
        ),
        (Place::new().flags(|o| o.endpoint = Some("https://h".into())), (LoopbackOnly, Ok(()))),
    ] {
        assert_eq!(said(&place), expected, "{:?}", place.ok().endpoint);
    }
    let error = crate::firewall::ensure_transport(&Place::new().cwd(plain).ok()).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("config.yaml is not trusted") && shown.contains("--insecure"), "{shown}");
}

#[test]
fn ways_to_trust() {
    let file = format!("{EVIL}  authType: ExternalCommand\n  command: [print-token]\n");
    let trusted = |place: &Place| {
        let config = place.ok();
        assert!(config.file.as_ref().unwrap().trusted);
        assert_eq!(config.external_command().unwrap(), ["print-token"]);
    };
    trusted(&Place::new().home(&file).env("FLYTE_ADMIN_AUDIENCE", "a"));
    trusted(&Place::new().cwd(&file).flags(|o| o.config = Some(".flyte/config.yaml".into())));
    for name in search::FILE_VARIABLES {
        trusted(&Place::new().cwd(&file).env(name, ".flyte/config.yaml"));
    }
    let place = Place::new().cwd(&file);
    let path = place.path("work/.flyte/config.yaml");
    trusted(&place.env(TRUST_VARIABLE, &path.display().to_string()));
    // After a login, until it changes.
    let place = Place::new().cwd(&file);
    record_trust(&place.ok().file.unwrap(), &place.path("state")).unwrap();
    trusted(&place);
    untrusted(&place.cwd(&file.replace("print-token", "print-other")));
    // The git root is other people's too.
    let place = Place::new().file("work/.git", "").cwd(&file);
    std::fs::create_dir_all(place.path("work/sub")).unwrap();
    let cwd = place.path("work/sub");
    let config = load(LoadRequest {
        overrides: Overrides::default(),
        spelling: Spelling::Flags,
        env: &|_| None,
        cwd: &cwd,
        home: None,
        exe: None,
        for_login: false,
    })
    .unwrap();
    assert!(!config.file.unwrap().trusted);
}

/// flytekit reads `./flytekit.config` itself and hands in what it found.
#[test]
fn what_a_client_read_from_an_untrusted_file_is_that_files() {
    let evil = Place::new().cwd(EVIL).env("FLYTE_TOKEN", "canary").flags(|o| {
        o.endpoint = Some("dns:///evil".to_owned());
        o.insecure = Some(false);
        o.from_client = true;
    });
    untrusted(&evil);
    // A secret that the client brought may be from anywhere.
    let secret = Place::new().cwd(EVIL).flags(|o| {
        o.endpoint = Some("evil".to_owned());
        o.client_secret = Some(ClientSecret::new("canary"));
        o.from_client = true;
    });
    untrusted(&secret);
    // A known endpoint with a strange proxy would get the stored session's refresh token.
    let proxied = "admin:\n  endpoint: good\n  httpProxyURL: http://evil:1\n  caCertFilePath: evil.pem\n";
    let handed_in = |o: &mut Overrides| {
        o.endpoint = Some("good".to_owned());
        o.http_proxy_url = Some(crate::config::ProxyUrl::new("http://evil:1"));
        o.ca_cert = Some("evil.pem".into());
        o.from_client = true;
    };
    let config = Place::new().cwd(proxied).flags(handed_in).ok();
    assert_eq!((config.network.http_proxy_url, config.network.ca_cert), (None, None));
    // Nothing of it in a file that somebody trusts, and an endpoint that the file does not name.
    let own = Place::new().home(proxied).flags(handed_in).ok();
    assert!(own.network.http_proxy_url.is_some() && own.network.ca_cert.is_some());
    let elsewhere = Place::new().cwd(EVIL).env("FLYTE_TOKEN", "canary").flags(|o| {
        o.endpoint = Some("good".to_owned());
        o.from_client = true;
    });
    assert!(elsewhere.ok().static_token.is_some());
    elsewhere.ok().ensure_trusted().unwrap();
}
