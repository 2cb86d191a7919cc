mod initialised;
mod refused;
mod reported;
mod shapes;
mod sourced;

use std::fs;
use std::path::Path;
use std::time::Duration;

use flyte_auth::clock::SystemEntropy;
use flyte_auth::relying_party::SameSite;

use super::model::AuthServer;
use super::*;
use crate::keys::SigningAlgorithm;

/// Secrets in a folder of their own, beside `text` as the configuration.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        secrets_init::init(folder.path(), SigningAlgorithm::Rs256, &SystemEntropy).unwrap();
        fs::write(folder.path().join("oidc_client_secret"), "canary-oidc-secret\n").unwrap();
        Self { folder }
    }

    fn load_with(&self, text: &str, environment: &[(&str, &str)]) -> Result<Loaded> {
        let whole = format!("secrets: {{secrets-prefix: {}}}\n{text}", self.folder.path().display());
        let find =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        load(&[Source::Stdin(whole.into_bytes())], &find)
    }

    fn load(&self, text: &str) -> Loaded {
        self.load_with(text, &[]).unwrap()
    }

    fn error(&self, text: &str) -> flyte_auth::Error {
        self.load_with(text, &[]).unwrap_err()
    }
}

const BASE: &str = "
server: {security: {useAuth: true}}
auth:
  authorizedUris: [https://flyte.example]
  userAuth:
    openId: {baseUrl: https://idp.example, clientId: console}
";

fn verdict<'a>(loaded: &'a Loaded, key: &str) -> Option<&'a Row> {
    loaded.report.iter().find(|row| row.key == key)
}

fn own(loaded: &Loaded) -> &model::OwnServer {
    match &loaded.config.app_auth.server {
        AuthServer::Own(own) => own,
        AuthServer::External(_) => panic!("it is external"),
    }
}

#[test]
fn the_defaults_are_flyteadmins() {
    let loaded = Scene::new().load(BASE);
    let config = &loaded.config;
    assert_eq!((config.server.http_port, config.server.grpc_port), (8088, 8089));
    assert_eq!(config.server.address, "0.0.0.0");
    assert_eq!(config.server.read_header_timeout, Duration::from_secs(32));
    assert_eq!(config.resource.grpc_header, "flyte-authorization");
    assert_eq!(config.gateway.metrics_port, Some(10254));
    let own = own(&loaded);
    assert_eq!(own.access_token_lifetime, Duration::from_secs(30 * 60));
    assert_eq!(own.refresh_token_lifetime, Duration::from_secs(60 * 60));
    assert_eq!(own.code_lifetime, Duration::from_secs(5 * 60));
    let ids: Vec<_> = own.clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["flytectl", "flyte-cli", "flytepropeller"]);
    let propeller = own.clients.last().unwrap();
    assert!(!propeller.public && propeller.secret_hashes.is_empty(), "nobody knows a secret of it");
    let user_auth = config.user_auth.as_ref().unwrap();
    assert_eq!((user_auth.redirect_url.as_str(), user_auth.same_site), ("/console", SameSite::Lax));
    assert_eq!(user_auth.scopes, ["openid", "profile"]);
    assert_eq!(user_auth.cookie_keys.len(), 1);
    assert_eq!(user_auth.cookie_keys[0].len(), 96);
    assert_eq!(config.app_auth.flyte_client.client_id, "flytectl");
    assert_eq!(config.app_auth.flyte_client.scopes, ["all", "offline"]);
}

