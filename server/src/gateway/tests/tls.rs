use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Version;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::echo::{Echo, Messages, call, framed};
use super::world::{Front, Service, request, serve, soon, text};
use crate::gateway::Roots;

/// A service with a certificate for `localhost` that offers these protocols, and the file of its authority.
async fn service(app: Router, protocols: &[&str]) -> (Service, String, PathBuf, tempfile::TempDir) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let service = Service::raw(move |stream| {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, app).await;
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let url = format!("https://localhost:{}", service.address.port());
    (service, url, file, folder)
}

async fn front(url: &str, roots: Roots) -> Front {
    Front::with(&[("/", url.to_owned()), ("test.", url.to_owned())], roots, None).await
}

/// Says what it was asked over, and for which host.
fn spoken() -> Router {
    Router::new().fallback(|request: Request| async move {
        match request.version() {
            Version::HTTP_2 => format!("HTTP/2 {}", request.uri().authority().unwrap()),
            _ => format!("HTTP/1.1 {}", request.headers()["host"].to_str().unwrap()),
        }
    })
}

#[tokio::test]
async fn grpc_goes_over_http_2_within_tls() {
    let (echo, _ended) = Echo::new();
    let (_service, url, file, _folder) = service(echo.app(), &["h2", "http/1.1"]).await;
    let front = front(&url, Roots::with_file("x", &file).unwrap()).await;
    let response = soon(front.http2().await.send_request(call("Unary", Body::from(framed(b"hello"))))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "hello");
    assert!(soon(messages.next()).await.is_none());
    assert_eq!(messages.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn everything_else_goes_over_what_tls_agrees_on() {
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], "HTTP/2 flyte.example"),
        (&["h2"], "HTTP/2 flyte.example"),
        (&["http/1.1"], "HTTP/1.1 flyte.example"),
        (&[], "HTTP/1.1 flyte.example"),
    ] {
        let (service, url, file, _folder) = service(spoken(), protocols).await;
        let front = front(&url, Roots::with_file("x", &file).unwrap()).await;
        for _ in 0..5 {
            let answer = front.get(request("GET", "/x").body(Body::empty()).unwrap()).await;
            assert_eq!(text(answer).await, expected, "{protocols:?}");
        }
        // One more to find out that it is HTTP/1.1.
        let connections = if expected.starts_with("HTTP/2") { 1 } else { 2 };
        assert_eq!(service.connections(), connections, "{protocols:?}");
    }
}

#[tokio::test]
async fn grpc_to_a_service_without_http_2_is_unavailable() {
    let (_service, url, file, _folder) = service(spoken(), &["http/1.1"]).await;
    let front = front(&url, Roots::with_file("x", &file).unwrap()).await;
    let response = soon(front.http2().await.send_request(call("Unary", Body::empty()))).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "the service behind does not speak HTTP/2");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let (_service, url, _file, _folder) = service(spoken(), &["h2", "http/1.1"]).await;
    let (_other, _, file, _other_folder) = service(spoken(), &["h2"]).await;
    let front = front(&url, Roots::with_file("x", &file).unwrap()).await;
    assert_eq!(front.get(request("GET", "/x").body(Body::empty()).unwrap()).await.status(), 503);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let (service, _, file, _folder) = service(spoken(), &["h2"]).await;
    let front = front(&service.url("https"), Roots::with_file("x", &file).unwrap()).await;
    assert_eq!(front.get(request("GET", "/x").body(Body::empty()).unwrap()).await.status(), 503);
}

#[tokio::test]
async fn a_service_that_never_finishes_the_handshake_is_504_after_five_seconds() {
    let (_, _, file, _folder) = service(spoken(), &[]).await;
    let silent = Service::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let front = front(&silent.url("https"), Roots::with_file("x", &file).unwrap()).await;
    let get = front.get(request("GET", "/x").body(Body::empty()).unwrap());
    let mut client = front.http2().await;
    let call = client.send_request(call("Unary", Body::empty()));
    let (got, called) = tokio::join!(get, soon(call));
    assert_eq!(got.status(), 504);
    assert_eq!(called.unwrap().headers()["grpc-status"], "14");
}

#[test]
fn a_file_without_certificates_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let unreadable = Roots::with_file("gateway.caFile", &file).unwrap_err();
    assert_eq!((unreadable.code(), unreadable.setting()), ("certificate_unreadable", Some("gateway.caFile")));
    for content in [
        "",
        "canary",
        "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&file, content).unwrap();
        let invalid = Roots::with_file("gateway.caFile", &file).unwrap_err();
        assert_eq!((invalid.code(), invalid.setting()), ("certificate_invalid", Some("gateway.caFile")), "{content}");
        assert!(!format!("{invalid}{invalid:?}").contains("canary"));
    }
}
