//! A verifier with a clock that the test moves and a network that the test answers for, and its verdicts as words.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyte_auth::clock::{Clock, Timestamp};
use flyte_auth::error::{Error, ErrorKind};
use flyte_auth::protocol::secret::AccessToken;
use flyte_auth::transport::{Call, Failure, FailureKind, HttpTransport, Reply};
use flyte_auth::verify::{KeySet, Verifier, VerifierBuilder};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const AUDIENCE: &str = "https://flyte.example";
pub(crate) const JWKS_URI: &str = "https://idp.example/jwks";
/// When the tests take place, in seconds since the epoch.
pub(crate) const NOW: i64 = 1_795_600_000;
/// What a verdict is where the token is accepted; any other is a refusal's code.
pub(crate) const ACCEPTED: &str = "accepted";

/// The claims of a good access token (RFC 9068 section 2.2).
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "client_id": "flytectl", "scope": "all offline",
        "iat": NOW - 10, "exp": NOW + 3600, "jti": "id-of-this-token",
    })
}

/// The good claims, with `changes` in their place.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

/// The good claims without one.
pub(crate) fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

/// A clock that moves when told.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOW)))
    }
    pub(crate) fn step(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }
    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Answers by URL and keeps every URL that was asked for. What it does not know fails, as a name that does not resolve.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    answers: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

impl Recorder {
    /// Serves `keys` at [`JWKS_URI`].
    pub(crate) fn serving(keys: &Value) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        recorder.serve(JWKS_URI, keys.to_string());
        recorder
    }
    pub(crate) fn serve(&self, url: &str, body: String) {
        self.answers.lock().unwrap().insert(url.to_owned(), body);
    }
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl HttpTransport for Recorder {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let url = call.request.uri().to_string();
        self.asked.lock().unwrap().push(url.clone());
        let answer = self.answers.lock().unwrap().get(&url).cloned();
        Box::pin(async move {
            // Other callers have time to arrive meanwhile.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            let unknown = || Error::new(ErrorKind::Network, "unreachable", "no such host");
            let body = answer.ok_or_else(|| Failure { kind: FailureKind::Dns, error: unknown() })?;
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            Ok(Reply {
                status: http::StatusCode::OK,
                headers,
                body: body.into_bytes(),
                trailers: http::HeaderMap::new(),
            })
        })
    }
}

/// A builder with the issuer, the audience and the tests' time; a network that answers nothing.
pub(crate) fn builder() -> VerifierBuilder {
    Verifier::builder(ISSUER).audience(AUDIENCE).clock(HandClock::new()).transport(Arc::new(Recorder::default()))
}

/// A verifier that knows these keys.
pub(crate) fn verifier(keys: KeySet) -> Verifier {
    builder().jwks(keys).build().unwrap()
}

/// A verifier that fetches its keys from `network`.
pub(crate) fn online(network: &Arc<Recorder>, clock: &Arc<HandClock>) -> Verifier {
    let builder = Verifier::builder(ISSUER).audience(AUDIENCE).clock(clock.clone()).transport(network.clone());
    builder.jwks_uri(JWKS_URI).build().unwrap()
}

/// Waits for a future in a test that is not async.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// [`ACCEPTED`], or the code of the refusal. An error that is no refusal fails the test.
pub(crate) async fn verdict_of(verifier: &Verifier, token: &str) -> String {
    spoken(verifier.verify(&AccessToken::new(token)).await, token)
}

/// As [`verdict_of`], waited for.
pub(crate) fn verdict(verifier: &Verifier, token: &str) -> String {
    wait(verdict_of(verifier, token))
}

/// The verdict on a token of any kind, in words. No refusal may show a part of the token.
pub(crate) fn spoken<T>(outcome: Result<T, Error>, token: &str) -> String {
    let Err(error) = outcome else { return ACCEPTED.to_owned() };
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let shown = format!("{error} {error:?}");
    for part in token.split('.').filter(|part| part.len() >= 16) {
        assert!(!shown.contains(&part[..16]), "a refusal shows a part of the token: {shown}");
    }
    error.code().to_owned()
}

/// Asserts the verdict on each token; the first word of a row says what it is.
pub(crate) fn expect(verifier: &Verifier, rows: &[(&str, String, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(what, token, expected)| {
            let found = verdict(verifier, token);
            (found != *expected).then(|| format!("{what}: {found} instead of {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
