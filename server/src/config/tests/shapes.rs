//! Files as Flyte's charts and guide make them.

use super::*;

const UNKNOWN: &str = "a key that the chart writes is unknown here";

fn nothing_unknown(loaded: &Loaded) {
    let unknown: Vec<_> = loaded.report.iter().filter(|row| row.verdict == Verdict::Unknown).collect();
    assert!(unknown.is_empty(), "{UNKNOWN}: {unknown:?}");
}

/// `charts/flyte-core/values.yaml`, `configmap.adminServer`.
const CORE: &str = "
server:
  httpPort: 8088
  grpc: {port: 8089}
  security:
    secure: false
    useAuth: USE
    allowCors: true
    allowedOrigins: ['*']
    allowedHeaders: [Content-Type, flyte-authorization]
auth:
  appAuth:
    thirdPartyConfig:
      flyteClient: {clientId: flytectl, redirectUri: 'http://localhost:53593/callback', scopes: [offline, all]}
  authorizedUris:
    - https://localhost:30081
    - http://flyteadmin:80
    - http://flyteadmin.flyte.svc.cluster.local:80
  userAuth:
    openId:
      baseUrl: https://accounts.google.com
      scopes: [profile, openid]
      clientId: 657465813211-6eog7ek7li5k7i7fvgv2921075063hpe.apps.googleusercontent.com
flyteadmin: {roleNameKey: iam.amazonaws.com/role, eventVersion: 2}
";

#[test]
fn flyte_core_with_auth() {
    let loaded = Scene::new().load(&CORE.replace("USE", "true"));
    nothing_unknown(&loaded);
    let uris: Vec<_> = loaded.config.resource.authorized_uris.iter().map(|uri| uri.text.as_str()).collect();
    assert_eq!(
        uris,
        ["https://localhost:30081", "http://flyteadmin:80", "http://flyteadmin.flyte.svc.cluster.local:80"],
        "byte for byte, although :80 is the scheme's own"
    );
    assert_eq!(loaded.config.user_auth.unwrap().base_url, "https://accounts.google.com");
}

/// The chart as it comes: `useAuth` is false, the section `auth` is there, and nobody made keys.
#[test]
fn flyte_core_without_auth_needs_no_keys() {
    let scene = Scene::new();
    for name in ["cookie_hash_key", "cookie_block_key", "token_rsa_key.pem", "oidc_client_secret"] {
        fs::remove_file(scene.folder.path().join(name)).unwrap();
    }
    let loaded = scene.load(&CORE.replace("USE", "false"));
    nothing_unknown(&loaded);
    assert!(loaded.config.user_auth.is_none() && !loaded.config.server.use_auth);
    // What it is given in place of keys can be used.
    let own = own(&loaded);
    let keys = crate::keys::Keys::from_pem(own.algorithm, &own.signing_keys).unwrap();
    assert_eq!(keys.algorithm(), own.algorithm);
    assert_eq!(verdict(&loaded, "server.security.useAuth").unwrap().verdict, Verdict::Insecure);
}

