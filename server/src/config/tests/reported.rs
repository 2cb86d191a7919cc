//! What the report says of each key, and what it keeps to itself.

use super::*;

#[test]
fn nothing_that_may_be_a_secret_is_shown_wherever_it_stands() {
    let text = format!(
        "{BASE}    httpProxyURL: http://user:canary-a@proxy.example:3128
    openIdd: canary-b
    clientSecrt: canary-c
  pass: [canary-d]
  pin: 707070
gatway: canary-e
sekret: canary-f
storage: {{connection: {{access-key: canary-g}}}}
admin: canary-h
plugins: [canary-i]
  "
    );
    let loaded = Scene::new().load(text.trim_end());
    for shown in [format!("{loaded:?}"), table(&loaded.report), serde_json::to_string(&loaded.report).unwrap()] {
        for secret in ["canary", "707070"] {
            let at = shown.find(secret).map(|at| &shown[at.saturating_sub(80)..]);
            assert_eq!(at, None, "{secret} is shown");
        }
    }
}

#[test]
fn what_belongs_to_others_is_one_row_each() {
    let text = format!(
        "{BASE}flyteadmin: {{roleNameKey: x, metricsScope: y}}\nDatabase: {{postgres: {{port: 1}}}}\nstorage: {{type: s3}}\n"
    );
    let loaded = Scene::new().load(&text);
    for key in ["flyteadmin", "Database", "storage"] {
        let rows: Vec<_> = loaded
            .report
            .iter()
            .filter(|row| row.key.to_ascii_lowercase().starts_with(&key.to_ascii_lowercase()))
            .collect();
        let [row] = &rows[..] else { panic!("{key}: {rows:?}") };
        assert_eq!((row.key.as_str(), row.verdict), (key, Verdict::Ignored));
        assert!(row.note.contains("not about auth"), "{row:?}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    let text = "
server: {security: {useAuth: true, allowCorss: true}}
secrets: {}
auth:
  authorizedUris: [https://flyte.example]
  userAuth: {openId: {baseUrl: https://idp.example, clientId: console, clientSecretNmae: x}}
  externalAuthServer: {baseUrl: https://as.example, metadataUrl: x}
  openId: {clientId: y}
gateway: {upstream: []}
autth: {disableForHttp: true}
";
    let scene = Scene::new();
    let text = text.replace("secrets: {}", "");
    let loaded = scene.load(&text);
    for (key, meant) in [
        ("server.security.allowCorss", "server.security.allowCors"),
        ("auth.userAuth.openId.clientSecretNmae", "auth.userAuth.openId.clientSecretName"),
        // The guide's own slip: a level too high.
        ("auth.externalAuthServer.baseUrl", "auth.appAuth.externalAuthServer.baseUrl"),
        ("auth.externalAuthServer.metadataUrl", "auth.appAuth.externalAuthServer.metadataUrl"),
        ("auth.openId.clientId", "auth.userAuth.openId.clientId"),
        ("gateway.upstream", "gateway.upstreams"),
        ("autth.disableForHttp", "auth.disableForHttp"),
    ] {
        let row = verdict(&loaded, key).unwrap_or_else(|| panic!("{key} has no row"));
        assert_eq!(row.verdict, Verdict::Unknown, "{key}");
        assert!(row.note.ends_with(&format!("did you mean {meant}?")), "{key}: {}", row.note);
    }
}

#[test]
fn what_differs_on_purpose_is_said() {
    let text = format!(
        "{BASE}  appAuth:
    selfAuthServer:
      claimSymmetricEncryptionKeySecretName: claim_symmetric_key
      staticClients: {{flytectl: {{id: flytectl, public: true, response_types: [code, token], grant_types: [authorization_code], scopes: [all], redirect_uris: ['http://localhost:53593/callback']}}}}
"
    );
    let loaded = Scene::new().load(&text);
    for key in [
        "auth.appAuth.selfAuthServer.claimSymmetricEncryptionKeySecretName",
        "auth.appAuth.selfAuthServer.staticClients.flytectl.response_types",
    ] {
        assert_eq!(verdict(&loaded, key).unwrap().verdict, Verdict::DiffersOnPurpose, "{key}");
    }
    let defaults = Scene::new().load(BASE);
    let clients = verdict(&defaults, "auth.appAuth.selfAuthServer.staticClients").unwrap();
    assert_eq!(clients.verdict, Verdict::DiffersOnPurpose);
    assert!(clients.note.contains("flytepropeller"));
}

#[test]
fn without_a_client_id_no_browser_signs_in_and_no_check_is_skipped() {
    let text = "
server: {security: {useAuth: true}}
auth: {authorizedUris: [https://flyte.example], userAuth: {openId: {baseUrl: https://idp.example}}}
";
    let loaded = Scene::new().load(text);
    assert!(loaded.config.user_auth.is_none());
    assert_eq!(verdict(&loaded, "auth.userAuth.openId").unwrap().verdict, Verdict::DiffersOnPurpose);
}

#[test]
fn only_the_server_that_is_chosen_is_read_and_warned_about() {
    // A plaintext provider is one fault, not one of an external server that nobody configured.
    let text = "
server: {security: {useAuth: true}}
auth:
  authorizedUris: [https://flyte.example]
  userAuth: {openId: {baseUrl: http://idp.svc, clientId: console}}
";
    let loaded = Scene::new().load(text);
    assert_eq!(verdict(&loaded, "auth.userAuth.openId.baseUrl").unwrap().verdict, Verdict::Insecure);
    assert_eq!(verdict(&loaded, "auth.appAuth.externalAuthServer.baseUrl"), None);
    let both = "  appAuth: {externalAuthServer: {baseUrl: https://as.example, introspection: {clientId: a}}}\n";
    let loaded = Scene::new().load(&format!("{text}{both}"));
    assert_eq!(verdict(&loaded, "auth.appAuth.externalAuthServer").unwrap().verdict, Verdict::Ignored);
}

#[cfg(unix)]
#[test]
fn a_private_key_that_others_may_read_is_insecure() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let path = scene.folder.path().join("token_rsa_key.pem");
    let key = format!("secrets ({})", path.display());
    assert_eq!(verdict(&scene.load(BASE), &key), None);
    for mode in [0o604, 0o640, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let loaded = scene.load(BASE);
        assert_eq!(verdict(&loaded, &key).map(|row| row.verdict), Some(Verdict::Insecure), "{mode:o}");
    }
}

#[test]
fn an_empty_file_for_the_earlier_key_is_said_and_is_no_key() {
    let scene = Scene::new();
    fs::write(scene.folder.path().join("token_rsa_key_old.pem"), "").unwrap();
    let loaded = scene.load(BASE);
    assert_eq!(own(&loaded).signing_keys.len(), 1);
    assert_eq!(verdict(&loaded, "secrets (token_rsa_key_old.pem)").unwrap().verdict, Verdict::Ignored);
}

#[test]
fn an_rsa_key_of_any_name_still_verifies_after_a_change_of_algorithm() {
    let scene = Scene::new();
    let at = |name: &str| scene.folder.path().join(name);
    secrets_init::init(scene.folder.path(), SigningAlgorithm::Es256, &SystemEntropy).unwrap();
    fs::rename(at("token_rsa_key.pem"), at("ours.pem")).unwrap();
    let text = "  appAuth: {selfAuthServer: {signingAlgorithm: ES256, tokenSigningRSAKeySecretName: ours.pem}}\n";
    let loaded = scene.load(&format!("{BASE}{text}"));
    let keys = crate::keys::Keys::from_pem(SigningAlgorithm::Es256, &own(&loaded).signing_keys).unwrap();
    assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn metrics_and_identity_headers_can_be_switched_off_with_null() {
    let text = "gateway: {metricsPort: null, database: ':memory:', identityHeaders: {email: null, subject: X-Who}}\n";
    let loaded = Scene::new().load(&format!("{BASE}{text}"));
    let gateway = &loaded.config.gateway;
    assert_eq!((gateway.metrics_port, gateway.database.as_ref()), (None, None));
    assert_eq!(gateway.identity_headers.email, None);
    assert_eq!(gateway.identity_headers.subject.as_deref(), Some("x-who"));
    assert_eq!(verdict(&loaded, "gateway.metricsPort").unwrap().value, "none");
    assert_eq!(verdict(&loaded, "gateway.database").unwrap().verdict, Verdict::Insecure);
    let by_word = Scene::new().load(&format!("{BASE}gateway: {{metricsPort: none}}\n"));
    assert_eq!(by_word.config.gateway.metrics_port, None);
}

#[test]
fn the_table_is_aligned_and_holds_no_control_characters() {
    let row = |key: &str, value: &str| Row {
        key: key.to_owned(),
        verdict: Verdict::DiffersOnPurpose,
        value: value.to_owned(),
        note: "n".to_owned(),
    };
    let text = table(&[row("a", "é"), row("bbbbbb", "x\u{1b}[31m\ny"), row("c", &"w".repeat(90))]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    let column = |line: &str| line.chars().count() - 1;
    assert!(lines[1..].iter().all(|line| column(line) == column(lines[1])), "{text}");
    assert!(!text.contains('\u{1b}'));
    assert_eq!(
        serde_json::to_value(row("a", "b")).unwrap(),
        serde_json::json!({"key": "a", "verdict": "differs-on-purpose", "value": "b", "note": "n"})
    );
}
