//! Whom the firewall lets have what: metadata of every shape, legitimate and hostile.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::*;
use crate::clock::fake::FakeClock;
use crate::config::endpoint::Endpoint;
use crate::discovery::{Discoverer, Target};
use crate::protocol::metadata::ServerMetadata;
use crate::transport::scripted::{failure, json, reply};
use crate::transport::{Call, Failure, FailureKind, HttpTransport, Reply};

const FLYTE: &str = "https://flyte.example";
const IDP: &str = "https://idp.example";
const EVIL: &str = "https://evil.example";

/// The issuers' own documents by URL; everything else is not found.
#[derive(Debug)]
struct Documents(HashMap<String, String>);

impl HttpTransport for Documents {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let url = call.request.uri().to_string();
        let answer = match self.0.get(&url).map(String::as_str) {
            Some("down") => failure(FailureKind::Connect),
            Some(body) => json(200, body),
            None => reply(404, "text/plain", ""),
        };
        std::future::ready(answer).boxed()
    }
}

/// `issuer`'s own document names these.
fn own(issuer: &str, token: &str) -> (String, String) {
    let body = format!(
        r#"{{"issuer":"{issuer}","token_endpoint":"{token}","revocation_endpoint":"{token}/revoke",
            "device_authorization_endpoint":"{token}/device"}}"#
    );
    (format!("{issuer}/.well-known/openid-configuration"), body)
}

fn metadata(issuer: Option<&str>, token: &str) -> ServerMetadata {
    ServerMetadata {
        issuer: issuer.map(str::to_owned),
        token_endpoint: Some(token.to_owned()),
        ..ServerMetadata::default()
    }
}

struct Scene {
    target: Target,
    discoverer: Discoverer,
    metadata: ServerMetadata,
    token_url: Option<&'static str>,
}

impl Scene {
    fn new(target: &str, metadata: ServerMetadata, documents: &[(String, String)]) -> Self {
        let transport = Arc::new(Documents(documents.iter().cloned().collect()));
        let discoverer = Discoverer::new(transport, Arc::new(FakeClock::default()), None);
        let target = match target {
            FLYTE => Target::Endpoint(Endpoint::parse(FLYTE, false, "test").unwrap()),
            issuer => Target::Issuer(issuer.to_owned()),
        };
        Self { target, discoverer, metadata, token_url: None }
    }

    fn server(&self) -> AuthorizationServer<'_> {
        AuthorizationServer {
            metadata: &self.metadata,
            token_url: self.token_url,
            target: &self.target,
            discoverer: &self.discoverer,
            plaintext: Plaintext::LoopbackOnly,
            place: "flyte.example",
        }
    }

    /// Where a client secret goes that was never used here.
    async fn secret(&self) -> Result<String, String> {
        let judged = self.server().token_endpoint_for(Credential::ClientSecret, Bound::default()).await;
        judged.map(|to| to.unwrap().to_string()).map_err(|error| error.code().to_owned())
    }

    /// Where a refresh token goes that this issuer and origin granted.
    async fn refresh(&self, issuer: Option<&str>, token_endpoint: Option<&str>) -> Result<String, String> {
        match self.server().token_endpoint_for(Credential::RefreshToken, Bound { issuer, token_endpoint }).await {
            Ok(Ok(to)) => Ok(to.to_string()),
            Ok(Err(changed)) => Err(changed.code.to_owned()),
            Err(error) => Err(error.code().to_owned()),
        }
    }

    /// Where a code goes that `from` gave.
    async fn code(&self, from: &str) -> Result<String, String> {
        let judged = self.server().token_endpoint_for_code(from, false).await;
        judged.map(|to| to.to_string()).map_err(|error| error.code().to_owned())
    }
}

fn foreign() -> Result<String, String> {
    Err("foreign_endpoint".to_owned())
}