#[test]
fn keys_are_read_without_regard_to_case_and_a_scalar_is_a_list_of_one() {
    let text = "
SERVER: {Security: {USEAUTH: true}}
Auth:
  AuthorizedURIs: https://flyte.example
  appauth:
    AuthServerType: External
    externalAuthServer: {BaseURL: https://as.example/realm, AllowedAudience: flytepropeller, metadataUrl: .well-known/openid-configuration}
    thirdPartyConfig: {flyteClient: {scopes: all}}
";
    let loaded = Scene::new().load(text);
    let AuthServer::External(external) = &loaded.config.app_auth.server else { panic!("it is own") };
    assert_eq!(external.base_url, "https://as.example/realm");
    assert_eq!(external.allowed_audience, ["flytepropeller"]);
    assert_eq!(external.metadata_url.as_deref(), Some(".well-known/openid-configuration"));
    assert_eq!((external.retry_attempts, external.retry_delay), (5, Duration::from_secs(1)));
    assert!(verdict(&loaded, "auth.appAuth.thirdPartyConfig.flyteClient.scopes").unwrap().note.contains("offline"));
    assert!(loaded.report.iter().all(|row| row.verdict != Verdict::Unknown), "{:?}", loaded.report);
}

#[test]
fn clients_come_as_a_mapping_or_as_a_list_and_replace_the_defaults() {
    let scene = Scene::new();
    let hash = hash_secret("s").unwrap();
    for clients in [
        format!(
            "{{propeller: {{id: flytepropeller, client_secret: {hash}, grant_types: [client_credentials], scopes: [all]}}}}"
        ),
        format!(
            "[{{propeller: {{id: flytepropeller, client_secret: {hash}, grant_types: [client_credentials], scopes: [all]}}}}]"
        ),
        format!("[{{id: flytepropeller, client_secret: {hash}, grant_types: [client_credentials], scopes: [all]}}]"),
    ] {
        let text = format!("{BASE}  appAuth: {{selfAuthServer: {{staticClients: {clients}}}}}\n");
        let loaded = scene.load(&text);
        let [client] = &own(&loaded).clients[..] else { panic!("not one client") };
        assert_eq!((client.id.as_str(), client.secret_hashes.len()), ("flytepropeller", 1));
        assert!(client.secret_hashes[0].0.starts_with("$2"), "decoded from base64");
    }
    let raw = bcrypt::hash("s", 4).unwrap();
    let text = format!(
        "{BASE}  appAuth: {{selfAuthServer: {{staticClients: {{p: {{client_secret: '{raw}', scopes: [all]}}}}}}}}\n"
    );
    let loaded = scene.load(&text);
    assert_eq!(own(&loaded).clients[0].secret_hashes[0].0, raw);
    let weak = verdict(&loaded, "auth.appAuth.selfAuthServer.staticClients.p.client_secret").unwrap();
    assert_eq!((weak.verdict, weak.value.as_str()), (Verdict::Insecure, "***"));
}

#[test]
fn a_secret_in_plain_is_refused_and_not_repeated() {
    let text =
        format!("{BASE}  appAuth: {{selfAuthServer: {{staticClients: {{p: {{client_secret: canary-plain}}}}}}}}\n");
    let error = Scene::new().error(&text);
    assert_eq!(error.code(), "setting_invalid");
    assert!(!error.to_string().contains("canary") && error.to_string().contains("staticClients.p"), "{error}");
}

#[test]
fn secrets_come_from_the_environment_before_the_file() {
    let scene = Scene::new();
    let by_file = scene.load(BASE).config.user_auth.unwrap().client_secret.unwrap();
    assert_eq!(by_file, flyte_auth::protocol::secret::ClientSecret::new("canary-oidc-secret"), "one newline is cut");
    let environment = [("FLYTE_SECRET_oidc_client_secret", "from the environment")];
    let loaded = scene.load_with(BASE, &environment).unwrap();
    let secret = loaded.config.user_auth.unwrap().client_secret.unwrap();
    assert_eq!(secret, flyte_auth::protocol::secret::ClientSecret::new("from the environment"));
}

#[test]
fn a_secret_that_is_missing_or_of_the_wrong_size_is_named() {
    let scene = Scene::new();
    fs::write(scene.folder.path().join("cookie_block_key"), "AAAA").unwrap();
    let error = scene.error(BASE);
    assert_eq!(error.code(), "secret_invalid");
    assert!(error.to_string().contains("cookie_block_key") && error.to_string().contains("32"), "{error}");
    fs::remove_file(scene.folder.path().join("cookie_block_key")).unwrap();
    let error = scene.error(BASE);
    assert_eq!(error.code(), "secret_missing");
    for part in ["FLYTE_SECRET_cookie_block_key", "secrets init"] {
        assert!(format!("{error} {:?}", error.next_step()).contains(part), "{error}");
    }
    let error = scene.error(&format!("{BASE}    cookieHashKeySecretName: ../../etc/passwd\n"));
    assert_eq!(error.code(), "secret_name_invalid");
}

#[test]
fn earlier_cookie_keys_open_and_earlier_signing_keys_verify() {
    let scene = Scene::new();
    let at = |name: &str| scene.folder.path().join(name);
    for name in ["cookie_hash_key", "cookie_block_key", "token_rsa_key.pem"] {
        let old = name.strip_suffix(".pem").map_or_else(|| format!("{name}_old"), |stem| format!("{stem}_old.pem"));
        fs::copy(at(name), at(&old)).unwrap();
        fs::remove_file(at(name)).unwrap();
    }
    secrets_init::init(scene.folder.path(), SigningAlgorithm::Rs256, &SystemEntropy).unwrap();
    let loaded = scene.load(BASE);
    assert_eq!(loaded.config.user_auth.as_ref().unwrap().cookie_keys.len(), 2);
    assert_eq!(own(&loaded).signing_keys.len(), 2);
    let keys = crate::keys::Keys::from_pem(SigningAlgorithm::Rs256, &own(&loaded).signing_keys).unwrap();
    assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 2);
    fs::write(at("token_rsa_key_old.pem"), "\n").unwrap();
    assert_eq!(own(&scene.load(BASE)).signing_keys.len(), 1, "an empty file is no earlier key");
}

