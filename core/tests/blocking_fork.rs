//! A forked child goes on with the blocking session. A program of its own: a fork copies one thread, and what the others
//! of a test run held would stay held in the child for ever.
#![cfg(all(feature = "blocking", unix))]
#![expect(unsafe_code, clippy::unwrap_used, reason = "the test forks, and its helpers may fail it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flyte_auth::config::{Config, Origin, Setting};
use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth::session::Session;
use flyte_auth::store::memory::MemoryStore;
use flyte_auth::transport::{Call, Failure, HttpTransport, Reply};
use futures_util::future::BoxFuture;

/// Longest that a child may take before it is ended (seconds).
const ALARM: u32 = 60;

/// An authorization server in memory; counts the tokens it gave.
#[derive(Debug, Default)]
struct Issuer(AtomicUsize);

impl HttpTransport for Issuer {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let body = if call.request.uri().path().starts_with("/.well-known") {
            r#"{"issuer":"https://idp.example","token_endpoint":"https://idp.example/token","jwks_uri":
                "https://idp.example/jwks","response_types_supported":["code"],
                "authorization_endpoint":"https://idp.example/auth"}"#
                .to_owned()
        } else {
            let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            format!(r#"{{"access_token":"t{count}","token_type":"Bearer","expires_in":3600}}"#)
        };
        let json = http::HeaderValue::from_static("application/json");
        let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, json)]);
        let reply =
            Reply { status: http::StatusCode::OK, headers, body: body.into(), trailers: http::HeaderMap::new() };
        Box::pin(async move { Ok(reply) })
    }
}

fn session() -> flyte_auth::blocking::Session {
    fn set<T>(value: T) -> Option<Setting<T>> {
        Some(Setting::new(value, Origin::Flag("test".to_owned())))
    }
    let config = Config {
        issuer: set("https://idp.example".to_owned()),
        client_id: set("robot".to_owned()),
        client_secret: set(flyte_auth::config::SecretSource::Value(ClientSecret::new("s3cret"))),
        ..Config::default()
    };
    let builder = Session::builder(config).transport(Arc::new(Issuer::default()));
    builder.store(Arc::new(MemoryStore::new("test"))).build().unwrap().into()
}

#[test]
fn parent_and_child_both_go_on() {
    let session = session();
    let value = |session: &flyte_auth::blocking::Session| session.token().unwrap().unwrap().expose().to_owned();
    assert_eq!(value(&session), "t1", "the parent's thread runs");
    // SAFETY: the child makes calls, ends by `_exit` and is ended by the alarm should it hang.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe { libc::alarm(ALARM) };
        session.invalidate(None);
        let refreshed = session.token().is_ok_and(|token| token.is_some_and(|token| token.expose() == "t2"));
        // SAFETY: ends the child without the test harness.
        unsafe { libc::_exit(i32::from(!refreshed)) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child got a token by itself");
    session.invalidate(None);
    assert_eq!(value(&session), "t2", "the parent's thread still runs");
}