#[tokio::test]
async fn a_secret_goes_where_the_endpoint_or_its_issuer_says() {
    let google = [own(IDP, "https://oauth2.example-apis.com/token")];
    for (what, metadata, documents, goes) in [
        ("flyteadmin's own server", metadata(Some(FLYTE), "https://flyte.example/oauth2/token"), &[][..], true),
        ("the external server's document", metadata(Some(IDP), "https://idp.example/v1/token"), &[], true),
        ("flyteadmin's token proxy", metadata(Some(IDP), "https://flyte.example/proxy/token"), &[], true),
        ("an issuer with several hosts", metadata(Some(IDP), "https://oauth2.example-apis.com/token"), &google, true),
        ("the same, and no such document", metadata(Some(IDP), "https://oauth2.example-apis.com/token"), &[], false),
        ("an honest issuer, a stranger's endpoint", metadata(Some(IDP), "https://evil.example/token"), &google, false),
        ("no issuer at all", metadata(None, "https://evil.example/token"), &google, false),
        ("a name that looks alike", metadata(Some(FLYTE), "https://flyte.example.evil/token"), &[], false),
        ("another port", metadata(Some(FLYTE), "https://flyte.example:8443/token"), &[], false),
        ("a part of the name", metadata(Some(FLYTE), "https://sub.flyte.example/token"), &[], false),
    ] {
        let token = metadata.token_endpoint.clone().unwrap();
        let scene = Scene::new(FLYTE, metadata, documents);
        let expected = if goes { Ok(token) } else { foreign() };
        assert_eq!(scene.secret().await, expected, "{what}");
    }
    // The document of one issuer is no word about another's endpoint.
    let lying = [(format!("{IDP}/.well-known/openid-configuration"), own(EVIL, "https://evil.example/t").1)];
    let scene = Scene::new(FLYTE, metadata(Some(IDP), "https://evil.example/t"), &lying);
    assert_eq!(scene.secret().await, foreign());
    // An issuer that cannot answer now is asked again later, not called a liar.
    let down = [(format!("{IDP}/.well-known/openid-configuration"), "down".to_owned())];
    let scene = Scene::new(FLYTE, metadata(Some(IDP), "https://evil.example/t"), &down);
    assert_eq!(scene.secret().await, Err("unreachable".to_owned()));
    // The user's own word, and the document of an issuer that the user named.
    let mut scene = Scene::new(FLYTE, metadata(Some(IDP), "https://evil.example/t"), &[]);
    scene.token_url = Some("https://mine.example/token");
    assert_eq!(scene.secret().await, Ok("https://mine.example/token".to_owned()));
    let scene = Scene::new(IDP, metadata(Some(IDP), "https://oauth2.example-apis.com/token"), &[]);
    assert!(scene.secret().await.is_ok());
}

#[tokio::test]
async fn a_refresh_token_goes_back_to_the_origin_that_granted_it() {
    let token = "https://idp.example/token";
    for (what, then, now, expected) in [
        ("nothing changed", (Some(IDP), Some(IDP)), (Some(IDP), token), Ok(())),
        ("another path", (Some(IDP), Some(IDP)), (Some(IDP), "https://idp.example/v2/token"), Ok(())),
        ("another issuer", (Some(IDP), Some(IDP)), (Some(EVIL), "https://evil.example/token"), Err("issuer_changed")),
        ("another issuer, same host", (Some(IDP), Some(IDP)), (Some(EVIL), token), Err("issuer_changed")),
        (
            "the endpoint moved, the issuer did not",
            (Some(IDP), Some(IDP)),
            (Some(IDP), "https://evil.example/token"),
            Err("token_endpoint_changed"),
        ),
        (
            "the issuer is not named any more",
            (Some(IDP), Some(IDP)),
            (None, "https://evil.example/token"),
            Err("token_endpoint_changed"),
        ),
        (
            "moved to the Flyte endpoint itself",
            (Some(IDP), Some(IDP)),
            (Some(IDP), "https://flyte.example/token"),
            Err("token_endpoint_changed"),
        ),
        (
            "plaintext now",
            (Some(IDP), Some("https://127.0.0.1")),
            (Some(IDP), "http://127.0.0.1/token"),
            Err("token_endpoint_changed"),
        ),
        ("an older record", (Some(IDP), None), (Some(IDP), token), Ok(())),
        (
            "an older record, a stranger",
            (Some(IDP), None),
            (Some(IDP), "https://evil.example/t"),
            Err("foreign_endpoint"),
        ),
        ("an older record, no issuer", (Some(IDP), None), (None, "https://evil.example/t"), Err("foreign_endpoint")),
    ] {
        let scene = Scene::new(FLYTE, metadata(now.0, now.1), &[]);
        let found = scene.refresh(then.0, then.1).await;
        assert_eq!(found, expected.map(|()| now.1.to_owned()).map_err(str::to_owned), "{what}");
        // Not even the issuer's own document, or the user's `tokenUrl`, moves a session without a login.
        if expected == Err("token_endpoint_changed") {
            let mut scene = Scene::new(FLYTE, metadata(now.0, now.1), &[own(IDP, now.1)]);
            assert_eq!(scene.refresh(then.0, then.1).await.unwrap_err(), "token_endpoint_changed", "{what}");
            scene.token_url = Some("https://mine.example/token");
            assert_eq!(scene.refresh(then.0, then.1).await.unwrap_err(), "token_endpoint_changed", "{what}");
        }
    }
}

