use super::*;

fn entry(key: Key, text: &str) -> Entry {
    Entry { key, layer: Layer::Env, raw: Raw::Text(text.to_owned()), origin: Origin::Env("X".to_owned()) }
}

#[test]
fn table_is_in_order_and_spellings_are_unique() {
    let mut seen = std::collections::HashSet::new();
    for (index, row) in ROWS.iter().enumerate() {
        assert_eq!(row.key as usize, index, "{}", row.name);
        for name in row.env.iter().copied().flatten().copied().chain([row.yaml, row.ini].map(|name| name)) {
            assert!(name.is_empty() || seen.insert(name), "{name} twice");
        }
    }
}

#[test]
fn every_auth_type_of_every_client() {
    use AuthType::*;
    let cases: [(AuthType, &[&str]); 7] = [
        (Auto, &["auto", "AUTO"]),
        (AuthorizationCode, &["Pkce", "pkce", "PKCE", "standard", "STANDARD"]),
        (
            ClientCredentials,
            &[
                "ClientSecret",
                "clientsecret",
                "client-secret",
                "client_secret",
                "client_credentials",
                "basic",
                "app-credential",
                "app_credential",
            ],
        ),
        (Device, &["DeviceFlow", "headless", "device-flow", "device_flow"]),
        (
            ExternalCommand,
            &[
                "ExternalCommand",
                "external_process",
                "external-command",
                "external_command",
                "externalcommand",
                "command",
                "custom",
            ],
        ),
        (Passthrough, &["Passthrough"]),
        (None, &["none"]),
    ];
    for (expected, names) in cases {
        for name in names {
            assert_eq!(parse_auth_type(&entry(Key::AuthType, name)).unwrap(), Some(expected), "{name}");
        }
    }
    assert_eq!(parse_auth_type(&entry(Key::AuthType, "flyte_auth")).unwrap(), Option::None);
    for name in ["github-oidc", "gitlab-oidc", "kubernetes", "gcp", "aws", "entra", "spiffe"] {
        let error = parse_auth_type(&entry(Key::AuthType, name)).unwrap_err();
        assert_eq!((error.code(), error.setting()), ("auth_type_not_yet", Some("$X")), "{name}");
    }
    let error = parse_auth_type(&entry(Key::AuthType, "my_plugin")).unwrap_err();
    assert_eq!(error.code(), "auth_type_unknown");
    assert!(error.to_string().contains("DeviceFlow"), "{error}");
}

#[test]
fn booleans_lists_and_maps() {
    for (text, expected) in [("true", true), ("1", true), ("on", true), ("YES", true), ("false", false)] {
        assert_eq!(entry(Key::Insecure, text).boolean().unwrap(), expected, "{text}");
    }
    for (text, expected) in [("0", false), ("off", false), ("No", false), (" False ", false)] {
        assert_eq!(entry(Key::Insecure, text).boolean().unwrap(), expected, "{text}");
    }
    let error = entry(Key::Insecure, "maybe").boolean().unwrap_err();
    assert!(error.to_string().contains("$X"), "{error}");
    assert!(!error.to_string().contains("maybe"), "values may be secrets: {error}");
    for text in ["a, b,,c", "a b c", "a,b c", "[\"a\", \"b\", \"c\"]"] {
        assert_eq!(entry(Key::Scopes, text).list().unwrap(), ["a", "b", "c"], "{text}");
    }
    assert!(entry(Key::Scopes, "[a, b]").list().is_err());
    assert_eq!(
        entry(Key::ExtraParams, "a=1,b=x=y,c=").map().unwrap(),
        [("a", "1"), ("b", "x=y"), ("c", "")].map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert!(entry(Key::ExtraParams, "=1").map().is_err());
    assert!(entry(Key::ExtraParams, "a").map().is_err());
    assert!(parse_store(&entry(Key::Store, "encrypted_file")).is_ok());
    assert!(parse_store(&entry(Key::Store, "vault")).is_err());
    assert!(parse_interactive(&entry(Key::Interactive, "sometimes")).is_err());
}

#[test]
fn commands_in_variables() {
    let flyte = |text: &str| entry(Key::Command, text).list();
    assert_eq!(flyte("uctl get-token --audience foo").unwrap(), ["uctl", "get-token", "--audience", "foo"]);
    assert_eq!(flyte("[\"a b\", \"c\"]").unwrap(), ["a b", "c"]);
    assert_eq!(flyte(r#"'a b'c "d\"e" f\ g "" h,i"#).unwrap(), ["a bc", "d\"e", "f g", "", "h,i"]);
    assert!(flyte("a 'b").is_err() && flyte("[a").is_err() && flyte("a \\").is_err());
    let flytekit =
        Entry { origin: Origin::Env("FLYTE_CREDENTIALS_COMMAND".to_owned()), ..entry(Key::Command, "a b,c") };
    assert_eq!(flytekit.list().unwrap(), ["a b", "c"]);
}

#[test]
fn typos_are_guessed() {
    let known = || ROWS.iter().map(|row| row.yaml).filter(|name| !name.is_empty());
    for (typed, expected) in [
        ("endpont", Some("endpoint")),
        ("auth_type", Some("authType")),
        ("clientID", Some("clientId")),
        ("clientSecretLocaton", Some("clientSecretLocation")),
        ("zebra", None),
        ("x", None),
    ] {
        assert_eq!(did_you_mean(typed, known()), expected, "{typed}");
    }
}
