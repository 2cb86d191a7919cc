//! Which endpoint (contract, "Called by a client" 3 and 4), and what a file may say about another one's.

use super::*;

const HOME: &str = "admin: {endpoint: home, clientId: home-id, insecureSkipVerify: true}\n";

#[test]
fn order_of_endpoints() {
    let mut place = Place::new().env("_U_EP_OVERRIDE", "pod");
    let mut expect = |change: &dyn Fn(Place) -> Place, expected: &str, expected_origin: &str, pinned: bool| {
        let taken = std::mem::replace(&mut place, Place::new());
        place = change(taken);
        let config = place.ok();
        assert_eq!(endpoint(&config), format!("https://{expected}"));
        assert!(origin(config.endpoint.as_ref()).ends_with(expected_origin), "{:?}", config.endpoint);
        assert_eq!(config.endpoint_pinned, pinned, "{expected}");
    };
    expect(&|p| p, "pod", "$_U_EP_OVERRIDE", false);
    expect(&|p| p.home(HOME), "home", ".flyte/config.yaml:admin.endpoint", false);
    expect(&|p| p.cwd("admin: {endpoint: cwd}"), "cwd", "work/.flyte/config.yaml:admin.endpoint", false);
    expect(
        &|p| p.file("f.yaml", "admin: {endpoint: flytectl}").env("FLYTECTL_CONFIG", "../f.yaml"),
        "flytectl",
        "f.yaml:admin.endpoint",
        false,
    );
    expect(
        &|p| p.file("u.yaml", "admin: {endpoint: uctl}").env("UCTL_CONFIG", "../u.yaml"),
        "uctl",
        "u.yaml:admin.endpoint",
        false,
    );
    expect(&|p| p.env("FLYTE_PLATFORM_URL", "kit"), "kit", "$FLYTE_PLATFORM_URL", false);
    expect(&|p| p.env("FLYTE_ADMIN_ENDPOINT", "sdk"), "sdk", "$FLYTE_ADMIN_ENDPOINT", false);
    expect(&|p| p.env("FLYTE_AUTH_ENDPOINT", "own"), "own", "$FLYTE_AUTH_ENDPOINT", true);
    expect(
        &|p| p.file("o.yaml", "admin: {endpoint: pyflyte}").env("_FLYTECTL_CONFIG_PYFLYTE_OVERRIDE", "../o.yaml"),
        "pyflyte",
        "o.yaml:admin.endpoint",
        true,
    );
    expect(&|p| p.env("FLYTE_AUTH_CONFIG", "../u.yaml"), "own", "$FLYTE_AUTH_ENDPOINT", true);
    expect(&|p| p.env("FLYTE_AUTH_ENDPOINT", ""), "uctl", "u.yaml:admin.endpoint", true);
    expect(
        &|p| p.file("c.yaml", "admin: {endpoint: cfg}").flags(|o| o.config = Some("../c.yaml".into())),
        "cfg",
        "c.yaml:admin.endpoint",
        true,
    );
    expect(
        &|p| p.file("c.yaml", "admin: {endpoint: cfg, command: [/x/flyte-auth, token, --endpoint, argv]}"),
        "argv",
        "c.yaml:admin.command",
        true,
    );
    expect(&|p| p.flags(|o| o.endpoint = Some("flag".into())), "flag", "--endpoint", true);
}

#[test]
fn two_candidates_are_refused_by_name() {
    let refused = |place: Place, first: &str, second: &str| {
        let error = place.ok().require_unambiguous_endpoint().expect_err("ambiguous");
        assert_eq!((error.code(), error.kind().exit_code()), ("endpoint_ambiguous", 2));
        let shown = error.to_string();
        assert!(shown.contains(first) && shown.contains(second), "{shown}");
    };
    refused(
        Place::new().home(HOME).env("FLYTE_PLATFORM_URL", "kit"),
        "https://kit ($FLYTE_PLATFORM_URL)",
        "https://home (",
    );
    refused(Place::new().home(HOME).cwd("admin: {endpoint: cwd}"), "https://cwd", ".flyte/config.yaml:admin.endpoint");
    refused(Place::new().env("FLYTE_ADMIN_ENDPOINT", "a").env("FLYTE_PLATFORM_URL", "b"), "https://a", "https://b");
    refused(
        Place::new().home(HOME).file("f.yaml", "admin: {endpoint: f}").env("FLYTECTL_CONFIG", "../f.yaml"),
        "https://f (",
        "https://home (",
    );
    let accepted = |place: Place| place.ok().require_unambiguous_endpoint().unwrap();
    // The same endpoint from two places, in two spellings.
    accepted(Place::new().home(HOME).env("FLYTE_PLATFORM_URL", "dns:///HOME:443/").env("FLYTE_ADMIN_ENDPOINT", "home"));
    accepted(Place::new().home(HOME).cwd("admin: {endpoint: https://home}"));
    accepted(Place::new().home(HOME).cwd("admin: {insecure: false}").env("FLYTE_ADMIN_ENDPOINT", "home"));
    // Pinned.
    accepted(Place::new().home(HOME).env("FLYTE_PLATFORM_URL", "kit").flags(|o| o.endpoint = Some("x".into())));
    accepted(Place::new().home(HOME).env("FLYTE_PLATFORM_URL", "kit").env("FLYTE_AUTH_ENDPOINT", "x"));
    accepted(
        Place::new()
            .home(HOME)
            .file("c.yaml", "admin: {endpoint: c}")
            .env("FLYTE_PLATFORM_URL", "kit")
            .flags(|o| o.config = Some("../c.yaml".into())),
    );
    // A pod's own endpoint is nobody's choice; a broken other file is not this call's business.
    accepted(Place::new().home(HOME).env("_U_EP_OVERRIDE", "pod"));
    accepted(Place::new().home("admin: [").cwd("admin: {endpoint: cwd}"));
}

