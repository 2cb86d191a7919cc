//! Proxies: what passes them is counted. Variables are set in a child process, where no other test reads them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::peer::{Authority, Peer, Versions, config, head, hello};
use super::*;

/// A proxy that wants `user:p@ss`, tunnels every host to this machine, and answers plaintext calls itself.
struct Proxy {
    peer: Peer,
    tunnels: Arc<AtomicUsize>,
}

const CREDENTIALS: &str = "proxy-authorization: basic dxnlcjpwqhnz";

async fn proxy() -> Proxy {
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&tunnels);
    let peer = Peer::raw(move |stream| serve(stream, Arc::clone(&counter))).await;
    Proxy { peer, tunnels }
}

async fn serve(mut stream: TcpStream, tunnels: Arc<AtomicUsize>) {
    let head = head(&mut stream).await;
    if !head.to_ascii_lowercase().contains(CREDENTIALS) {
        let _ = stream.write_all(b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    tunnels.fetch_add(1, Ordering::SeqCst);
    let target = head.split(' ').nth(1).unwrap().to_owned();
    if !head.starts_with("CONNECT ") {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nvia proxy").await;
        return;
    }
    let port = target.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let mut upstream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await;
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
}

impl Proxy {
    fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}@127.0.0.1:{}", self.peer.address.port())
    }
    fn passed(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }
}

async fn secure_peer() -> (Peer, tempfile::NamedTempFile) {
    let authority = Authority::new();
    let identity = authority.server("flyte.test", |_| ());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    (Peer::tls(config(&identity, None, &["h2", "http/1.1"]), Versions::Both, hello).await, file)
}

fn network(proxy: String, ca: &Path) -> NetworkConfig {
    NetworkConfig { http_proxy_url: set(proxy.into()), ca_cert: set(ca.to_owned()), ..NetworkConfig::default() }
}