/// RFC 9700 section 4.4: the login page of an honest server, the token endpoint of another.
#[tokio::test]
async fn a_code_goes_back_to_whoever_gave_it() {
    let honest = "https://idp.example/authorize";
    let google = [own(IDP, "https://oauth2.example-apis.com/token")];
    let accomplice = [own(EVIL, "https://evil.example/token")];
    for (what, from, metadata, documents, goes) in [
        ("one host", honest, metadata(Some(IDP), "https://idp.example/token"), &[][..], true),
        // Its own codes only: whoever types a password there was told where they are.
        (
            "one host that is not the issuer's",
            "https://login.example/a",
            metadata(Some(IDP), "https://login.example/t"),
            &[],
            true,
        ),
        (
            "several hosts, said by the issuer",
            honest,
            metadata(Some(IDP), "https://oauth2.example-apis.com/token"),
            &google,
            true,
        ),
        ("flyteadmin's token proxy", honest, metadata(Some(IDP), "https://flyte.example/proxy"), &[], true),
        (
            "mix-up under the honest issuer's name",
            honest,
            metadata(Some(IDP), "https://evil.example/token"),
            &google,
            false,
        ),
        (
            "mix-up under the stranger's own name",
            honest,
            metadata(Some(EVIL), "https://evil.example/token"),
            &accomplice,
            false,
        ),
        ("mix-up without a name", honest, metadata(None, "https://evil.example/token"), &[], false),
        ("a page that is no URL", "/authorize", metadata(Some(IDP), "https://evil.example/token"), &google, false),
    ] {
        let token = metadata.token_endpoint.clone().unwrap();
        let scene = Scene::new(FLYTE, metadata, documents);
        assert_eq!(scene.code(from).await, if goes { Ok(token) } else { foreign() }, "{what}");
    }
    // An issuer that the user named may not send another server's codes elsewhere either.
    let scene = Scene::new(EVIL, metadata(Some(EVIL), "https://evil.example/token"), &accomplice);
    assert_eq!(scene.code(honest).await, foreign());
    // The secret of a client needs more than a code does.
    let scene = Scene::new(FLYTE, metadata(Some(IDP), "https://evil.example/token"), &google);
    let error = scene.server().token_endpoint_for_code("https://evil.example/authorize", true).await.unwrap_err();
    assert_eq!(error.code(), "foreign_endpoint");
}

#[tokio::test]
async fn device_and_revocation_endpoints_of_strangers() {
    let bound = Bound { issuer: Some(IDP), token_endpoint: Some(IDP) };
    for (what, url, documents, goes) in [
        ("where the session came from", "https://idp.example/revoke", &[][..], true),
        ("said by the issuer", "https://other.example/revoke", &[own(IDP, "https://other.example")], true),
        ("a stranger's", "https://evil.example/revoke", &[own(IDP, "https://other.example")], false),
    ] {
        let scene = Scene::new(FLYTE, metadata(Some(IDP), "https://idp.example/token"), documents);
        let revocation = scene.server().revocation_endpoint(url, bound).await.map(Result::unwrap);
        let device = scene.server().device_authorization_endpoint(&url.replace("revoke", "device"), true).await;
        for judged in [revocation, device] {
            assert_eq!(judged.is_ok(), goes, "{what}");
            assert!(judged.is_ok_and(|to| to.origin().as_str().starts_with("https://")) == goes, "{what}");
        }
        // Without a secret the device endpoint gets nothing that is worth anything.
        assert!(scene.server().device_authorization_endpoint(url, false).await.is_ok());
    }
    let scene = Scene::new(FLYTE, metadata(Some(EVIL), "https://evil.example/token"), &[]);
    let changed = scene.server().revocation_endpoint("https://evil.example/revoke", bound).await.unwrap().unwrap_err();
    assert_eq!(changed.code, "issuer_changed");
}

#[tokio::test]
async fn what_is_refused_is_named_with_the_next_step() {
    let scene = Scene::new(FLYTE, metadata(Some(IDP), "https://evil.example/t?canary"), &[]);
    let error = scene.server().token_endpoint_for(Credential::RefreshToken, Bound::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    let shown = error.to_string();
    for part in ["flyte.example", "token_endpoint", "https://evil.example", "the refresh token", "admin.tokenUrl"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("canary"), "{shown}");
    let error = Destination::given("http://evil.example/t", Plaintext::LoopbackOnly, "tokenUrl").unwrap_err();
    assert!(error.to_string().contains("--insecure") && error.code() == "address_refused", "{error}");
    // What a cache holds from a time when the user had said so is judged again.
    let scene = Scene::new(FLYTE, metadata(Some("http://flyte.example"), "http://flyte.example/t"), &[]);
    assert_eq!(scene.secret().await.unwrap_err(), "metadata_refused");
}