#[test]
fn the_circle() {
    let file = "admin:\n  endpoint: dns:///h\n  authType: ExternalCommand\n  \
                command: [/opt/flyte-auth, token, --endpoint, dns:///h, --profile, prod, --client-id, argv-id]\n\
                profiles:\n  prod: {admin: {audience: prod-aud}}\n";
    let config = Place::new().home(file).ok();
    assert!(config.command_is_ours);
    assert_eq!((config.command.as_ref(), config.auth_type.value), (None, AuthType::Auto));
    // A bare `login` and the spawned `token --profile prod` share one session.
    assert_eq!(config.profile.as_ref().unwrap().value, "prod");
    assert!(origin(config.profile.as_ref()).ends_with("config.yaml:admin.command"));
    assert_eq!(config.audience.as_ref().unwrap().value, "prod-aud");
    assert_eq!(config.client_id.as_ref().unwrap().value, "argv-id");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    // Below typed flags, above the environment.
    let config = Place::new().home(file).env("FLYTE_AUTH_CLIENT_ID", "env").ok();
    assert_eq!(config.client_id.as_ref().unwrap().value, "argv-id");
    let config = Place::new().home(file).flags(|o| o.client_id = Some("flag".into())).ok();
    assert_eq!(config.client_id.as_ref().unwrap().value, "flag");
    // flyte_auth counts as unset as well.
    let config = Place::new().home("admin: {endpoint: h, authType: flyte_auth}").ok();
    assert_eq!(config.auth_type, Setting::default());
    // From a variable.
    let config = Place::new().env("FLYTE_CREDENTIALS_COMMAND", "flyte-auth,token,--endpoint,h").ok();
    assert_eq!((endpoint(&config).as_str(), config.endpoint_pinned), ("https://h", true));
    assert_eq!(origin(config.endpoint.as_ref()), "$FLYTE_CREDENTIALS_COMMAND");
    // Somebody else's command stays.
    let config = Place::new().home("admin: {endpoint: h, authType: ExternalCommand, command: [gcloud, x]}").ok();
    assert_eq!(config.auth_type.value, AuthType::ExternalCommand);
    assert_eq!(config.external_command().unwrap(), ["gcloud", "x"]);
    let config = Place::new().home("admin: {endpoint: h, authType: ExternalCommand}").ok();
    assert_eq!(config.external_command().unwrap_err().code(), "command_missing");
    // A profile's own command counts for that profile.
    let file =
        "admin: {endpoint: h, command: [gcloud]}\nprofiles: {p: {admin: {command: [flyte-auth, --endpoint, p]}}}\n";
    let config = Place::new().home(file).flags(|o| o.profile = Some("p".into())).ok();
    assert_eq!((endpoint(&config).as_str(), config.command_is_ours), ("https://p", true));
    // A proxy command of ours.
    let config = Place::new().home("admin: {endpoint: h, proxyCommand: [flyte-auth, token, --profile, iap]}").ok();
    assert!(config.proxy_command_is_ours && config.proxy_command.is_some() && config.profile.is_none());
}

#[test]
fn a_wrapper_that_calls_us_is_stopped_by_the_depth() {
    let place = Place::new().home("admin: {endpoint: h, authType: ExternalCommand, command: [./wrapper.sh]}");
    place.ok().external_command().unwrap();
    let error = place.env(DEPTH, "1").ok().external_command().unwrap_err();
    assert_eq!((error.code(), error.kind().exit_code()), ("command_calls_itself", 2));
    assert!(error.to_string().contains("admin.command calls itself"), "{error}");
}

const DEPTH: &str = crate::config::DEPTH_VARIABLE;

