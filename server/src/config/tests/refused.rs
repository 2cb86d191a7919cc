//! What is wrong in a file is named, with the next step, and secrets in it are not repeated.

use super::*;

/// `BASE` with `text` laid over it.
fn over(scene: &Scene, text: &str) -> Result<Loaded> {
    let base = format!("secrets: {{secrets-prefix: {}}}\n{BASE}", scene.folder.path().display());
    load(&[Source::Stdin(base.into_bytes()), Source::Stdin(text.as_bytes().to_vec())], &|_| None)
}

fn own_text(text: &str) -> String {
    format!("auth: {{appAuth: {{selfAuthServer: {{{text}}}}}}}")
}

fn client_text(text: &str) -> String {
    own_text(&format!("staticClients: {{p: {{{text}}}}}"))
}

#[test]
fn a_wrong_value_is_named_with_the_next_step() {
    let scene = Scene::new();
    let external = |text: &str| {
        format!(
            "auth: {{appAuth: {{authServerType: External, externalAuthServer: {{baseUrl: 'https://as.example', {text}}}}}}}"
        )
    };
    for (text, named) in [
        ("auth: {appAuth: {authServerType: external}}", "auth.appAuth.authServerType"),
        ("auth: {appAuth: {authServerType: Internal}}", "auth.appAuth.authServerType"),
        ("auth: {authorizedUris: ['localhost:8088']}", "auth.authorizedUris"),
        ("auth: {authorizedUris: ['ftp://a']}", "auth.authorizedUris"),
        ("auth: {authorizedUris: ['https://a#b']}", "auth.authorizedUris"),
        ("auth: {authorizedUris: ['https://user:canary@a']}", "auth.authorizedUris"),
        ("auth: {authorizedUris: {a: b}}", "auth.authorizedUris"),
        ("auth: {httpAuthorizationHeader: 'a b'}", "auth.httpAuthorizationHeader"),
        ("auth: {grpcAuthorizationHeader: 'é'}", "auth.grpcAuthorizationHeader"),
        ("auth: {disableForHttp: perhaps}", "auth.disableForHttp"),
        ("auth: {userAuth: {openId: {baseUrl: 'https://user:canary@idp'}}}", "auth.userAuth.openId.baseUrl"),
        ("auth: {userAuth: {openId: {issuerUrl: idp}}}", "auth.userAuth.openId.issuerUrl"),
        ("auth: {userAuth: {cookieSetting: {sameSitePolicy: Loose}}}", "auth.userAuth.cookieSetting.sameSitePolicy"),
        (&own_text("issuer: 'https://a#b'"), "auth.appAuth.selfAuthServer.issuer"),
        (&own_text("accessTokenLifespan: soon"), "auth.appAuth.selfAuthServer.accessTokenLifespan"),
        (&own_text("accessTokenLifespan: 500ms"), "auth.appAuth.selfAuthServer.accessTokenLifespan"),
        (&own_text("refreshTokenLifespan: 0"), "auth.appAuth.selfAuthServer.refreshTokenLifespan"),
        (&own_text("authorizationCodeLifespan: -5m"), "auth.appAuth.selfAuthServer.authorizationCodeLifespan"),
        (&own_text("signingAlgorithm: none"), "auth.appAuth.selfAuthServer.signingAlgorithm"),
        (&external("metadataUrl: 'ftp://canary'"), "auth.appAuth.externalAuthServer.metadataUrl"),
        (&external("metadataUrl: 'javascript:canary'"), "auth.appAuth.externalAuthServer.metadataUrl"),
        (&external("metadataUrl: 'https://user:canary@b/'"), "auth.appAuth.externalAuthServer.metadataUrl"),
        (&external("metadataUrl: '//user:canary@b/x'"), "auth.appAuth.externalAuthServer.metadataUrl"),
        (&external("metadataUrl: 'a#canary'"), "auth.appAuth.externalAuthServer.metadataUrl"),
        (&external("retryAttempts: -1"), "auth.appAuth.externalAuthServer.retryAttempts"),
        ("server: {httpPort: 70000}", "server.httpPort"),
        ("server: {security: {secure: true}}", "server.security.ssl"),
        ("server: {security: {allowedOrigins: ['https://a/b']}}", "server.security.allowedOrigins"),
        ("gateway: {mode: ext-authz}", "gateway.mode"),
        ("gateway: {address: localhost}", "gateway.address"),
        ("gateway: {upstreams: {match: /a, url: 'http://a'}}", "gateway.upstreams"),
        ("gateway: {upstreams: [{match: /a}]}", "gateway.upstreams"),
        ("gateway: {upstreams: [{match: /a, url: 'http://a'}, {match: /a, url: 'http://b'}]}", "gateway.upstreams"),
        ("gateway: {identityHeaders: {subjekt: x-a}}", "gateway.identityHeaders"),
        ("gateway: {identityHeaders: {subject: 'a b'}}", "gateway.identityHeaders"),
        ("gateway: {database: 'postgres://user:canary@x'}", "gateway.database"),
        ("gateway: {metricsPort: many}", "gateway.metricsPort"),
    ] {
        let error = over(&scene, text).map(|_| ()).expect_err(text);
        assert_eq!((error.code(), error.setting()), ("setting_invalid", Some(named)), "{text}");
        assert!(error.next_step().is_some_and(|next| !next.is_empty()), "{text}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{text}: {error}");
    }
    let error = over(&scene, "auth: {appAuth: {authServerType: Internal}}").unwrap_err();
    assert!(error.next_step().unwrap().contains("Self"));
}