/// `charts/flyte-binary/templates/configmap.yaml`, `004-auth.yaml` and `014-auth-secrets.yaml`.
fn binary(scene: &Scene, more: &str) -> Loaded {
    let hash = hash_secret("foobar").unwrap();
    let first = format!(
        "
secrets: {{secrets-prefix: {}}}
server: {{security: {{useAuth: true}}}}
auth:
  appAuth:
    selfAuthServer:
      staticClients:
        flytepropeller:
          id: flytepropeller
          grant_types: [refresh_token, client_credentials]
          response_types: [token]
          scopes: [all, offline, access_token]
          redirect_uris: ['http://localhost:3846/callback']
          public: false
        flyte-cli: &public
          id: flyte-cli
          redirect_uris: ['http://localhost:53593/callback', 'http://localhost:12345/callback']
          grant_types: [refresh_token, authorization_code]
          response_types: [code, token]
          scopes: [all, offline, access_token]
          public: true
        flytectl: {{<<: *public, id: flytectl}}
    thirdPartyConfig: {{flyteClient: {{clientId: flytectl, redirectUri: 'http://localhost:53593/callback', scopes: [all]}}}}
  authorizedUris: ['http://flyte-backend-http:8088', 'http://flyte-backend-http.flyte.svc.cluster.local:8088']
  userAuth: {{openId: {{baseUrl: https://idp.example, clientId: console, scopes: [profile, openid]}}}}
",
        scene.folder.path().display()
    );
    let second = format!(
        "auth: {{appAuth: {{selfAuthServer: {{staticClients: {{flytepropeller: {{client_secret: {hash}}}}}}}}}}}"
    );
    let sources = [first, second, more.to_owned()].map(|text| Source::Stdin(text.into_bytes()));
    load(&sources, &|_| None).unwrap()
}

#[test]
fn flyte_binary_with_its_secret_in_a_second_file() {
    let loaded = binary(&Scene::new(), "");
    nothing_unknown(&loaded);
    let clients = &own(&loaded).clients;
    let found = |id: &str| clients.iter().find(|client| client.id == id).unwrap();
    assert_eq!(clients.len(), 3);
    assert_eq!((found("flytepropeller").secret_hashes.len(), found("flytepropeller").public), (1, false));
    assert!(found("flytectl").public && found("flytectl").redirect_uris.len() == 2, "a YAML merge key");
    let scopes = verdict(&loaded, "auth.appAuth.thirdPartyConfig.flyteClient.scopes").unwrap();
    assert!(scopes.note.contains("refresh"), "its default has no offline");
}

/// The chart writes its static clients whatever the type; `configuration.inline` makes it External.
#[test]
fn flyte_binary_in_external_mode_keeps_its_clients_to_itself() {
    let more = "auth: {appAuth: {authServerType: External, externalAuthServer: {baseUrl: 'https://as.example'}}}";
    let loaded = binary(&Scene::new(), more);
    nothing_unknown(&loaded);
    assert!(matches!(&loaded.config.app_auth.server, AuthServer::External(_)));
    let row = verdict(&loaded, "auth.appAuth.selfAuthServer").unwrap();
    assert_eq!(row.verdict, Verdict::Ignored);
}

/// `charts/flyte-core/values-keycloak-idp-flyteclients-without-browser.yaml`.
#[test]
fn keycloak_as_an_external_server() {
    let text = "
server: {security: {secure: false, useAuth: true}}
auth:
  authorizedUris: [https://flyte.example, http://flyteadmin:80]
  appAuth:
    authServerType: External
    externalAuthServer:
      allowedAudience: flytepropeller
      baseUrl: https://keycloak.example/auth/realms/flyte
      metadataUrl: .well-known/openid-configuration
    thirdPartyConfig:
      flyteClient:
        clientId: flytectl
        redirectUri: http://localhost:53593/callback
        audience: flytepropeller
        scopes: [all, offline, access_token]
  userAuth:
    cookieSetting: {domain: example, sameSitePolicy: LaxMode}
    openId: {baseUrl: https://keycloak.example/auth/realms/flyte, clientId: flyteadmin, scopes: [profile, openid]}
";
    let scene = Scene::new();
    // An external server signs; nobody needs a key for that here.
    fs::remove_file(scene.folder.path().join("token_rsa_key.pem")).unwrap();
    let loaded = scene.load(text);
    nothing_unknown(&loaded);
    let AuthServer::External(external) = &loaded.config.app_auth.server else { panic!("it is own") };
    assert_eq!(external.allowed_audience, ["flytepropeller"]);
    assert_eq!(external.metadata_url.as_deref(), Some(".well-known/openid-configuration"));
    assert_eq!(loaded.config.app_auth.flyte_client.audience, "flytepropeller");
    assert_eq!(loaded.config.user_auth.unwrap().cookie_domain.as_deref(), Some("example"));
}

/// flyteadmin asks `userAuth.openId.baseUrl` where `externalAuthServer` names none (`authzserver/metadata_provider.go`).
#[test]
fn an_external_server_is_the_provider_unless_said() {
    for client in ["", ", clientId: console"] {
        let text = format!(
            "
server: {{security: {{useAuth: true}}}}
auth:
  authorizedUris: [https://flyte.example]
  userAuth: {{openId: {{baseUrl: https://idp.example/oauth2/default{client}}}}}
  appAuth: {{authServerType: External, externalAuthServer: {{metadataUrl: 'https://idp.example/meta'}}}}
"
        );
        let loaded = Scene::new().load(&text);
        let AuthServer::External(external) = &loaded.config.app_auth.server else { panic!("it is own") };
        assert_eq!(external.base_url, "https://idp.example/oauth2/default");
    }
    let error = Scene::new().error("auth: {appAuth: {authServerType: External}}");
    assert_eq!(error.setting(), Some("auth.appAuth.externalAuthServer.baseUrl"));
}