#[tokio::test]
async fn every_purpose_passes_the_proxy() {
    let (peer, ca) = secure_peer().await;
    let proxy = proxy().await;
    // The name exists at the proxy only: a call that went around it could not arrive.
    let url = format!("https://flyte.test:{}/", peer.address.port());
    for (number, purpose) in PURPOSES.into_iter().enumerate() {
        let transport = transport(&network(proxy.url("user:p%40ss"), ca.path()));
        assert_eq!(transport.send(Call { purpose, ..get(&url) }).await.unwrap().body, b"hello");
        assert_eq!(proxy.passed(), number + 1, "{purpose:?}");
        // gRPC too, on the same tunnel or another.
        assert!(transport.send(Call { purpose, http2_only: true, ..get(&url) }).await.is_ok());
        assert_eq!(proxy.passed(), number + 1, "{purpose:?}");
    }
    let plaintext = transport(&network(proxy.url("user:p%40ss"), ca.path()));
    assert_eq!(plaintext.send(get("http://flyte.test/")).await.unwrap().body, b"via proxy");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let (peer, ca) = secure_peer().await;
    let proxy = proxy().await;
    let place = proxy.peer.address.to_string();
    let gone = "http://user:canary@127.0.0.1:9".to_owned();
    for (url, settings) in [
        (format!("https://flyte.test:{}/", peer.address.port()), proxy.url("user:canary")),
        ("http://flyte.test/".to_owned(), proxy.url("user:canary")),
        (format!("https://flyte.test:{}/", peer.address.port()), gone.clone()),
        ("http://flyte.test/".to_owned(), gone),
        ("http://flyte.test/".to_owned(), "http://user:canary@no-such-proxy.invalid:1".to_owned()),
    ] {
        let place =
            if settings.contains(&place) { place.as_str() } else { &settings[settings.find('@').unwrap() + 1..] };
        let transport = transport(&network(settings.clone(), ca.path()));
        let failure = fails(&transport, get(&url)).await;
        assert_eq!((failure.kind, failure.error.code()), (FailureKind::Proxy, "proxy"), "{failure:?}");
        let shown = format!("{} {:?} {transport:?}", failure.error, failure.error);
        assert!(shown.contains(place) && shown.contains("httpProxyURL"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!(proxy.passed(), 0);
}

#[tokio::test]
async fn a_certificate_behind_a_proxy_is_the_servers() {
    let (peer, _) = secure_peer().await;
    let proxy = proxy().await;
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), Authority::new().pem()).unwrap();
    let transport = transport(&network(proxy.url("user:p%40ss"), other.path()));
    let failure = fails(&transport, get(&format!("https://flyte.test:{}/", peer.address.port()))).await;
    assert_eq!((failure.kind, failure.error.code()), (FailureKind::Tls, "certificate_unknown_issuer"));
}

#[test]
fn a_proxy_url_that_is_none() {
    for url in ["socks5://user:canary@127.0.0.1:1", "ftp://x", "http://", "http://user:canary@:x", "://canary"] {
        let network = NetworkConfig { http_proxy_url: set(url.into()), ..NetworkConfig::default() };
        let Err(error) = ReqwestTransport::new(&network) else { panic!("{url}") };
        assert_eq!(
            (error.kind(), error.code(), error.setting()),
            (crate::ErrorKind::Config, "proxy_invalid", Some("--test"))
        );
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    let bare = NetworkConfig { http_proxy_url: set("127.0.0.1:3128".into()), ..NetworkConfig::default() };
    assert!(ReqwestTransport::new(&bare).is_ok());
}

/// Runs in the child: reports how the call of `FLYTE_TEST_URL` went.
#[tokio::test]
#[ignore = "run by `variables` with its own environment"]
async fn child() {
    let Ok(url) = std::env::var("FLYTE_TEST_URL") else { return };
    let ca = PathBuf::from(std::env::var("FLYTE_TEST_CA").unwrap());
    let explicit = std::env::var("FLYTE_TEST_PROXY").ok();
    let network = NetworkConfig {
        http_proxy_url: explicit.and_then(|url| set(url.into())),
        ca_cert: set(ca),
        ..NetworkConfig::default()
    };
    match transport(&network).send(get(&url)).await {
        Ok(reply) => println!("outcome=<{}>", String::from_utf8_lossy(&reply.body)),
        Err(failure) => println!("outcome=<{:?}>", failure.kind),
    }
}

async fn in_child(url: &str, ca: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "transport::tests::proxies::child"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env("FLYTE_TEST_URL", url).env("FLYTE_TEST_CA", ca).envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = text.split_once("outcome=<").and_then(|(_, rest)| rest.split_once('>'));
    outcome.unwrap_or_else(|| panic!("{text}")).0.to_owned()
}

#[tokio::test]
async fn variables() {
    let (peer, ca) = secure_peer().await;
    let proxy = proxy().await;
    let url = proxy.url("user:p%40ss");
    let by_name = format!("https://flyte.test:{}/", peer.address.port());
    let local = peer.url("https");
    for (target, variables, outcome, passes) in [
        (&by_name, vec![("HTTPS_PROXY", url.as_str())], "hello", 1),
        (&by_name, vec![("https_proxy", url.as_str())], "hello", 1),
        (&by_name, vec![("ALL_PROXY", url.as_str())], "hello", 1),
        (&by_name, vec![("HTTP_PROXY", url.as_str())], "Dns", 0),
        (&by_name, vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", ".test")], "Dns", 0),
        (&by_name, vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "other")], "hello", 1),
        (&by_name, vec![("FLYTE_TEST_PROXY", url.as_str()), ("NO_PROXY", "flyte.test")], "Dns", 0),
        (&by_name, vec![("FLYTE_TEST_PROXY", url.as_str()), ("HTTPS_PROXY", "http://127.0.0.1:9")], "hello", 1),
        (&local, vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "*")], "Tls", 0),
    ] {
        let before = proxy.passed();
        assert_eq!(in_child(target, ca.path(), &variables).await, outcome, "{variables:?}");
        assert_eq!(proxy.passed() - before, passes, "{variables:?}");
    }
}

#[tokio::test]
async fn plaintext_for_this_machine_does_not_leave_it_through_a_proxy() {
    let peer = Peer::http(Versions::Both, hello).await;
    let port = peer.address.port();
    for proxy in ["http://no-such-proxy.invalid:1", "http://192.0.2.1:3128"] {
        let network = NetworkConfig { http_proxy_url: set(proxy.into()), ..NetworkConfig::default() };
        let transport = transport(&network);
        for host in ["127.0.0.1", "localhost"] {
            for http2_only in [false, true] {
                let call = Call { http2_only, ..get(&format!("http://{host}:{port}/")) };
                assert_eq!(transport.send(call).await.unwrap().body, b"hello", "{proxy} {host}");
            }
        }
    }
    // A proxy of this machine may have it, and whatever is elsewhere goes through the proxy still.
    let proxy = proxy().await;
    let network = NetworkConfig { http_proxy_url: set(proxy.url("user:p%40ss").into()), ..NetworkConfig::default() };
    for url in [format!("http://127.0.0.1:{port}/"), "http://flyte.test/".to_owned()] {
        assert_eq!(transport(&network).send(get(&url)).await.unwrap().body, b"via proxy");
    }
}