#[test]
fn a_section_that_is_no_mapping_is_no_reason_to_run_on_defaults() {
    for (text, named) in [
        ("server: 8088", "server"),
        ("server: {security: 'useAuth: true'}", "server.security"),
        ("auth: [userAuth]", "auth"),
        ("auth: {userAuth: {openId: https://idp.example}}", "auth.userAuth.openId"),
        ("auth: {appAuth: External}", "auth.appAuth"),
        ("gateway: proxy", "gateway"),
    ] {
        let error = Scene::new().error(text);
        assert_eq!((error.code(), error.setting()), ("setting_invalid", Some(named)), "{text}");
    }
    // Nothing at all below a section is nothing.
    let loaded = Scene::new().load("server:\nauth: {userAuth: , appAuth: {}}\ngateway: {}\n");
    assert!(loaded.report.iter().all(|row| row.verdict != Verdict::Unknown), "{:?}", loaded.report);
}

#[test]
fn a_client_that_cannot_be_right_is_refused() {
    let scene = Scene::new();
    let key = "auth.appAuth.selfAuthServer.staticClients.p";
    for text in [
        "client_secret: canary-plain",
        "client_secret: 1234",
        "client_secret: [canary-plain]",
        "client_secret: '$2a$06$canary'",
        "client_secret: '$2a$99$0123456789012345678901.0123456789012345678901234567890'",
        "client_secret: '$2b$06$canary canary canary!! canary canary canary canary__'",
        "client_secret: Y2FuYXJ5",
        "rotated_secrets: [canary-plain]",
        "public: perhaps",
        "public: true, grant_types: [client_credentials]",
        "redirect_uris: ['javascript:alert(1)']",
        "redirect_uris: ['data:text/html,x']",
        "redirect_uris: ['/callback']",
        "redirect_uris: ['https://a/#b']",
        "scopes: {all: true}",
        "jwks_uri: 7",
    ] {
        let error = over(&scene, &client_text(text)).map(|_| ()).expect_err(text);
        assert_eq!((error.code(), error.setting()), ("setting_invalid", Some(key)), "{text}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{text}: {error}");
    }
    let error = over(&scene, &client_text("client_secret: canary-plain")).unwrap_err();
    assert!(error.next_step().unwrap().contains("bcrypt"), "{error}");
    for clients in ["flytectl", "[a]", "{a: b}", "[{ID: a, Public: true}, {id: a, public: true}]", "{a: {id: 'a b'}}"] {
        let error = over(&scene, &own_text(&format!("staticClients: {clients}"))).map(|_| ()).expect_err(clients);
        assert_eq!(error.code(), "setting_invalid", "{clients}");
    }
}

#[test]
fn a_signing_key_that_is_none_is_named() {
    let scene = Scene::new();
    for name in ["token_rsa_key.pem", "token_rsa_key_old.pem"] {
        let path = scene.folder.path().join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n").unwrap();
        let error = scene.error(BASE);
        assert_eq!(error.code(), "secret_invalid", "{name}");
        assert!(error.message().contains(name) && error.next_step().unwrap().contains("secrets init"), "{error}");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    fs::remove_file(scene.folder.path().join("token_rsa_key.pem")).unwrap();
    let error = scene.error(BASE);
    assert_eq!(error.code(), "secret_missing");
    assert!(error.message().contains("FLYTE_SECRET_token_rsa_key.pem"), "{error}");
}

#[test]
fn a_secret_that_is_no_small_file_is_refused_and_not_waited_for() {
    let scene = Scene::new();
    let path = scene.folder.path().join("oidc_client_secret");
    fs::write(&path, vec![b'a'; 2 << 20]).unwrap();
    assert_eq!(scene.error(BASE).code(), "secret_unreadable");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(scene.error(BASE).code(), "secret_unreadable");
    #[cfg(unix)]
    {
        fs::remove_dir(&path).unwrap();
        // Opening it to read would wait for somebody who writes.
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(scene.error(BASE).code(), "secret_unreadable");
    }
}

#[test]
fn half_a_pair_of_earlier_cookie_keys_is_a_mistake() {
    for (there, missing) in [("cookie_hash_key", "cookie_block_key_old"), ("cookie_block_key", "cookie_hash_key_old")] {
        let scene = Scene::new();
        let at = |name: &str| scene.folder.path().join(name);
        fs::copy(at(there), at(&format!("{there}_old"))).unwrap();
        let error = scene.error(BASE);
        assert_eq!(error.code(), "secret_missing");
        assert!(error.message().contains(missing), "{error}");
    }
}

#[test]
fn cookie_keys_may_be_padded_and_have_white_space_around_them() {
    let scene = Scene::new();
    let path = scene.folder.path().join("cookie_block_key");
    let raw = fs::read_to_string(&path).unwrap();
    let key = scene.load(BASE).config.user_auth.unwrap().cookie_keys;
    for text in [format!("{raw}="), format!("  {raw}\r\n\n"), format!("{raw}\n")] {
        fs::write(&path, &text).unwrap();
        assert_eq!(scene.load(BASE).config.user_auth.unwrap().cookie_keys, key, "{text:?}");
    }
}
