//! Ports, TLS, shutdown, and options that cannot work.

use flyte_auth::ErrorKind;
use flyte_auth_server::sandbox::{Options, Sandbox};

use crate::common::{Server, http_client};

#[tokio::test]
async fn every_port_serves_everything() {
    let server = Server::start(|options| options.tls = true).await;
    let ready = server.sandbox.ready().clone();
    let ca = std::fs::read(ready.ca_cert.as_ref().unwrap()).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    let https = ready.https.clone().unwrap();
    assert_eq!(ready.issuer, https, "with TLS the issuer is the https one");
    let port = https.rsplit(':').next().unwrap();
    let trusting = http_client().tls_certs_only([ca]).build().unwrap();
    for (base, version) in [
        (https.clone(), reqwest::Version::HTTP_2),
        (format!("https://localhost:{port}"), reqwest::Version::HTTP_2),
        (format!("https://[::1]:{port}"), reqwest::Version::HTTP_2),
        (format!("https://{}", ready.grpc), reqwest::Version::HTTP_2),
        (ready.http.clone(), reqwest::Version::HTTP_11),
    ] {
        let response = trusting.get(format!("{base}/.well-known/openid-configuration")).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version), "{base}");
        assert!(response.text().await.unwrap().contains(&https));
    }
    let only_http1 = http_client().tls_danger_accept_invalid_certs(true).http1_only().build().unwrap();
    assert_eq!(
        only_http1.get(format!("{https}/healthcheck")).send().await.unwrap().version(),
        reqwest::Version::HTTP_11
    );
    assert!(server.client.get(format!("{https}/healthcheck")).send().await.is_err(), "the CA is private");
    let file = ready.ca_cert.unwrap();
    server.sandbox.shutdown().await;
    assert!(!file.exists(), "without a state folder nothing stays behind");
}

#[tokio::test]
async fn plain_http2_on_the_http_port_and_http1_on_the_grpc_port() {
    let server = Server::start(|_| {}).await;
    let ready = server.sandbox.ready();
    assert_eq!((ready.https.as_ref(), ready.ca_cert.as_ref()), (None, None));
    let h2 = http_client().http2_prior_knowledge().build().unwrap();
    assert_eq!(h2.get(server.url("/healthcheck")).send().await.unwrap().version(), reqwest::Version::HTTP_2);
    let h1 = server.client.get(format!("http://{}/healthcheck", ready.grpc)).send().await.unwrap();
    assert_eq!(h1.version(), reqwest::Version::HTTP_11);
}

#[tokio::test]
async fn both_loopback_families() {
    let server = Server::start(|_| {}).await;
    let port = server.sandbox.ready().http.rsplit(':').next().unwrap().to_owned();
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(server.client.get(format!("http://[::1]:{port}/healthcheck")).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn shutdown_closes_the_ports() {
    let server = Server::start(|_| {}).await;
    let url = server.url("/healthcheck");
    server.sandbox.shutdown().await;
    assert!(server.client.get(url).send().await.is_err());
}

#[tokio::test]
async fn run_tells_when_it_is_ready_and_ends_when_told() {
    let (mut http, (stop, stopped)) = (None, tokio::sync::oneshot::channel::<()>());
    stop.send(()).unwrap();
    let options = Options { signing_algorithm: flyte_auth_server::keys::SigningAlgorithm::Es256, ..Options::default() };
    let run =
        flyte_auth_server::sandbox::run(options, |ready| http = Some(serde_json::to_value(ready).unwrap()), async {
            let _ = stopped.await;
        });
    run.await.unwrap();
    let ready = http.unwrap();
    for member in ["http", "https", "grpc", "ca_cert", "issuer", "admin", "clients", "users"] {
        assert!(ready.get(member).is_some(), "{member}");
    }
    assert_eq!(ready["users"][0], "alice@example.org");
    assert_eq!(
        (&ready["clients"][1]["id"], &ready["clients"][1]["secret"]),
        (&"flytepropeller".into(), &"foobar".into())
    );
}

#[tokio::test]
async fn options_that_cannot_work_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let _held = std::net::TcpListener::bind(("127.0.0.1", taken));
    type Edit = Box<dyn FnOnce(&mut Options)>;
    let cases: Vec<(&str, &str, Edit)> = vec![
        ("port_unavailable", "--http-port", Box::new(move |options| options.http_port = taken)),
        ("port_unavailable", "--grpc-port", Box::new(move |options| options.grpc_port = taken)),
        (
            "lifetime_invalid",
            "--access-token-lifetime",
            Box::new(|options| options.access_token_lifetime = std::time::Duration::ZERO),
        ),
        (
            "lifetime_invalid",
            "--refresh-token-lifetime",
            Box::new(|options| options.refresh_token_lifetime = std::time::Duration::from_millis(10)),
        ),
        ("user_invalid", "--auto-approve", Box::new(|options| options.auto_approve = Some("\n".to_owned()))),
        (
            "header_invalid",
            "authorization_metadata_key",
            Box::new(|options| options.authorization_metadata_key = Some("a b".to_owned())),
        ),
        (
            "issuer_invalid",
            "--external-issuer",
            Box::new(|options| {
                options.external_issuer = Some("idp.example".to_owned());
                options.transport = Some(crate::common::transport());
            }),
        ),
    ];
    for (code, setting, edit) in cases {
        let mut options = Options::default();
        edit(&mut options);
        let error = Sandbox::start(options).await.unwrap_err();
        assert_eq!((error.code(), error.setting(), error.kind()), (code, Some(setting), ErrorKind::Config));
        assert!(error.next_step().is_some());
    }
}
