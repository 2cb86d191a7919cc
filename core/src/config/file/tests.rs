use super::*;

fn parse_at(path: &str, text: &str) -> Result<FileData> {
    parse(Path::new(path), Some("--config"), text)
}

fn values(file: &FileData) -> Vec<(String, String)> {
    let show = |raw: &Raw| match raw {
        Raw::Text(text) => text.clone(),
        Raw::Bool(value) => value.to_string(),
        Raw::List(items) => format!("{items:?}"),
        Raw::Map(pairs) => format!("{pairs:?}"),
    };
    file.admin.iter().map(|entry| (entry.key.name().to_owned(), show(&entry.raw))).collect()
}

const FLYTECTL: &str = include_str!("../../../tests/fixtures/config/flytectl.yaml");
const SDK: &str = include_str!("../../../tests/fixtures/config/flyte-sdk.yaml");
const KIT_INI: &str = include_str!("../../../tests/fixtures/config/flytekit.config");

#[test]
fn files_of_the_three_clients() {
    let flytectl = parse_at("config.yaml", FLYTECTL).unwrap();
    assert_eq!(
        values(&flytectl),
        [("endpoint", "dns:///flyte.example.org"), ("insecure", "false"), ("auth_type", "Pkce")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert_eq!(flytectl.warnings, Vec::<String>::new());
    let sdk = parse_at("config.yaml", SDK).unwrap();
    assert_eq!(values(&sdk)[0].1, "dns:///flyte.example.org");
    assert_eq!(sdk.warnings, Vec::<String>::new());
    let kit = parse_at("flytekit.config", KIT_INI).unwrap();
    assert_eq!(values(&kit)[0], ("endpoint".to_owned(), "flyte.example.org".to_owned()));
    assert_eq!(kit.admin.iter().find(|e| e.key == Key::Scopes).unwrap().list().unwrap(), ["all", "offline"]);
    assert_eq!(kit.warnings, Vec::<String>::new());
}

#[test]
fn tolerated() {
    let expected = [("endpoint".to_owned(), "h".to_owned()), ("scopes".to_owned(), "[\"a\", \"b\"]".to_owned())];
    for (what, text) in [
        ("plain", "admin:\n  endpoint: h\n  scopes: [a, b]\n".to_owned()),
        ("BOM", "\u{feff}admin:\n  endpoint: h\n  scopes: [a, b]\n".to_owned()),
        ("CRLF", "admin:\r\n  endpoint: h\r\n  scopes:\r\n  - a\r\n  - b\r\n".to_owned()),
        ("document start", "---\nadmin:\n  endpoint: h\n  scopes: [a, b]\n".to_owned()),
        ("anchor", "x: &s [a, b]\nadmin:\n  endpoint: h\n  scopes: *s\n".to_owned()),
        ("merge", "base: &b {endpoint: h}\nadmin:\n  <<: *b\n  scopes: [a, b]\n".to_owned()),
        ("empty is unset", "admin:\n  endpoint: h\n  clientId: \"\"\n  audience:\n  scopes: [a, b]\n".to_owned()),
        ("JSON", "{\"admin\": {\"endpoint\": \"h\", \"scopes\": [\"a\", \"b\"]}}".to_owned()),
    ] {
        let file = parse_at("config.yaml", &text).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut found = values(&file);
        found.sort();
        assert_eq!(found, expected, "{what}");
    }
    for text in ["", "\n# only a comment\n", "---\n", "admin:\n", "admin: {}\n"] {
        assert!(values(&parse_at("config.yaml", text).unwrap()).is_empty(), "{text:?}");
    }
    // Numbers keep their text where texts are wanted.
    let file = parse_at("c.yaml", "admin: {clientId: 0123, audience: 42, scopes: [1_000]}").unwrap();
    assert_eq!(values(&file)[0].1, "0123");
    assert_eq!(values(&file)[1].1, "[\"1_000\"]");
    assert_eq!(values(&file)[2].1, "42");
}

#[test]
fn refused_with_file_and_line() {
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        text.push_str("admin: {}\n");
        text
    };
    let cases = [
        ("tab", "admin:\n\tendpoint: h\n", "config_syntax", "a tab"),
        ("tab later", "admin:\n  endpoint: h\n\tinsecure: true\n", "config_syntax", "line 3"),
        (
            "duplicate key",
            "admin:\n  endpoint: h\n  endpoint: canary\n",
            "config_syntax",
            "\"endpoint\" stands there twice",
        ),
        ("duplicate in other case", "admin:\n  endpoint: h\n  ENDPOINT: canary\n", "config_syntax", "line 3"),
        ("unclosed", "admin: {endpoint: canary\n", "config_syntax", "not valid YAML"),
        ("unclosed quote", "admin:\n  endpoint: \"canary\n", "config_syntax", "not valid YAML"),
        ("unknown alias", "admin: *canary\n", "config_syntax", "without its anchor"),
        ("two documents", "admin: {}\n---\nadmin: {}\n", "config_syntax", "more than one document"),
        ("alias bomb", bomb.as_str(), "config_syntax", "beyond any sane"),
        ("root list", "- a\n", "config_type", "must be a mapping of sections, not a list"),
        ("root text", "canary\n", "config_type", "not a text"),
        ("admin list", "admin: []\n", "config_type", "admin must be a mapping, not a list"),
        (
            "endpoint list",
            "admin:\n  endpoint: [h]\n",
            "config_type",
            "line 2: admin.endpoint must be a text, not a list",
        ),
        ("endpoint map", "admin: {endpoint: {a: b}}\n", "config_type", "admin.endpoint must be a text"),
        ("float", "admin: {clientId: 1.50}\n", "config_type", "put it in quotes"),
        ("bool", "admin: {insecure: canary}\n", "config_type", "admin.insecure must be true or false"),
        ("command text", "admin: {command: canary -v}\n", "config_type", "must be a list"),
        ("command of maps", "admin: {command: [{a: b}]}\n", "config_type", "list of texts"),
        ("scopes map", "admin: {scopes: {a: b}}\n", "config_type", "admin.scopes must be a list"),
        ("params", "admin: {extraParams: [a]}\n", "config_type", "mapping of names to texts"),
        ("params value", "admin: {extraParams: {a: [b]}}\n", "config_type", "admin.extraParams.a must be a text"),
        ("profiles list", "profiles: [a]\n", "config_type", "profiles must be a mapping"),
        ("profile text", "profiles: {a: canary}\n", "config_type", "profiles.a must be a mapping"),
        ("profile admin", "profiles: {a: {admin: canary}}\n", "config_type", "profiles.a.admin must be a mapping"),
    ];
    for (what, text, code, expected) in cases {
        let Err(error) = parse_at("/x/config.yaml", text) else { panic!("{what}: accepted") };
        assert_eq!(error.code(), code, "{what}: {error}");
        let shown = error.to_string();
        assert!(shown.contains(expected) && shown.contains("/x/config.yaml"), "{what}: {shown}");
        assert!(!format!("{shown}{error:?}").contains("canary"), "{what} quotes the file: {shown}");
    }
    let Err(error) = parse_at("/x/config", "[platform]\nurl = a\nurl = canary\n") else { panic!("accepted") };
    assert!(error.to_string().contains("line 3") && !error.to_string().contains("canary"), "{error}");
}

#[test]
fn unknown_keys_are_warned_about() {
    let file = parse_at(
        "/x/c.yaml",
        "admin:\n  endpont: h\n  zebra: 1\n  clientid: x\n  disableKeyring: true\nprofiles:\n  p:\n    endpoint: h\nlogger:\n  what: ever\nother: 1\n",
    )
    .unwrap();
    assert_eq!(
        file.warnings,
        [
            "/x/c.yaml line 2: unknown key admin.endpont, did you mean \"endpoint\"?",
            "/x/c.yaml line 3: unknown key admin.zebra",
            "/x/c.yaml line 4: pyflyte and flyte read clientId only as written here, not clientid",
            "/x/c.yaml line 8: profiles.p.endpoint is not known; auth settings go under profiles.p.admin",
        ]
    );
    let file = parse_at("/x/c.yaml", "amdin:\n  endpoint: h\n").unwrap();
    assert_eq!(file.warnings, ["/x/c.yaml line 2: unknown section \"amdin\", did you mean \"admin\"?"]);
    let file = parse_at("/x/config", "[platform]\nurll = h\n[sdk]\nx = y\n").unwrap();
    assert_eq!(file.warnings, ["/x/config: unknown key platform.urll, did you mean \"platform.url\"?"]);
}

#[test]
fn unreadable_files_name_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let big = dir.path().join("big.yaml");
    std::fs::write(&big, vec![b'#'; MAX_FILE as usize + 1]).unwrap();
    let latin = dir.path().join("latin.yaml");
    std::fs::write(&latin, b"admin:\n  endpoint: caf\xe9\n").unwrap();
    let utf16 = dir.path().join("utf16.yaml");
    std::fs::write(&utf16, b"a\0d\0m\0i\0n\0:\0").unwrap();
    for (path, code, expected) in [
        (dir.path().join("none.yaml"), "config_unreadable", "does not exist"),
        (dir.path().to_owned(), "config_unreadable", "is a directory"),
        (big, "config_too_large", "1 MiB"),
        (latin, "config_encoding", "line 2: is not UTF-8"),
        (utf16, "config_encoding", "NUL"),
    ] {
        let Err(error) = read(&path, Some("$FLYTECTL_CONFIG")) else { panic!("{expected}: accepted") };
        assert_eq!((error.code(), error.setting()), (code, Some("$FLYTECTL_CONFIG")), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.next_step().is_some());
    }
}