#[test]
fn every_algorithm_makes_keys_that_can_be_read() {
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let folder = tempfile::tempdir().unwrap();
        let written = secrets_init::init(folder.path(), algorithm, &SystemEntropy).unwrap();
        assert!(written.iter().all(|secret| !secret.kept));
        let pem = fs::read(&written.last().unwrap().file).unwrap();
        let keys = crate::keys::Keys::from_pem(algorithm, &[pem.into()]).unwrap();
        assert_eq!(keys.algorithm(), algorithm);
        let again = secrets_init::init(folder.path(), algorithm, &SystemEntropy).unwrap();
        assert!(again.iter().all(|secret| secret.kept));
    }
}

#[test]
fn no_secret_is_in_the_report_or_in_debug() {
    let scene = Scene::new();
    let hash = hash_secret("canary").unwrap();
    let text = format!(
        "{BASE}    httpProxyURL: http://user:canary-proxy@proxy.example:3128\n  clientSecret: canary-unknown\n  appAuth: {{selfAuthServer: {{staticClients: {{p: {{client_secret: {hash}, scopes: [all]}}}}}}}}\n"
    );
    let loaded = scene.load(&text);
    let key = fs::read_to_string(scene.folder.path().join("cookie_hash_key")).unwrap();
    for shown in [format!("{loaded:?}"), table(&loaded.report), serde_json::to_string(&loaded.report).unwrap()] {
        for secret in ["canary", hash.as_str(), key.as_str(), "BEGIN RSA"] {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
    }
    assert_eq!(verdict(&loaded, "auth.clientSecret").unwrap().verdict, Verdict::Unknown);
}

#[test]
fn what_is_insecure_is_said() {
    let text = "
server: {security: {useAuth: true, insecureCookieHeader: true, allowedOrigins: ['*']}}
auth:
  disableForHttp: true
  userAuth:
    cookieSetting: {sameSitePolicy: NoneMode}
    openId: {baseUrl: http://keycloak.svc:8080/realms/flyte, clientId: console}
";
    let loaded = Scene::new().load(text);
    for key in [
        "server.security.insecureCookieHeader",
        "auth.authorizedUris",
        "auth.disableForHttp",
        "auth.userAuth.cookieSetting.sameSitePolicy",
        "auth.userAuth.openId.baseUrl",
        "gateway.database",
    ] {
        assert_eq!(verdict(&loaded, key).map(|row| row.verdict), Some(Verdict::Insecure), "{key}");
    }
    let origins = verdict(&loaded, "server.security.allowedOrigins").unwrap();
    assert_eq!(origins.verdict, Verdict::DiffersOnPurpose);
    assert_eq!(loaded.config.resource.authorized_uris[0].text, "http://localhost:8088");
}

#[test]
fn the_files_that_were_read_are_watched() {
    let scene = Scene::new();
    let file = scene.folder.path().join("flyteadmin.yaml");
    fs::write(&file, format!("secrets: {{secrets-prefix: {}}}\n{BASE}", scene.folder.path().display())).unwrap();
    let loaded = load(&[Source::Path(file.clone())], &|_| None).unwrap();
    let watched = |name: &Path| loaded.config.watched.iter().any(|path| path == name);
    assert!(watched(&file));
    for secret in ["cookie_hash_key", "cookie_hash_key_old", "token_rsa_key.pem", "token_rsa_key_old.pem"] {
        assert!(watched(&scene.folder.path().join(secret)), "{secret}");
    }
}
