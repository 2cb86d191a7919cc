//! No type that can hold a secret shows it in `{:?}` or `{:#?}`: each is filled with canaries.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::clock::Timestamp;
use crate::clock::fake::{FakeClock, FakeEntropy};
use crate::config::{ApiKey, Config, NetworkConfig, Origin, Overrides, ProxyUrl, SecretSource, Setting, StaticToken};
use crate::credential::authorization_code::SignedIn;
use crate::credential::{Context, TokenSet};
use crate::interaction::LoginEvent;
use crate::protocol::callback::{Answer, Outcome};
use crate::protocol::client::{Client, ClientAuthMethod};
use crate::protocol::grant::{self, AuthorizationRequest, Grant, Parameters, Revocable};
use crate::protocol::reply::{DeviceAuthorization, TokenReply};
use crate::session::transfer::{Document, Moved};
use crate::session::{Session, Stored, Token};
use crate::store::memory::MemoryStore;
use crate::store::record::tests::sample;
use crate::store::{Record, SessionKey, TokenStore as _};
use crate::transport::scripted::{self, ScriptedTransport};
use crate::transport::{Call, Purpose, Reply};
use crate::verify::Introspection;

const CANARY: &str = "canary-7f3a51c09e";

fn setting<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::Flag("--x".to_owned()))
}

fn record() -> Record {
    Record { access_token: AccessToken::new(CANARY), refresh_token: Some(RefreshToken::new(CANARY)), ..sample() }
}

fn token_set() -> TokenSet {
    TokenSet {
        access_token: AccessToken::new(CANARY),
        expires_at: None,
        refresh_token: Some(RefreshToken::new(CANARY)),
        refresh_expires_at: None,
        id_token: Some(IdToken::new(CANARY)),
        scopes: None,
        obtained_at: Timestamp::from_secs(1),
    }
}

fn config() -> Config {
    let command = || Some(setting(vec!["sh".to_owned(), format!("--password={CANARY}")]));
    Config {
        issuer: Some(setting("https://idp.example".to_owned())),
        client_id: Some(setting("robot".to_owned())),
        client_secret: Some(setting(SecretSource::Value(ClientSecret::new(CANARY)))),
        extra_params: [("assertion".to_owned(), setting(CANARY.to_owned()))].into(),
        command: command(),
        proxy_command: command(),
        network: network(),
        ..Config::default()
    }
}

fn network() -> NetworkConfig {
    let proxy = setting(ProxyUrl::new(format!("http://user:{CANARY}@proxy:1")));
    NetworkConfig { http_proxy_url: Some(proxy), ..NetworkConfig::default() }
}

fn session() -> Session {
    let store = MemoryStore::new("test");
    let config = Config { network: NetworkConfig::default(), ..config() };
    let transport = Arc::new(ScriptedTransport::new(vec![("/token", scripted::json(200, CANARY))]));
    let session = Session::builder(config).transport(transport).store(Arc::new(store)).build().unwrap();
    session.store().save(session.key(), &record()).unwrap();
    assert!(session.stored().is_ok());
    session
}

fn client() -> Client {
    Client { id: "robot".to_owned(), secret: Some(ClientSecret::new(CANARY)), method: ClientAuthMethod::Post }
}

fn token_request(method: ClientAuthMethod) -> grant::Request {
    let grant = Grant::RefreshToken(&RefreshToken::new(CANARY));
    let client = Client { method, ..client() };
    grant::token_request("https://idp.example/token", &client, grant, Parameters::default()).unwrap()
}

fn reply() -> Reply {
    let mut reply = scripted::json(200, CANARY).unwrap();
    reply.headers.insert("set-cookie", CANARY.parse().unwrap());
    reply.trailers.insert("x-token", CANARY.parse().unwrap());
    reply
}