#[test]
fn fingerprint_changes_with_what_matters() {
    let print = |text: &str| parse_at("c.yaml", text).unwrap().fingerprint();
    let base = print("admin: {endpoint: h, scopes: [a]}\nlogger: {level: 1}\n");
    assert_eq!(base, print("# comment\nlogger: {level: 5}\nadmin:\n  scopes: [a]\n  endpoint: h\n"));
    for other in [
        "admin: {endpoint: i, scopes: [a]}",
        "admin: {endpoint: h, scopes: [a, b]}",
        "admin: {endpoint: h, scopes: [a], command: [x]}",
        "admin: {endpoint: h, scopes: [a]}\nprofiles: {p: {admin: {endpoint: x}}}",
    ] {
        assert_ne!(base, print(other), "{other}");
    }
}

/// No text whatever makes a parser panic: mangled copies of real files, from a fixed generator.
#[test]
fn mangled_files_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let alphabet: Vec<char> = " \t\n\r:-[]{}&*!|>'\"%@`#,?\\\u{feff}\u{e9}\u{1f600}a0=~".chars().collect();
    let endpoint = crate::config::endpoint::Endpoint::parse("h", false, "x").unwrap();
    for source in [FLYTECTL, SDK, KIT_INI] {
        for _ in 0..150 {
            let mut text: Vec<char> = source.chars().collect();
            for _ in 0..=next(6) {
                let at = next(text.len());
                match next(3) {
                    0 => text[at] = alphabet[next(alphabet.len())],
                    1 => text.insert(at, alphabet[next(alphabet.len())]),
                    _ => drop(text.drain(at..(at + next(20)).min(text.len()))),
                }
            }
            let text: String = text.into_iter().collect();
            for path in ["c.yaml", "config"] {
                let _ = parse_at(path, &text);
            }
            let program = ["/abs/flyte-auth".to_owned()];
            let request = crate::config::configure::ConfigureRequest {
                endpoint: &endpoint,
                program: &program,
                flags: &[],
                path: Path::new("c.yaml"),
                existing: Some(&text),
            };
            // What is written back is read again as what was meant, or refused.
            if let Ok(configured) = crate::config::configure::configure(request) {
                let file = parse_at("c.yaml", &configured.text).unwrap();
                let endpoint = file.admin.iter().find(|entry| entry.key == Key::Endpoint).unwrap();
                assert_eq!(endpoint.text().unwrap(), "dns:///h", "{text:?}");
            }
        }
    }
}
