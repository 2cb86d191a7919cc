//! Certificates, for each purpose: the shipped clients forget half of them.

use super::peer::{Authority, Peer, Versions, config, hello};
use super::*;

const HTTP1: &[&str] = &["http/1.1"];

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn trusting(path: &Path) -> NetworkConfig {
    NetworkConfig { ca_cert: set(path.to_owned()), ..NetworkConfig::default() }
}

#[tokio::test]
async fn a_private_authority_holds_for_every_purpose() {
    let (authority, files) = (Authority::new(), Files::new());
    let peer = Peer::tls(config(&authority.server("localhost", |_| ()), None, HTTP1), Versions::Http1, hello).await;
    let file = files.write("ca.pem", &authority.pem());
    files.write("folder/README", "no certificate");
    files.write("folder/ca.crt", &authority.pem());
    let skip = NetworkConfig { insecure_skip_verify: set(true), ..NetworkConfig::default() };
    for network in [trusting(&file), trusting(&files.0.path().join("folder")), skip] {
        let transport = transport(&network);
        for purpose in PURPOSES {
            let reply = transport.send(Call { purpose, ..get(&peer.url("https")) }).await.unwrap();
            assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"hello"[..]), "{purpose:?}");
        }
    }
    let unknowing = plain();
    for purpose in PURPOSES {
        let failure = fails(&unknowing, Call { purpose, ..get(&peer.url("https")) }).await;
        assert_eq!((failure.kind, failure.error.code()), (FailureKind::Tls, "certificate_unknown_issuer"));
        let shown = failure.error.to_string();
        assert!(
            shown.contains("localhost") && shown.contains("--ca-cert") && shown.contains(purpose.words()),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let (authority, files) = (Authority::new(), Files::new());
    let network = trusting(&files.write("ca.pem", &authority.pem()));
    let skip = NetworkConfig { insecure_skip_verify: set(true), ..network.clone() };
    for (identity, code, words) in [
        (
            authority.server("localhost", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1)),
            "certificate_expired",
            "has expired",
        ),
        (
            authority.server("localhost", |params| params.not_before = rcgen::date_time_ymd(2999, 1, 1)),
            "certificate_not_yet_valid",
            "clock",
        ),
        (authority.server("other.example", |_| ()), "certificate_wrong_host", "another host name than localhost"),
    ] {
        let peer = Peer::tls(config(&identity, None, HTTP1), Versions::Http1, hello).await;
        let failure = fails(&transport(&network), get(&peer.url("https"))).await;
        assert_eq!((failure.kind, failure.error.code()), (FailureKind::Tls, code));
        assert_eq!(failure.error.kind(), crate::ErrorKind::Network);
        assert!(failure.error.to_string().contains(words) && failure.error.next_step().is_some(), "{}", failure.error);
        assert!(transport(&skip).send(get(&peer.url("https"))).await.is_ok(), "{code}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_demanded() {
    let (authority, files) = (Authority::new(), Files::new());
    let demanding = config(&authority.server("localhost", |_| ()), Some(&authority), HTTP1);
    let peer = Peer::tls(demanding, Versions::Http1, hello).await;
    let mut network = trusting(&files.write("ca.pem", &authority.pem()));
    let failure = fails(&transport(&network), get(&peer.url("https"))).await;
    assert_eq!((failure.kind, failure.error.code()), (FailureKind::Tls, "client_certificate_required"), "{failure:?}");
    let client = authority.client();
    network.client_cert = set(files.write("client.pem", &client.certificate.pem()));
    network.client_key = set(files.write("client.key", &client.key.serialize_pem()));
    let with_both = transport(&network);
    for purpose in PURPOSES {
        assert!(with_both.send(Call { purpose, ..get(&peer.url("https")) }).await.is_ok(), "{purpose:?}");
    }
    // Both in one file.
    let both = format!("{}\n{}", client.certificate.pem(), client.key.serialize_pem());
    network.client_cert = set(files.write("both.pem", &both));
    network.client_key = None;
    assert!(transport(&network).send(get(&peer.url("https"))).await.is_ok());
}

#[tokio::test]
async fn the_wrong_kind_of_port() {
    let authority = Authority::new();
    let peer = Peer::http(Versions::Both, hello).await;
    let failure = fails(&plain(), get(&peer.url("https"))).await;
    assert_eq!((failure.kind, failure.error.code()), (FailureKind::Tls, "not_tls"));
    assert!(failure.error.to_string().contains("--insecure"), "{}", failure.error);
    let peer = Peer::tls(config(&authority.server("localhost", |_| ()), None, HTTP1), Versions::Http1, hello).await;
    for http2_only in [false, true] {
        let failure = fails(&plain(), Call { http2_only, ..get(&peer.url("http")) }).await;
        assert_eq!((failure.kind, failure.error.code()), (FailureKind::Protocol, "protocol"), "{failure:?}");
        assert!(failure.error.to_string().contains("needs TLS"), "{}", failure.error);
    }
}

#[test]
fn files_that_cannot_be_used_name_setting_and_file() {
    let files = Files::new();
    let identity = Authority::new().client();
    let (cert, garbage) = (files.write("c.pem", &identity.certificate.pem()), files.write("g.pem", "canary"));
    let broken = files.write("b.pem", "-----BEGIN CERTIFICATE-----\ncanary!\n-----END CERTIFICATE-----\n");
    let (empty, missing) = (files.write("empty/x.txt", ""), files.0.path().join("missing.pem"));
    let empty = empty.parent().unwrap().to_owned();
    let identity = |cert: &Path, key: Option<&Path>| NetworkConfig {
        client_cert: set(cert.to_owned()),
        client_key: key.and_then(|key| set(key.to_owned())),
        ..NetworkConfig::default()
    };
    for (network, file) in [
        (trusting(&missing), &missing),
        (trusting(&garbage), &garbage),
        (trusting(&broken), &broken),
        (trusting(&empty), &empty),
        (identity(&missing, None), &missing),
        (identity(&cert, Some(&missing)), &missing),
        (identity(&cert, Some(&garbage)), &cert),
        (identity(&cert, None), &cert),
    ] {
        let Err(error) = ReqwestTransport::new(&network) else { panic!("{network:?}") };
        assert_eq!((error.kind(), error.setting()), (crate::ErrorKind::Config, Some("--test")), "{error}");
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn http2_over_tls_is_negotiated() {
    let (authority, files) = (Authority::new(), Files::new());
    let network = trusting(&files.write("ca.pem", &authority.pem()));
    let identity = authority.server("localhost", |_| ());
    let both = Peer::tls(config(&identity, None, &["h2", "http/1.1"]), Versions::Both, hello).await;
    let old = Peer::tls(config(&identity, None, HTTP1), Versions::Http1, hello).await;
    let transport = transport(&network);
    let http2 = |peer: &Peer| Call { http2_only: true, ..get(&peer.url("https")) };
    assert!(transport.send(http2(&both)).await.is_ok());
    let failure = fails(&transport, http2(&old)).await;
    assert_eq!((failure.kind, failure.error.code()), (FailureKind::Protocol, "no_http2"));
    assert!(transport.send(get(&old.url("https"))).await.is_ok());
}