fn device_authorization() -> DeviceAuthorization {
    DeviceAuthorization {
        device_code: DeviceCode::new(CANARY),
        user_code: CANARY.to_owned(),
        verification_uri: "https://idp.example/device".to_owned(),
        verification_uri_complete: Some(format!("https://idp.example/device?user_code={CANARY}")),
        expires_in: Duration::from_secs(1),
        interval: Duration::from_secs(1),
    }
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

/// Raw, in base64, as bytes.
fn forms() -> Vec<String> {
    let bytes: Vec<String> = CANARY.bytes().map(|byte| byte.to_string()).collect();
    vec![
        CANARY.to_owned(),
        STANDARD.encode(CANARY)[..20].to_owned(),
        URL_SAFE_NO_PAD.encode(CANARY)[..20].to_owned(),
        bytes.join(", "),
        bytes.join(",\n    "),
    ]
}

/// Each type by its name.
macro_rules! table {
    ($($name:literal: $value:expr),+ $(,)?) => { vec![$(($name, shown(&$value))),+] };
}

#[test]
fn a_leak_would_be_seen() {
    for text in [shown(&CANARY), shown(&CANARY.as_bytes()), shown(&STANDARD.encode(CANARY))] {
        assert!(forms().iter().any(|form| text.contains(form)), "{text}");
    }
}

#[tokio::test]
async fn no_type_shows_its_secret() {
    let (code, verifier, device_code) =
        (AuthorizationCode::new(CANARY), CodeVerifier::new(CANARY), DeviceCode::new(CANARY));
    let (access, refresh) = (AccessToken::new(CANARY), RefreshToken::new(CANARY));
    let extra = [("assertion".to_owned(), CANARY.to_owned())];
    let parameters = Parameters { extra: &extra, ..Parameters::default() };
    let store = MemoryStore::new("test");
    store.save(&SessionKey::of_parts([Some("x")]), &record()).unwrap();
    let token = Token::new(access.clone(), None, "authorization".to_owned(), 1);
    let session = session();
    let exported: Document = {
        let json = format!(
            r#"{{"format":"flyte-auth-session","version":1,"endpoint":null,"session":{}}}"#,
            String::from_utf8(record().to_json().unwrap().to_vec()).unwrap()
        );
        Document::parse(json.as_bytes()).unwrap()
    };
    let api_key = STANDARD.encode(format!("flyte.example.org:id:{CANARY}:org"));
    let context = Context {
        transport: Arc::new(ScriptedTransport::new(vec![("/token", Ok(reply()))])),
        clock: Arc::new(FakeClock::default()),
        entropy: Arc::new(FakeEntropy::default()),
    };
    let authorization = AuthorizationRequest {
        endpoint: "https://idp.example/authorize",
        client_id: "flytectl",
        redirect_uri: "http://localhost/callback",
        state: CANARY,
        nonce: Some(CANARY),
        verifier: &verifier,
        parameters,
    };
    let url = format!("https://idp.example/authorize?state={CANARY}");
    let rows = table! {
        "AccessToken": access,
        "RefreshToken": refresh,
        "IdToken": IdToken::new(CANARY),
        "ClientSecret": ClientSecret::new(CANARY),
        "AuthorizationCode": code,
        "CodeVerifier": verifier,
        "DeviceCode": device_code,
        "SecretBytes": SecretBytes::from(CANARY),
        "a header": SecretBytes::from(CANARY).into_header(),
        "TokenSet": token_set(),
        "TokenReply": TokenReply {
            access_token: access.clone(), expires_in: None, refresh_token: Some(refresh.clone()), refresh_expires_in: None,
            id_token: Some(IdToken::new(CANARY)), scopes: None,
        },
        "DeviceAuthorization": device_authorization(),
        "SignedIn": SignedIn { tokens: token_set(), nonce: Some(CANARY.to_owned()) },
        "Record": record(),
        "Token": token,
        "Stored": Stored::Fresh(token.clone()),
        "Session": session,
        "MemoryStore": store,
        "Document": exported,
        "Moved": Moved { record: record(), replaced: false, copies_removed: Vec::new() },
        "Client": client(),
        "Grant::AuthorizationCode": Grant::AuthorizationCode { code: &code, verifier: &verifier, redirect_uri: "http://x" },
        "Grant::RefreshToken": Grant::RefreshToken(&refresh),
        "Grant::DeviceCode": Grant::DeviceCode { code: &device_code, verifier: Some(&verifier) },
        "Revocable": (Revocable::Access(&access), Revocable::Refresh(&refresh)),
        "Parameters": parameters,
        "AuthorizationRequest": authorization,
        "Call with a form": Call::new(Purpose::Token, token_request(ClientAuthMethod::Post)),
        "Call with a header": Call::new(Purpose::Token, token_request(ClientAuthMethod::Basic)),
        "Call with a query":
            Call::new(Purpose::UserInfo, http::Request::get(format!("https://x/?token={CANARY}")).body("").unwrap()),
        "a request as it is sent": token_request(ClientAuthMethod::Basic),
        "Reply": reply(),
        "Answer": Outcome::Done(Answer::Code(code.clone())),
        "LoginEvent::Url": LoginEvent::Url { url, opened: true, ssh_hint: None, paste: true },
        "LoginEvent::UserCode": LoginEvent::UserCode {
            user_code: CANARY.to_owned(), verification_uri: "https://x".to_owned(),
            verification_uri_complete: Some(format!("https://x?user_code={CANARY}")), expires_at: Timestamp::from_secs(1),
        },
        "ApiKey": ApiKey::parse(&api_key, "x").unwrap(),
        "SecretSource": SecretSource::Command(vec!["vault".to_owned(), "--token".to_owned(), CANARY.to_owned()]),
        "StaticToken": (StaticToken::Value(access.clone()), StaticToken::File(PathBuf::from("/x"))),
        "NetworkConfig": network(),
        "Config": config(),
        "Overrides": Overrides {
            client_secret: Some(ClientSecret::new(CANARY)), http_proxy_url: network().http_proxy_url.map(|url| url.value),
            extra_params: extra.clone().into(), ..Overrides::default()
        },
        "Context": context,
        "Introspection": Introspection::new("service", ClientSecret::new(CANARY)),
        "ID token Expectations": crate::verify::id_token::Expectations {
            issuer: "https://x", client_id: "y", nonce: Some(CANARY), access_token: Some(&access),
        },
    };
    assert!(rows.len() > 40);
    for (name, text) in rows {
        for form in forms() {
            assert!(!text.contains(&form), "{name} shows its secret: {text}");
        }
    }
}