#[test]
fn a_discovered_file_says_nothing_about_another_pinned_endpoint() {
    let file = "admin:\n  endpoint: home\n  clientId: home-id\n  authType: ClientSecret\n  issuer: https://i\n  \
                insecureSkipVerify: true\n  caCertFilePath: /ca.pem\n  scopes: [a]\n";
    let config = Place::new().home(file).flags(|o| o.endpoint = Some("other".into())).ok();
    assert_eq!((config.client_id, config.issuer, config.scopes), (None, None, None));
    assert_eq!((config.auth_type, config.network.insecure_skip_verify), (Setting::default(), None));
    assert!(config.network.ca_cert.is_some(), "certificates belong to the machine");
    assert!(config.warnings[0].contains("describes another endpoint"), "{:?}", config.warnings);
    // The same endpoint, or a file or profile named on purpose: all of it holds.
    let config = Place::new().home(file).flags(|o| o.endpoint = Some("dns:///home:443".into())).ok();
    assert_eq!(config.client_id.as_ref().unwrap().value, "home-id");
    let config = Place::new()
        .file("c.yaml", file)
        .flags(|o| (o.endpoint, o.config) = (Some("other".into()), Some("../c.yaml".into())))
        .ok();
    assert_eq!(config.client_id.as_ref().unwrap().value, "home-id");
    // The clients' endpoint variables take the settings along, but never "no checks".
    let config = Place::new().home(file).env("FLYTE_PLATFORM_URL", "other").ok();
    assert_eq!(config.client_id.as_ref().unwrap().value, "home-id");
    assert_eq!(config.network.insecure_skip_verify, None);
    // A file that names no endpoint holds for every one.
    let config = Place::new().home("admin: {clientId: any}").flags(|o| o.endpoint = Some("other".into())).ok();
    assert_eq!(config.client_id.as_ref().unwrap().value, "any");
    // `insecure` of the file holds for the same place given as a flag, as a client's child gets it.
    let insecure = "admin: {endpoint: 'dns:///localhost:30080', insecure: true}";
    let config = Place::new().home(insecure).flags(|o| o.endpoint = Some("dns:///localhost:30080".into())).ok();
    assert_eq!(endpoint(&config), "http://localhost:30080");
    let config = Place::new().home(insecure).flags(|o| o.endpoint = Some("prod".into())).ok();
    assert_eq!(endpoint(&config), "https://prod");
    let config = Place::new().home(insecure).env("FLYTE_PLATFORM_URL", "prod").ok();
    assert_eq!(endpoint(&config), "https://prod");
}

#[test]
fn an_api_key_brings_endpoint_client_and_secret() {
    use base64::Engine;
    let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
    let key = encode("dns:///keyed:443:kid:canary:org");
    let config = Place::new().home("admin: {clientId: home-id, authType: Pkce}").env("FLYTE_API_KEY", &key).ok();
    assert_eq!(endpoint(&config), "https://keyed");
    assert_eq!(config.client_id.as_ref().unwrap().value, "kid");
    assert_eq!(config.auth_type, Setting::new(AuthType::ClientCredentials, Origin::Env("FLYTE_API_KEY".into())));
    assert_eq!(config.client_secret.as_ref().unwrap().value, SecretSource::Value(ClientSecret::new("canary")));
    assert!(!format!("{config:?}{:?}", config.explain()).contains("canary"));
    for name in API_KEY_VARIABLES {
        assert_eq!(endpoint(&Place::new().env(name, &key).ok()), "https://keyed", "{name}");
    }
    // Its secret goes nowhere else.
    let config = Place::new().env("FLYTE_API_KEY", &key).flags(|o| o.endpoint = Some("other".into())).ok();
    assert_eq!((config.client_secret, config.client_id), (None, None));
    assert_eq!(config.auth_type, Setting::default());
    assert_eq!(config.warnings, ["$FLYTE_API_KEY is for keyed: it is not used for other"]);
    // A flag with the same endpoint is no contradiction; a plaintext sandbox is named by the flag.
    let config = Place::new()
        .env("FLYTE_API_KEY", &encode("localhost:8090:kid:canary:None"))
        .flags(|o| (o.endpoint, o.insecure) = (Some("localhost:8090".into()), Some(true)))
        .ok();
    assert_eq!(endpoint(&config), "http://localhost:8090");
    assert!(config.client_secret.is_some());
    // Against a client's file with another endpoint: ambiguous for `token`.
    let config = Place::new().home(HOME).env("FLYTE_API_KEY", &key).ok();
    assert_eq!(config.require_unambiguous_endpoint().unwrap_err().code(), "endpoint_ambiguous");
    let config = Place::new().env("FLYTE_API_KEY", &key).env("FLYTE_TOKEN", "t").ok();
    assert_eq!(config.auth_type.value, AuthType::Auto, "a static token comes first");
}
