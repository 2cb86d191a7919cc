//! Where the configuration comes from.

use std::path::PathBuf;

use super::*;

/// `count` files `N.yaml` and their folder, with the secrets' place in the first.
fn folder(scene: &Scene, files: &[(&str, &str)]) -> PathBuf {
    let folder = scene.folder.path().join("config");
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let secrets = format!("secrets: {{secrets-prefix: {}}}\n{BASE}", scene.folder.path().display());
    fs::write(folder.join("000.yaml"), secrets).unwrap();
    folder
}

fn access(loaded: &Loaded) -> u64 {
    own(loaded).access_token_lifetime.as_secs()
}

fn lifespan(text: &str) -> String {
    format!("AUTH: {{appauth: {{SelfAuthServer: {{accessTokenLifespan: {text}}}}}}}\n")
}

#[test]
fn a_later_file_goes_over_an_earlier_one_in_a_folder_by_name_and_in_a_glob() {
    let scene = Scene::new();
    let json = r#"{"auth": {"authorizedUris": ["https://other.example"]}}"#;
    let files =
        [("020.json", json), ("010.yml", &lifespan("5m")), ("005.yaml", &lifespan("4m")), ("zzz.txt", "nonsense: [")];
    let folder = folder(&scene, &files);
    fs::create_dir(folder.join("deeper.yaml")).unwrap();
    let of = |paths: &[&str]| {
        let sources: Vec<_> = paths.iter().map(|path| Source::Path(folder.join(path))).collect();
        load(&sources, &|_| None)
    };
    for paths in [&[""][..], &["000*", "005.yaml", "0[12]0.*"], &["0?0.yaml", "005.yaml", "010.yml", "020.json"]] {
        let loaded = of(paths).unwrap();
        assert_eq!(access(&loaded), 300, "{paths:?}");
        let uris: Vec<_> = loaded.config.resource.authorized_uris.iter().map(|uri| uri.text.as_str()).collect();
        assert_eq!(uris, ["https://other.example"], "a list is replaced, {paths:?}");
        assert!(loaded.config.user_auth.is_some(), "a mapping is merged, {paths:?}");
    }
    assert_eq!(access(&of(&["000.yaml", "010.yml", "005.yaml"]).unwrap()), 240, "the order given counts");
    let watched = of(&[""]).unwrap().config.watched;
    assert!(watched.contains(&folder.join("")) && watched.contains(&folder.join("020.json")));
}

#[test]
fn standard_input_takes_its_place_among_the_files() {
    let scene = Scene::new();
    let folder = folder(&scene, &[("010.yaml", &lifespan("5m"))]);
    let stdin = Source::Stdin(lifespan("9m").into_bytes());
    let files = Source::Path(folder);
    assert_eq!(access(&load(&[files.clone(), stdin.clone()], &|_| None).unwrap()), 540);
    assert_eq!(access(&load(&[stdin, files], &|_| None).unwrap()), 300);
}

#[test]
fn what_cannot_be_read_is_named() {
    let scene = Scene::new();
    let at = |name: &str| scene.folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("latin.yaml"), b"a: \xff").unwrap();
    for (name, code) in [
        ("nowhere.yaml", "config_unreadable"),
        ("no*match.yaml", "config_unreadable"),
        ("bad[.yaml", "config_unreadable"),
        ("empty", "config_unreadable"),
        ("latin.yaml", "config_unreadable"),
    ] {
        let error = load(&[Source::Path(at(name))], &|_| None).unwrap_err();
        assert_eq!(error.code(), code, "{name}");
        assert!(error.message().contains(name), "{error}");
        assert!(error.next_step().is_some());
    }
}

#[test]
fn what_is_no_configuration_is_refused_with_its_line_and_without_its_content() {
    let bomb = format!(
        "a0: &a0 [x]\n{}",
        (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1)).collect::<String>()
    );
    for text in [
        "a: b: canary",
        "- canary",
        "canary",
        "a: canary\na: canary",
        "auth:\n\tuserAuth: canary\n",
        "a: 1\n---\nb: canary",
        &"{".repeat(200),
        &"a: {".repeat(5000),
        &format!("a: {}1{}", "[".repeat(60), "]".repeat(60)),
        &bomb,
    ] {
        let start = &text[..text.len().min(30)];
        let error = load(&[Source::Stdin(text.as_bytes().to_vec())], &|_| None).map(|_| ()).expect_err(start);
        assert_eq!(error.code(), "config_malformed", "{start}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    let error = load(&[Source::Stdin(b"auth:\n  a: 1\n  b: [\n".to_vec())], &|_| None).unwrap_err();
    assert!(error.message().contains("line"), "{error}");
}

#[test]
fn two_spellings_of_a_key_in_one_file_are_refused_because_one_of_them_would_silently_win() {
    for text in [
        "server: {security: {useAuth: true, USEAUTH: false}}",
        "auth: {appAuth: {selfAuthServer: {}, SelfAuthServer: {}}}",
        "auth: {}\nAuth: {}",
    ] {
        let error = Scene::new().error(text);
        assert_eq!(error.code(), "config_malformed", "{text}");
        let lower = error.message().to_ascii_lowercase();
        assert!(["useauth", "selfauthserver", "auth"].iter().any(|key| lower.contains(key)), "{error}");
    }
    // What a service behind reads is its own business.
    Scene::new().load(&format!("{BASE}plugins: {{env: {{FOO: a, foo: b}}}}\n"));
}
