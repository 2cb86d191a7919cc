//! The integrations, on sessions whose tokens are scripted, against services in memory and servers on loopback.
#![cfg_attr(
    not(feature = "tower"),
    allow(dead_code, unused_imports, clippy::allow_attributes, reason = "helpers of features")
)]

use std::sync::Arc;

use crate::config::endpoint::Endpoint;
use crate::config::{AuthType, Config, Origin, Setting};
use crate::session::{Session, identity};
use crate::store::memory::MemoryStore;
use crate::transport::scripted::{ScriptedTransport, json};

#[cfg(feature = "blocking")]
mod blocking;
#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "tonic")]
mod grpc_peer;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "reqwest")]
mod plain_http;
#[cfg(feature = "tower")]
mod scope;

fn setting<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::Flag("test".to_owned()))
}

/// A machine's configuration for `endpoint`; its tokens are for the header `flyte-authorization`.
fn config(endpoint: &str) -> Config {
    Config {
        endpoint: Some(setting(Endpoint::parse(endpoint, false, "test").unwrap())),
        issuer: Some(setting("https://idp.example".to_owned())),
        client_id: Some(setting("robot".to_owned())),
        client_secret: Some(identity::secret_value("s3cret", "client_secret")),
        // The user's word for endpoints without TLS.
        insecure: setting(true),
        authorization_header: Some(setting("flyte-authorization".to_owned())),
        ..Config::default()
    }
}

/// Answers discovery, then the token endpoint with these tokens in turn; one request more fails the test.
fn tokens(tokens: &[&str]) -> Arc<ScriptedTransport> {
    let metadata = r#"{"issuer":"https://idp.example","token_endpoint":"https://idp.example/token",
        "authorization_endpoint":"https://idp.example/auth","jwks_uri":"https://idp.example/jwks",
        "response_types_supported":["code"]}"#;
    let token = |token: &&str| {
        let reply = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
        ("/token", json(200, &reply))
    };
    let script = std::iter::once((".well-known", json(200, metadata))).chain(tokens.iter().map(token)).collect();
    Arc::new(ScriptedTransport::new(script))
}

fn session_of(config: Config, transport: &Arc<ScriptedTransport>) -> Session {
    Session::builder(config)
        .transport(Arc::<ScriptedTransport>::clone(transport))
        .store(Arc::new(MemoryStore::new("test")))
        .build()
        .unwrap()
}

fn session(endpoint: &str, obtained: &[&str]) -> Session {
    session_of(config(endpoint), &tokens(obtained))
}

fn session_without_auth(endpoint: &str) -> Session {
    let config = Config { auth_type: setting(AuthType::None), client_secret: None, ..config(endpoint) };
    session_of(config, &tokens(&[]))
}
